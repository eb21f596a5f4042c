"""People made, changed and removed, with all that it means for what may be sent.

An address given or taken can change a verdict, so it takes the same locks as a change of consent, leaves a no
behind, and stops what is queued.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import defaults, holds
from outbox import confirmations, heed
from profiles import links, records
from profiles.addresses import Address
from store.engine import Raced
from store.locks import lock_people, lock_profiles


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address a profile is to have."""

    address: Address
    primary: bool = False


@dataclass(frozen=True, slots=True)
class Draft:
    """What is said of a profile. Absent names stay as they are; None addresses and tags too."""

    names: Mapping[str, str | None] = field(default_factory=dict)  # of records.NAMES
    attributes: Mapping[str, Any] | None = None  # an RFC 7396 merge patch
    tags: Sequence[str] | None = None  # replaced as given
    addresses: Sequence[Wanted] | None = None  # replaced as given


async def create(conn: AsyncConnection, draft: Draft, *, now: datetime) -> str:
    """A new profile; returns its id. Raises records.ExternalIdTaken."""
    [profile_id] = await create_many(conn, [draft], now=now)
    return profile_id


async def create_many(conn: AsyncConnection, drafts: Sequence[Draft], *, now: datetime) -> list[str]:
    """New profiles in the same few statements; returns their ids, in order. Raises records.ExternalIdTaken."""
    external_ids = {one for draft in drafts if (one := draft.names.get("external_id")) is not None}
    for owner in (await records.by_external_ids(conn, external_ids)).values():
        raise records.ExternalIdTaken(owner)
    fields = [{**draft.names, "attributes": records.merged({}, draft.attributes or {})} for draft in drafts]
    version = await defaults.current_version(conn)
    made = await records.make(conn, fields, defaults_version=version, now=now)
    await records.add_tags(conn, {one: draft.tags or () for one, draft in zip(made, drafts, strict=True)})
    ids = await links.ensure_addresses(conn, (w.address for d in drafts for w in d.addresses or ()), now=now)
    given = [link for one, draft in zip(made, drafts, strict=True) for link in _placed(one, draft.addresses or (), ids)]
    await links.give(conn, given, now=now)
    await holds.touch(conn, [link.address_id for link in given])
    return made


async def change(
    conn: AsyncConnection, profile_id: str, draft: Draft, *, now: datetime, since: datetime | None = None
) -> heed.Heeded:
    """Change what the draft names; addresses that are new are theirs since then. Raises records.ExternalIdTaken."""
    await lock_profiles(conn, [profile_id])
    ids = await links.ensure_addresses(conn, (w.address for w in draft.addresses or ()), now=now, lock=False)
    held = await lock_people(conn, [profile_id], also=ids.values())
    await _external_id_is_free(conn, draft, profile_id)
    values: dict[str, Any] = dict(draft.names)
    found = await records.read(conn, [profile_id])
    if not found:
        raise Raced("the profile was deleted before it was locked")
    if draft.attributes is not None:
        values["attributes"] = records.merged(found[0].attributes, draft.attributes)
    await records.change(conn, profile_id, values, now=now)
    if draft.tags is not None:
        await records.set_tags(conn, profile_id, draft.tags)
    if draft.addresses is None:
        return heed.Heeded()
    had = [address_id for address_id, _ in held[profile_id]]
    touched = await _arrange(conn, profile_id, draft.addresses, now=now, held=had, since=since)
    await heed.skip_queued(conn, touched, now=now)
    return heed.Heeded(closed=frozenset(touched))


async def replace_address(conn: AsyncConnection, profile_id: str, old: str, new: str, *, now: datetime) -> heed.Heeded:
    """Let an address, by id, take the place of another of a profile's."""
    held = (await links.held_by(conn, [profile_id]))[profile_id]
    known = await links.by_ids(conn, [new, *(one.address_id for one in held)])
    places = [(new if one.address_id == old else one.address_id, one.primary) for one in held]
    wanted = [Wanted(known[id_], first) for id_, first in places]
    return await change(conn, profile_id, Draft(addresses=wanted), now=now)


async def add_address(
    conn: AsyncConnection, profile_id: str, address: Address, *, elsewhere: Collection[str], now: datetime
) -> None:
    """Give a profile one address more, the last of its channel, unless somebody has got it meanwhile.

    It is theirs because nobody else has the addresses `elsewhere`, by id. Raises store.engine.Raced when that is so no
    more.
    """
    await lock_profiles(conn, [profile_id])
    ids = await links.ensure_addresses(conn, [address], now=now, lock=False)
    held = (await lock_people(conn, [profile_id], also=ids.values()))[profile_id]
    if {owner for owners in (await links.holders(conn, elsewhere)).values() for owner in owners} != {profile_id}:
        raise Raced("the number is somebody else's by now")
    if await links.holders(conn, ids.values()):
        return
    await links.restore_values(conn, [address])
    first = address.channel not in {channel for _, channel in held}
    given = links.Link(profile_id, ids[address.hash], address.channel, first, len(held))
    await links.give(conn, [given], now=now)
    await holds.touch(conn, [given.address_id])


async def leave_behind(conn: AsyncConnection, profile_id: str, address_ids: Collection[str], *, now: datetime) -> None:
    """As when these addresses left the profile, after more was said in the same transaction: a no stays with them."""
    if address_ids:
        await _leave(conn, profile_id, address_ids, now=now)


async def remove(conn: AsyncConnection, profile_id: str, *, now: datetime) -> heed.Heeded:
    """Delete a profile. Its history stays; every no it had said stays on its addresses."""
    held = await lock_people(conn, [profile_id])
    address_ids = [address_id for address_id, _ in held[profile_id]]
    await _leave(conn, profile_id, address_ids, now=now)
    await links.take(conn, profile_id, address_ids)
    await heed.skip_queued(conn, address_ids, now=now)
    await records.remove(conn, profile_id)
    return heed.Heeded(closed=frozenset(address_ids))


async def _leave(conn: AsyncConnection, profile_id: str, address_ids: Collection[str], *, now: datetime) -> None:
    """Keep the person's no on addresses that are about to leave them; it takes back what is asked there."""
    await holds.suppress_leaving(conn, profile_id, address_ids, now=now)
    await confirmations.end_left(conn, address_ids, now=now)


async def _external_id_is_free(conn: AsyncConnection, draft: Draft, profile_id: str) -> None:
    external_id = draft.names.get("external_id")
    if external_id is None:
        return
    owner = await records.by_external_id(conn, external_id)
    if owner is not None and owner != profile_id:
        raise records.ExternalIdTaken(owner)


async def _arrange(
    conn: AsyncConnection,
    profile_id: str,
    wanted: Sequence[Wanted],
    *,
    now: datetime,
    held: Sequence[str],
    since: datetime | None = None,
) -> list[str]:
    """Give, take and order addresses until they are as wanted; returns the ids of those given or taken."""
    ids = await links.ensure_addresses(conn, (w.address for w in wanted), now=now)
    placed = _placed(profile_id, wanted, ids)
    new = [replace(link, since=since) for link in placed if link.address_id not in held]
    gone = sorted(set(held) - {link.address_id for link in placed})
    if gone:
        await _leave(conn, profile_id, gone, now=now)
        await links.take(conn, profile_id, gone)
    await links.give(conn, new, now=now)
    for link in placed:
        if link.address_id in held:
            await links.arrange(conn, link)
    given = [link.address_id for link in new]
    await holds.touch(conn, given)
    return given + gone


def _placed(profile_id: str, wanted: Sequence[Wanted], ids: Mapping[str, str]) -> list[links.Link]:
    """Each address once, in order; on a channel where none is named primary the first is."""
    distinct: dict[str, Wanted] = {}
    for want in wanted:
        known = distinct.get(want.address.hash)
        distinct[want.address.hash] = Wanted(want.address, want.primary or (known is not None and known.primary))
    named = {want.address.channel for want in distinct.values() if want.primary}
    placed: list[links.Link] = []
    for position, (digest, want) in enumerate(distinct.items()):
        channel = want.address.channel
        first = channel not in named
        named.add(channel)
        placed.append(links.Link(profile_id, ids[digest], channel, want.primary or first, position))
    return placed
