"""Where there may be something to send, what a person waits for first: single messages, then each broadcast.

One by one, each by its own index: what is queued for a broadcast that is planned or paused is not even looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnClause, ColumnElement, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import broadcasts, deliveries

_QUEUED: ColumnClause[str] = literal_column("'queued'")


@dataclass(frozen=True, slots=True)
class Source:
    """A part of the queue."""

    broadcast_id: str | None = None  # None: single messages and replies
    rate: float | None = None  # a broadcast's own


async def sources(conn: AsyncConnection, connection: str) -> list[Source]:
    """The parts of the queue that this connection sends from, in order."""
    sending = await conn.execute(
        select(broadcasts.c.id, broadcasts.c.rate, broadcasts.c.routes)
        .where(broadcasts.c.status == "sending", broadcasts.c.held.is_(None))
        .order_by(broadcasts.c.id)
    )
    used = [row for row in sending if any(route["connection"] == connection for route in row.routes)]
    return [Source(), *(Source(row.id, row.rate) for row in used)]


def due(connection: str, source: Source, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """The rows of a source that may be claimed, by the partial index of its kind."""
    of = (
        deliveries.c.broadcast_id.is_(None)
        if source.broadcast_id is None
        else deliveries.c.broadcast_id == source.broadcast_id
    )
    return (deliveries.c.connection == connection, deliveries.c.status == _QUEUED, deliveries.c.due_at <= now, of)


def order(source: Source) -> tuple[ColumnElement[Any], ...]:
    """Who goes first: a reply before a single message; else who is due first. As the index has it."""
    first = () if source.broadcast_id is not None else (deliveries.c.priority,)
    return (*first, deliveries.c.due_at, deliveries.c.id)


async def is_any_due(conn: AsyncConnection, connection: str, *, now: datetime) -> bool:
    """Whether a claim on this connection could find something."""
    for source in await sources(conn, connection):
        found = await conn.execute(select(deliveries.c.id).where(*due(connection, source, now)).limit(1))
        if found.first() is not None:
            return True
    return False
