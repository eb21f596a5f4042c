"""Who wrote: every profile of the address, or a new one, so that a STOP is always kept.

A number that writes on a second channel belongs to the profile that has it on another, if exactly one has. A WhatsApp
message with a number and a business-scoped id: both are addresses of one profile. A sender that is no address (short
code, alphanumeric, anonymous) makes no profile; nor does a machine that writes by itself, from nobody's address.
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
from profiles.addresses import PHONE_CHANNELS, Address, AddressBook, BadAddress
from store import bulk
from store.engine import Raced
from store.ids import new_id
from store.locks import Links, lock_profiles, lock_their_addresses
from store.parts import among
from store.tables import addresses, profile_addresses

# Statements of this way are made once: to make one takes longer than to run it.
_KNOWN = (
    select(addresses.c.hash, addresses.c.id, addresses.c.value, profile_addresses.c.profile_id)
    .outerjoin(profile_addresses, profile_addresses.c.address_id == addresses.c.id)
    .where(among(addresses.c.hash))
)


@dataclass(frozen=True, slots=True)
class Sender:
    """Whom a message is from."""

    address_id: str | None = None  # None: the sender is no address
    profile_ids: tuple[str, ...] = ()  # the oldest first
    address_ids: frozenset[str] = frozenset()  # of all these profiles
    is_known: bool = True  # before it wrote


NOBODY = Sender()

# A short code, or an alphanumeric sender (which libphonenumber would read as a vanity number).
_NO_PERSON = re.compile(r"[0-9]{1,8}|(?![A-Z]{2}\.)(?=.*[A-Za-z]).*", re.DOTALL)
# How a number that texts is also written; RCS is the same number, on the same channel.
_PREFIX = re.compile(r"(?:sms|rcs):(?=\+?[0-9])", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Named:
    """The addresses a message proves to be one person's; the first is the sender."""

    own: tuple[Address, ...]
    elsewhere: tuple[Address, ...]  # the same number on the other channels
    came_at: datetime | None  # None: with the transaction
    is_person: bool  # no machine wrote: who is not known yet becomes so


@dataclass(frozen=True, slots=True)
class _Known:
    """An address row as it is found."""

    address_id: str
    forgotten: bool  # its value is
    holders: frozenset[str]


async def resolve(
    conn: AsyncConnection, messages: Sequence[Inbound], *, book: AddressBook, now: datetime, also: Collection[str] = ()
) -> tuple[list[Sender], Links]:
    """The sender of each message, and who has what of all these people, as it is now.

    Their profiles and address rows are locked until the transaction ends, and so are those of the addresses `also`,
    which the caller will come to: to lock them later would cross whoever locks them first.

    Raises store.engine.Raced when somebody was given an address before its row was locked.
    """
    named = [_named(message, book) for message in messages]
    hashes = {a.hash for n in named if n for a in (*n.own, *n.elsewhere)}
    known = await _known(conn, hashes)
    named = [n if n and (n.is_person or _is_anybodys(n, known)) else None for n in named]
    own = {a.hash: a for n in named if n for a in n.own}
    people = _holders(known) | set().union(*(await links.holders(conn, also)).values())
    await lock_profiles(conn, people)
    missing = [address for digest, address in own.items() if digest not in known]
    ids = await links.make_addresses(conn, missing, now=now)
    ids |= {digest: row.address_id for digest, row in known.items()}
    held = await lock_their_addresses(conn, people, also=[*(ids[digest] for digest in own), *also])
    if conn.dialect.name == "postgresql":
        known = await _known(conn, hashes)
        if not _holders(known) <= people:  # fewer are none too few: all of them are held
            raise Raced("an address was given to somebody before it was locked")
    await links.restore_values(conn, [own[digest] for digest in own.keys() & known.keys() if known[digest].forgotten])
    plan = _Plan(known)
    groups = [plan.settle(n) if n else () for n in named]
    await _make(conn, plan, ids, held, now)
    senders = [
        Sender(
            ids[n.own[0].hash],
            group,
            frozenset(address_id for profile_id in group for address_id, _ in held[profile_id]),
            is_known=plan.new.isdisjoint(group),
        )
        if n
        else NOBODY
        for n, group in zip(named, groups, strict=True)
    ]
    return senders, held


def _named(message: Inbound, book: AddressBook) -> _Named | None:
    own: list[Address] = []
    for given in (message.sender, *message.also_from):
        value = _bare(given) if message.channel == "sms" else given
        if message.channel in PHONE_CHANNELS and _NO_PERSON.fullmatch(value):
            continue  # read as a national number it would be somebody else's
        try:
            own.append(book.proved(message.channel, value))
        except BadAddress:
            continue
    if not own:
        return None
    elsewhere = tuple(other for address in own for other in book.elsewhere(address))
    return _Named(tuple(own), elsewhere, message.received_at, message.automatic is None)


def _bare(sender: str) -> str:
    found = _PREFIX.match(sender)
    return sender[found.end() :] if found else sender


class _Plan:
    """Who has which address once all is done; keeps what must be made for that."""

    def __init__(self, known: Mapping[str, _Known]) -> None:
        self._holders = {digest: set(row.holders) for digest, row in known.items()}
        self.new: set[str] = set()
        self.links: list[tuple[str, Address, datetime | None]] = []  # since when: as the message came

    def settle(self, named: _Named) -> tuple[str, ...]:
        """The profiles of one sender, the same objects for every message of one batch."""
        people = {p for address in named.own for p in self._holders.get(address.hash, ())}
        if not people:
            elsewhere = {p for address in named.elsewhere for p in self._holders.get(address.hash, ())}
            people = elsewhere if len(elsewhere) == 1 else {self._make()}
        for address in named.own:
            found = self._holders.setdefault(address.hash, set())
            if not found:
                self.links.extend((profile_id, address, named.came_at) for profile_id in sorted(people))
                found |= people
        return tuple(sorted(people))

    def _make(self) -> str:
        profile_id = new_id("pro")
        self.new.add(profile_id)
        return profile_id


async def _make(conn: AsyncConnection, plan: _Plan, ids: Mapping[str, str], held: Links, now: datetime) -> None:
    """Make the profiles and links that the plan wants, and add the links to those `held`."""
    version = await defaults.current_version(conn) if plan.new else 0
    await records.make(conn, [{"id": p} for p in sorted(plan.new)], defaults_version=version, now=now)
    given = []
    for profile_id, address, came_at in plan.links:
        place = held.setdefault(profile_id, [])
        given.append(links.Link(profile_id, ids[address.hash], address.channel, True, len(place), came_at))
        place.append((ids[address.hash], address.channel))
    if given:
        await links.give(conn, given, now=now, made=plan.new)


async def _known(conn: AsyncConnection, hashes: Collection[str]) -> dict[str, _Known]:
    """Hash → what there is of the address."""
    rows = await bulk.rows(conn, _KNOWN, ids=sorted(hashes))
    found: dict[str, tuple[str, bool, set[str]]] = {}
    for row in rows:
        _, _, holders = found.setdefault(row.hash, (row.id, row.value is None, set()))
        if row.profile_id is not None:
            holders.add(row.profile_id)
    return {digest: _Known(id_, forgotten, frozenset(held)) for digest, (id_, forgotten, held) in found.items()}


def _is_anybodys(named: _Named, known: Mapping[str, _Known]) -> bool:
    return any(known[address.hash].holders for address in named.own if address.hash in known)


def _holders(known: Mapping[str, _Known]) -> set[str]:
    return {profile_id for row in known.values() for profile_id in row.holders}
