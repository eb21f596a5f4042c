"""How often something may be done within a span of time, counted where every replica sees it."""

from __future__ import annotations

import hashlib
import hmac
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network

import structlog
from sqlalchemy import case, delete, literal
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import budgets
from store.types import UTCDateTime
from store.upsert import insert_for

log = structlog.get_logger("forms")


@dataclass(frozen=True, slots=True)
class Budgets:
    """How much is taken in, see `[forms]` of the configuration."""

    posts_per_address: int = 5  # a day, of a mailbox or number over all forms
    posts_per_network: int = 100  # an hour
    posts_per_form: int = 5000  # an hour
    numbers_per_country: int = 200  # a day
    numbers_per_form: int = 500  # a day


@dataclass(frozen=True, slots=True)
class Budget:
    what: str  # for operators: an option of [forms], or a word like one
    whose: str  # people and networks by a keyed hash
    most: int
    within: timedelta
    is_told: bool = True  # to who meets it spent; not where that tells what others have typed

    @property
    def name(self) -> str:
        return f"{self.what}:{self.whose}"


@dataclass(frozen=True, slots=True)
class Over:
    """A budget that is spent."""

    budget: Budget
    is_first: bool  # to find it so
    wait_seconds: int  # until it is whole again


async def spend(conn: AsyncConnection, name: str, *, most: int, within: timedelta, now: datetime) -> bool:
    """Count it; returns whether it was still within the budget. One statement, whatever comes of it."""
    times, _ = await _count(conn, name, within=within, now=now)
    return times <= most


async def spend_all(
    conn: AsyncConnection, wanted: Sequence[Budget], *, now: datetime, is_taken: bool = True
) -> Over | None:
    """Count it in each; returns the one that is spent, if any: of several one that is told, so that everybody is told.

    What is over one uses up none of those behind it, which others share; nothing is used up unless it `is_taken`. The
    same statements whatever comes of it.
    """
    found: list[Over] = []
    for budget in wanted:
        more = int(is_taken and not found)
        times, until = await _count(conn, budget.name, within=budget.within, now=now, more=more)
        if times + 1 - more > budget.most:
            is_first = bool(more) and times == budget.most + 1
            found.append(Over(budget, is_first, math.ceil((until - now).total_seconds())))
    return next((over for over in found if over.budget.is_told), found[0] if found else None)


def note(over: Over) -> None:
    """Let operators know of a budget that many share: once, and not for everybody who meets it spent."""
    if over.is_first and over.budget.is_told:
        log.warning("forms.budget_spent", why=over.budget.what)


async def _count(
    conn: AsyncConnection, name: str, *, within: timedelta, now: datetime, more: int = 1
) -> tuple[int, datetime]:
    """How often it was done, with what is counted now (`more`, which may be none), and when the span ends.

    One statement. A span begins with the first that is counted. `name`: of whom and what; people and networks by a
    keyed hash.
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
        ).returning(budgets.c.count, budgets.c.expires_at)
    )
    times, until = counted.one()
    return times, until


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
