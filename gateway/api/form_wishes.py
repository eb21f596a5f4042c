"""An opt-in form as it is wished over the API: its bodies, and what they come to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from forms import texting, wishes
from forms.catalogue import Looks, Shown
from forms.desk import DESK
from forms.wishes import Asked, Wished
from gateway.api.base import Call
from gateway.api.bodies import Body, not_null
from gateway.problems import invalid, invalid_fields
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
    own_html: bool | None = None
    """Whether pages of the `allowed_origins` may post it from HTML of their own, without a key. A program can say to
    be such a page, so any may then, as far as the budgets go; else it comes from the form's own page, or with a key."""
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


_NEVER_NULL = ("description", "channel", "confirmation_message", "button_text", "fields", "labels", "preferences",
               "tags", "existing", "allowed_origins", "proof_of_work", "own_html", "terms", "looks",
               "active")  # fmt: skip
_NOT_SHOWN = {"description", "active"}


async def wishes_of(conn: AsyncConnection, body: FormPatch) -> dict[str, Any]:
    """What the body wishes to be shown, by the names of Wished; raises Problem."""
    not_null(body, *_NEVER_NULL)
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


async def settled(call: Call, conn: AsyncConnection, wished: Wished) -> Shown:
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
