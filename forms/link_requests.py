"""Asking for a link to one's own page: an address is typed, the answer is always the same, the link goes there.

The answer is one transaction of always the same statements, and comes at the same time after the question; who has the
address is looked up behind it. So neither words nor time tell who is known here. What is asked for and not sent yet is
not kept: whoever gets no link asks again.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any

import structlog
from aiohttp import web
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds, reading
from consent.states import EVERYTHING, Subject, state_of
from content import languages, own_page
from content.languages import Language
from forms import budgets
from forms.budgets import Budget, Over
from forms.desk import DESK, Desk, come_again, page
from forms.look import spoken
from forms.posted import posted
from forms.slots import slot_ends
from outbox import queue
from outbox.manage_links import OPENS, Opened
from outbox.queue import Notice
from profiles import links, records
from profiles.addresses import Address, BadAddress
from profiles.masking import masked_name
from store import tasks
from store.engine import is_away
from store.tables import addresses

log = structlog.get_logger("forms")

SLOT_SECONDS = 0.3  # an answer comes at the end of one: the first takes in nearly all
ONCE_IN, A_DAY = timedelta(minutes=10), timedelta(days=1)
MOST_A_DAY = 5  # links to one mailbox or number
MOST_OF_A_NETWORK = 60  # questions in an hour
MOST_AT_NO = 3  # links in _AT_NO_WITHIN to one who has said no to everything
_AT_NO_WITHIN = timedelta(days=30)
_AN_HOUR = timedelta(hours=1)
_MOST_WAITING = 1000
_MOST_PEOPLE = 5  # of one address that get a link each
_MOST_CHARS = 400


@dataclass(frozen=True, slots=True)
class Asked:
    """A link that somebody wants sent to an address."""

    addresses: tuple[Address, ...]  # a number stands on several channels; the first that can be written to gets it
    speech: Language


class Letters(tasks.Woken):
    """Sends the links that were asked for, one after the other."""

    name = "links"

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._waiting: deque[Asked] = deque(maxlen=_MOST_WAITING)

    def take(self, asked: Asked) -> None:
        self._waiting.append(asked)
        self.wake()

    async def look(self) -> None:
        while self._waiting:
            asked = self._waiting.popleft()
            try:
                await self._desk.database.transact(partial(_send, desk=self._desk, asked=asked))
            except Exception as error:
                if is_away(error):
                    raise
                log.exception("link.failed", error=type(error).__name__)
            self._desk.on_queued()


LETTERS: web.AppKey[Letters] = web.AppKey("letters", Letters)


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Desk and Letters when it starts."""
    app.router.add_get("/preferences", ask)
    app.router.add_post("/preferences", take)


async def ask(request: web.Request) -> web.Response:
    return page(request, "preferences_ask.html", wrong=None, typed="")


async def take(request: web.Request) -> web.Response:
    """Take the address; the answer tells nothing of it, but that it is none, or that nothing is sent to any like it."""
    began = monotonic()
    desk = request.app[DESK]
    text = (await posted(request)).one("address").strip()[:_MOST_CHARS]
    found = _read(desk, text)
    if not found:
        return page(request, "preferences_ask.html", status=422, wrong="address", typed=text)
    if not any(one.channel in desk.carriers for one in found):
        return page(request, "preferences_ask.html", status=422, wrong=found[0].channel, typed=text)
    over = await _request(request, desk, Asked(found, spoken(request)))
    await slot_ends(began, SLOT_SECONDS)
    if over is not None:
        shown = page(request, "preferences_ask.html", status=429, wrong="often", typed=text)
        return come_again(shown, over.wait_seconds)
    return page(request, "preferences_sent.html")


async def request_for(desk: Desk, request: web.Request, address_id: str, speech: Language) -> Over | None:
    """Ask for a link to an address that is known by its id, as from an older link; returns what is spent."""
    began = monotonic()
    async with desk.database.read() as conn:
        known = await links.by_ids(conn, [address_id])
    over = await _request(request, desk, Asked((known[address_id],), speech)) if address_id in known else None
    await slot_ends(began, SLOT_SECONDS)
    return over


def _read(desk: Desk, text: str) -> tuple[Address, ...]:
    """The address that was typed, on each channel that it may stand on; none for what is no address."""
    try:
        found = desk.book.parse("email" if "@" in text else "sms", text)
    except BadAddress:
        return ()
    return (found, *(one for one in desk.book.elsewhere(found) if one.channel == "whatsapp"))


async def _request(request: web.Request, desk: Desk, asked: Asked) -> Over | None:
    """Count it, and let it be sent where it is not too many: the same statements for whoever it is.

    Returns what is spent, where that may be told: not of an address, which anybody can type.
    """
    now = desk.clock()
    mailbox = desk.book.same_as(asked.addresses[0])
    network = budgets.network_of(desk.client(request), desk.book.key)
    counted = (
        *([Budget("links_per_network", network, MOST_OF_A_NETWORK, _AN_HOUR)] if network is not None else []),
        Budget("links_at_once", mailbox, 1, ONCE_IN, is_told=False),
        Budget("links_per_address", mailbox, MOST_A_DAY, A_DAY, is_told=False),
    )
    over = await desk.database.transact(lambda conn: budgets.spend_all(conn, counted, now=now))
    if over is None:
        request.app[LETTERS].take(asked)
        return None
    budgets.note(over)
    desk.on_refused(over.budget.what)
    return over if over.budget.is_told else None


# --- sent -------------------------------------------------------------------------------------


async def _send(conn: AsyncConnection, *, desk: Desk, asked: Asked) -> None:
    """Send the link to the first of the addresses that somebody has, and that may be written to."""
    same = {one.hash for one in (*asked.addresses, *desk.book.elsewhere(asked.addresses[0]))}
    known = await links.find_addresses(conn, same)
    if asked.addresses[0].channel != "email" and not await _may_be_texted(conn, known.values()):
        return
    for address in asked.addresses:
        address_id = known.get(address.hash)
        if address_id is None or address.channel not in desk.carriers:
            continue
        owners = (await links.holders(conn, [address_id])).get(address_id, [])
        if not owners or not await _arrives(conn, address_id):
            continue
        owners = await _not_bothered(conn, owners, address.channel, now=desk.clock())
        if not owners:
            continue
        await queue.add_notices(conn, [await _notice(conn, desk, asked, address, address_id, owners)], now=desk.clock())
        return


async def _may_be_texted(conn: AsyncConnection, address_ids: Collection[str]) -> bool:
    """Whether a number, as it stands on each channel, is one person's, who has said no on none of them.

    Of several nobody knows who reads a text, and there is room for the link of one: it would be another's page.
    """
    owners = {owner for having in (await links.holders(conn, address_ids)).values() for owner in having}
    return len(owners) <= 1 and not await holds.at_no(conn, address_ids, by="any")


async def _not_bothered(conn: AsyncConnection, owners: Sequence[str], channel: str, *, now: datetime) -> list[str]:
    """Those who may be sent a link: of who is at no to everything not all too often, for a stranger can ask for it."""
    flags = await reading.flags_of(conn, owners)
    found = []
    for owner in sorted(owners):  # in one order for whoever else counts them
        opened = flags[owner].get(Subject("channel", channel))
        is_closed = state_of(flags[owner], EVERYTHING) == "no" and not (opened is not None and opened.opens)
        if not is_closed or await budgets.spend(
            conn, f"links_at_no:{owner}", most=MOST_AT_NO, within=_AT_NO_WITHIN, now=now
        ):
            found.append(owner)
    return found


async def _arrives(conn: AsyncConnection, address_id: str) -> bool:
    status = await conn.execute(select(addresses.c.status).where(addresses.c.id == address_id))
    return bool(status.scalar_one() == "ok")


async def _notice(
    conn: AsyncConnection, desk: Desk, asked: Asked, address: Address, address_id: str, owners: list[str]
) -> Notice:
    """A link for each person who has the address."""
    now = desk.clock()
    people = await records.read(conn, owners[:_MOST_PEOPLE])
    own = [
        (masked_name(one.first_name or ""), desk.manage_links(Opened(one.id, address_id, "asked", now)))
        for one in people
    ]
    locale = next((one.locale for one in people if one.locale is not None), None)
    speech = languages.choose(locale) if locale is not None else asked.speech
    content: dict[str, Any]
    if address.channel == "email":
        content = own_page.fresh_link(speech, own, organisation=desk.organisation)
    else:
        content = own_page.fresh_link_by_text(speech, own[0][1], organisation=desk.organisation)
    carrier = desk.carriers[address.channel].connection
    return Notice(people[0].id, address_id, address.channel, carrier, content, not_after=now + OPENS["asked"])
