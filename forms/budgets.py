"""How often something may be done within a span of time, counted where every replica sees it."""

from __future__ import annotations

import hashlib
import hmac
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network

from sqlalchemy import case, literal
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import budgets
from store.types import UTCDateTime
from store.upsert import insert_for


async def spend(
    conn: AsyncConnection, name: str, *, most: int, within: timedelta, now: datetime, cost: int = 1
) -> bool:
    """Count it; returns whether it was still within the budget. One statement, whatever comes of it.

    A span begins with the first that is counted. `name`: of whom and what; people and networks by a keyed hash. `cost`:
    0 for what is refused already, so that there are always as many statements.
    """
    moment, end = literal(now, UTCDateTime()), literal(now + within, UTCDateTime())
    is_over = budgets.c.expires_at <= moment
    statement = insert_for(conn, budgets).values(name=name, count=cost, expires_at=now + within)
    counted = await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[budgets.c.name],
            set_={
                "count": case((is_over, cost), else_=budgets.c.count + cost),
                "expires_at": case((is_over, end), else_=budgets.c.expires_at),
            },
        ).returning(budgets.c.count)
    )
    return int(counted.scalar_one()) <= most


def network_of(client: IPv4Address | IPv6Address | None, key: bytes) -> str:
    """A keyed hash of the network that somebody asks from, as one household or company has it: /24, or /64."""
    network = "" if client is None else str(ip_network((client, 24 if client.version == 4 else 64), strict=False))
    return hmac.digest(key, b"network\x00" + network.encode(), hashlib.sha256).hex()
