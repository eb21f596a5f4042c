"""Ordinary messages on their way to where they are read: kept with the message, handed over once at least.

A number has one webhook, and we have it: what no rule matched goes on to a mailbox or a URL. Whoever hands one over
holds it for LEASE; where the process dies, another takes it up after that, and it may arrive twice, never not at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store.ids import new_id
from store.tables import forwards

LEASE = timedelta(seconds=60)
_PAUSES = [timedelta(seconds=s) for s in (5, 30, 120, 600, 1800, 3600)]  # then every three hours
_LAST_PAUSE = timedelta(hours=3)
MOST_TRIES = 30  # in about three days
STATUSES = ("queued", "done", "parked")


@dataclass(frozen=True, slots=True)
class Forward:
    """A message on its way."""

    id: str
    message_id: str
    connection: str
    status: str
    tries: int
    error: str | None
    due_at: datetime
    done_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """How one try came out."""

    forward: Forward
    error: str | None  # None: it was taken
    retry_after_seconds: float | None = None  # as the receiver wishes


async def add(conn: AsyncConnection, messages: Sequence[tuple[str, str]], *, now: datetime) -> None:
    """Let these messages go on: (id, connection)."""
    rows = [
        {
            "id": new_id("fwd"),
            "message_id": message_id,
            "connection": connection,
            "status": "queued",
            "due_at": now,
            "created_at": now,
        }
        for message_id, connection in messages
    ]
    await conn.execute(insert(forwards), rows)


async def claim(conn: AsyncConnection, connection: str, *, limit: int, now: datetime) -> list[Forward]:
    """Take what is due of a connection, the oldest first: nobody else has it until LEASE is over."""
    due = (
        select(forwards)
        .where(forwards.c.status == "queued", forwards.c.due_at <= now, forwards.c.connection == connection)
        .order_by(forwards.c.due_at, forwards.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    found = [_forward(row) for row in await conn.execute(due)]
    if found:
        taken = update(forwards).where(forwards.c.id.in_([one.id for one in found]))
        await conn.execute(taken.values(due_at=now + LEASE, tries=forwards.c.tries + 1))
    return found


async def is_any_due(conn: AsyncConnection, connection: str, *, now: datetime) -> bool:
    due = select(forwards.c.id).where(
        forwards.c.status == "queued", forwards.c.due_at <= now, forwards.c.connection == connection
    )
    return (await conn.execute(due.limit(1))).first() is not None


async def end(conn: AsyncConnection, ended: Sequence[Ended], *, now: datetime) -> None:
    """Write down how tries came out: what was not taken is tried again, and parked after MOST_TRIES."""
    if not ended:
        return
    await conn.execute(
        update(forwards)
        .where(forwards.c.id == bindparam("forward"), forwards.c.status == "queued")
        .values(
            status=bindparam("becomes"), error=bindparam("why"), due_at=bindparam("again"), done_at=bindparam("done")
        ),
        [_ending(one, now) for one in ended],
    )


def _ending(ended: Ended, now: datetime) -> dict[str, Any]:
    forward, error = ended.forward, ended.error
    given_up = error is not None and forward.tries + 1 >= MOST_TRIES
    pause = _PAUSES[forward.tries] if forward.tries < len(_PAUSES) else _LAST_PAUSE
    if ended.retry_after_seconds is not None:
        pause = max(pause, timedelta(seconds=ended.retry_after_seconds))
    return {
        "forward": forward.id,
        "becomes": "done" if error is None else "parked" if given_up else "queued",
        "why": error,
        "again": now + pause,
        "done": now if error is None else None,
    }


async def again(conn: AsyncConnection, forward_id: str, *, now: datetime) -> bool:
    """Let a parked one, or one that waits, be tried now; false where it is done or there is none."""
    tried = await conn.execute(
        update(forwards)
        .where(forwards.c.id == forward_id, forwards.c.status != "done")
        .values(status="queued", due_at=now, tries=0)
    )
    return tried.rowcount > 0


async def listed(
    conn: AsyncConnection, *, status: str | None, connection: str | None, before: str | None, limit: int
) -> list[Forward]:
    """Those that match, the newest first."""
    statement = select(forwards).order_by(forwards.c.id.desc()).limit(limit)
    if status is not None:
        statement = statement.where(forwards.c.status == status)
    if connection is not None:
        statement = statement.where(forwards.c.connection == connection)
    if before is not None:
        statement = statement.where(forwards.c.id < before)
    return [_forward(row) for row in await conn.execute(statement)]


async def read(conn: AsyncConnection, forward_id: str) -> Forward | None:
    row = (await conn.execute(select(forwards).where(forwards.c.id == forward_id))).one_or_none()
    return None if row is None else _forward(row)


async def counted(conn: AsyncConnection) -> dict[tuple[str, str], int]:
    """By connection and status, how many have not arrived."""
    waiting = (
        select(forwards.c.connection, forwards.c.status, func.count().label("count"))
        .where(forwards.c.status.in_(["queued", "parked"]))
        .group_by(forwards.c.connection, forwards.c.status)
    )
    rows = await conn.execute(waiting)
    return {(row["connection"], row["status"]): row["count"] for row in rows.mappings()}


def _forward(row: Any) -> Forward:
    return Forward(**row._mapping)
