"""Flags and people as the ledger finds them in the tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Row, literal_column, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import verdict
from consent.states import Event, Flag, Flags, Person, Subject, obtained_at
from store import bulk
from store.parts import IDS, among, rows_by
from store.tables import addresses, consent_events, consent_states, evidence, preferences, profile_addresses, profiles

_FLAGS = select(consent_states).where(among(consent_states.c.profile_id))
_SUPPRESSED = select(addresses.c.id, addresses.c.suppressed_at).where(
    among(addresses.c.id), addresses.c.suppressed_at.is_not(None)
)
_LINKED = select(preferences.c.id, preferences.c.linked_channel).where(preferences.c.linked_channel.is_not(None))


async def flags_of(conn: AsyncConnection, profile_ids: Collection[str]) -> dict[str, dict[Subject, Flag]]:
    """The present flags by profile; a subject never asked has none."""
    found: dict[str, dict[Subject, Flag]] = {profile_id: {} for profile_id in profile_ids}
    for row in await bulk.rows(conn, _FLAGS, ids=sorted(profile_ids)):
        found[row.profile_id][Subject(row.kind, row.key)] = flag_from(row)
    return found


async def people(
    conn: AsyncConnection,
    links: Mapping[str, Sequence[tuple[str, str]]],
    *,
    named: Collection[str] = (),
    suppressed: Mapping[str, datetime],
    obtained: bool = False,
) -> dict[str, Person]:
    """What a change that names these addresses needs to know; `links` are those each has now (address id, channel).

    `obtained`: and when each yes was obtained, by its evidence.
    """
    flags = await flags_of(conn, links.keys())
    channels = {address_id: channel for held in links.values() for address_id, channel in held}
    flagged = {subject.key for held in flags.values() for subject in held if subject.kind == "address"}
    gone = flagged.union(named) - channels.keys()
    if gone:
        channels |= await channels_of(conn, gone)
    when = await obtained_of(conn, flags) if obtained else {}
    return {
        profile_id: Person(flags[profile_id], tuple(held), channels, suppressed, when.get(profile_id, {}))
        for profile_id, held in links.items()
    }


async def obtained_of(
    conn: AsyncConnection, flags: Mapping[str, Mapping[Subject, Flag]]
) -> dict[str, dict[Subject, datetime]]:
    """Profile → subject → when its standing yes was obtained; none where nothing tells, or it was erased."""
    of: dict[str, list[tuple[str, Subject]]] = {}
    for profile_id, held in flags.items():
        for subject, flag in held.items():
            if flag.state == "yes":
                of.setdefault(flag.event_id, []).append((profile_id, subject))  # START turns two
    found: dict[str, dict[Subject, datetime]] = {}
    for row in await rows_by(conn, select(evidence).where(evidence.c.event_id.in_(IDS)), of):
        if (at := obtained_at(row.body or {})) is not None:
            for profile_id, subject in of[row.event_id]:
                found.setdefault(profile_id, {})[subject] = at
    return found


async def yes_without_word(
    conn: AsyncConnection, profile_ids: Collection[str], *, channel: str, address_id: str, since: datetime
) -> set[str]:
    """Whose yes to the channel or the address came after `since`, and is neither the person's word nor shows one.

    A no that was said then, and is recorded only now, must not be put back behind it: had it been recorded at once,
    no machine could have undone it.
    """
    said = consent_states.alias("said")
    asked = (
        select(said.c.profile_id, consent_events.c.personal, evidence.c.body)
        .join(consent_events, consent_events.c.id == said.c.event_id)
        .outerjoin(evidence, evidence.c.event_id == said.c.event_id)
        .where(said.c.profile_id.in_(IDS), said.c.state == "yes", said.c.order_at > since)
        .where(tuple_(said.c.kind, said.c.key).in_([("channel", channel), ("address", address_id)]))
    )
    return {
        row.profile_id
        for row in await rows_by(conn, asked, profile_ids)
        if not row.personal and not _shows_a_word(row.body or {}, since)
    }


def _shows_a_word(body: Mapping[str, Any], since: datetime) -> bool:
    obtained = obtained_at(body)
    return obtained is not None and obtained > since and bool(body.get("how"))


async def covered(conn: AsyncConnection, profile_id: str) -> dict[str, list[str]]:
    """Channel → the addresses that its yes covers."""
    held, said = profile_addresses.c, verdict.state_alias("said")
    statement = (
        select(held.channel, held.address_id)
        .join(profiles, profiles.c.id == held.profile_id)
        .join(said, verdict.on(said, held.profile_id, "channel", held.channel))
        .where(held.profile_id == profile_id, said.c.state == literal_column("'yes'"))
        .where(verdict.covers(held.since, said.c.at, profiles.c.created_at))
        .order_by(held.position, held.address_id)
    )
    found: dict[str, list[str]] = {}
    for row in await conn.execute(statement):
        found.setdefault(row.channel, []).append(row.address_id)
    return found


async def channels_of(conn: AsyncConnection, address_ids: Collection[str]) -> dict[str, str]:
    rows = await rows_by(conn, select(addresses.c.id, addresses.c.channel).where(addresses.c.id.in_(IDS)), address_ids)
    return {row.id: row.channel for row in rows}


async def suppressed(conn: AsyncConnection, address_ids: Collection[str]) -> dict[str, datetime]:
    """Address id → since when, of those that are suppressed."""
    if not address_ids:
        return {}
    rows = await bulk.rows(conn, _SUPPRESSED, ids=sorted(set(address_ids)))
    return {row.id: row.suppressed_at for row in rows}


def with_flags(person: Person, flags: Flags) -> Person:
    return replace(person, flags=flags)


async def linked_preferences(conn: AsyncConnection) -> dict[str, str]:
    """Preference id → the channel it is linked to."""
    return {row.id: row.linked_channel for row in await bulk.rows(conn, _LINKED)}


FLAG = tuple(Flag.__dataclass_fields__)  # columns of consent_states by the same names
EVENT = tuple(name for name in Event.__dataclass_fields__ if name != "subject")  # and of consent_events


def flag_from(row: Row[Any]) -> Flag:
    return Flag(**{name: getattr(row, name) for name in FLAG})


def state_row(profile_id: str, subject: Subject, flag: Flag) -> dict[str, Any]:
    key = {"profile_id": profile_id, "kind": subject.kind, "key": subject.key}
    return key | {name: getattr(flag, name) for name in FLAG}


def event_from(row: Row[Any]) -> Event:
    """One line of consent_events as a value."""
    return Event(
        id=row.id,
        change_id=row.change_id,
        profile_id=row.profile_id,
        subject=Subject(row.subject_kind, row.subject_key),
        address_id=row.address_id,
        with_address=row.with_address,
        from_state=row.from_state,
        to_state=row.to_state,
        basis=row.basis,
        expires_at=row.expires_at,
        at=row.at,
        provider_at=row.provider_at,
        source=row.source,
        actor=row.actor,
        personal=row.personal,
        via=row.via,
        superseded=row.superseded,
    )
