"""Settlement: what a provider's message list tells of attempts in doubt.

Found is proof, and is kept like a delivery report. Not found never is: lists lag behind. So it is asked again, with
growing pauses, for a day; then the delivery is `unknown` (outbox.endings.sweep).
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

import structlog
from sqlalchemy import and_, bindparam, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Adapter, Listed, Sought, Unanswered
from content.composition import on_channel
from outbox import reports
from outbox.endings import UNKNOWN_AFTER
from outbox.pairing import AFTER, BEFORE, Doubt, pair
from outbox.reports import Reported
from outbox.statuses import among
from profiles.links import holders
from store import crash, tasks
from store.engine import Database
from store.group import GroupCommit
from store.tables import addresses, attempts, broadcasts, deliveries

log = structlog.get_logger("outbox")

CONCURRENCY = 8  # questions under way per process; a provider counts them against what it lets us send
BATCH = 64
LEAST_PAUSE_SECONDS = 10.0  # longer than a question takes: no other replica asks meanwhile
_LONGEST_PAUSE_SECONDS = 3600.0
_FIRST_PAUSE_SECONDS = 5.0

_IN_DOUBT = attempts.c.state == literal_column("'in_doubt'")  # a literal: the index is partial


def pause_seconds(asked: int) -> float:
    """How long after the nth question the next one is put: 10, 20, 40 … seconds, at most an hour."""
    return float(min(_FIRST_PAUSE_SECONDS * 2.0 ** min(asked, 20), _LONGEST_PAUSE_SECONDS))


@dataclass(frozen=True, slots=True)
class Question:
    """Attempts in doubt to one address through one connection, asked about together."""

    connection: str
    address_id: str
    sought: Sought
    attempt_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Answered:
    question: Question
    listed: Sequence[Listed]


class Settlement(tasks.Woken):
    """Asks the providers that can tell. Several may run on one PostgreSQL."""

    name = "settlement"

    def __init__(self, database: Database, adapters: Mapping[str, Adapter], *, clock: Callable[[], datetime]) -> None:
        super().__init__()
        self._database = database
        self._adapters = adapters
        self._clock = clock
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._answers: GroupCommit[_Answered, int] = GroupCommit(database, self._write, most=BATCH)

    async def look(self) -> None:
        """Ask about everything that is due."""
        if settled := await self.run():
            log.info("attempts.settled", count=settled)

    async def run(self) -> int:
        """Ask about everything that is due; returns how many were settled."""
        settled = 0
        while not self._stopping and (questions := await self._due()):
            settled += await self._ask(questions)
        return settled

    async def _due(self) -> list[Question]:
        async with self._database.read() as conn:
            due = select(attempts.c.id).where(_IN_DOUBT, attempts.c.ask_at <= self._clock()).limit(1)
            if (await conn.execute(due)).first() is None:
                return []
        return await self._database.transact(lambda conn: take(conn, now=self._clock()))

    async def _ask(self, questions: Sequence[Question]) -> int:
        resting: dict[str, float] = {}  # connections that would not tell just now
        asked = [self._ask_one(question, resting) for question in questions]
        counts = await asyncio.gather(*asked, return_exceptions=True)
        for count in counts:
            if isinstance(count, BaseException):
                raise count
        return sum(count for count in counts if isinstance(count, int))

    async def _ask_one(self, question: Question, resting: dict[str, float]) -> int:
        async with self._slots:
            if self._stopping:
                return 0  # its next turn is set
            if question.connection in resting:
                await self._postpone(question, resting[question.connection])
                return 0
            adapter = self._adapters.get(question.connection)
            told = await adapter.look_up(question.sought) if adapter is not None else None
        crash.point("settlement.told")
        if isinstance(told, Unanswered):
            seconds = resting[question.connection] = max(told.retry_after_seconds or 0.0, LEAST_PAUSE_SECONDS)
            log.warning("settlement.unanswered", connection=question.connection, why=told.why)
            await self._postpone(question, seconds)
            return 0
        if told is None:
            await self._postpone(question, None)
            return 0
        return await self._answers.submit(_Answered(question, told)) if told else 0

    async def _postpone(self, question: Question, seconds: float | None) -> None:
        """Ask not before so long; None: never."""
        at = None if seconds is None else self._clock() + timedelta(seconds=seconds)
        postponed = update(attempts).where(attempts.c.id.in_(question.attempt_ids), _IN_DOUBT).values(ask_at=at)
        await self._database.transact(lambda conn: conn.execute(postponed))

    async def _write(self, conn: AsyncConnection, batch: Sequence[_Answered]) -> list[int]:
        return await settle(conn, [(one.question, one.listed) for one in batch], now=self._clock())


async def take(conn: AsyncConnection, *, now: datetime) -> list[Question]:
    """Questions that are due; their next turn is set in this transaction, so that nobody else asks meanwhile."""
    rows = (
        await conn.execute(
            select(
                attempts.c.id,
                attempts.c.asked,
                attempts.c.at,
                attempts.c.ended_at,
                attempts.c.address_id,
                attempts.c.channel,
                addresses.c.value,
                deliveries.c.connection,
            )
            .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
            .join(addresses, addresses.c.id == attempts.c.address_id)
            .where(_IN_DOUBT, attempts.c.ask_at <= now)
            .order_by(attempts.c.ask_at)
            .limit(BATCH)
            .with_for_update(of=attempts, skip_locked=True)
        )
    ).all()
    if rows:
        await conn.execute(
            update(attempts)
            .where(attempts.c.id == bindparam("attempt"))
            .values(asked=attempts.c.asked + 1, ask_at=bindparam("next")),
            [{"attempt": row.id, "next": _next(row, now)} for row in rows],
        )
    crash.point("settlement.taken")
    asked = sorted((row for row in rows if row.value is not None), key=_subject)
    return [_question(list(group)) for _, group in groupby(asked, key=_subject)]


def _next(row: Any, now: datetime) -> datetime | None:
    """When to ask again; after a day this was the last time."""
    if row.value is None or now - row.at >= UNKNOWN_AFTER:
        return None
    return now + timedelta(seconds=pause_seconds(row.asked + 1))


def _subject(row: Any) -> tuple[str, str]:
    return row.connection, row.address_id


def _question(rows: Sequence[Any]) -> Question:
    since = min(row.at for row in rows) - BEFORE
    until = max(row.ended_at or row.at for row in rows) + AFTER
    sought = Sought(rows[0].channel, rows[0].value, since, until)
    return Question(rows[0].connection, rows[0].address_id, sought, tuple(row.id for row in rows))


# --- what was told ----------------------------------------------------------------------------


async def settle(
    conn: AsyncConnection, answers: Sequence[tuple[Question, Sequence[Listed]]], *, now: datetime
) -> list[int]:
    """Keep what the lists prove, in the caller's transaction; returns for each answer how many attempts it settled."""
    rows = await _sent_to(conn, [question for question, _ in answers])
    counts: list[int] = []
    given: set[str] = set()
    soon: list[str] = []  # attempts that are asked about again as soon as that may be
    for question, listed in answers:
        there = rows[question.address_id]
        # What is being sent just now may be in the list already, and nobody knows yet which one it is.
        busy = any(row.state == "sending" for row in there)
        known = given | {row.provider_id for row in there if row.provider_id}
        doubts = [_doubt(r) for r in there if r.state == "in_doubt" and r.connection == question.connection]
        pairs = [] if busy else pair(doubts, listed, known)
        if busy:
            asked = set(question.attempt_ids)
            soon += [row.id for row in there if row.id in asked and now - row.at < UNKNOWN_AFTER]
        given |= {one.report.provider_id for _, one in pairs}
        await _keep(conn, pairs, now)
        counts.append(len(pairs))
    if soon:
        again = now + timedelta(seconds=LEAST_PAUSE_SECONDS)
        await conn.execute(update(attempts).where(attempts.c.id.in_(sorted(soon)), _IN_DOUBT).values(ask_at=again))
    crash.point("settlement.settled")
    return counts


async def _sent_to(conn: AsyncConnection, questions: Sequence[Question]) -> dict[str, list[Any]]:
    """Address → every attempt to it about that time, locked: none of them may be given the same message twice."""
    ids = {question.address_id for question in questions}
    own = [id_ for question in questions for id_ in question.attempt_ids]
    asked = select(attempts.c.profile_id).where(attempts.c.id.in_(own), attempts.c.profile_id.is_not(None))
    people = set((await conn.execute(asked)).scalars()).union(*(await holders(conn, ids)).values())
    since = min(question.sought.since for question in questions) - AFTER - UNKNOWN_AFTER
    rows = await conn.execute(
        select(attempts, deliveries.c.connection, deliveries.c.content, broadcasts.c.content.label("shared"))
        .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .outerjoin(broadcasts, broadcasts.c.id == deliveries.c.broadcast_id)
        .where(
            or_(
                deliveries.c.profile_id.in_(sorted(people)),
                and_(deliveries.c.profile_id.is_(None), attempts.c.id.in_(own)),  # to an address that was nobody's
            ),
            attempts.c.address_id.in_(sorted(ids)),
            attempts.c.at >= since,
            among(attempts.c.state, ["sending", "in_doubt", "accepted"]),
        )
        .order_by(attempts.c.id)
        .with_for_update(of=attempts)
    )
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.address_id].append(row)
    return found


def _doubt(row: Any) -> Doubt:
    content: Mapping[str, Any] = next((c for c in (row.sent, row.content, row.shared) if c is not None), {})
    part = on_channel(content, row.channel)
    return Doubt(
        attempt_id=row.id,
        tag=row.tag or row.id,
        delivery_id=row.delivery_id,
        connection=row.connection,
        at=row.at,
        ended_at=row.ended_at or row.at,
        body=part.get("body"),
    )


async def _keep(conn: AsyncConnection, pairs: Sequence[tuple[Doubt, Listed]], now: datetime) -> None:
    if not pairs:
        return
    await conn.execute(
        update(attempts)
        .where(attempts.c.id == bindparam("attempt"), _IN_DOUBT)
        .values(state="accepted", provider_id=bindparam("sid"), ask_at=None),
        [{"attempt": doubt.attempt_id, "sid": one.report.provider_id} for doubt, one in pairs],
    )
    crash.point("settlement.attempt")
    told = [Reported(replace(one.report, tag=doubt.tag), doubt.connection) for doubt, one in pairs]
    await reports.apply(conn, told, now=now)
