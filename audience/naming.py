"""Whom a row of an import means.

By its `profile_id` or `external_id`, if somebody has it; else by its addresses, if they lead to one person, who is then
told apart from another by the external id; else somebody new. Where they lead to several the row is nobody's: it is
refused, and only a no of it is taken, for each of them. So it is where the two ids are two people's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience.columns import Row
from profiles import records
from store.parts import IDS, rows_by
from store.tables import addresses, profile_addresses, profiles


@dataclass(frozen=True, slots=True)
class Target:
    """One person, nobody yet, or several."""

    profile_ids: tuple[str, ...] = ()

    @property
    def is_new(self) -> bool:
        return not self.profile_ids

    @property
    def is_ambiguous(self) -> bool:
        return len(self.profile_ids) > 1


class Holder(NamedTuple):
    """Somebody who has an address, and the external id of theirs."""

    profile_id: str
    external_id: str | None


@dataclass(frozen=True, slots=True)
class Named:
    """Everybody whom some rows name in any way."""

    ids: frozenset[str]
    external_ids: Mapping[str, str]
    address_ids: Mapping[str, str]  # by hash
    holders: Mapping[str, frozenset[Holder]]  # by hash

    def same_people(self, other: Named) -> bool:
        """Whether nobody has got or lost a name in between."""
        return (self.ids, self.external_ids, self.holders) == (other.ids, other.external_ids, other.holders)

    def target(self, row: Row) -> Target:
        """Whom the row means."""
        external_id = row.names.get("external_id")
        of_it = row.profile_id if row.profile_id in self.ids else None
        by_ids = {one for one in (of_it, self.external_ids.get(external_id or "")) if one is not None}
        if by_ids:
            return Target(tuple(sorted(by_ids)))
        found = {holder for address in row.addresses for holder in self.holders.get(address.hash, ())}
        if external_id is not None:  # who has another one is somebody else
            found = {holder for holder in found if holder.external_id is None}
        return Target(tuple(sorted(holder.profile_id for holder in found)))


def names_of(row: Row) -> set[str]:
    """All that may tell whom a row means: rows that share one cannot be decided together."""
    told = {f"id {row.profile_id}", f"external {row.names.get('external_id')}"} - {"id None", "external None"}
    return told | {address.hash for address in row.addresses}


async def look_up(conn: AsyncConnection, rows: Sequence[Row]) -> Named:
    """Everybody whom these rows name."""
    ids = {row.profile_id for row in rows if row.profile_id is not None}
    hashes = {address.hash for row in rows for address in row.addresses}
    there = await rows_by(conn, select(profiles.c.id).where(profiles.c.id.in_(IDS)), ids)
    external_ids = {row.names["external_id"] for row in rows if "external_id" in row.names}
    address_ids: dict[str, str] = {}
    holders: dict[str, set[Holder]] = {}
    for hash_, address_id, profile_id, external_id in await _holders(conn, hashes):
        address_ids[hash_] = address_id
        if profile_id is not None:
            holders.setdefault(hash_, set()).add(Holder(profile_id, external_id))
    return Named(
        frozenset(row.id for row in there),
        await records.by_external_ids(conn, external_ids),
        address_ids,
        {hash_: frozenset(found) for hash_, found in holders.items()},
    )


async def _holders(conn: AsyncConnection, hashes: Iterable[str]) -> list[tuple[str, str, str | None, str | None]]:
    held = profile_addresses
    statement = (
        select(addresses.c.hash, addresses.c.id, held.c.profile_id, profiles.c.external_id)
        .select_from(
            addresses.outerjoin(held, held.c.address_id == addresses.c.id).outerjoin(
                profiles, profiles.c.id == held.c.profile_id
            )
        )
        .where(addresses.c.hash.in_(IDS))
    )
    return [tuple(row) for row in await rows_by(conn, statement, hashes)]
