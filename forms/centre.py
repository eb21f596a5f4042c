"""A person's own page: what they get, by which way, and what they said. Under a signed link, without a login.

A link is often handed on, so the page shows addresses masked and takes a no at once, however old the link is, but a
yes, and a correction, only by a fresh link; else it is asked for at the address. GET changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import history, holds, receipts, terms
from consent.history import Filter
from consent.states import CHANNELS, EVERYTHING, Subject, Wish
from content.languages import Language
from forms import centre_save, centre_state, link_requests
from forms.centre_save import Came, Saved
from forms.desk import DESK, Desk, come_again, page, unknown_link, who_asks
from forms.look import spoken, text_of
from forms.posted import Posted, posted
from outbox import heed
from outbox.manage_links import Opened
from profiles import merges
from profiles.masking import masked, masked_name
from profiles.records import Profile
from profiles.zones import zone
from store.engine import Raced
from store.locks import lock_profiles

MOST_DAYS = 365  # of a pause
_LINES = 20  # of the history, on a page
_MOST_CONTEXTS = 20

T = TypeVar("T")


def mount(app: web.Application) -> None:
    """Add the routes; the application is given its Desk when it starts."""
    app.router.add_get("/preferences/{token}", show)
    app.router.add_post("/preferences/{token}", take)
    app.router.add_get("/preferences/{token}/history", show_history)
    app.router.add_get("/preferences/{token}/nothing", ask_about_nothing)
    app.router.add_get("/preferences/{token}/receipts.json", receipt)


@dataclass(frozen=True, slots=True)
class Visit:
    """Somebody who holds a link."""

    request: web.Request
    desk: Desk
    opened: Opened
    profile: Profile
    speech: Language
    now: datetime

    @property
    def is_fresh(self) -> bool:
        return self.opened.is_fresh(self.now)

    @property
    def may_move(self) -> bool:
        """Whether a mailbox may be changed by the link, once it is fresh."""
        return Subject("channel", "email") not in centre_state.unproved_by(self.opened, self.profile)

    @property
    def framed_by(self) -> list[str]:
        return [self.opened.embed_origin] if self.opened.embed_origin is not None else []

    @property
    def contexts(self) -> list[str]:
        """What the page is about besides, as whoever leads here says."""
        return self.request.query.getall("context", [])[:_MOST_CONTEXTS]

    @property
    def own_address(self) -> tuple[str, str] | None:
        """(channel, masked) of the address that the link was sent to, where another can be sent there."""
        for one in self.profile.addresses:
            if one.address_id == self.opened.address_id and one.channel in self.desk.carriers:
                return one.channel, masked(one.channel, one.value)
        return None

    def page(self, name: str, *, status: int = 200, **values: Any) -> web.Response:
        root = f"/preferences/{self.request.match_info['token']}"
        query = f"?{self.request.query_string}" if self.request.query_string else ""
        return page(
            self.request,
            name,
            self.profile.locale,
            status=status,
            framed_by=self.framed_by,
            look=text_of("centre.css"),
            root=root,
            query=query,
            day=partial(_day, self.profile),
            minute=partial(_minute, self.profile),
            own_address=self.own_address,
            is_fresh=self.is_fresh,
            may_move=self.may_move,
            **values,
        )


async def visit(request: web.Request) -> Visit | web.Response:
    """Who comes; else what they are told: the same of a link that is none, and of one to somebody who is gone."""
    desk, now = request.app[DESK], request.app[DESK].clock()
    opened = desk.manage_links.read(request.match_info["token"])
    if opened is None or opened.form_id is not None:
        return unknown_link(request)
    async with desk.database.read() as conn:
        profile = await centre_state.whose(conn, opened)
    if profile is None:
        return unknown_link(request)
    came = Visit(request, desk, opened, profile, spoken(request, profile.locale), now)
    if not opened.is_open(now) and request.method != "POST":
        return _too_old(came)
    return came


def _too_old(came: Visit, told: Told | None = None) -> web.Response:
    """By a link that opens nothing any more: what has come of a no, which counts by it all the same."""
    is_done = told is not None and not told.wrong
    return came.page("centre_too_old.html", status=200 if is_done else 410, told=told or Told(), start={})


# --- shown ------------------------------------------------------------------------------------


async def show(request: web.Request) -> web.Response:
    came = await visit(request)
    return came if isinstance(came, web.Response) else await _shown(came)


@dataclass(frozen=True, slots=True)
class Told:
    """What the page says has come of what was done."""

    saved: Saved | None = None
    done: str = ""  # stopped | nothing | paused | resumed | address | sent
    wrong: str = ""  # until | address | fresh | changed
    shown: str = ""  # an address, masked
    typed: dict[str, str] = field(default_factory=dict)


async def _shown(came: Visit, told: Told | None = None, *, status: int = 200) -> web.Response:
    if not came.opened.is_open(came.now):
        return _too_old(came, told)
    async with came.desk.database.read() as conn:
        seen = await centre_state.read(conn, came.profile, came.speech, came.contexts, now=came.now)
        shown_terms = await terms.current(conn, came.speech.code)
    tomorrow = came.now.date() + timedelta(days=1)
    return came.page(
        "centre.html",
        status=status,
        seen=seen,
        terms=shown_terms,
        told=told or Told(),
        details=_details(came),
        tomorrow=tomorrow.isoformat(),
        farthest=(came.now.date() + timedelta(days=MOST_DAYS)).isoformat(),
        start=_numbers(came.desk),
        has_mail="email" in came.desk.carriers,
    )


def _numbers(desk: Desk) -> dict[str, str]:
    """To which number one texts START, by channel; none where only the provider knows it."""
    return {channel: one.sender for channel, one in desk.carriers.items() if one.sender is not None}


def _details(came: Visit) -> list[tuple[str, str, str]]:
    """(field, value, hint) of what may be corrected: the value by a fresh link alone."""
    found = []
    for name in came.desk.details:
        value = centre_save.detail_of(came.profile, name)
        if value is None:
            continue
        found.append((name, value if came.is_fresh else "", masked_name(value) if value else ""))
    return found


def _day(profile: Profile, at: datetime) -> date:
    return at.astimezone(zone(profile.timezone)).date()


def _minute(profile: Profile, at: datetime) -> str:
    return at.astimezone(zone(profile.timezone)).strftime("%H:%M")


async def show_history(request: web.Request) -> web.Response:
    """All that was said, the newest first, in plain words."""
    came = await visit(request)
    if isinstance(came, web.Response):
        return came
    asked = request.query.get("before", "")
    before = int(asked) if asked.isdecimal() and len(asked) <= 18 and asked.isascii() else None
    async with came.desk.database.read() as conn:
        family = await merges.family(conn, came.profile.id)
        lines = await history.read(conn, Filter(profile_ids=family), before=before, limit=_LINES + 1)
        texts = await receipts.texts_of(conn, [line.key for line in lines if line.kind == "preference"])
    shown, more = lines[:_LINES], len(lines) > _LINES
    return came.page(
        "centre_history.html", lines=shown, older=shown[-1].seq if more else None, texts=texts, masked=masked
    )


async def ask_about_nothing(request: web.Request) -> web.Response:
    """Ask once more; the button on this page does it."""
    came = await visit(request)
    return came if isinstance(came, web.Response) else came.page("centre_nothing.html")


async def receipt(request: web.Request) -> web.Response:
    """What was said, as a file for the person to keep; its addresses are masked, for a link is often handed on."""
    came = await visit(request)
    if isinstance(came, web.Response):
        return came
    async with came.desk.database.read() as conn:
        family = await merges.family(conn, came.profile.id)
        made = await receipts.for_person(
            conn,
            came.profile.id,
            family,
            came.desk.controller,
            show=masked,
            is_whole=False,
            now=came.now,
        )
    headers = {
        "Content-Disposition": 'attachment; filename="receipts.json"',
        "Referrer-Policy": "no-referrer",
        "X-Robots-Tag": "noindex",
    }
    return web.Response(body=receipts.encoded(made), content_type="application/json", headers=headers)


# --- done -------------------------------------------------------------------------------------


async def take(request: web.Request) -> web.Response:
    came = await visit(request)
    if isinstance(came, web.Response):
        return came
    given = await posted(request)
    if given.one("act") == "fresh":
        return await _send_fresh(came)
    try:
        return await _taken(came, given)
    except _Gone:
        return unknown_link(request)


async def _taken(came: Visit, given: Posted) -> web.Response:
    """Do what the person wants, and show what has become of it. Raises _Gone."""
    match given.one("act"):
        case "save":
            return await _save(came, given)
        case "stop":
            every = [Wish(Subject("channel", channel), "no") for channel in CHANNELS]
            return await _decline(came, every, "stopped")
        case "nothing":
            return await _decline(came, [Wish(EVERYTHING, "no")], "nothing")
        case "pause":
            return await _pause(came, given.one("until"))
        case "resume":
            return await _resume(came)
        case "address":
            return await _move(came, given.one("old"), given.one("new"))
    return await _shown(came, status=422)


def _came(came: Visit) -> Came:
    return Came(came.desk, came.opened, came.speech, who_asks(came.request, came.desk), came.now)


async def _told(came: Visit, told: Told) -> web.Response:
    """The page of what has become of the person."""
    after = await visit(came.request)
    return after if isinstance(after, web.Response) else await _shown(after, told)


class _Gone(Exception):
    """Nobody is there any more."""


async def _carried_out(came: Visit, work: Callable[[AsyncConnection, Profile], Awaitable[T]]) -> T:
    """Work on the person as they are, who stay so until the transaction ends. Raises _Gone."""

    async def held(conn: AsyncConnection) -> T:
        found = await centre_state.whose(conn, came.opened)  # not who it was when they came: they may be another by now
        if found is None:
            raise _Gone
        await lock_profiles(conn, [found.id])
        profile = await centre_state.whose(conn, came.opened)
        if profile is None:
            raise _Gone
        if profile.id != found.id:
            raise Raced("they became part of another before they were locked")
        return await work(conn, profile)

    return await came.desk.database.transact(held)


async def _save(came: Visit, given: Posted) -> web.Response:
    """Take all the boxes, and the details, as one change."""

    async def work(conn: AsyncConnection, profile: Profile) -> tuple[Saved, heed.Heeded]:
        return await centre_save.save(conn, _came(came), profile, given, came.contexts)

    saved, heeded = await _carried_out(came, work)
    await heeded.settled(came.desk.database)
    if saved.asked:
        came.desk.on_queued()
    return await _told(came, Told(saved=saved))


async def _decline(came: Visit, wishes: Sequence[Wish], done: str) -> web.Response:
    """A no to much at once; it counts whoever holds the link."""

    async def work(conn: AsyncConnection, profile: Profile) -> heed.Heeded:
        return await centre_save.decline(conn, _came(came), profile, wishes, {"button": done})

    heeded = await _carried_out(came, work)
    await heeded.settled(came.desk.database)
    return await _told(came, Told(done=done))


async def _pause(came: Visit, text: str) -> web.Response:
    """Nothing marketing until that day, in the person's own time; only a fresh link makes it shorter."""
    until = _until(came, text)
    if until is None:
        return await _shown(came, Told(wrong="until", typed={"until": text[:20]}), status=422)

    async def work(conn: AsyncConnection, profile: Profile) -> heed.Heeded:
        now = await holds.paused_until(conn, profile.id, now=came.now)
        end = until if now is None or came.is_fresh else max(now, until)
        await holds.pause(conn, profile.id, channel=None, until=end)
        ids = {one.address_id for one in profile.addresses}
        await heed.skip_queued(conn, ids, now=came.now)
        return heed.Heeded(closed=frozenset(ids))

    heeded = await _carried_out(came, work)
    await heeded.settled(came.desk.database)
    return await _told(came, Told(done="paused"))


def _until(came: Visit, text: str) -> datetime | None:
    """The beginning of the day; None where it is no day, not to come, or too far off."""
    try:
        day = date.fromisoformat(text)
        until = datetime(day.year, day.month, day.day, tzinfo=zone(came.profile.timezone)).astimezone(UTC)
    except (ValueError, OverflowError):  # no day, or the first that there is, east of Greenwich
        return None
    return until if came.now < until <= came.now + timedelta(days=MOST_DAYS + 1) else None


async def _resume(came: Visit) -> web.Response:
    """End the pause, which lets messages come: by a fresh link alone."""
    if not came.is_fresh:
        return await _shown(came, Told(wrong="fresh"))

    async def work(conn: AsyncConnection, profile: Profile) -> None:
        await holds.unpause(conn, profile.id, channel=None)

    await _carried_out(came, work)
    return await _told(came, Told(done="resumed"))


async def _move(came: Visit, old: str, new: str) -> web.Response:
    """Ask at a new mailbox whether it is to take the place of an old one, which is told."""
    if not came.is_fresh or not came.may_move:
        return await _shown(came, Told(wrong="fresh"))
    address = centre_save.mailbox(came.desk, new)
    if address is None or not any(one.address_id == old and one.channel == "email" for one in came.profile.addresses):
        return await _shown(came, Told(wrong="address", typed={"new": new[:320]}), status=422)

    async def work(conn: AsyncConnection, profile: Profile) -> None:
        await centre_save.ask_to_move(conn, _came(came), profile, old, address)

    await _carried_out(came, work)
    came.desk.on_queued()
    return await _told(came, Told(done="address", shown=masked("email", address.value)))


async def _send_fresh(came: Visit) -> web.Response:
    """Send a fresh link to the address that this one was sent to."""
    if came.own_address is not None:
        id_ = came.opened.address_id or ""
        over = await link_requests.request_for(came.desk, came.request, id_, came.speech)
        if over is not None:
            return come_again(came.page("trouble.html", status=429), over.wait_seconds)
    return came.page("centre_sent.html")
