"""What waits to be sent, and for how long: for whoever watches over the gateway."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import attempts, broadcasts, deliveries


@dataclass(slots=True)
class Backlog:
    """What waits on one connection."""

    queued: int = 0
    late_seconds: float = 0.0  # since the one that waits longest could have gone; the hours it waits for not counted


async def by_connection(conn: AsyncConnection, connections: Iterable[str], *, now: datetime) -> dict[str, Backlog]:
    """The backlog of each connection, of these at least. What is paused, planned or held is queued, and never late."""
    sending = select(broadcasts.c.id).where(broadcasts.c.status == "sending", broadcasts.c.held.is_(None))
    moving = {None, *(await conn.execute(sending)).scalars()}
    # In the order of the partial index over all that is queued, and from nothing but it.
    queued = (
        select(deliveries.c.broadcast_id, deliveries.c.connection, func.count(), func.min(deliveries.c.due_at))
        .where(deliveries.c.status == literal_column("'queued'"))
        .group_by(deliveries.c.broadcast_id, deliveries.c.connection)
    )
    found = {connection: Backlog() for connection in connections}
    for broadcast_id, connection, count, due_at in await conn.execute(queued):
        backlog = found.setdefault(connection, Backlog())
        backlog.queued += count
        if broadcast_id in moving:
            backlog.late_seconds = max(backlog.late_seconds, (now - due_at).total_seconds())
    return found


async def in_doubt(conn: AsyncConnection) -> dict[str, int]:
    """By channel, how many attempts may have been sent or not, as far as the provider is still asked about them."""
    asked = (
        select(attempts.c.channel, func.count().label("count_"))
        # A literal, so that SQLite sees that the partial index serves.
        .where(attempts.c.state == literal_column("'in_doubt'"), attempts.c.ask_at.is_not(None))
        .group_by(attempts.c.channel)
    )
    return {row.channel: row.count_ for row in await conn.execute(asked)}
