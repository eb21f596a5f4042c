"""The history as it is read: lines with the names of what they are about, and their evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import Subject
from store.tables import addresses, consent_events, evidence, preferences


@dataclass(frozen=True, slots=True)
class HistoryLine:
    id: str
    seq: int
    change_id: str
    profile_id: str
    kind: str
    key: str
    subject_channel: str | None  # of an address as subject
    subject_value: str | None  # of an address as subject; None once erased
    preference: str | None  # the name of a preference as subject
    preference_active: bool | None
    address: str | None  # the address the act came from; None where none, or erased
    with_address: bool
    from_state: str
    to_state: str
    basis: str | None
    expires_at: datetime | None
    at: datetime
    provider_at: datetime | None
    source: str
    actor: str
    via: str | None
    superseded: bool
    evidence: dict[str, Any] | None  # None once erased
    hash: str


@dataclass(frozen=True, slots=True)
class Filter:
    """Which lines; everything given must hold."""

    profile_ids: Sequence[str] = ()  # none: of everybody
    since: datetime | None = None
    until: datetime | None = None
    source: str | None = None
    actor: str | None = None
    kind: str | None = None
    channel: str | None = None
    changes: Select[tuple[str]] | None = None  # of these changes, by their ids


_ORIGIN = addresses.alias("origin")
_SUBJECT = addresses.alias("subject_address")


def _lines() -> Select[Any]:
    event = consent_events.c
    return select(
        event.id,
        event.seq,
        event.change_id,
        event.profile_id,
        event.subject_kind.label("kind"),
        event.subject_key.label("key"),
        _SUBJECT.c.channel.label("subject_channel"),
        _SUBJECT.c.value.label("subject_value"),
        preferences.c.name.label("preference"),
        preferences.c.active.label("preference_active"),
        _ORIGIN.c.value.label("address"),
        event.with_address,
        event.from_state,
        event.to_state,
        event.basis,
        event.expires_at,
        event.at,
        event.provider_at,
        event.source,
        event.actor,
        event.via,
        event.superseded,
        evidence.c.body.label("evidence"),
        event.hash,
    ).select_from(
        consent_events.outerjoin(evidence, evidence.c.event_id == event.id)
        .outerjoin(_ORIGIN, _ORIGIN.c.id == event.address_id)
        .outerjoin(_SUBJECT, (_SUBJECT.c.id == event.subject_key) & (event.subject_kind == "address"))
        .outerjoin(preferences, (preferences.c.id == event.subject_key) & (event.subject_kind == "preference"))
    )


async def read(conn: AsyncConnection, chosen: Filter, *, before: int | None, limit: int) -> list[HistoryLine]:
    """The lines that match, the newest first, from before `before`."""
    event = consent_events.c
    statement = _lines().order_by(event.seq.desc()).limit(limit)
    if before is not None:
        statement = statement.where(event.seq < before)
    if chosen.profile_ids:
        statement = statement.where(event.profile_id.in_(chosen.profile_ids))
    if chosen.since is not None:
        statement = statement.where(event.at >= chosen.since)
    if chosen.until is not None:
        statement = statement.where(event.at < chosen.until)
    if chosen.source is not None:
        statement = statement.where(event.source == chosen.source)
    if chosen.actor is not None:
        statement = statement.where(event.actor == chosen.actor)
    if chosen.kind is not None:
        statement = statement.where(event.subject_kind == chosen.kind)
    if chosen.changes is not None:
        statement = statement.where(event.change_id.in_(chosen.changes))
    if chosen.channel is not None:
        about_channel = (event.subject_kind == "channel") & (event.subject_key == chosen.channel)
        statement = statement.where(or_(about_channel, _SUBJECT.c.channel == chosen.channel))
    return [HistoryLine(**row) for row in (await conn.execute(statement)).mappings()]


async def by_ids(conn: AsyncConnection, ids: Sequence[str]) -> list[HistoryLine]:
    """These lines, the newest first."""
    statement = _lines().where(consent_events.c.id.in_(list(ids))).order_by(consent_events.c.seq.desc())
    return [HistoryLine(**row) for row in (await conn.execute(statement)).mappings()]


async def last_line(conn: AsyncConnection, profile_id: str) -> int:
    """The `seq` of the newest line of a profile; 0 where there is none."""
    newest = select(func.coalesce(func.max(consent_events.c.seq), 0)).where(consent_events.c.profile_id == profile_id)
    return int((await conn.execute(newest)).scalar_one())


async def declined_since(conn: AsyncConnection, profile_id: str, seen: int) -> frozenset[Subject]:
    """What the person, or anybody for them, has said no to since that line of their history."""
    event = consent_events.c
    rows = await conn.execute(
        select(event.subject_kind, event.subject_key, event.address_id, event.with_address).where(
            event.profile_id == profile_id, event.seq > seen, event.to_state == "no"
        )
    )
    found: set[Subject] = set()
    for row in rows:
        found.add(Subject(row.subject_kind, row.subject_key))
        if row.with_address and row.address_id is not None:
            found.add(Subject("address", row.address_id))
    return frozenset(found)
