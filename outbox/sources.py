"""Where there may be something to send, what a person waits for first: single messages, then each broadcast.

One by one, each by its own index: what is queued for a broadcast that is planned or paused is not even looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnClause, Integer, Select, bindparam, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import bulk
from store.tables import broadcasts, deliveries

_QUEUED: ColumnClause[str] = literal_column("'queued'")
_SENDING = (
    select(broadcasts.c.id, broadcasts.c.rate, broadcasts.c.routes)
    .where(broadcasts.c.status == "sending", broadcasts.c.held.is_(None))
    .order_by(broadcasts.c.id)
)


@dataclass(frozen=True, slots=True)
class Source:
    """A part of the queue."""

    broadcast_id: str | None = None  # None: single messages and replies
    rate: float | None = None  # a broadcast's own


async def sources(conn: AsyncConnection, connection: str) -> list[Source]:
    """The parts of the queue that this connection sends from, in order."""
    sending = await bulk.rows(conn, _SENDING)
    used = [row for row in sending if any(route["connection"] == connection for route in row.routes)]
    return [Source(), *(Source(row.id, row.rate) for row in used)]


def due(*columns: Any, of_broadcast: bool) -> Select[Any]:
    """The rows of a source that may be claimed, who goes first at first, by the partial index of its kind.

    A reply goes before a single message; else who is due first. Takes what `given` gives.
    """
    of = deliveries.c.broadcast_id == bindparam("broadcast") if of_broadcast else deliveries.c.broadcast_id.is_(None)
    first = () if of_broadcast else (deliveries.c.priority,)
    return (
        select(*columns)
        .where(deliveries.c.connection == bindparam("by"), deliveries.c.status == _QUEUED)
        .where(deliveries.c.due_at <= bindparam("moment"), of)
        .order_by(*first, deliveries.c.due_at, deliveries.c.id)
        .limit(bindparam("most", type_=Integer()))
    )


def given(connection: str, source: Source, now: datetime, *, most: int) -> dict[str, Any]:
    """The parameters of `due`."""
    of = {} if source.broadcast_id is None else {"broadcast": source.broadcast_id}
    return {"by": connection, "moment": now, "most": most} | of


_ANY = {of_broadcast: due(deliveries.c.id, of_broadcast=of_broadcast) for of_broadcast in (False, True)}


async def is_any_due(conn: AsyncConnection, connection: str, *, now: datetime, of_broadcasts: bool = True) -> bool:
    """Whether a claim on this connection could find something, of single messages at least."""
    for source in await sources(conn, connection) if of_broadcasts else [Source()]:
        statement = _ANY[source.broadcast_id is not None]
        if await bulk.rows(conn, statement, **given(connection, source, now, most=1)):
            return True
    return False
