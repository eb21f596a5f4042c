"""Who wrote: every profile of the address, or a new one, so that a STOP is always kept.

A number that writes on a second channel belongs to the profile that has it on another, if exactly one has. A WhatsApp
message with a number and a business-scoped id: both are addresses of one profile. A sender that is no address (short
code, alphanumeric, anonymous) makes no profile.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Inbound
from consent import defaults
from profiles import links, records
from profiles.addresses import PHONE_CHANNELS, Address, AddressBook, BadAddress, is_number
from store.engine import Raced
from store.ids import new_id
from store.locks import lock_people, lock_profiles
from store.tables import addresses, profile_addresses


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom a message is from."""

    address_id: str | None = None  # None: the sender is no address
    profile_ids: tuple[str, ...] = ()  # the oldest first
    address_ids: frozenset[str] = frozenset()  # of all these profiles


NOBODY = Sender()

# A short code, or an alphanumeric sender (which libphonenumber would read as a vanity number).
_NO_PERSON = re.compile(r"[0-9]{1,8}|(?![A-Z]{2}\.)(?=.*[A-Za-z]).*", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Named:
    """The addresses a message proves to be one person's; the first is the sender."""

    own: tuple[Address, ...]
    elsewhere: tuple[Address, ...]  # the same number on the other channels


async def resolve(
    conn: AsyncConnection, messages: Sequence[Inbound], *, book: AddressBook, now: datetime
) -> list[Sender]:
    """The sender of each message; their profiles and address rows are locked until the transaction ends.

    Raises store.engine.Raced when a rival transaction changed who has an address meanwhile.
    """
    named = [_named(message, book) for message in messages]
    hashes = {a.hash for n in named if n for a in (*n.own, *n.elsewhere)}
    holders = await _holders(conn, hashes)
    plan = _Plan(holders)
    wanted = [plan.settle(n) if n else () for n in named]
    await lock_profiles(conn, plan.known)
    ids = await links.ensure_addresses(conn, (a for n in named if n for a in n.own), now=now, lock=False)
    await lock_people(conn, plan.known, also=ids.values())
    await links.restore_values(conn, (a for n in named if n for a in n.own))
    if conn.dialect.name == "postgresql" and await _holders(conn, hashes) != holders:
        raise Raced("who has an address changed before it was locked")
    await _make(conn, plan, ids, now)
    held = await links.held_by(conn, sorted({p for group in wanted for p in group}))
    return [
        Sender(
            ids[n.own[0].hash],
            tuple(sorted(group)),
            frozenset(address.address_id for profile_id in group for address in held[profile_id]),
        )
        if n
        else NOBODY
        for n, group in zip(named, wanted, strict=True)
    ]


def _named(message: Inbound, book: AddressBook) -> _Named | None:
    own: list[Address] = []
    for value in (message.sender, *message.also_from):
        if message.channel in PHONE_CHANNELS and _NO_PERSON.fullmatch(value):
            continue  # read as a national number it would be somebody else's
        try:
            own.append(book.proved(message.channel, value))
        except BadAddress:
            continue
    if not own:
        return None
    elsewhere = tuple(
        book.proved(channel, address.value)
        for address in own
        if is_number(address.value)
        for channel in sorted(PHONE_CHANNELS - {message.channel})
    )
    return _Named(tuple(own), elsewhere)


class _Plan:
    """Who has which address once all is done; keeps what must be made for that."""

    def __init__(self, holders: Mapping[str, frozenset[str]]) -> None:
        self._holders = {digest: set(found) for digest, found in holders.items()}
        self.known = sorted({profile_id for found in holders.values() for profile_id in found})
        self.new: list[str] = []
        self.links: list[tuple[str, Address]] = []

    def settle(self, named: _Named) -> tuple[str, ...]:
        """The profiles of one sender, the same objects for every message of one batch."""
        people = {p for address in named.own for p in self._holders.get(address.hash, ())}
        if not people:
            elsewhere = {p for address in named.elsewhere for p in self._holders.get(address.hash, ())}
            people = elsewhere if len(elsewhere) == 1 else {self._make()}
        for address in named.own:
            found = self._holders.setdefault(address.hash, set())
            if not found:
                self.links.extend((profile_id, address) for profile_id in sorted(people))
                found |= people
        return tuple(sorted(people))

    def _make(self) -> str:
        profile_id = new_id("pro")
        self.new.append(profile_id)
        return profile_id


async def _make(conn: AsyncConnection, plan: _Plan, ids: Mapping[str, str], now: datetime) -> None:
    version = await defaults.current_version(conn) if plan.new else 0
    await records.make(conn, [{"id": p} for p in plan.new], defaults_version=version, now=now)
    at: dict[str, int] = {}
    if {p for p, _ in plan.links} - set(plan.new):
        for profile_id, held in (await links.held_by(conn, [p for p, _ in plan.links])).items():
            at[profile_id] = len(held)
    new_links = []
    for profile_id, address in plan.links:
        position = at.get(profile_id, 0)
        at[profile_id] = position + 1
        new_links.append(links.Link(profile_id, ids[address.hash], address.channel, primary=True, position=position))
    if new_links:
        await links.give(conn, new_links, now=now)


async def _holders(conn: AsyncConnection, hashes: Collection[str]) -> dict[str, frozenset[str]]:
    """Hash → the profiles that have the address."""
    found: dict[str, set[str]] = {}
    rows = await conn.execute(
        select(addresses.c.hash, profile_addresses.c.profile_id)
        .join(profile_addresses, profile_addresses.c.address_id == addresses.c.id)
        .where(addresses.c.hash.in_(list(hashes)))
    )
    for row in rows:
        found.setdefault(row.hash, set()).add(row.profile_id)
    return {digest: frozenset(people) for digest, people in found.items()}
