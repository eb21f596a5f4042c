"""The answer per channel for people who were never asked. Never consent: it has its own reason.

A profile keeps the version it was made with, so a change of default changes nobody already known.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import CHANNELS
from store import bulk
from store.tables import defaults, profiles

PART = 1000  # people in one transaction
_VERSION = select(func.coalesce(func.max(defaults.c.version), 0).label("version"))


async def current_version(conn: AsyncConnection) -> int:
    """The version new profiles are made with; 0 where none was ever set."""
    [row] = await bulk.rows(conn, _VERSION)
    return int(row.version)


async def current(conn: AsyncConnection) -> dict[str, str]:
    """Channel → yes | no, as for profiles made now."""
    return await of(conn, await current_version(conn))


async def of(conn: AsyncConnection, version: int) -> dict[str, str]:
    """Channel → yes | no, as for profiles made with this version."""
    rows = await conn.execute(select(defaults.c.channel, defaults.c.state).where(defaults.c.version == version))
    return dict.fromkeys(CHANNELS, "no") | {row.channel: row.state for row in rows}


async def change(conn: AsyncConnection, states: Mapping[str, str], *, actor: str, now: datetime) -> dict[str, str]:
    """Add a version with these channels changed; returns all of it."""
    merged = await current(conn) | dict(states)
    version = await current_version(conn) + 1
    await conn.execute(
        insert(defaults),
        [
            {"version": version, "channel": channel, "state": state, "set_at": now, "set_by": actor}
            for channel, state in sorted(merged.items())
        ],
    )
    return merged


async def extend(conn: AsyncConnection, version: int, *, after: str) -> list[str]:
    """Let a version hold for the next part of those who were made with an older one, from behind a profile's id.

    Returns their ids; none at the end. A part at a time: of a million people at once nobody else could write for
    seconds.
    """
    older = (
        select(profiles.c.id)
        .where(profiles.c.id > after, profiles.c.defaults_version < version)
        .order_by(profiles.c.id)
        .limit(PART)
        .with_for_update()
    )
    ids = list((await conn.execute(older)).scalars())
    if ids:
        await conn.execute(update(profiles).where(profiles.c.id.in_(ids)).values(defaults_version=version))
    return ids


async def ensure(conn: AsyncConnection, states: Mapping[str, str], *, now: datetime) -> None:
    """Fill the defaults at the first start; later the database has the word."""
    if await current_version(conn) == 0:
        await change(conn, states, actor="system", now=now)
