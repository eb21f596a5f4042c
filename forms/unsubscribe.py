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
from consent.holds import Suppressed
from consent.states import Subject, Wish
from forms import budgets, spending
from forms.desk import DESK, Desk, page, unknown_link, who_asks
from forms.posted import begin_of_body, fields_in
from outbox import heed, undo, word
from outbox.optout_links import OptOut
from outbox.word import Recorded, Said
from profiles import records
from store.ids import new_id
from store.locks import lock_names

_BODY_BYTES = 16_384  # a button or RFC 8058's one field
_MOST_FIELDS = 20
_OFFERED_FOR = timedelta(hours=1)
MOST_IN_AN_HOUR = 60  # times that one address's links are used; beyond that what stands is not said again
_AN_HOUR = timedelta(hours=1)

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
        await _stop(desk, found, who_asks(request, desk))
        return web.Response(text="Done\n")  # a mail program has asked: nobody reads it
    change_id, suppressed = await _pressed(desk, found, who_asks(request, desk), _field(body, "press"))
    return page(
        request,
        "unsubscribed.html",
        await _locale(desk, found),
        channel=found.channel,
        topic=await _text_of(desk, found.preference_id),
        offers={act: _signed(desk, act, change_id, found, suppressed) for act in get_args(Act)},
    )


async def _pressed(desk: Desk, found: OptOut, how: Mapping[str, Any], press: str) -> tuple[str, Suppressed | None]:
    """Opt out by the button; returns the change, and what it has done to the address itself.

    Pressed twice on one page it is one change: else the second, which turns nothing, were all that could be taken back.
    """
    shown = _read(desk, press, now=desk.clock())
    change_id = shown.change_id if shown is not None and (shown.act, shown.of) == ("press", found) else new_id("chg")

    async def work(conn: AsyncConnection) -> tuple[str, Recorded]:
        await lock_names(conn, [change_id])  # of two presses at once the second finds what the first has done
        standing = await word.standing(conn, change_id, address_id=found.address_id, channel=found.channel)
        if standing:
            return change_id, Recorded(standing)
        chosen = change_id if standing is None else new_id("chg")
        now = desk.clock()
        often = await _is_often(conn, found, now)
        said = Said(found.address_id, found.channel, "unsubscribe_link", how, change_id=chosen, is_often=often)
        return chosen, await word.record_one(conn, said, now=now)

    chosen, recorded = await desk.database.transact(work)
    await heed.settle(desk.database, recorded.closed)
    return chosen, recorded.suppressed


async def _stop(desk: Desk, found: OptOut, how: Mapping[str, Any]) -> None:
    """Opt out by one click; returns when nothing more begins to be sent."""

    async def work(conn: AsyncConnection) -> frozenset[str]:
        now = desk.clock()
        said = Said(found.address_id, found.channel, "one_click", how, is_often=await _is_often(conn, found, now))
        return await word.record(conn, [said], now=now)

    await heed.settle(desk.database, await desk.database.transact(work))


async def _is_often(conn: AsyncConnection, of: OptOut, now: datetime) -> bool:
    """Count a no to the address by its links; whether there were too many in a while."""
    name = f"unsubscribe:{of.address_id}"
    return not await budgets.spend(conn, name, most=MOST_IN_AN_HOUR, within=_AN_HOUR, now=now)


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

    async def work(conn: AsyncConnection) -> Recorded | None:
        if not await spending.spend(conn, f"{act} {offer.change_id}", until=now + 2 * _OFFERED_FOR):
            return None
        return await _carry_out(conn, offer, new_change, how, now)

    recorded = await desk.database.transact(work)
    if recorded is None:
        return page(request, "offer_over.html", locale, status=410)
    await heed.settle(desk.database, recorded.closed)
    undo_ = _signed(desk, "undo", new_change, offer.of, recorded.suppressed) if act == "everything" else None
    return page(request, _DONE[act], locale, channel=offer.of.channel, topic=topic, undo=undo_)


async def _carry_out(
    conn: AsyncConnection, offer: _Offer, change_id: str, how: Mapping[str, Any], now: datetime
) -> Recorded:
    address_id, channel, preference_id = offer.of
    if offer.act == "everything":
        often = await _is_often(conn, offer.of, now)
        said = Said(address_id, channel, "unsubscribe_link", how, change_id=change_id, everywhere=True, is_often=often)
        return await word.record_one(conn, said, now=now)
    instead = [Wish(Subject("preference", preference_id), "no")] if offer.act == "topic" and preference_id else []
    heeded = await undo.take_back(
        conn, offer.change_id, address_id=address_id, how=how, instead=instead, suppressed=offer.suppressed, now=now
    )
    return Recorded(heeded.closed)


# --- what is signed ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a page of ours offers; `press`: that its button was pressed once."""

    act: Act | Literal["press"]
    change_id: str
    of: OptOut
    suppressed: Suppressed | None = None  # what the change has done to the address itself


def _signed(
    desk: Desk, act: Act | Literal["press"], change_id: str, of: OptOut, suppressed: Suppressed | None = None
) -> str:
    until = int((desk.clock() + _OFFERED_FOR).timestamp())
    times = (suppressed.at, suppressed.before) if suppressed is not None else (None, None)
    done = [at.isoformat() if at is not None else None for at in times]
    return desk.signed.sign_list(["unsubscribe", act, change_id, until, *of, *done])


def _read(desk: Desk, token: str, *, now: datetime) -> _Offer | None:
    """What is offered; None for what we have not signed, and for what is over."""
    said = desk.signed.read_list(token)
    if said is None or said[0] != "unsubscribe":  # signed for something else
        return None
    _, act, change_id, until, *of, at, before = said
    if now > datetime.fromtimestamp(until, UTC):
        return None
    done = Suppressed(datetime.fromisoformat(at), before and datetime.fromisoformat(before)) if at else None
    return _Offer(act, change_id, OptOut(*of), done)


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
