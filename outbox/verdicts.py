"""The verdict on deliveries, as the claim and the one door take it: one statement, made once for all.

To make the statement takes ten times as long as to run it, and every claim of a few messages runs it.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, bindparam, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import verdict
from store.tables import addresses, deliveries


@cache
def _statement() -> Select[Any]:
    asked = (
        select(
            deliveries.c.id,
            deliveries.c.profile_id,
            deliveries.c.address_id,
            deliveries.c.channel,
            deliveries.c.preference_id,
            deliveries.c["class"],
            addresses.c.value,
        )
        .join(addresses, addresses.c.id == deliveries.c.address_id)
        .where(deliveries.c.id.in_(bindparam("ids", expanding=True)))
    )
    return verdict.over(asked.subquery("asked"))


async def on(conn: AsyncConnection, delivery_ids: Collection[str], *, now: datetime) -> dict[str, Any]:
    """Delivery → its row with `value` (the address), `reason` and `version`; none where the profile is gone."""
    if conn.dialect.name == "postgresql":
        # The joins stand in the order they are best made in; to weigh every other order takes longer than to run them.
        await conn.execute(text("SET LOCAL join_collapse_limit = 1"))
    rows = await conn.execute(_statement(), {"ids": sorted(delivery_ids), "verdict_now": now})
    return {row.id: row for row in rows}
