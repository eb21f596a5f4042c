"""Invariant I4, of plans: one row per person, and nobody left out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience import lists
from audience.select import Audience
from store.tables import broadcasts, deliveries, profiles

PAGE = 500  # people who are looked up at once
# A person made by another replica just when the broadcast was may have been too late for it; clocks differ.
_SURELY_BEFORE = timedelta(minutes=1)


async def twice(conn: AsyncConnection) -> AsyncIterator[str]:
    """Who has two rows in one plan; where the audience is addresses, which address has."""
    async for broadcast in _each(conn):
        by_address = Audience.from_json(broadcast.audience).kind == "addresses"
        who = deliveries.c.address_id if by_address else deliveries.c.profile_id
        rows = await conn.execute(
            select(who.label("who"), func.count().label("n"))
            .where(deliveries.c.broadcast_id == broadcast.id, who.is_not(None))
            .group_by(who)
            .having(func.count() > 1)
            .limit(PAGE)
        )
        for row in rows:
            yield f"{row.who} stands {row.n} times in the plan of broadcast {broadcast.id}"


async def left_out(conn: AsyncConnection) -> AsyncIterator[str]:
    """Who was there before the broadcast, belongs to its audience, and has no row in its finished plan.

    An audience by tag is not looked at: who had the tag then is not known any more.
    """
    async for broadcast in _each(conn):
        audience = Audience.from_json(broadcast.audience)
        if broadcast.planned_at is None:
            continue
        if audience.kind == "addresses":
            planned = select(func.count()).where(deliveries.c.broadcast_id == broadcast.id)
            count = (await conn.execute(planned)).scalar_one()
            if count != audience.count:
                yield f"broadcast {broadcast.id} was for {audience.count} addresses, and its plan has {count} rows"
            continue
        async for person in _missing(conn, broadcast, audience):
            yield f"{person} has no row in the plan of broadcast {broadcast.id}"


async def _missing(conn: AsyncConnection, broadcast: Row[Any], audience: Audience) -> AsyncIterator[str]:
    # Not by the index over broadcasts, which would read the whole plan for every person: by the one over people.
    of = func.coalesce(deliveries.c.broadcast_id, "") == broadcast.id
    planned = exists(select(1).where(of, deliveries.c.profile_id == profiles.c.id))
    before = profiles.c.created_at < broadcast.created_at - _SURELY_BEFORE
    statement = select(profiles.c.id).where(before, ~planned)
    if audience.kind == "all":
        for person in (await conn.execute(statement.limit(PAGE))).scalars():
            yield person
    elif audience.kind == "profiles":
        async for members in lists.read(conn, broadcast.id):
            some = profiles.c.id.in_(list(members))
            for person in (await conn.execute(statement.where(some))).scalars():
                yield person


async def _each(conn: AsyncConnection) -> AsyncIterator[Row[Any]]:
    """Every broadcast, one at a time."""
    for broadcast_id in (await conn.execute(select(broadcasts.c.id).order_by(broadcasts.c.id))).scalars().all():
        yield (await conn.execute(select(broadcasts).where(broadcasts.c.id == broadcast_id))).one()
