"""The verdict on deliveries, as the claim and the one door take it: statements made once for all.

To make the statement takes ten times as long as to run it, and every claim of a few messages runs it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Select, case, literal_column, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import verdict
from store import bulk
from store.parts import among
from store.tables import addresses, deliveries, profile_addresses


@cache
def _of_the_person() -> Select[Any]:
    """Asked of whom each delivery is for."""
    asked = (
        select(
            deliveries.c.id,
            deliveries.c.profile_id,
            deliveries.c.address_id,
            deliveries.c.channel,
            deliveries.c.preference_id,
            deliveries.c["class"],
            deliveries.c.by_address,
            addresses.c.value,
        )
        .join(addresses, addresses.c.id == deliveries.c.address_id)
        .where(among(deliveries.c.id))
    )
    return verdict.over(asked.subquery("asked"))


@cache
def _of_the_others() -> Select[Any]:
    """Asked of everybody else who has the address."""
    other = profile_addresses.alias("holder")
    asked = (
        select(
            deliveries.c.id,
            other.c.profile_id,
            deliveries.c.address_id,
            deliveries.c.channel,
            deliveries.c.preference_id,
            deliveries.c["class"],
            addresses.c.value,
        )
        .join(addresses, addresses.c.id == deliveries.c.address_id)
        .join(other, (other.c.address_id == addresses.c.id) & (other.c.profile_id != deliveries.c.profile_id))
        .where(among(deliveries.c.id))
    )
    return verdict.over(asked.subquery("asked"))


@cache
def _of_nobody() -> Select[Any]:
    """Of a question to an address that no profile has: nothing stops it but that it cannot arrive (row 2)."""
    reason = case(
        (addresses.c.status != literal_column("'ok'"), literal_column("'undeliverable'")),
        else_=literal_column("'service'"),
    )
    return (
        select(deliveries.c.id, addresses.c.value, reason.label("reason"), addresses.c.version)
        .join(addresses, addresses.c.id == deliveries.c.address_id)
        .where(among(deliveries.c.id), deliveries.c.profile_id.is_(None))
        .where(deliveries.c["class"] == literal_column("'service'"), addresses.c.value.is_not(None))
    )


async def on(conn: AsyncConnection, delivery_ids: Collection[str], *, now: datetime) -> dict[str, Any]:
    """Delivery → its row with `value` (the address), `reason` and `version`; none where profile or address are gone.

    Where the address was asked for, a no of anybody who has it is the reason.
    """
    if conn.dialect.name == "postgresql":
        # The joins stand in the order they are best made in; to weigh every other order takes longer than to run them.
        await conn.execute(text("SET LOCAL join_collapse_limit = 1"))
    found = {row.id: row for row in await _ask(conn, _of_the_person(), delivery_ids, now)}
    by_address = [row.id for row in found.values() if row.by_address and row.reason not in verdict.NO_REASONS]
    if by_address:
        rows = await _ask(conn, _of_the_others(), by_address, now)
        noes = (row for row in rows if row.reason in verdict.NO_REASONS)
        found |= {row.id: row for row in sorted(noes, key=lambda row: row.profile_id, reverse=True)}  # the oldest's
    if others := [id_ for id_ in delivery_ids if id_ not in found]:
        found |= {row.id: row for row in await bulk.rows(conn, _of_nobody(), ids=sorted(others))}
    return found


async def _ask(conn: AsyncConnection, statement: Select[Any], ids: Iterable[str], now: datetime) -> list[Any]:
    return await bulk.rows(conn, statement, ids=sorted(set(ids)), verdict_now=now)
