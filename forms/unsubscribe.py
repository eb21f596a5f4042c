"""The unsubscribe link: GET asks, POST does (RFC 8058). No login, no cookie, nothing personal shown.

    GET|POST /unsubscribe/{token}    the button, and a mail program's one click
    POST     /unsubscribe/then       what the page offers once it is done: less of it, more of it, or to take it back

What it offers is signed, for this one act, for an hour and once: it stands on that page and nowhere else, so that
nobody can say yes with a link that came in a message.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, get_args
from urllib.parse import unquote_to_bytes

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from consent.states import Subject, Wish
from forms import spending
from forms.desk import DESK, Desk, page, unknown_link, who_asks
from forms.posted import begin_of_body, fields_in
from outbox import heed, undo, word
from outbox.optout_links import OptOut
from outbox.word import Said
from profiles import records
from store.ids import new_id
from store.locks import lock_names

_BODY_BYTES = 16_384  # a button or RFC 8058's one field
_MOST_FIELDS = 20
_OFFERED_FOR = timedelta(hours=1)

Act = Literal["topic", "everything", "undo"]
_DONE: Mapping[Act, str] = {
    "topic": "only_topic.html",
    "everything": "unsubscribed_everything.html",
    "undo": "undone.html",
}


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Desk when it starts."""
    app.router.add_post("/unsubscribe/then", then)
    app.router.add_get("/unsubscribe/{token}", ask)
    app.router.add_post("/unsubscribe/{token}", do)


# --- the link ----------------------------------------------------------------------------------


async def ask(request: web.Request) -> web.Response:
    """Ask. Mail scanners follow links, so a GET changes nothing."""
    desk = request.app[DESK]
    found = desk.optout_links.read(request.match_info["token"])
    if found is None:
        return unknown_link(request)
    press = _signed(desk, "press", new_id("chg"), found)
    return page(request, "unsubscribe.html", await _locale(desk, found), channel=found.channel, press=press)


async def do(request: web.Request) -> web.Response:
    """Opt out; the same answer however often, also when nobody is there any more."""
    desk = request.app[DESK]
    found = desk.optout_links.read(request.match_info["token"])
    if found is None:
        return unknown_link(request)
    # Whatever else is posted, and however it breaks off, does not matter: a POST is a no.
    body = await begin_of_body(request, _BODY_BYTES)
    if _is_one_click(body):
        await _stop(desk, Said(found.address_id, found.channel, "one_click", who_asks(request, desk)))
        return web.Response(text="Done\n")  # a mail program has asked: nobody reads it
    change_id, left_at = await _pressed(desk, found, who_asks(request, desk), _field(body, "press"))
    return page(
        request,
        "unsubscribed.html",
        await _locale(desk, found),
        channel=found.channel,
        topic=await _text_of(desk, found.preference_id),
        offers={act: _signed(desk, act, change_id, found, left_at) for act in get_args(Act)},
    )


async def _pressed(desk: Desk, found: OptOut, how: Mapping[str, Any], press: str) -> tuple[str, datetime | None]:
    """Opt out by the button; returns the change, and when it left a no on an address that nobody has.

    Pressed twice on one page it is one change: else the second, which turns nothing, were all that could be taken back.
    """
    shown = _read(desk, press, now=desk.clock())
    change_id = shown.change_id if shown is not None and (shown.act, shown.of) == ("press", found) else new_id("chg")

    async def work(conn: AsyncConnection) -> tuple[str, word.Recorded, datetime]:
        await lock_names(conn, [change_id])  # of two presses at once the second finds what the first has done
        now = desk.clock()
        standing = await word.standing(conn, change_id, address_id=found.address_id, channel=found.channel)
        if standing:
            return change_id, word.Recorded(standing), now
        chosen = change_id if standing is None else new_id("chg")
        said = Said(found.address_id, found.channel, "unsubscribe_link", how, change_id=chosen)
        return chosen, await word.record_whole(conn, [said], now=now), now

    chosen, recorded, at = await desk.database.transact(work)
    await heed.settle(desk.database, recorded.closed)
    return chosen, at if recorded.left else None


async def _stop(desk: Desk, said: Said) -> None:
    """Opt out; returns when nothing more begins to be sent."""

    async def work(conn: AsyncConnection) -> frozenset[str]:
        return await word.record(conn, [said], now=desk.clock())

    await heed.settle(desk.database, await desk.database.transact(work))


def _is_one_click(body: bytes) -> bool:
    """Whether a mail program posts for its user: one field, urlencoded or multipart (RFC 8058, 3.1 and 3.2)."""
    return any(b"List-Unsubscribe" in one and b"One-Click" in one for one in (body, unquote_to_bytes(body)))


def _field(body: bytes, name: str) -> str:
    """A field of an urlencoded body; empty where it is not there, or nothing can be read."""
    try:
        return fields_in(body.decode("ascii"), most=_MOST_FIELDS).one(name)
    except ValueError:
        return ""


# --- what the page offers then -----------------------------------------------------------------


async def then(request: web.Request) -> web.Response:
    """Only this topic, everything, or to take it back; once, and within the hour."""
    desk = request.app[DESK]
    now = desk.clock()
    token = _field(await begin_of_body(request, _BODY_BYTES), "act")
    offer = _read(desk, token, now=now)
    if offer is None or offer.act == "press":
        return page(request, "offer_over.html", status=410)
    how, act = who_asks(request, desk), offer.act
    locale, topic = await _locale(desk, offer.of), await _text_of(desk, offer.of.preference_id)
    new_change = new_id("chg")

    async def work(conn: AsyncConnection) -> frozenset[str] | None:
        if not await spending.spend(conn, f"{act} {offer.change_id}", until=now + 2 * _OFFERED_FOR):
            return None
        return await _carry_out(conn, offer, new_change, how, now)

    closed = await desk.database.transact(work)
    if closed is None:
        return page(request, "offer_over.html", locale, status=410)
    await heed.settle(desk.database, closed)
    undo_ = _signed(desk, "undo", new_change, offer.of) if act == "everything" else None
    return page(request, _DONE[act], locale, channel=offer.of.channel, topic=topic, undo=undo_)


async def _carry_out(
    conn: AsyncConnection, offer: _Offer, change_id: str, how: Mapping[str, Any], now: datetime
) -> frozenset[str]:
    """Returns the addresses that it closes."""
    address_id, channel, preference_id = offer.of
    if offer.act == "everything":
        said = Said(address_id, channel, "unsubscribe_link", how, change_id=change_id, everywhere=True)
        return await word.record(conn, [said], now=now)
    instead = [Wish(Subject("preference", preference_id), "no")] if offer.act == "topic" and preference_id else []
    heeded = await undo.take_back(
        conn, offer.change_id, address_id=address_id, how=how, instead=instead, left_at=offer.left_at, now=now
    )
    return heeded.closed


# --- what is signed ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a page of ours offers; `press`: that its button was pressed once."""

    act: Act | Literal["press"]
    change_id: str
    of: OptOut
    left_at: datetime | None = None  # as of _pressed


def _signed(
    desk: Desk, act: Act | Literal["press"], change_id: str, of: OptOut, left_at: datetime | None = None
) -> str:
    until = int((desk.clock() + _OFFERED_FOR).timestamp())
    left = [left_at.isoformat()] if left_at is not None else []
    return desk.signed.sign_list(["unsubscribe", act, change_id, until, *of, *left])


def _read(desk: Desk, token: str, *, now: datetime) -> _Offer | None:
    """What is offered; None for what we have not signed, and for what is over."""
    said = desk.signed.read_list(token)
    if said is None or said[0] != "unsubscribe":  # signed for something else
        return None
    _, act, change_id, until, address_id, channel, preference_id, *left = said
    left_at = datetime.fromisoformat(left[0]) if left else None
    offer = _Offer(act, change_id, OptOut(address_id, channel, preference_id), left_at)
    return offer if now <= datetime.fromtimestamp(until, UTC) else None


# --- whom the page speaks to -------------------------------------------------------------------


async def _locale(desk: Desk, found: OptOut) -> str | None:
    async with desk.database.read() as conn:
        return await records.locale_at(conn, found.address_id)


async def _text_of(desk: Desk, preference_id: str | None) -> str | None:
    """A preference as customers see it; None where there is none."""
    if preference_id is None:
        return None
    async with desk.database.read() as conn:
        return await preferences.text_of(conn, preference_id)
