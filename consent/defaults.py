"""The answer per channel for people who were never asked. Never consent: it has its own reason.

A profile keeps the version it was made with, so a change of default changes nobody already known.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import CHANNELS
from store.tables import defaults


async def current_version(conn: AsyncConnection) -> int:
    """The version new profiles are made with; 0 where none was ever set."""
    return int((await conn.execute(select(func.coalesce(func.max(defaults.c.version), 0)))).scalar_one())


async def current(conn: AsyncConnection) -> dict[str, str]:
    """Channel → yes | no, as for profiles made now."""
    version = await current_version(conn)
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


async def ensure(conn: AsyncConnection, states: Mapping[str, str], *, now: datetime) -> None:
    """Fill the defaults at the first start; later the database has the word."""
    if await current_version(conn) == 0:
        await change(conn, states, actor="system", now=now)
