"""The one door for a change of consent: record it, skip what is queued, wait for what is under way.

    heeded = await heed.record(conn, changes, now=now)      # in the caller's transaction
    ...commit...
    await heeded.settled(database)                          # then answer

After `settled()` no send to a person who opted out begins any more (invariant I2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import bindparam, literal_column, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.lease import boottime
from consent import ledger, verdict
from consent.ledger import Line
from consent.states import Change
from outbox.protocol import SETTLE_POLL_SECONDS, SETTLE_SECONDS
from store.engine import Database, is_away
from store.tables import attempts, deliveries


@dataclass(frozen=True, slots=True)
class Heeded:
    """What was recorded, and the addresses that an opt-out in it closes."""

    lines: tuple[Line, ...] = ()
    closed: frozenset[str] = field(default_factory=frozenset)

    async def settled(self, database: Database) -> None:
        """Return when no claim taken before the commit can begin to send to an address that was closed.

        Call right after the commit, before the answer. Waits only while a send to that very address is under
        way, and never longer than SETTLE_SECONDS.
        """
        await settle(database, self.closed)


async def record(conn: AsyncConnection, changes: Sequence[Change], *, now: datetime) -> Heeded:
    """Record the changes and skip what is queued and may no longer be sent; raises consent.moves.Refused."""
    recorded = await ledger.record(conn, changes, now=now)
    closing = any(line.event.to_state != "yes" for line in recorded.lines)
    if not closing:
        return Heeded(recorded.lines)
    await skip_queued(conn, recorded.address_ids, now=now)
    return Heeded(recorded.lines, recorded.address_ids)


async def skip_queued(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> int:
    """Skip queued deliveries to these addresses that the verdict no longer allows; returns how many.

    A row that a claim holds is passed over: that claim takes the verdict itself, after us.
    """
    if not address_ids:
        return 0
    queued = (
        await conn.execute(
            select(deliveries.c.id)
            .where(deliveries.c.address_id.in_(sorted(address_ids)), deliveries.c.status == literal_column("'queued'"))
            .order_by(deliveries.c.id)
            .with_for_update(skip_locked=True)
        )
    ).scalars()
    ids = list(queued)
    if not ids:
        return 0
    asked = select(
        deliveries.c.id,
        deliveries.c.profile_id,
        deliveries.c.address_id,
        deliveries.c.channel,
        deliveries.c.preference_id,
        deliveries.c["class"],
    ).where(deliveries.c.id.in_(ids))
    rows = (await conn.execute(verdict.over(asked.subquery("asked"), now=now))).all()
    stopped = [
        {"delivery": row.id, "why": row.reason, "moment": now} for row in rows if not verdict.is_allowed(row.reason)
    ]
    if stopped:
        await conn.execute(
            update(deliveries)
            .where(deliveries.c.id == bindparam("delivery"))
            .values(status="skipped", reason=bindparam("why"), updated_at=bindparam("moment")),
            stopped,
        )
    return len(stopped)


async def settle(database: Database, address_ids: Collection[str]) -> None:
    """The wait between commit and answer for these addresses; see Heeded.settled."""
    if not address_ids:
        return
    until = boottime() + SETTLE_SECONDS
    while boottime() < until:
        try:
            if not await under_way(database, address_ids):
                return
        except (DBAPIError, OSError) as error:
            if not is_away(error):
                raise
            # Who cannot look waits it out: after SETTLE_SECONDS nothing claimed before can begin.
        await asyncio.sleep(SETTLE_POLL_SECONDS)


async def under_way(database: Database, address_ids: Collection[str]) -> frozenset[str]:
    """Those of the addresses to which something is being sent, read from the primary."""
    # A literal, so that SQLite sees that the partial index serves.
    sending = select(attempts.c.address_id).where(
        attempts.c.address_id.in_(sorted(address_ids)), attempts.c.state == literal_column("'sending'")
    )
    async with database.read() as conn:
        return frozenset((await conn.execute(sending)).scalars())
