"""What no rule has decided and reads like a no: held until somebody has decided, or a week is over.

While a review of an address is open, marketing to it is held (`under_review`), and what else comes from there and reads
like a no joins it: one to decide, due with its first message, however many write in somebody's name. The address row is
the lock: whoever opens, ends or decides reviews of an address holds it. A wrong opt-out costs a message and a lost one
breaks the law: so an opt-out decides all that is open of an address, and a dismissal only what somebody has read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

from sqlalchemy import ColumnElement, exists, func, insert, literal_column, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Inbound
from consent import holds, reading
from consent.states import Change, Event, Subject, Wish
from inbox.identity import Sender
from outbox import heed, word
from profiles.links import holders
from rules.mail import own_subject
from rules.phrases import reads_like_no
from rules.values import Rule
from store import bulk
from store.engine import Raced
from store.ids import new_id
from store.locks import Links, lock_people
from store.parts import among
from store.tables import messages, review_messages, reviews

LAPSES_AFTER = timedelta(days=7)  # an open one becomes an opt-out then
WEAK = "nothing proves that the mail is from its sender"
STATUSES = ("open", "opted_out", "dismissed")

Decision = Literal["opt_out", "dismiss"]

IS_OPEN = reviews.c.status == literal_column("'open'")  # a literal, so that SQLite sees that the partial index serves
# Made once for all: every STOP asks it.
_WAITING = select(reviews.c.address_id).distinct().where(among(reviews.c.address_id), IS_OPEN)


# Of what a review holds the first that is proved to be from its sender, else the first.
_BEST = (
    select(messages, review_messages.c.phrase)
    .join(review_messages, review_messages.c.message_id == messages.c.id)
    .order_by(messages.c.authentic.desc(), review_messages.c.came_at, messages.c.id)
    .limit(1)
)
_COUNT = select(func.count()).select_from(review_messages)


class Unknown(Exception):
    """There is no such review."""


class Decided(Exception):
    """It was decided before; the text says what came of it."""


class Unread(Exception):
    """It holds another number of messages than whoever dismisses it has read; the text says how many."""


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
    """Open a review of each address, or join the open one, but where everybody with the address has said no already;
    returns the addresses that are held.
    """
    at_no = await holds.at_no(conn, {str(one.sender.address_id) for one, _ in doubtful})
    of_address = await _open_of(conn, {str(one.sender.address_id) for one, _ in doubtful} - at_no)
    opened, joined = [], []
    for one, phrase in doubtful:
        address_id = str(one.sender.address_id)
        if address_id in at_no:
            continue
        if address_id not in of_address:
            of_address[address_id] = new_id("rev")
            opened.append(_row(of_address[address_id], one, phrase, now))
        came_at = one.message.received_at or now
        keys = {"message_id": one.message_id, "review_id": of_address[address_id]}
        joined.append(keys | {"phrase": phrase, "came_at": came_at})
    if joined:
        await conn.execute(insert(review_messages), joined)
    if opened:
        await conn.execute(insert(reviews), opened)
    for row in sorted(opened, key=lambda row: str(row["address_id"])):
        await holds.hold(conn, [row["address_id"]], message_id=row["message_id"], now=now)
    return set(of_address)


async def _open_of(conn: AsyncConnection, address_ids: Collection[str]) -> dict[str, str]:
    """Address → its open review, the oldest where there are several, as there were once."""
    rows = await conn.execute(
        select(reviews.c.address_id, func.min(reviews.c.id).label("oldest"))
        .where(reviews.c.address_id.in_(set(address_ids)), IS_OPEN)
        .group_by(reviews.c.address_id)
    )
    return {row.address_id: row.oldest for row in rows}


def _row(review_id: str, one: Taken, phrase: str, now: datetime) -> dict[str, Any]:
    came_at = one.message.received_at or now
    return {
        "id": review_id,
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
    later than all that they hold. What was written at the same time or after it stays open.
    """
    waiting = await _waiting(conn, clear.keys())
    for address_id in sorted(waiting):
        for event in clear[address_id]:
            is_no = event.to_state == "no"
            ended = {"status": "opted_out", "change_id": event.change_id} if is_no else {"status": "dismissed"}
            before = event.order_at if is_no else event.effective_at
            is_all_before = true() if is_no else ~_holds_since(before)
            await conn.execute(
                update(reviews)
                .where(reviews.c.address_id == address_id, IS_OPEN, reviews.c.created_at < before, is_all_before)
                .values(**ended, decided_at=now, decided_by="customer")
            )
    return await _set_free(conn, waiting)


def _holds_since(moment: datetime) -> ColumnElement[bool]:
    """Whether a review holds a message that came at this moment or after it."""
    return exists().where(review_messages.c.review_id == reviews.c.id, review_messages.c.came_at >= moment)


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
        select(review_messages.c.message_id, reviews.c.address_id)
        .join(reviews, reviews.c.id == review_messages.c.review_id)
        .where(review_messages.c.message_id.in_(set(message_ids)))
    )
    return [(row.message_id, row.address_id) for row in rows]


# --- decided ----------------------------------------------------------------------------------


async def decide(
    conn: AsyncConnection,
    review_id: str,
    decision: Decision,
    *,
    by: str,
    note: str | None = None,
    have_read: int | None = None,
    now: datetime,
) -> frozenset[str]:
    """Decide a review in the caller's transaction; returns the addresses that this closes, to be settled.

    An opt-out is the person's word and as old as their latest message: what they have said since stands, and what
    only a machine has said since does not. `have_read` is how many of its messages whoever dismisses it has read; one
    where they do not say. Raises Unknown, Decided, Unread, and store.engine.Raced when somebody was given the address
    before its row was locked.
    """
    review = await _hold(conn, review_id)
    if review.status != "open":
        raise Decided(review.status)
    if decision == "dismiss" and review.messages != (have_read or 1):
        raise Unread(str(review.messages))
    decided: dict[str, Any] = {"decided_at": now, "decided_by": by, "note": note}
    if decision == "dismiss":
        decided["status"] = "dismissed"
        await conn.execute(update(reviews).where(reviews.c.id == review_id).values(**decided))
        closed = frozenset[str]()
    else:
        decided |= {"status": "opted_out", "change_id": new_id("chg") if review.people else None}
        closed = await _opt_out(conn, review, decided, now)
        of_address = reviews.c.address_id == review.address_id
        await conn.execute(update(reviews).where(of_address, IS_OPEN).values(**decided))
    await _set_free(conn, [review.address_id])
    return closed


async def end_if_said(conn: AsyncConnection, review_id: str, *, now: datetime) -> bool:
    """End what is open of a review's address, where everybody who has it has said no by another way meanwhile: a link,
    a complaint, their provider. Returns whether that is so. Raises Unknown, Decided and store.engine.Raced as `decide`.
    """
    review = await _hold(conn, review_id)
    if review.status != "open":
        raise Decided(review.status)
    change_id = (await holds.said_no(conn, [review.address_id])).get(review.address_id)
    if change_id is None:
        return False
    ended = {"status": "opted_out", "change_id": change_id, "decided_at": now, "decided_by": "customer"}
    await conn.execute(update(reviews).where(reviews.c.address_id == review.address_id, IS_OPEN).values(**ended))
    await _set_free(conn, [review.address_id])
    return True


@dataclass(frozen=True, slots=True)
class _Held:
    """A review whose address, and everybody who has it, is locked."""

    id: str
    address_id: str
    channel: str
    phrase: str
    status: str
    messages: int
    message: Any  # that shows best that the person said it
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
    of_it = review_messages.c.review_id == review_id
    count = (await conn.execute(_COUNT.where(of_it))).scalar_one()
    message = (await conn.execute(_BEST.where(of_it))).one()
    return _Held(row.id, address_id, row.channel, message.phrase, row.status, count, message, people)


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
    await word.leave(conn, [review.address_id], now=now)
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
        select(review_messages.c.came_at, messages.c.provider_at)
        .join(reviews, reviews.c.id == review_messages.c.review_id)
        .join(messages, messages.c.id == review_messages.c.message_id)
        .where(reviews.c.address_id == address_id, IS_OPEN)
        .order_by(review_messages.c.came_at.desc())
        .limit(1)
    )
    [(came_at, said_at)] = rows
    latest: datetime = min(came_at, said_at or came_at)
    return latest
