"""Who became whom: a profile that was merged is gone, and what it said and was sent is read with the survivor's."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import profile_merges


async def note(conn: AsyncConnection, gone: str, into: str, *, now: datetime) -> None:
    """Keep that a profile has become part of another, together with those that had become part of it."""
    await conn.execute(update(profile_merges).where(profile_merges.c.into_id == gone).values(into_id=into))
    await conn.execute(insert(profile_merges), [{"profile_id": gone, "into_id": into, "at": now}])


async def merged_into(conn: AsyncConnection, profile_id: str) -> str | None:
    """Whom a profile has become."""
    found = select(profile_merges.c.into_id).where(profile_merges.c.profile_id == profile_id)
    return (await conn.execute(found)).scalar_one_or_none()


async def family(conn: AsyncConnection, profile_id: str) -> list[str]:
    """A profile and all that have become it."""
    rows = await conn.execute(select(profile_merges.c.profile_id).where(profile_merges.c.into_id == profile_id))
    return [profile_id, *rows.scalars()]
