"""The order in which rows are locked, everywhere: idempotency keys, receipts, profiles, address rows, attempts,
deliveries; each sorted.

Whatever can change a verdict locks the profiles concerned and then their address rows, so that a claim, which
shares the address row, sees all of it or none. On SQLite the write transaction itself is the lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import cache
from typing import Any

from sqlalchemy import Column, Select, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from store import bulk
from store.parts import among
from store.tables import addresses, deliveries, profile_addresses, profiles

_LINKS = (
    select(profile_addresses.c.profile_id, profile_addresses.c.address_id, profile_addresses.c.channel)
    .where(among(profile_addresses.c.profile_id))
    .order_by(profile_addresses.c.profile_id, profile_addresses.c.position)
)

Links = dict[str, list[tuple[str, str]]]  # (address id, channel) by profile, in their order


async def lock_profiles(conn: AsyncConnection, profile_ids: Collection[str]) -> None:
    """Hold these profiles until the transaction ends."""
    await _lock(conn, profiles.c.id, profile_ids)


async def lock_addresses(conn: AsyncConnection, address_ids: Collection[str], *, share: bool = False) -> None:
    """Hold these address rows until the transaction ends; `share` lets other claims in, but no change of consent."""
    await _lock(conn, addresses.c.id, address_ids, share=share)


async def lock_deliveries(conn: AsyncConnection, delivery_ids: Collection[str]) -> None:
    """Hold these deliveries until the transaction ends: who writes to several in another order holds them first."""
    await _lock(conn, deliveries.c.id, delivery_ids)


async def _lock(conn: AsyncConnection, id_: Column[str], ids: Collection[str], *, share: bool = False) -> None:
    if conn.dialect.name == "sqlite":
        return
    await bulk.rows(conn, _locking(id_, share), ids=sorted(set(ids)))


@cache
def _locking(id_: Column[str], share: bool) -> Select[Any]:
    return select(id_).where(among(id_)).order_by(id_).with_for_update(read=share)


async def lock_names(conn: AsyncConnection, names: Collection[str]) -> None:
    """Hold what has no row to hold, by its name, until the transaction ends; after the address rows."""
    if conn.dialect.name == "sqlite":
        return
    for name in sorted(set(names)):
        await conn.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})


async def lock_people(conn: AsyncConnection, profile_ids: Collection[str], *, also: Iterable[str] = ()) -> Links:
    """Hold these profiles and all their address rows; returns the links between them.

    `also` are further address rows: all are locked in one sorted pass, for two passes would cross each other.
    """
    await lock_profiles(conn, profile_ids)
    return await lock_their_addresses(conn, profile_ids, also=also)


async def lock_their_addresses(
    conn: AsyncConnection, profile_ids: Collection[str], *, also: Iterable[str] = ()
) -> Links:
    """The second half of `lock_people`, for who holds the profiles already."""
    found: Links = {profile_id: [] for profile_id in profile_ids}
    for row in await bulk.rows(conn, _LINKS, ids=sorted(profile_ids)):
        found[row.profile_id].append((row.address_id, row.channel))
    await lock_addresses(conn, {address_id for links in found.values() for address_id, _ in links} | set(also))
    return found
