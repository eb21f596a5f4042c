"""What no rule has decided and reads like a no: held until somebody has decided, or a week is over.

While a review of an address is open, marketing to it is held (`under_review`). The address row is the lock: whoever
opens, ends or decides reviews of an address holds it. A wrong opt-out costs a message and a lost one breaks the law: so
an opt-out decides all that is open of an address, and a dismissal only the one message that somebody has read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from sqlalchemy import Select, func, insert, literal_column, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Inbound
from consent import holds, reading
from consent.states import Change, Event, Subject, Wish
from inbox.identity import Sender
from outbox import heed
from profiles.links import holders
from rules.mail import own_subject
from rules.phrases import reads_like_no
from rules.values import Rule
from store import bulk
from store.engine import Raced
from store.ids import new_id
from store.locks import Links, lock_people
from store.parts import among
from store.tables import addresses, messages, reviews

LAPSES_AFTER = timedelta(days=7)  # an open one becomes an opt-out then
LEGAL_DAYS = 10  # business days within which a revocation is honoured: 47 CFR 64.1200(a)(10)
WEAK = "nothing proves that the mail is from its sender"
STATUSES = ("open", "opted_out", "dismissed")

Decision = Literal["opt_out", "dismiss"]

_IS_OPEN = reviews.c.status == literal_column("'open'")  # a literal, so that SQLite sees that the partial index serves
# Made once for all: every STOP asks it.
_WAITING = select(reviews.c.address_id).distinct().where(among(reviews.c.address_id), _IS_OPEN)


class Unknown(Exception):
    """There is no such review."""


class Decided(Exception):
    """It was decided before; the text says what came of it."""


class Taken(Protocol):
    """A message on its way in, once its rule has been found and done."""

    message: Inbound
    sender: Sender
    message_id: str
    change_id: str | None
    rule: Rule | None


# --- as messages come in ----------------------------------------------------------------------


async def take_up(
    conn: AsyncConnection, taken: Sequence[Taken], events: Sequence[Event], *, now: datetime
) -> frozenset[str]:
    """Hold what reads like a no, and end what a clear word has settled since; returns the addresses that it holds.

    `events` are what these messages changed. The caller has locked their senders.
    """
    doubtful = [(one, phrase) for one in taken if (phrase := _phrase(one)) is not None]
    clear = _clear_words(events)
    held = await _open(conn, doubtful, now) if doubtful else set()
    ended = await _end(conn, clear, now) if clear else set()
    return frozenset(held - ended)


def _phrase(one: Taken) -> str | None:
    """What a message reads like, where nothing else has told what it means."""
    message = one.message
    told = has_decided(one.rule) or one.change_id is not None or message.verdict is not None
    if told or message.automatic is not None or one.sender.address_id is None:
        return None
    return like_no(message.text if message.typed is None else message.typed, message.subject)


def has_decided(rule: Rule | None) -> bool:
    """Whether a rule has told what the whole message means. One that only replies has read no more of it than its
    keyword: "Prices are too high, stop texting me" is no question for prices alone.
    """
    reads_beginning = rule is not None and (rule.match == "starts_with" or rule.channel == "email")
    return rule is not None and not (rule.action == "reply_only" and reads_beginning)


def like_no(text: str, subject: str | None = None) -> str | None:
    """The phrase that a message reads like a no by; of a mail the text is what was typed."""
    return reads_like_no(text) or reads_like_no(own_subject(subject))


async def _open(conn: AsyncConnection, doubtful: Sequence[tuple[Taken, str]], now: datetime) -> set[str]:
    """Open a review for each, but where everybody with the address has said no already; returns the addresses."""
    closed = await holds.at_no(conn, {str(one.sender.address_id) for one, _ in doubtful})
    rows = [_row(one, phrase, now) for one, phrase in doubtful if one.sender.address_id not in closed]
    if not rows:
        return set()
    await conn.execute(insert(reviews), rows)
    latest = {str(row["address_id"]): str(row["message_id"]) for row in rows}
    for address_id, message_id in sorted(latest.items()):
        await holds.hold(conn, [address_id], message_id=message_id, now=now)
    return set(latest)


def _row(one: Taken, phrase: str, now: datetime) -> dict[str, Any]:
    came_at = one.message.received_at or now
    return {
        "id": new_id("rev"),
        "message_id": one.message_id,
        "address_id": one.sender.address_id,
        "channel": one.message.channel,
        "phrase": phrase,
        "status": "open",
        "due_at": came_at + LAPSES_AFTER,
        "created_at": came_at,
    }


def _clear_words(events: Sequence[Event]) -> dict[str, list[Event]]:
    """By address: what was said from it about its whole channel or everything, and stands for all who have it."""
    overtaken = {event.change_id for event in events if event.superseded}
    found: defaultdict[str, dict[str, Event]] = defaultdict(dict)
    for event in events:
        is_whole = event.subject.kind in ("channel", "everything") and event.via is None
        if event.address_id is not None and is_whole and event.change_id not in overtaken:
            found[event.address_id][event.change_id] = event
    return {address_id: list(said.values()) for address_id, said in found.items()}


async def _end(conn: AsyncConnection, clear: Mapping[str, Sequence[Event]], now: datetime) -> set[str]:
    """End the reviews of what was written before a clear word of the same address; returns the addresses set free.

    A no decides them as opted out. So does a yes as dismissed: it is the person's own, from that very address, and
    later. What was written at the same time or after it stays open.
    """
    waiting = await _waiting(conn, clear.keys())
    for address_id in sorted(waiting):
        for event in clear[address_id]:
            is_no = event.to_state == "no"
            ended = {"status": "opted_out", "change_id": event.change_id} if is_no else {"status": "dismissed"}
            before = event.order_at if is_no else event.effective_at
            await conn.execute(
                update(reviews)
                .where(reviews.c.address_id == address_id, _IS_OPEN, reviews.c.created_at < before)
                .values(**ended, decided_at=now, decided_by="customer")
            )
    return await _set_free(conn, waiting)


async def _set_free(conn: AsyncConnection, address_ids: Collection[str]) -> set[str]:
    """End the hold on those of these addresses of which nothing is open any more; returns them."""
    free = set(address_ids) - await _waiting(conn, address_ids)
    if free:
        await holds.release(conn, free)
    return free


async def _waiting(conn: AsyncConnection, address_ids: Collection[str]) -> set[str]:
    """Those of the addresses of which a review is open."""
    if not address_ids:
        return set()
    return {row.address_id for row in await bulk.rows(conn, _WAITING, ids=sorted(address_ids))}


async def held_by(conn: AsyncConnection, message_ids: Collection[str]) -> list[tuple[str, str]]:
    """Message → the address that it holds, or held."""
    rows = await conn.execute(
        select(reviews.c.message_id, reviews.c.address_id).where(reviews.c.message_id.in_(set(message_ids)))
    )
    return [(row.message_id, row.address_id) for row in rows]


# --- decided ----------------------------------------------------------------------------------


async def decide(
    conn: AsyncConnection, review_id: str, decision: Decision, *, by: str, note: str | None = None, now: datetime
) -> frozenset[str]:
    """Decide a review in the caller's transaction; returns the addresses that this closes, to be settled.

    An opt-out is the person's word and as old as their latest message: what they have said since stands, and what
    only a machine has said since does not. Raises
    Unknown, Decided, and store.engine.Raced when somebody was given the address before its row was locked.
    """
    review = await _hold(conn, review_id)
    if review.status != "open":
        raise Decided(review.status)
    decided: dict[str, Any] = {"decided_at": now, "decided_by": by, "note": note}
    if decision == "dismiss":
        decided["status"] = "dismissed"
        await conn.execute(update(reviews).where(reviews.c.id == review_id).values(**decided))
        closed = frozenset[str]()
    else:
        decided |= {"status": "opted_out", "change_id": new_id("chg") if review.people else None}
        closed = await _opt_out(conn, review, decided, now)
        of_address = reviews.c.address_id == review.address_id
        await conn.execute(update(reviews).where(of_address, _IS_OPEN).values(**decided))
    await _set_free(conn, [review.address_id])
    return closed


@dataclass(frozen=True, slots=True)
class _Held:
    """A review whose address, and everybody who has it, is locked."""

    id: str
    address_id: str
    channel: str
    phrase: str
    status: str
    message: Any
    people: Links


async def _hold(conn: AsyncConnection, review_id: str) -> _Held:
    """Lock the people first, then their addresses, then read: whoever decided before us is seen."""
    address_id = (await conn.execute(select(reviews.c.address_id).where(reviews.c.id == review_id))).scalar()
    if address_id is None:
        raise Unknown(review_id)
    people = await lock_people(conn, (await holders(conn, [address_id])).get(address_id, ()), also=[address_id])
    if not set((await holders(conn, [address_id])).get(address_id, ())) <= people.keys():
        raise Raced("the address was given to somebody before it was locked")
    row = (await conn.execute(select(reviews).where(reviews.c.id == review_id))).one()
    message = (await conn.execute(select(messages).where(messages.c.id == row.message_id))).one()
    return _Held(row.id, address_id, row.channel, row.phrase, row.status, message, people)


async def _opt_out(conn: AsyncConnection, review: _Held, decided: Mapping[str, Any], now: datetime) -> frozenset[str]:
    """Record the no of everybody who has the address, or leave it on the address itself where nobody has."""
    said_at = await _latest(conn, review.address_id)
    overtaken = await reading.yes_without_word(
        conn, review.people, channel=review.channel, address_id=review.address_id, since=said_at
    )
    changes = [
        Change(
            profile_id=profile_id,
            change_id=decided["change_id"],
            wishes=(Wish(Subject("channel", review.channel), "no"),),
            source="keyword",
            actor=f"{decided['decided_by']} for customer",
            address_id=review.address_id,
            with_address=review.channel in ("sms", "whatsapp"),
            said_at=None if profile_id in overtaken else said_at,
            evidence=_evidence(review, decided),
        )
        for profile_id in sorted(review.people)
    ]
    heeded = await heed.record(conn, changes, now=now, held=review.people)
    await holds.suppress_unheld(conn, [review.address_id], now=now)
    return heeded.closed


def _evidence(review: _Held, decided: Mapping[str, Any]) -> dict[str, Any]:
    message = review.message
    evidence = {
        "message_id": message.id,
        "provider_id": message.provider_id,
        "connection": message.connection,
        "text": message.body if message.typed is None else message.typed,
        "email_subject": message.subject,
        "from": message.sender,
        "to": message.receiver,
        "phrase": review.phrase,
        "review": review.id,
        "decided_by": decided["decided_by"],
        "note": decided["note"],
        "weak": None if message.authentic else WEAK,
    }
    return {name: value for name, value in evidence.items() if value is not None}


async def _latest(conn: AsyncConnection, address_id: str) -> datetime:
    """When the latest message of this address that is open was written; never later than it came."""
    rows = await conn.execute(
        select(reviews.c.created_at, messages.c.provider_at)
        .join(messages, messages.c.id == reviews.c.message_id)
        .where(reviews.c.address_id == address_id, _IS_OPEN)
        .order_by(reviews.c.created_at.desc())
        .limit(1)
    )
    [(came_at, said_at)] = rows
    latest: datetime = min(came_at, said_at or came_at)
    return latest


# --- as they are read -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Review:
    """A message that somebody is to read, and what came of it."""

    id: str
    status: str
    channel: str
    phrase: str
    address: str | None  # None: forgotten since
    profile_id: str | None
    message_id: str
    connection: str
    sender: str
    receiver: str
    body: str
    subject: str | None
    typed: str | None
    due_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    note: str | None
    change_id: str | None
    created_at: datetime


def _reading() -> Select[Any]:
    r, m = reviews.c, messages.c
    return (
        select(
            r.id, r.status, r.channel, r.phrase, addresses.c.value.label("address"), m.profile_id, r.message_id,
            m.connection, m.sender, m.receiver, m.body, m.subject, m.typed, r.due_at, r.decided_at, r.decided_by,
            r.note, r.change_id, r.created_at,
        )
        .join(messages, m.id == r.message_id)
        .outerjoin(addresses, addresses.c.id == r.address_id)
    )  # fmt: skip


async def read(conn: AsyncConnection, review_id: str) -> Review | None:
    row = (await conn.execute(_reading().where(reviews.c.id == review_id))).mappings().one_or_none()
    return Review(**row) if row is not None else None


async def listed(
    conn: AsyncConnection, *, status: str | None, channel: str | None, after: str | None, limit: int
) -> list[Review]:
    """Reviews that match, the one that has waited longest first."""
    statement = _reading().order_by(reviews.c.id).limit(limit)
    for column, wanted in ((reviews.c.status, status), (reviews.c.channel, channel)):
        if wanted is not None:
            statement = statement.where(column == wanted)
    if after is not None:
        statement = statement.where(reviews.c.id > after)
    return [Review(**row) for row in (await conn.execute(statement)).mappings()]


def legal_deadline(came_at: datetime) -> datetime:
    """Until when a revocation that came then must be honoured: LEGAL_DAYS business days later, at the same time.

    Days are counted from Monday to Friday, in UTC; a holiday, which would lengthen it, is counted too.
    """
    day = came_at
    for _ in range(LEGAL_DAYS):
        day += timedelta(days=1)
        while day.weekday() > 4:
            day += timedelta(days=1)
    return day


async def due(
    conn: AsyncConnection, *, now: datetime, after: tuple[datetime, str] | None, limit: int
) -> list[tuple[datetime, str]]:
    """(due_at, id) of open reviews that are due, in this order, from behind `after`."""
    statement = (
        select(reviews.c.due_at, reviews.c.id)
        .where(_IS_OPEN, reviews.c.due_at <= now)
        .order_by(reviews.c.due_at, reviews.c.id)
        .limit(limit)
    )
    if after is not None:
        statement = statement.where(tuple_(reviews.c.due_at, reviews.c.id) > after)
    return [(row.due_at, row.id) for row in await conn.execute(statement)]


@dataclass(frozen=True, slots=True)
class Standing:
    """What is open on a channel."""

    count: int
    oldest_at: datetime  # when the message came


async def standing(conn: AsyncConnection) -> dict[str, Standing]:
    """By channel, where anything is open."""
    rows = await conn.execute(
        select(reviews.c.channel, func.count().label("open_"), func.min(reviews.c.created_at).label("oldest"))
        .where(_IS_OPEN)
        .group_by(reviews.c.channel)
    )
    return {row.channel: Standing(row.open_, row.oldest) for row in rows}
