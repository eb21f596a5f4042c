"""Broadcasts: made, read, counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import exists, func, insert, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from audience import lists
from audience.lists import Part
from audience.select import Audience
from outbox import pace
from store.ids import new_id
from store.tables import addresses, attempts, broadcasts, deliveries


@dataclass(frozen=True, slots=True)
class Counts:
    """At any moment planned = skipped + Σ by_status, and skipped = Σ by_reason."""

    planned: int = 0
    skipped: int = 0
    by_status: dict[str, int] = field(default_factory=dict)  # never holds skipped ones
    by_reason: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Draft:
    """A broadcast as it is asked for."""

    name: str
    routes: Sequence[dict[str, str]]  # {"channel", "connection"} in order of wish
    content: dict[str, Any]
    audience: Audience
    preference_id: str | None = None
    send_at: datetime | None = None  # None: now
    not_after: datetime | None = None
    quiet_hours: Any = None  # None: as [sending] says; False: none; {"from", "to"}: nothing is sent between
    rate: float | None = None  # None: the connection's


@dataclass(frozen=True, slots=True)
class Broadcast:
    id: str
    name: str
    channel: str
    connection: str
    content: dict[str, Any]
    audience: Audience
    preference_id: str | None
    routes: list[dict[str, str]]
    send_at: datetime | None
    not_after: datetime | None
    quiet_hours: Any
    rate: float | None
    status: str
    held: str | None
    created_by: str
    created_at: datetime
    updated_at: datetime
    done_at: datetime | None


async def create(
    conn: AsyncConnection, draft: Draft, *, parts: Sequence[Part] = (), created_by: str, now: datetime
) -> str:
    """A new broadcast, to be planned; where its audience is a list, with the list's parts. Returns its id."""
    broadcast_id = new_id("brd")
    first = draft.routes[0]
    await conn.execute(
        insert(broadcasts),
        [
            {
                "id": broadcast_id,
                "name": draft.name,
                "channel": first["channel"],
                "connection": first["connection"],
                "routes": list(draft.routes),
                "content": draft.content,
                "audience": draft.audience.to_json(),
                "preference_id": draft.preference_id,
                "send_at": draft.send_at,
                "not_after": draft.not_after,
                "quiet_hours": draft.quiet_hours,
                "rate": draft.rate,
                "status": "planning",
                "created_by": created_by,
                "created_at": now,
                "updated_at": now,
            }
        ],
    )
    await lists.keep(conn, broadcast_id, parts)
    return broadcast_id


async def read(conn: AsyncConnection, broadcast_id: str) -> Broadcast | None:
    found = await _read(conn, select(broadcasts).where(broadcasts.c.id == broadcast_id))
    return found[0] if found else None


async def listed(conn: AsyncConnection, *, before: str | None, limit: int) -> list[Broadcast]:
    """Broadcasts, the newest first."""
    statement = select(broadcasts).order_by(broadcasts.c.id.desc()).limit(limit)
    if before is not None:
        statement = statement.where(broadcasts.c.id < before)
    return await _read(conn, statement)


async def _read(conn: AsyncConnection, statement: Any) -> list[Broadcast]:
    rows = (await conn.execute(statement)).mappings()
    plain = [name for name in Broadcast.__dataclass_fields__ if name != "audience"]
    return [Broadcast(audience=Audience.from_json(row["audience"]), **{n: row[n] for n in plain}) for row in rows]


async def counts(conn: AsyncConnection, broadcast_ids: Sequence[str]) -> dict[str, Counts]:
    """The counts of each, read in one statement and so of one moment."""
    found = {broadcast_id: Counts() for broadcast_id in broadcast_ids}
    rows = await conn.execute(
        select(deliveries.c.broadcast_id, deliveries.c.status, deliveries.c.reason, func.count().label("n"))
        .where(deliveries.c.broadcast_id.in_(list(broadcast_ids)))
        .group_by(deliveries.c.broadcast_id, deliveries.c.status, deliveries.c.reason)
    )
    for row in rows:
        count = found[row.broadcast_id]
        skipped = row.n if row.status == "skipped" else 0
        if skipped:
            count.by_reason[row.reason] = count.by_reason.get(row.reason, 0) + row.n
        else:
            count.by_status[row.status] = count.by_status.get(row.status, 0) + row.n
        found[row.broadcast_id] = Counts(
            count.planned + row.n, count.skipped + skipped, count.by_status, count.by_reason
        )
    return found


@dataclass(frozen=True, slots=True)
class Delivery:
    id: str
    profile_id: str | None
    address: str | None
    status: str
    reason: str | None
    error: str | None
    attempts: Sequence[dict[str, Any]]


async def deliveries_of(
    conn: AsyncConnection, broadcast_id: str, *, status: str | None, reason: str | None, after: str | None, limit: int
) -> list[Delivery]:
    """What became of everyone, a page in the order of the ids."""
    statement = (
        select(deliveries, func.coalesce(addresses.c.value, deliveries.c.address).label("to"))
        .outerjoin(addresses, addresses.c.id == deliveries.c.address_id)
        .where(deliveries.c.broadcast_id == broadcast_id)
        .order_by(deliveries.c.id)
        .limit(limit)
    )
    if status is not None:
        statement = statement.where(deliveries.c.status == status)
    if reason is not None:
        statement = statement.where(deliveries.c.reason == reason)
    if after is not None:
        statement = statement.where(deliveries.c.id > after)
    rows = (await conn.execute(statement)).all()
    tries: dict[str, list[dict[str, Any]]] = {row.id: [] for row in rows}
    found = await conn.execute(
        select(attempts).where(attempts.c.delivery_id.in_(list(tries))).order_by(attempts.c.at, attempts.c.id)
    )
    for attempt in found:
        tries[attempt.delivery_id].append({"state": attempt.state, "error": attempt.error, "at": attempt.at})
    return [Delivery(row.id, row.profile_id, row.to, row.status, row.reason, row.error, tries[row.id]) for row in rows]


async def start_scheduled(conn: AsyncConnection, *, now: datetime) -> int:
    """Let scheduled broadcasts whose time has come be sent; returns how many."""
    result = await conn.execute(
        update(broadcasts)
        .where(broadcasts.c.status == "scheduled", broadcasts.c.send_at <= now)
        .values(status="sending", updated_at=now)
    )
    return int(result.rowcount)


async def finish(conn: AsyncConnection, *, now: datetime) -> int:
    """Mark those done of which nothing is queued or sending; returns how many.

    A cancelled one stays cancelled: its `done_at` tells that nothing of it is under way any more.
    """
    open_ = exists(
        select(1).where(
            deliveries.c.broadcast_id == broadcasts.c.id,
            deliveries.c.status.in_([literal_column("'queued'"), literal_column("'sending'")]),
        )
    )
    done = await conn.execute(
        update(broadcasts)
        .where(broadcasts.c.status == "sending", ~open_)
        .values(status="done", done_at=now, updated_at=now)
        .returning(broadcasts.c.id)
    )
    done_ids = list(done.scalars())
    cancelled = await conn.execute(
        update(broadcasts)
        .where(broadcasts.c.status == "cancelled", broadcasts.c.done_at.is_(None), ~open_)
        .values(done_at=now)
        .returning(broadcasts.c.id)
    )
    await pace.forget(conn, [*done_ids, *cancelled.scalars()])
    return len(done_ids)
