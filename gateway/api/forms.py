"""Opt-in forms over the API."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from forms import catalogue, embed, optin, texting, wishes
from forms.catalogue import Box, Form, Shown, Version
from forms.desk import DESK, Desk
from forms.wishes import Wished
from gateway import audit
from gateway.api import form_shapes as shapes
from gateway.api.answers import Done, answer, listing_in_parts
from gateway.api.base import PAGE, Call, Route
from gateway.api.form_wishes import FormIn, FormPatch, settled, wishes_of
from gateway.problems import invalid, not_found

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


def _version(one: Version, names: Mapping[str, str]) -> dict[str, Any]:
    told = {"version": one.version, "created_by": one.created_by, "created_at": one.created_at}
    return told | _content(one.shown, names)


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


# --- the operations ----------------------------------------------------------------------------


async def create(call: Call) -> web.Response:
    """Make an opt-in form: its page is there at once, and the snippet shows it on your own."""
    body = call.body(FormIn)
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await catalogue.hold_words(conn)
        shown = await settled(call, conn, Wished(**await wishes_of(conn, body)))
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

        async def read(behind: str | None, count: int) -> tuple[Sequence[Any], Sequence[str]]:
            found = await catalogue.listed(conn, after=behind, limit=count)
            names = await _names(conn, [form.shown for form in found])
            return [_told(call, form, names) for form in found], [form.id for form in found]

        return await listing_in_parts(read, after, limit)


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
        given = await wishes_of(conn, body)
        if given.get("channel", before.channel) != before.channel:
            raise invalid("channel", "a form's channel stays: make another form")
        if "entry" in given:
            given.setdefault("confirm", None)  # what is usual for the one is not for the other
        shown = await settled(call, conn, Wished(**wishes.wished_by(before.shown) | given)) if given else before.shown
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
    if before is not None and not re.fullmatch(r"[0-9]{1,9}", before):  # what a database takes for a version
        raise invalid("cursor", "use the `next` of an earlier answer as it is")
    async with call.house.database.read() as conn:
        await _require(conn, call.id)

        async def read(behind: str | None, count: int) -> tuple[Sequence[Any], Sequence[str]]:
            number = int(behind) if behind is not None else None
            found = await catalogue.versions(conn, call.id, before=number, limit=count)
            names = await _names(conn, [one.shown for one in found])
            return [_version(one, names) for one in found], [str(one.version) for one in found]

        return await listing_in_parts(read, before, limit)


async def preview(call: Call) -> web.Response:
    """The page of a form as it is now, as HTML; it cannot be sent: its button is off, and it may post nowhere."""
    async with call.house.database.read() as conn:
        return await optin.preview(conn, call.request, (await _require(conn, call.id)).shown)


async def preview_unsaved(call: Call) -> web.Response:
    """The page of a form that is not saved, as HTML; it cannot be sent, and nothing is kept."""
    body = call.body(FormIn)
    async with call.house.database.read() as conn:
        shown = await settled(call, conn, Wished(**await wishes_of(conn, body)))
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
