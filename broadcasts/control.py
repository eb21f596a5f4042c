"""A broadcast under way: paused, resumed, cancelled.

Pause and cancel lock the broadcast, which every claim shares until it commits; so when they have committed nothing more
is claimed. They are answered after `heed.settle` for the broadcast's id: what was claimed before has begun or given up.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store import crash
from store.tables import broadcasts, deliveries

CHUNK = 1000  # deliveries cancelled in one transaction


class WrongState(Exception):
    """The broadcast cannot be changed so from the status that the message names."""


# Each returns whether it changed anything: None where there is no such broadcast, False where it stood so already.


async def pause(conn: AsyncConnection, broadcast_id: str, *, now: datetime) -> bool | None:
    """Send nothing more until it is resumed. Raises WrongState."""
    return await _turn(conn, broadcast_id, "paused", ("planning", "scheduled", "sending"), now)


async def cancel(conn: AsyncConnection, broadcast_id: str, *, now: datetime) -> bool | None:
    """Send nothing more, ever. Raises WrongState.

    What is queued is cancelled by `cancel_queued`, a chunk at a time.
    """
    return await _turn(conn, broadcast_id, "cancelled", ("planning", "scheduled", "sending", "paused"), now)


async def resume(conn: AsyncConnection, broadcast_id: str, *, now: datetime) -> bool | None:
    """Go on where it was. Raises WrongState."""
    row = await _locked(conn, broadcast_id)
    if row is None:
        return None
    if row.status in ("planning", "scheduled", "sending"):
        return False
    if row.status != "paused":
        raise WrongState(row.status)
    status = "planning" if row.planned_at is None else "sending"
    if row.planned_at is not None and row.send_at is not None and row.send_at > now:
        status = "scheduled"
    await _set(conn, broadcast_id, status, now)
    return True


async def _turn(
    conn: AsyncConnection, broadcast_id: str, to: str, allowed: tuple[str, ...], now: datetime
) -> bool | None:
    row = await _locked(conn, broadcast_id)
    if row is None:
        return None
    if row.status == to:
        return False
    if row.status not in allowed:
        raise WrongState(row.status)
    await _set(conn, broadcast_id, to, now)
    return True


async def _locked(conn: AsyncConnection, broadcast_id: str) -> Any:
    return (
        await conn.execute(
            select(broadcasts.c.status, broadcasts.c.planned_at, broadcasts.c.send_at)
            .where(broadcasts.c.id == broadcast_id)
            .with_for_update()
        )
    ).one_or_none()


async def _set(conn: AsyncConnection, broadcast_id: str, status: str, now: datetime) -> None:
    await conn.execute(update(broadcasts).where(broadcasts.c.id == broadcast_id).values(status=status, updated_at=now))
    crash.point("broadcast.control")


async def cancel_queued(conn: AsyncConnection, broadcast_id: str, *, now: datetime) -> bool:
    """Cancel the next chunk of what is queued for a cancelled broadcast; returns whether there may be more."""
    queued = (
        select(deliveries.c.id)
        .where(deliveries.c.broadcast_id == broadcast_id, deliveries.c.status == literal_column("'queued'"))
        .limit(CHUNK)
        .with_for_update(skip_locked=True)
    )
    ids = list((await conn.execute(queued)).scalars())
    if ids:
        await conn.execute(
            update(deliveries).where(deliveries.c.id.in_(ids)).values(status="cancelled", updated_at=now)
        )
    crash.point("broadcast.cancelling")
    return len(ids) == CHUNK
