"""Opt-in forms over the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from aiohttp import web
from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from forms import catalogue, embed, optin, texting, wishes
from forms.catalogue import Box, Form, Looks, Shown
from forms.desk import DESK, Desk
from forms.wishes import Asked, Wished
from gateway import audit
from gateway.api import form_shapes as shapes
from gateway.api.answers import Done, answer, listing
from gateway.api.base import PAGE, Call, Route
from gateway.api.bodies import Body
from gateway.problems import invalid, invalid_fields, not_found
from rules.keywords import check_keyword

Line = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Tag = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=4000, strip_whitespace=True)]
Url = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Colour = Annotated[str, StringConstraints(pattern=r"^#[0-9a-fA-F]{6}$")]


class PreferenceOnForm(Body):
    name: Line
    selected: bool | None = None
    """Whether its box is preselected; absent: as the preference says."""
    required: bool = False
    """Whether the form can be sent only with it."""
    shown_as: Literal["box", "statement"] = Field(default="box", alias="as")
    """A statement has no box: the button is the yes."""


class LooksIn(Body):
    accent: Colour | None = None
    """The colour of the button; its contrast against the paper is at least 3:1."""
    paper: Colour | None = None
    """The colour behind it, by day and by night; absent: white, and dark where the reader prefers that."""
    corners: Literal["sharp", "round", "rounder"] = "round"
    logo: Annotated[str, StringConstraints(max_length=20_000)] | None = None
    """A PNG, JPEG or WebP as a `data:` URL in base64, at most 12,000 characters."""


class FormPatch(Body):
    """What to change; lists are replaced as given. What changes what is shown makes a new version."""

    description: Line | None = None
    """For staff."""
    channel: Literal["sms", "whatsapp", "email"] | None = None
    """It stays what it is."""
    connection: Annotated[str, StringConstraints(min_length=1, max_length=63)] | None = None
    """By which of your connections its questions go, or people text; null: the first of the channel."""
    headline: Line | None = None
    confirmation_message: Words | None = None
    """What people agree to. Plain text; its lines are kept."""
    button_text: Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)] | None = None
    success_message: Words | None = None
    """What is shown when it was sent; or name a `redirect_url`."""
    redirect_url: Url | None = None
    """Where it leads when it was sent; it begins with one of the `allowed_origins`."""
    confirm: Literal["none", "double"] | None = None
    """Whether the address itself must confirm. Null: `double` for what is typed."""
    fields: Annotated[list[Annotated[str, StringConstraints(max_length=80)]], Field(max_length=20)] | None = None
    """`first_name`, `last_name`, `attributes.NAME`."""
    labels: Annotated[dict[str, Line], Field(max_length=20)] | None = None
    """What stands above a field, by its name."""
    entry: Literal["typed", "text_us", "both"] | None = None
    """Null: `text_us` for sms and whatsapp where there is a number to text to, else `typed`."""
    keyword: Annotated[str, StringConstraints(min_length=1, max_length=160)] | None = None
    """What people text; null: the channel's opt-in rule."""
    preferences: Annotated[list[PreferenceOnForm], Field(max_length=wishes.MOST_BOXES)] | None = None
    tags: Annotated[list[Tag], Field(max_length=50)] | None = None
    """What whoever sends it in is tagged with."""
    existing: Literal["update", "ignore"] | None = None
    """What would change an answer of somebody known: asked of that address, or dropped."""
    allowed_origins: Annotated[list[Url], Field(max_length=wishes.MOST_ORIGINS)] | None = None
    """The sites whose pages may show it in a frame, such as `https://www.example.org`."""
    language: Literal["en", "fr", "es", "de", "pt", "it", "ar"] | None = None
    """Of the page's own words; null: the reader's."""
    proof_of_work: bool | None = None
    """Whether a browser must compute for some seconds before it can be sent: against bots."""
    terms: bool | None = None
    """Whether your terms and conditions are shown, where there are any."""
    looks: LooksIn | None = None
    active: bool | None = None
    """An inactive form says that it is closed."""


class FormIn(FormPatch):
    """An opt-in form."""

    description: Line
    """For staff."""
    channel: Literal["sms", "whatsapp", "email"]
    confirmation_message: Words
    """What people agree to. Plain text; its lines are kept."""
    button_text: Annotated[str, StringConstraints(min_length=1, max_length=80, strip_whitespace=True)]


# --- as it is told -----------------------------------------------------------------------------


async def _names(conn: AsyncConnection, shown: Sequence[Shown]) -> dict[str, str]:
    return await preferences.names_of(conn, {box.id for one in shown for box in one.preferences})


def _box(box: Box, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "name": names.get(box.id, box.id),
        "text": box.text,
        "selected": box.selected,
        "required": box.required,
        "as": box.shown_as,
        "group": box.group,
        "active": not box.retired,
    }


def _content(shown: Shown, names: Mapping[str, str]) -> dict[str, Any]:
    plain = shown.model_dump(mode="json", exclude={"preferences", "groups", "show_terms"})
    return plain | {"terms": shown.show_terms, "preferences": [_box(box, names) for box in shown.preferences]}


def _told(call: Call, form: Form, names: Mapping[str, str]) -> dict[str, Any]:
    public_url = call.house.settings.server.public_url
    return {
        "id": form.id,
        "description": form.description,
        "active": form.active,
        "version": form.version,
        "url": embed.url_of(public_url, form.id),
        "snippet": embed.snippet(public_url, form.id, form.shown),
        "warnings": _warnings(call.request.app[DESK], form.shown),
        "created_at": form.created_at,
        "updated_at": form.updated_at,
        **_content(form.shown, names),
    }


def _warnings(desk: Desk, shown: Shown) -> list[str]:
    """What keeps it from doing what it says, and is not in the form itself."""
    carrier = desk.carrier(shown.channel, shown.connection)
    if carrier is None:
        what = "nobody can be asked to confirm" if shown.is_typed else "nobody can text"
        return [f"no connection for {shown.channel} is configured{_named(shown)}: {what}"]
    if shown.entry != "typed" and not texting.has_number(carrier.sender):
        return [f"the connection {carrier.connection} has no number that people could text to"]
    return []


def _named(shown: Shown) -> str:
    return f" by the name {shown.connection}" if shown.connection is not None else ""


# --- as it is wished ---------------------------------------------------------------------------

_NEVER_NULL = ("description", "channel", "confirmation_message", "button_text", "fields", "labels", "preferences",
               "tags", "existing", "allowed_origins", "proof_of_work", "terms", "looks", "active")  # fmt: skip
_NOT_SHOWN = {"description", "active"}


async def _wishes(conn: AsyncConnection, body: FormPatch) -> dict[str, Any]:
    """What the body wishes to be shown, by the names of Wished; raises Problem."""
    for name in _NEVER_NULL:
        if name in body.model_fields_set and getattr(body, name) is None:
            raise invalid(name, "cannot be null")
    given = {name: getattr(body, name) for name in body.model_fields_set - _NOT_SHOWN}
    if body.preferences is not None:
        given["preferences"] = await _asked(conn, body.preferences)
    if body.looks is not None:
        given["looks"] = Looks(**body.looks.model_dump())
    if "terms" in given:
        given["show_terms"] = given.pop("terms")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in given.items()}


async def _asked(conn: AsyncConnection, given: Sequence[PreferenceOnForm]) -> list[Asked]:
    known = await preferences.by_names(conn, {one.name for one in given})
    errors = [
        {"field": f"preferences.{place}.name", "message": f"there is no preference named {one.name!r}"}
        for place, one in enumerate(given)
        if one.name not in known
    ]
    if errors:
        raise invalid_fields(errors)
    return [
        Asked(id=known[one.name], selected=one.selected, required=one.required, shown_as=one.shown_as) for one in given
    ]


async def _settled(call: Call, conn: AsyncConnection, wished: Wished) -> Shown:
    """As the form can be; raises Problem or BadForm."""
    desk = call.request.app[DESK]
    if wished.connection is not None:
        adapter = call.house.adapters.get(wished.connection)
        if adapter is None or adapter.channel != wished.channel:
            fitting = [name for name, one in call.house.adapters.items() if one.channel == wished.channel]
            raise invalid(
                "connection",
                f"there is no such connection for {wished.channel}; known are {', '.join(fitting) or 'none'}",
            )
    carrier = desk.carrier(wished.channel, wished.connection)
    sender = carrier.sender if carrier is not None else None
    shown = wishes.settled(wished, has_number=texting.has_number(sender))
    if shown.entry != "typed":
        await _check_keyword(conn, shown, sender or "")
    return shown


async def _check_keyword(conn: AsyncConnection, shown: Shown, number: str) -> None:
    if shown.keyword is not None:
        try:
            check_keyword(shown.keyword)
        except ValueError as error:
            raise invalid("keyword", str(error)) from error
    if await texting.keyword_for(conn, shown.channel, number, shown.keyword) is None:
        what = "this word" if shown.keyword is not None else f"any word to {number}"
        raise invalid("keyword", f"no active rule opts in by {what}: make one at /v1/rules first")


# --- the operations ----------------------------------------------------------------------------


async def create(call: Call) -> web.Response:
    """Make an opt-in form: its page is there at once, and the snippet shows it on your own."""
    body = call.body(FormIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        shown = await _settled(call, conn, Wished(**await _wishes(conn, body)))
        form = await catalogue.create(
            conn, shown, description=body.description, active=body.active is not False, actor=call.actor, now=now
        )
        await audit.note(conn, call.actor, "form.created", form.id, {"description": form.description}, now=now)
        return Done(_told(call, form, await _names(conn, [form.shown])), 201)

    return await call.commit(work)


async def listed(call: Call) -> web.Response:
    """The forms."""
    call.query()
    after, limit = call.page()
    async with call.house.database.read() as conn:
        found = await catalogue.listed(conn, after=after, limit=limit)
        names = await _names(conn, [form.shown for form in found])
    return listing([_told(call, form, names) for form in found], [form.id for form in found], limit)


async def _require(conn: AsyncConnection, form_id: str, *, lock: bool = False) -> Form:
    found = await catalogue.find(conn, form_id, lock=lock)
    if found is None:
        raise not_found("form")
    return found


async def get(call: Call) -> web.Response:
    """Read a form."""
    async with call.house.database.read() as conn:
        form = await _require(conn, call.id)
        return answer(_told(call, form, await _names(conn, [form.shown])))


async def patch(call: Call) -> web.Response:
    """Change a form; what was shown until now stays in its versions."""
    body = call.body(FormPatch)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        before = await _require(conn, call.id, lock=True)
        given = await _wishes(conn, body)
        if given.get("channel", before.channel) != before.channel:
            raise invalid("channel", "a form's channel stays: make another form")
        if "entry" in given:
            given.setdefault("confirm", None)  # what is usual for the one is not for the other
        shown = await _settled(call, conn, Wished(**wishes.wished_by(before.shown) | given)) if given else before.shown
        form = await catalogue.change(
            conn, before, shown, description=body.description, active=body.active, actor=call.actor, now=now
        )
        if form != before:
            detail = {"fields": sorted(body.model_fields_set), "version": form.version}
            await audit.note(conn, call.actor, "form.changed", form.id, detail, now=now)
        return Done(_told(call, form, await _names(conn, [form.shown])))

    return await call.commit(work)


async def delete(call: Call) -> web.Response:
    """Delete a form that was never sent in; what one that was has shown is a proof, so set it inactive instead."""
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await _require(conn, call.id, lock=True)
        await catalogue.remove(conn, call.id)
        await audit.note(conn, call.actor, "form.deleted", call.id, {}, now=now)
        return Done(status=204)

    return await call.commit(work)


async def versions(call: Call) -> web.Response:
    """What a form has shown, the newest first: the proofs name its version."""
    call.query()
    before, limit = call.page()
    if (before is not None and not before.isascii()) or not (before or "0").isdigit():
        raise invalid("cursor", "use the `next` of an earlier answer as it is")
    async with call.house.database.read() as conn:
        await _require(conn, call.id)
        number = int(before) if before is not None else None
        found = await catalogue.versions(conn, call.id, before=number, limit=limit)
        names = await _names(conn, [one.shown for one in found])
    items = [
        {
            "version": one.version,
            "created_by": one.created_by,
            "created_at": one.created_at,
            **_content(one.shown, names),
        }
        for one in found
    ]
    return listing(items, [str(one.version) for one in found], limit)


async def preview(call: Call) -> web.Response:
    """The page of a form as it is now, as HTML; it cannot be sent: its button is off, and it may post nowhere."""
    async with call.house.database.read() as conn:
        return await optin.preview(conn, call.request, (await _require(conn, call.id)).shown)


async def preview_unsaved(call: Call) -> web.Response:
    """The page of a form that is not saved, as HTML; it cannot be sent, and nothing is kept."""
    body = call.body(FormIn)
    async with call.house.database.read() as conn:
        shown = await _settled(call, conn, Wished(**await _wishes(conn, body)))
        shown = catalogue.worded(shown, await catalogue.current_words(conn, [box.id for box in shown.preferences]))
        return await optin.preview(conn, call.request, shown)


_EXAMPLE = {
    "description": "Newsletter, at the foot of every page",
    "channel": "email",
    "headline": "Be the first to know",
    "confirmation_message": "Send me news and offers about once a month. I can stop them at any time.",
    "button_text": "Sign me up",
    "fields": ["first_name"],
    "preferences": [{"name": "Drama", "as": "box"}],
    "tags": ["website"],
    "allowed_origins": ["https://www.example.org"],
}

ROUTES: Sequence[Route] = (
    Route(
        "POST",
        "/v1/forms",
        create,
        "configure",
        FormIn,
        example=_EXAMPLE,
        answers={201: shapes.Form},
    ),
    Route("GET", "/v1/forms", listed, "configure", query=PAGE, answers={200: shapes.Forms}),
    Route(
        "POST",
        "/v1/forms/preview",
        preview_unsaved,
        "configure",
        FormIn,
        example=_EXAMPLE,
        answers={200: None},
        files=("text/html",),
    ),
    Route("GET", "/v1/forms/{id}", get, "configure", answers={200: shapes.Form}, problems=(404,)),
    Route(
        "PATCH",
        "/v1/forms/{id}",
        patch,
        "configure",
        FormPatch,
        example={"button_text": "Yes, please", "looks": {"accent": "#8a1c3b"}},
        answers={200: shapes.Form},
        problems=(404,),
    ),
    Route("DELETE", "/v1/forms/{id}", delete, "configure", answers={204: None}, problems=(404, 409)),
    Route(
        "GET",
        "/v1/forms/{id}/versions",
        versions,
        "configure",
        query=PAGE,
        answers={200: shapes.FormVersions},
        problems=(404,),
    ),
    Route(
        "GET",
        "/v1/forms/{id}/preview",
        preview,
        "configure",
        answers={200: None},
        files=("text/html",),
        problems=(404,),
    ),
)
