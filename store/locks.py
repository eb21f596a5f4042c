"""The order in which rows are locked, everywhere: profiles, address rows, deliveries, receipts; each sorted.

Whatever can change a verdict locks the profiles concerned and then their address rows, so that a claim, which
shares the address row, sees all of it or none. On SQLite the write transaction itself is the lock.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import addresses, profile_addresses, profiles


async def lock_profiles(conn: AsyncConnection, profile_ids: Collection[str]) -> None:
    """Hold these profiles until the transaction ends."""
    if conn.dialect.name == "sqlite" or not profile_ids:
        return
    await conn.execute(
        select(profiles.c.id).where(profiles.c.id.in_(set(profile_ids))).order_by(profiles.c.id).with_for_update()
    )


async def lock_addresses(conn: AsyncConnection, address_ids: Collection[str], *, share: bool = False) -> None:
    """Hold these address rows until the transaction ends; `share` lets other claims in, but no change of consent."""
    if conn.dialect.name == "sqlite" or not address_ids:
        return
    await conn.execute(
        select(addresses.c.id)
        .where(addresses.c.id.in_(set(address_ids)))
        .order_by(addresses.c.id)
        .with_for_update(read=share)
    )


async def lock_people(
    conn: AsyncConnection, profile_ids: Collection[str], *, also: Iterable[str] = ()
) -> dict[str, list[tuple[str, str]]]:
    """Hold these profiles and all their address rows; returns (address id, channel) by profile, in their order.

    `also` are further address rows: all are locked in one sorted pass, for two passes would cross each other.
    """
    await lock_profiles(conn, profile_ids)
    links = (
        await conn.execute(
            select(profile_addresses.c.profile_id, profile_addresses.c.address_id, profile_addresses.c.channel)
            .where(profile_addresses.c.profile_id.in_(set(profile_ids)))
            .order_by(profile_addresses.c.profile_id, profile_addresses.c.position)
        )
    ).all()
    await lock_addresses(conn, {link.address_id for link in links} | set(also))
    people: dict[str, list[tuple[str, str]]] = {profile_id: [] for profile_id in profile_ids}
    for link in links:
        people[link.profile_id].append((link.address_id, link.channel))
    return people
