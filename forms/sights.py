"""A form as somebody has it before them: as it is now, or as the page showed it that is sent in.

What a page shows it tells by its nonce: whatever the form is by the time it is sent in, the proof is of that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.terms import Terms
from content.languages import Language, choose
from forms import catalogue, defence, texting
from forms.catalogue import Shown
from forms.defence import Seen
from forms.desk import DESK, Desk
from forms.look import spoken
from forms.owner import Owner, owner_of
from forms.posted import storable
from forms.texting import Texting


@dataclass(frozen=True, slots=True)
class Sight:
    """A form as somebody has it before them."""

    form_id: str
    version: int
    shown: Shown
    speech: Language
    is_open: bool = True
    terms: Terms | None = None
    texting: Texting | None = None
    owner: Owner | None = None  # who came by a link of their own, however old
    is_filled_in: bool = False  # with the owner's answers

    @property
    def framers(self) -> list[str]:
        more = self.owner.embed_origin if self.owner is not None else None
        return list(dict.fromkeys((*self.shown.allowed_origins, *([more] if more else ()))))

    @property
    def locale(self) -> str | None:
        return self.owner.locale if self.owner is not None and self.owner.is_fresh else None


async def look_at(request: web.Request, form_id: str) -> Sight | None:
    """The form as it is now; None where there is none."""
    desk = request.app[DESK]
    if form_id != storable(form_id):
        return None
    async with desk.database.read() as conn:
        form = await catalogue.find(conn, form_id)
        if form is None:
            return None
        owner = await owner_of(conn, desk, request.query.get("for", ""), form)
        locale = owner.locale if owner is not None else None
        speech = spoken(request, form.shown.language, locale)
        terms = await catalogue.terms_of(conn, form.shown, speech.code)
        texts = await texting_for(conn, desk, form.shown)
    # Where no number or no rule is left to text to, nothing can be done with a form that takes nothing else.
    is_open = form.active and (form.shown.is_typed or texts is not None)
    is_filled_in = owner is not None and owner.is_fresh
    return Sight(form.id, form.version, form.shown, speech, is_open, terms, texts, owner, is_filled_in)


async def as_shown(request: web.Request, sight: Sight, seen: Seen) -> Sight:
    """The form as the page showed it that was sent in: its version, its language, and with whose answers."""
    speech = choose(seen.language, sight.speech.code)
    sight = replace(sight, is_filled_in=seen.is_filled_in)
    if (seen.version, speech) == (sight.version, sight.speech):
        return sight
    async with request.app[DESK].database.read() as conn:
        shown = await catalogue.find_version(conn, sight.form_id, seen.version)
        if shown is None:
            return sight
        terms = await catalogue.terms_of(conn, shown, speech.code)
    return replace(sight, version=seen.version, shown=shown, speech=speech, terms=terms)


async def in_language(conn: AsyncConnection, sight: Sight, speech: Language) -> Sight:
    """As it was shown in another language, by whoever showed it."""
    return replace(sight, speech=speech, terms=await catalogue.terms_of(conn, sight.shown, speech.code))


async def texting_for(conn: AsyncConnection, desk: Desk, shown: Shown) -> Texting | None:
    """What people text and where to; None where the form does not offer it, or it cannot be."""
    carrier = desk.carrier(shown.channel, shown.connection)
    if shown.entry == "typed" or carrier is None or carrier.sender is None or not texting.has_number(carrier.sender):
        return None
    keyword = await texting.keyword_for(conn, shown.channel, carrier.sender, shown.keyword)
    return Texting(shown.channel, carrier.sender, keyword) if keyword is not None else None


# --- what its page tells of it -----------------------------------------------------------------


def nonce_for(desk: Desk, sight: Sight, page_url: str | None) -> str:
    return defence.hand_out(desk, seen_now(sight, page_url), at=desk.clock())


def nonce_again(desk: Desk, sight: Sight, token: str, *, page_url: str | None = None, is_spent: bool = False) -> str:
    """The nonce of a page that is shown again: the one that came, where it says what is shown now; else a new one.

    `page_url`: that it stands on, if no nonce says.
    """
    before = defence.seen_by(desk, token)
    if before is None or before.form_id != sight.form_id:
        return nonce_for(desk, sight, page_url)
    seen = replace(seen_now(sight, before.page_url), is_filled_in=before.is_filled_in)
    return token if seen == before and not is_spent else defence.hand_out(desk, seen, at=desk.clock())


def seen_now(sight: Sight, page_url: str | None) -> Seen:
    """What its page shows, as a nonce tells it."""
    return Seen(sight.form_id, sight.version, page_url, sight.speech.code, sight.is_filled_in)
