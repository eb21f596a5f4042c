"""The invariants, asked of the database itself: what `optgate verify` runs, also while the gateway is at work.

Each check says in plain words what it claims, and claims no more than it looks at. It sees one moment, reads in pages,
and writes nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Select, and_, case, exists, func, or_, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import proof
from consent.verdict import ALLOWED, REASONS
from gateway import verify_claims, verify_plans
from outbox.statuses import SKIP_REASONS, STATUSES, among
from store.engine import Database
from store.tables import (
    addresses,
    attempts,
    broadcasts,
    consent_events,
    consent_states,
    deliveries,
    messages,
    profile_addresses,
    profile_merges,
    receipts,
)

LINES = 20_000  # of the history that are sorted at once
MOST = 1000  # violations of one kind that are told; the next one only says that there are more

CHECKED = {
    "I1": "every marketing attempt that was not abandoned was allowed by what everybody at its address had said up to "
    "its consent_version (holds, pauses and suppressions leave no history and are not looked at)",
    "I3": "no broadcast has two live attempts (sending, accepted, in doubt) to one address",
    "I4": "every delivery is in one known status, and has a reason of the closed list where it is skipped and only "
    "there; a plan has one row per person and leaves nobody out, and is done only with nothing queued or sending; a "
    "delivery that is sending, in doubt or accepted has an attempt that is",
    "I6": "every message has its receipt, and every receipt its message and its answer; no event was kept twice, and "
    "no change moved one subject of a person twice",
    "I10": "an address that said no and left its person is suppressed, unless a later yes came from it",
    "I11": "the history verifies, the flags are its fold, and the database refuses to change it",
}


@dataclass(frozen=True, slots=True)
class Violation:
    """Something an invariant forbids, in a sentence."""

    invariant: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"


async def verify(database: Database) -> list[Violation]:
    """Every violation of what CHECKED claims, by invariant."""
    found: list[Violation] = []
    async with database.read() as conn:
        await proof.see_one_moment(conn)
        for invariant, check in _CHECKS:
            count = 0
            async for sentence in check(conn):
                count += 1
                if count > MOST:
                    found.append(Violation(invariant, "and more of the kind"))
                    break
                found.append(Violation(invariant, sentence))
    return found


# --- I11 and what is no single statement -------------------------------------------------------


async def _history(conn: AsyncConnection) -> AsyncIterator[str]:
    async for finding in proof.verify(conn):
        yield str(finding)


async def _flags(conn: AsyncConnection) -> AsyncIterator[str]:
    async for finding in proof.rebuild_check(conn):
        yield str(finding)


async def _triggers(conn: AsyncConnection) -> AsyncIterator[str]:
    """What is missing of the triggers that keep the history append-only."""
    if conn.dialect.name == "postgresql":
        wanted = {"consent_events_no_change": "UPDATE and DELETE", "consent_events_no_truncate": "TRUNCATE"}
        there = "SELECT tgname FROM pg_trigger WHERE tgrelid = 'consent_events'::regclass AND tgenabled IN ('O', 'A')"
    else:
        wanted = {"consent_events_no_update": "UPDATE", "consent_events_no_delete": "DELETE"}
        there = """SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'consent_events'
                   AND sql LIKE '%RAISE(ABORT%'"""
    found = set((await conn.execute(text(there))).scalars())
    for name, what in wanted.items():
        if name not in found:
            yield f"nothing refuses {what} of the history: the trigger {name} is missing or switched off"


# --- what is one statement ---------------------------------------------------------------------

Check = Callable[[AsyncConnection], AsyncIterator[str]]


def _rows(statement: Select[Any], sentence: str) -> Check:
    """Each row that the statement finds is a violation."""

    async def check(conn: AsyncConnection) -> AsyncIterator[str]:
        for row in (await conn.execute(statement.limit(MOST + 1))).mappings():
            yield sentence.format(**row)

    return check


def _attempts_twice() -> Select[Any]:
    once = attempts.c.broadcast_id, attempts.c.channel, attempts.c.address_id
    live = and_(attempts.c.broadcast_id.is_not(None), among(attempts.c.state, ["sending", "accepted", "in_doubt"]))
    return select(*once, func.count().label("n")).where(live).group_by(*once).having(func.count() > 1)


def _unreasoned() -> Select[Any]:
    """Skipped without a reason of the closed list, or with a reason and not skipped."""
    closed = [reason for reason in REASONS if reason not in ALLOWED] + list(SKIP_REASONS)
    wrong = case(
        (deliveries.c.status == "skipped", or_(deliveries.c.reason.is_(None), ~among(deliveries.c.reason, closed))),
        else_=deliveries.c.reason.is_not(None),
    )
    return select(deliveries.c.id, deliveries.c.status, deliveries.c.reason).where(wrong)


def _unmatched() -> Select[Any]:
    """Deliveries under way without an attempt in the same state; a reply may have gone with the answer, without one."""
    under_way = among(deliveries.c.status, ["sending", "in_doubt", "accepted"])
    matching = exists(
        select(1).where(attempts.c.delivery_id == deliveries.c.id, attempts.c.state == deliveries.c.status)
    )
    answered = and_(deliveries.c.in_reply_to.is_not(None), deliveries.c.status == "accepted")
    return select(deliveries.c.id, deliveries.c.status).where(under_way, ~answered, ~matching)


def _ended_too_soon() -> Select[Any]:
    return (
        select(broadcasts.c.id, func.count().label("n"))
        .join(deliveries, deliveries.c.broadcast_id == broadcasts.c.id)
        .where(broadcasts.c.status == "done", among(deliveries.c.status, ["queued", "sending"]))
        .group_by(broadcasts.c.id)
    )


def _messages_without_receipt() -> Select[Any]:
    """Also the second message of one event: the receipt is of the first."""
    event = and_(receipts.c.account == messages.c.account, receipts.c.provider_id == messages.c.provider_id)
    return (
        select(messages.c.id)
        .outerjoin(receipts, event)
        .where(or_(receipts.c.message_id.is_(None), receipts.c.message_id != messages.c.id))
    )


def _receipts_without_message() -> Select[Any]:
    there = and_(
        messages.c.id == receipts.c.message_id,
        messages.c.account == receipts.c.account,
        messages.c.provider_id == receipts.c.provider_id,
    )
    return select(receipts.c.account, receipts.c.provider_id).outerjoin(messages, there).where(messages.c.id.is_(None))


def _receipts_without_answer() -> Select[Any]:
    """A receipt is claimed before it is answered, in one transaction."""
    unanswered = or_(receipts.c.answer.is_(None), receipts.c.content_type.is_(None))
    return select(receipts.c.account, receipts.c.provider_id).where(unanswered)


async def _changes_twice(conn: AsyncConnection) -> AsyncIterator[str]:
    """What moved one subject of a person twice; some people at a time, so that no sort outgrows the memory."""
    of = consent_events.c
    once = of.change_id, of.profile_id, of.subject_kind, of.subject_key
    in_order = select(of.profile_id).order_by(of.profile_id, of.position).offset(LINES).limit(1)
    twice = select(*once, func.count().label("n")).group_by(*once).having(func.count() > 1)
    last: str | None = ""
    while last is not None:
        behind = of.profile_id > last
        last = (await conn.execute(in_order.where(behind))).scalar_one_or_none()
        some = behind if last is None else and_(behind, of.profile_id <= last)
        for row in await conn.execute(twice.where(some).limit(MOST + 1)):
            subject = f"{row.subject_kind} {row.subject_key}"
            yield f"change {row.change_id} moved {subject} of {row.profile_id} {row.n} times"


def _noes_left_behind(*, about_it: bool) -> Select[Any]:
    """A no about an address, or about its channel and from it, whose person has it no more and that nothing keeps."""
    state, own, later, link = (
        consent_states,
        consent_events.alias("own"),
        consent_events.alias("later"),
        profile_addresses,
    )
    yes = consent_states.alias("yes")
    if about_it:
        left = and_(state.c.kind == "address", addresses.c.id == state.c.key)
    else:
        opened = and_(yes.c.profile_id == state.c.profile_id, yes.c.kind == "address", yes.c.key == addresses.c.id)
        left = and_(
            state.c.kind == "channel",
            addresses.c.id == own.c.address_id,
            # Not by the index over subjects, which would read a whole channel for every line: by the line's own id.
            func.coalesce(state.c.key, "") == addresses.c.channel,
            ~exists(select(1).where(opened, yes.c.opens)),
        )
    held = and_(link.c.profile_id == state.c.profile_id, link.c.address_id == addresses.c.id)
    lifted = and_(later.c.address_id == addresses.c.id, later.c.to_state == "yes", later.c.seq > own.c.seq)
    return (
        select(state.c.profile_id, addresses.c.id)
        .join(own, own.c.id == state.c.event_id)
        .join(addresses, left)
        .where(state.c.state == "no", addresses.c.suppressed_at.is_(None))
        .where(~exists(select(1).where(held)), ~exists(select(1).where(lifted)))
        # Who was merged left nothing: the survivor has the addresses, and every no.
        .where(~exists(select(1).where(profile_merges.c.profile_id == state.c.profile_id)))
    )


_CHECKS: list[tuple[str, Check]] = [
    ("I1", verify_claims.without_consent),
    ("I3", _rows(_attempts_twice(), "broadcast {broadcast_id} has {n} live attempts to address {address_id}")),
    (
        "I4",
        _rows(
            select(deliveries.c.id, deliveries.c.status).where(~among(deliveries.c.status, STATUSES)),
            "delivery {id} is in no known status: {status}",
        ),
    ),
    ("I4", _rows(_unreasoned(), "delivery {id} is {status} with the reason {reason}")),
    ("I4", _rows(_unmatched(), "delivery {id} is {status}, but no attempt of it is")),
    ("I4", _rows(_ended_too_soon(), "broadcast {id} is done with {n} deliveries queued or sending")),
    ("I4", verify_plans.twice),
    ("I4", verify_plans.left_out),
    (
        "I6",
        _rows(_messages_without_receipt(), "message {id} has no receipt of its own: its event was kept twice, or not"),
    ),
    ("I6", _rows(_receipts_without_message(), "the event {provider_id} of {account} has a receipt, but no message")),
    ("I6", _rows(_receipts_without_answer(), "the event {provider_id} of {account} has a receipt, but no answer")),
    ("I6", _changes_twice),
    ("I10", _rows(_noes_left_behind(about_it=True), "address {id} was no, left {profile_id}, and is not suppressed")),
    ("I10", _rows(_noes_left_behind(about_it=False), "address {id} said no, left {profile_id}, and is not suppressed")),
    ("I11", _history),
    ("I11", _flags),
    ("I11", _triggers),
]
