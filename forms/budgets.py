"""How often something may be done within a span of time, counted where every replica sees it."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network

from sqlalchemy import case, delete, literal
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import budgets
from store.types import UTCDateTime
from store.upsert import insert_for


@dataclass(frozen=True, slots=True)
class Budgets:
    """How much is taken in, see `[forms]` of the configuration."""

    posts_per_address: int = 5  # a day, of a mailbox or number over all forms
    posts_per_network: int = 100  # an hour
    posts_per_form: int = 5000  # an hour
    numbers_per_country: int = 200  # a day
    numbers_per_form: int = 500  # a day


async def spend(conn: AsyncConnection, name: str, *, most: int, within: timedelta, now: datetime) -> bool:
    """Count it; returns whether it was still within the budget. One statement, whatever comes of it."""
    return await count(conn, name, within=within, now=now) <= most


async def count(conn: AsyncConnection, name: str, *, within: timedelta, now: datetime, more: int = 1) -> int:
    """How often it was done, with what is counted now: `more`, which may be none. One statement.

    A span begins with the first that is counted. `name`: of whom and what; people and networks by a keyed hash.
    """
    moment, end = literal(now, UTCDateTime()), literal(now + within, UTCDateTime())
    is_over = budgets.c.expires_at <= moment
    statement = insert_for(conn, budgets).values(name=name, count=more, expires_at=now + within)
    counted = await conn.execute(
        statement.on_conflict_do_update(
            index_elements=[budgets.c.name],
            set_={
                "count": case((is_over, more), else_=budgets.c.count + more),
                "expires_at": case((is_over, end), else_=budgets.c.expires_at),
            },
        ).returning(budgets.c.count)
    )
    return int(counted.scalar_one())


async def forget_old(conn: AsyncConnection, *, now: datetime) -> int:
    """Remove what is counted no longer; returns how many."""
    return int((await conn.execute(delete(budgets).where(budgets.c.expires_at <= now))).rowcount)


# Who comes from there is in the house, or behind a proxy that nobody has told us of, as all then are.
_INSIDE = [
    ip_network(one)
    for one in ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16",
                "::1/128", "fc00::/7", "fe80::/10")
]  # fmt: skip


def network_of(client: IPv4Address | IPv6Address | None, key: bytes) -> str | None:
    """A keyed hash of the network that somebody asks from, as one household or company has it: /24, or /64.

    None for who comes from inside: to count all who come by a proxy as one would turn them all away.
    """
    if client is not None and any(client in network for network in _INSIDE):
        return None
    network = "" if client is None else str(ip_network((client, 24 if client.version == 4 else 64), strict=False))
    return hmac.digest(key, b"network\x00" + network.encode(), hashlib.sha256).hex()
