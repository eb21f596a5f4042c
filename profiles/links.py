"""Who has which address. The caller holds the locks of `store.locks` where a profile exists already."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import and_, delete, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from profiles.addresses import Address
from store import bulk
from store.ids import new_id
from store.locks import lock_addresses
from store.parts import IDS, among, rows_by
from store.tables import addresses, consent_states, profile_addresses, profiles
from store.upsert import insert_missing

_FOUND = select(addresses.c.hash, addresses.c.id).where(among(addresses.c.hash))
_EARLIEST = (
    select(
        profiles.c.id,
        func.max(profiles.c.created_at).label("made"),
        func.max(consent_states.c.recorded_at).label("said"),
    )
    .outerjoin(consent_states, consent_states.c.profile_id == profiles.c.id)
    .where(among(profiles.c.id))
    .group_by(profiles.c.id)
)


@dataclass(frozen=True, slots=True)
class Held:
    """An address a profile has."""

    address_id: str
    channel: str
    value: str
    primary: bool
    status: str


async def ensure_addresses(
    conn: AsyncConnection, wanted: Iterable[Address], *, now: datetime, lock: bool = True
) -> dict[str, str]:
    """Hash → id of a row for each address, made where there is none.

    With `lock` they are locked, and an erased one gets its value back; without, the caller does both, in its order.
    """
    distinct = {address.hash: address for address in wanted}
    if not distinct:
        return {}
    found = await find_addresses(conn, distinct)
    found |= await make_addresses(conn, [a for digest, a in distinct.items() if digest not in found], now=now)
    if lock:
        await lock_addresses(conn, found.values())
        await restore_values(conn, distinct.values())
    return found


async def make_addresses(conn: AsyncConnection, missing: Iterable[Address], *, now: datetime) -> dict[str, str]:
    """Hash → id of a row for each address, none of which was there; a rival may have made it since."""
    distinct = {address.hash: address for address in missing}
    if not distinct:
        return {}
    rows = [
        {"id": new_id("adr"), "channel": a.channel, "value": a.value, "hash": a.hash, "created_at": now}
        for _, a in sorted(distinct.items())
    ]
    await insert_missing(conn, addresses, rows)
    return await find_addresses(conn, distinct)


async def restore_values(conn: AsyncConnection, wanted: Iterable[Address]) -> None:
    """Give rows whose value was forgotten their value back; the caller holds their locks."""
    distinct = {address.hash: address for address in wanted}
    if not distinct:
        return
    blank = select(addresses.c.hash).where(addresses.c.hash.in_(distinct), addresses.c.value.is_(None))
    for digest in (await conn.execute(blank)).scalars().all():
        await conn.execute(update(addresses).where(addresses.c.hash == digest).values(value=distinct[digest].value))


async def find_addresses(conn: AsyncConnection, hashes: Collection[str]) -> dict[str, str]:
    """Hash → id, of the rows there are."""
    rows = await bulk.rows(conn, _FOUND, ids=list(hashes))
    return {row.hash: row.id for row in rows}


async def by_ids(conn: AsyncConnection, address_ids: Collection[str]) -> dict[str, Address]:
    """Id → address, of those whose value is known."""
    found = select(addresses.c.id, addresses.c.channel, addresses.c.value, addresses.c.hash).where(
        addresses.c.id.in_(sorted(set(address_ids))), addresses.c.value.is_not(None)
    )
    return {row.id: Address(row.channel, row.value, row.hash) for row in await conn.execute(found)}


async def holders(conn: AsyncConnection, address_ids: Collection[str]) -> dict[str, list[str]]:
    """Address id → the profiles that have it, the oldest first."""
    found: dict[str, list[str]] = defaultdict(list)
    statement = (
        select(profile_addresses.c.address_id, profile_addresses.c.profile_id)
        .where(profile_addresses.c.address_id.in_(IDS))
        .order_by(profile_addresses.c.profile_id)
    )
    for row in await rows_by(conn, statement, address_ids):
        found[row.address_id].append(row.profile_id)
    return dict(found)


async def held_by(conn: AsyncConnection, profile_ids: Collection[str]) -> dict[str, list[Held]]:
    """Profile → its addresses, in their order."""
    found: dict[str, list[Held]] = {profile_id: [] for profile_id in profile_ids}
    rows = await conn.execute(
        select(
            profile_addresses.c.profile_id,
            addresses.c.id,
            addresses.c.channel,
            addresses.c.value,
            profile_addresses.c.is_primary,
            addresses.c.status,
        )
        .join(addresses, addresses.c.id == profile_addresses.c.address_id)
        .where(profile_addresses.c.profile_id.in_(list(profile_ids)))
        .order_by(profile_addresses.c.profile_id, profile_addresses.c.position, addresses.c.id)
    )
    for row in rows:
        found[row.profile_id].append(Held(row.id, row.channel, row.value or "", row.is_primary, row.status))
    return found


@dataclass(frozen=True, slots=True)
class Link:
    """That a profile has an address, as it is to be."""

    profile_id: str
    address_id: str
    channel: str
    primary: bool
    position: int
    since: datetime | None = None  # of one that is given: since when the person has it; None: now


async def give(
    conn: AsyncConnection, links: Sequence[Link], *, now: datetime, made: Collection[str] = frozenset()
) -> None:
    """Let profiles have addresses they have not yet, since now, and not before anything they have said already.

    `now` may be older than the locks: a channel's yes recorded meanwhile must not cover an address given after it,
    and a profile made meanwhile was not made with it. What comes with a yes came when that came: the link's `since`.
    Those `made` by the caller, in this transaction, have said nothing yet.
    """
    earliest = await _earliest(conn, {link.profile_id for link in links} - set(made), now)
    await insert_missing(
        conn,
        profile_addresses,
        [
            {
                "profile_id": link.profile_id,
                "address_id": link.address_id,
                "channel": link.channel,
                "is_primary": link.primary,
                "position": link.position,
                "since": max(at for at in (link.since or now, earliest.get(link.profile_id)) if at is not None),
            }
            for link in links
        ],
    )


async def _earliest(conn: AsyncConnection, profile_ids: Collection[str], now: datetime) -> dict[str, datetime | None]:
    """Since when each profile can have what it is given now: after its newest flag, and its making, if not at that."""
    rows = await bulk.rows(conn, _EARLIEST, ids=sorted(profile_ids)) if profile_ids else []
    tick = timedelta(microseconds=1)
    return {
        row.id: max(
            [*([row.made + tick] if row.made > now else []), *([row.said + tick] if row.said else [])], default=None
        )
        for row in rows
    }


async def arrange(conn: AsyncConnection, link: Link) -> None:
    """Give an address its place and whether it is the primary one of its channel."""
    await conn.execute(
        update(profile_addresses)
        .where(
            and_(profile_addresses.c.profile_id == link.profile_id, profile_addresses.c.address_id == link.address_id)
        )
        .values(is_primary=link.primary, position=link.position)
    )


async def take(conn: AsyncConnection, profile_id: str, address_ids: Collection[str]) -> None:
    """Let a profile have these addresses no longer; a value that nobody has any more is forgotten."""
    await conn.execute(
        delete(profile_addresses).where(
            profile_addresses.c.profile_id == profile_id, profile_addresses.c.address_id.in_(list(address_ids))
        )
    )
    await forget_unheld(conn, address_ids)


async def forget_unheld(conn: AsyncConnection, address_ids: Collection[str]) -> None:
    """Forget the values of those addresses that nobody has; what hangs on their hash stays."""
    await conn.execute(
        update(addresses)
        .where(
            addresses.c.id.in_(list(address_ids)),
            ~exists(select(1).where(profile_addresses.c.address_id == addresses.c.id)),
        )
        .values(value=None)
    )


async def mark_undeliverable(conn: AsyncConnection, address_ids: Collection[str]) -> None:
    """What is sent to these addresses does not arrive; no change of consent. Locks their rows."""
    if address_ids:
        await lock_addresses(conn, address_ids)
        await conn.execute(
            update(addresses).where(addresses.c.id.in_(sorted(address_ids))).values(status="undeliverable")
        )
