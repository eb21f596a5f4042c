"""How attempts ended, written down: in groups, and never backwards."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from sqlalchemy import Update, bindparam, exists, literal_column, select, true, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import NotSent, Outcome
from outbox import heed, pace, word
from outbox.claims import Claim
from outbox.outcomes import MOST_REPEATS, Abandoned, Ruling, rule
from outbox.protocol import ABANDONED_AFTER_SECONDS
from outbox.statuses import among, below, failed
from profiles.links import mark_undeliverable
from store import crash
from store.bulk import run as run_for_each
from store.locks import lock_addresses, lock_deliveries
from store.tables import attempts, broadcasts, deliveries

UNKNOWN_AFTER = timedelta(hours=24)
FIRST_QUESTION = timedelta(seconds=5)  # after which a provider is asked what became of an attempt in doubt

_ATTEMPT = (
    update(attempts)
    .where(attempts.c.id == bindparam("attempt"), among(attempts.c.state, ["sending", "in_doubt"]))
    .values(
        state=bindparam("to"),
        provider_id=bindparam("provider"),
        error=bindparam("why"),
        ended_at=bindparam("moment"),
        ask_at=bindparam("ask"),
    )
    .inline()
)


@dataclass(frozen=True, slots=True)
class Ending:
    """An attempt and how it ended."""

    claim: Claim
    outcome: Outcome | Abandoned
    connection: str


async def record(conn: AsyncConnection, endings: Sequence[Ending], *, now: datetime) -> None:
    """Write the rulings; a provider's "this person opted out" goes through the one door, in the same transaction."""
    await _slow_down(conn, endings, now)  # first: whoever claims holds the pace before anything else
    rulings = [
        (ending, rule(ending.outcome, tries=ending.claim.tries, class_=ending.claim.class_))
        for ending in sorted(endings, key=lambda ending: ending.claim.attempt_id)
    ]
    await word.record(
        conn,
        [
            word.by_provider(
                e.claim.address_id,
                e.claim.channel,
                connection=e.connection,
                attempt_id=e.claim.attempt_id,
                error=r.error,
                marketing_only=r.marketing_only,
            )
            for e, r in rulings
            if r.opted_out
        ],
        now=now,
    )
    unreachable = {e.claim.address_id for e, r in rulings if r.undeliverable}
    # What goes back to the queue is seen by an opt-out that comes meanwhile, or sees it.
    queued = {e.claim.address_id for e, r in rulings if r.delivery == "queued"}
    await lock_addresses(conn, queued | unreachable, share=not unreachable)
    await mark_undeliverable(conn, unreachable)
    await run_for_each(
        conn,
        _ATTEMPT,
        [
            {
                "attempt": e.claim.attempt_id,
                "to": r.attempt,
                "provider": r.provider_id,
                "why": r.error,
                "moment": now,
                "ask": now + FIRST_QUESTION if r.attempt == "in_doubt" else None,
            }
            for e, r in rulings
        ],
    )
    crash.point("ending.attempt")
    await lock_deliveries(conn, {e.claim.delivery_id for e, _ in rulings})
    for status in sorted({ruling.delivery for _, ruling in rulings}):
        await _move(conn, status, [(e, r) for e, r in rulings if r.delivery == status], now)
    crash.point("ending.written")


async def _slow_down(conn: AsyncConnection, endings: Sequence[Ending], now: datetime) -> None:
    """Let a connection rest that its provider asked to."""
    rests: dict[str, float] = {}
    for ending in endings:
        if isinstance(ending.outcome, NotSent) and ending.outcome.slow_down:
            wish = ending.outcome.retry_after_seconds or 1.0
            rests[ending.connection] = max(wish, rests.get(ending.connection, 0.0))
    for connection, seconds in sorted(rests.items()):
        await pace.rest(conn, connection, seconds, now=now)


async def _move(conn: AsyncConnection, status: str, rulings: Sequence[tuple[Ending, Ruling]], now: datetime) -> None:
    """Move deliveries up to `status`; back to `queued` only when its own attempt proves that nothing was sent.

    That may come late: from a process that was frozen, of an attempt that the sweep has called in doubt meanwhile.
    Of a transactional message another attempt may be under way then, or accepted: this one's end is not the last word.
    Nor has it failed while an attempt before is in doubt: the person may have got it then.
    """
    rows: list[dict[str, Any]] = [
        {
            "delivery": e.claim.delivery_id,
            "why": r.error,
            "provider": r.provider_id,
            "due": now + timedelta(seconds=r.again_in_seconds) if r.again_in_seconds else now,
            "uncounted": int(r.attempt == "abandoned"),
            "moment": now,
        }
        for e, r in rulings
    ]
    await run_for_each(conn, _moving(status), rows)
    if status == "queued":
        # What was claimed when its person opted out was passed over by that opt-out: it is decided now.
        await heed.skip_queued(conn, {e.claim.address_id for e, _ in rulings}, now=now)
        await _reopen(conn, {e.claim.broadcast_id for e, _ in rulings if e.claim.broadcast_id}, now)


@cache
def _moving(status: str) -> Update:
    allowed = ["sending", "in_doubt"] if status == "queued" else below("accepted" if status == "failed" else status)
    others = exists().where(attempts.c.delivery_id == deliveries.c.id, attempts.c.state == literal_column("'sending'"))
    return (
        update(deliveries)
        .where(deliveries.c.id == bindparam("delivery"), among(deliveries.c.status, allowed))
        .where(~others if status in ("queued", "failed", "in_doubt") else true())
        .values(
            status=failed() if status == "failed" else literal_column(f"'{status}'"),
            error=bindparam("why"),
            provider_id=bindparam("provider"),
            due_at=bindparam("due"),
            tries=deliveries.c.tries - bindparam("uncounted"),
            updated_at=bindparam("moment"),
        )
        .inline()
    )


async def _reopen(conn: AsyncConnection, broadcast_ids: Collection[str], now: datetime) -> None:
    """A broadcast that was taken for ended while the last of it was in doubt goes on, or has more to cancel."""
    if not broadcast_ids:
        return
    queued = exists().where(
        deliveries.c.broadcast_id == broadcasts.c.id, deliveries.c.status == literal_column("'queued'")
    )
    ended = (broadcasts.c.id.in_(sorted(broadcast_ids)), broadcasts.c.done_at.is_not(None), queued)
    await conn.execute(
        update(broadcasts)
        .where(*ended, broadcasts.c.status == literal_column("'done'"))
        .values(status="sending", done_at=None, updated_at=now)
    )
    await conn.execute(
        update(broadcasts).where(*ended, broadcasts.c.status == literal_column("'cancelled'")).values(done_at=None)
    )


_LOST = "the process ended before the provider's answer was kept"


async def sweep(conn: AsyncConnection, *, now: datetime, not_owned_by: Sequence[str] | None = None) -> int:
    """Put attempts in doubt whose process never told how they ended; returns how many.

    That is every attempt older than ABANDONED_AFTER_SECONDS; where `not_owned_by` names the only dispatchers alive,
    every attempt of another one. What has been in doubt for a day becomes `unknown`: shown, never sent again.
    """
    lost = attempts.c.state == literal_column("'sending'")
    if not_owned_by is None:
        lost &= attempts.c.at < now - timedelta(seconds=ABANDONED_AFTER_SECONDS)
    else:
        lost &= attempts.c.owner.not_in(list(not_owned_by))
    rows = (
        await conn.execute(
            update(attempts)
            .where(lost)
            .values(state="in_doubt", error=_LOST, ended_at=now, ask_at=now)
            .returning(attempts.c.delivery_id)
        )
    ).scalars()
    ids = list(rows)
    crash.point("sweep.attempts")
    if ids:
        doubtful = (deliveries.c.id.in_(ids), among(deliveries.c.status, below("in_doubt")))
        repeatable = (deliveries.c["class"] == "transactional") & (deliveries.c.tries < MOST_REPEATS)
        await conn.execute(
            update(deliveries).where(*doubtful, repeatable).values(status="queued", due_at=now, updated_at=now)
        )
        await conn.execute(update(deliveries).where(*doubtful, ~repeatable).values(status="in_doubt", updated_at=now))
    old = select(deliveries.c.id).where(
        deliveries.c.status == "in_doubt", deliveries.c.updated_at < now - UNKNOWN_AFTER
    )
    await conn.execute(update(deliveries).where(deliveries.c.id.in_(old)).values(status="unknown", updated_at=now))
    crash.point("sweep.swept")
    return len(ids)
