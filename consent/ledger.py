"""The one writer of consent: the history and the flags, in the caller's transaction.

Doors do not call this; they call `outbox.heed.record`, which also stops what is queued.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import chain, reading
from consent.moves import Refused, transition
from consent.states import Change, Event
from store import bulk
from store.ids import new_id, new_salt
from store.locks import Links, lock_people
from store.parts import among
from store.tables import addresses, consent_chains, consent_events, consent_states, evidence
from store.upsert import upsert

_LAST_SEQ = select(func.coalesce(func.max(consent_events.c.seq), 0).label("seq"))
_HEADS = select(consent_chains.c.profile_id, consent_chains.c["count"].label("length"), consent_chains.c.head).where(
    among(consent_chains.c.profile_id)
)
_MARK = update(addresses).where(addresses.c.id == bindparam("address")).values(version=bindparam("seq"))
# Only a word from that very address: about it or its channel, said after the no that it keeps.
_ABOUT = or_(addresses.c.id == bindparam("about"), addresses.c.channel == bindparam("about"))
_OLDER = and_(addresses.c.id == bindparam("address"), addresses.c.suppressed_at < bindparam("said"), _ABOUT)
_RENEW = update(addresses).where(_OLDER).values(suppressed_at=bindparam("said"))
_LIFT = update(addresses).where(_OLDER).values(suppressed_at=None)


@dataclass(frozen=True, slots=True)
class Line:
    """An event with its place in the history."""

    event: Event
    seq: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """What was appended, and the addresses of those who may be sent less after it."""

    lines: tuple[Line, ...]
    closed: frozenset[str]


async def record(
    conn: AsyncConnection, changes: Sequence[Change], *, now: datetime, held: Links | None = None
) -> Recorded:
    """Grant the changes, in order, and append them to the history; raises Refused for the first that must not be.

    Locks the profiles and their address rows, but where the caller has done so, and gives what that `held`. When the
    transaction commits, history and flags are on disk together.
    """
    if not changes:
        return Recorded((), frozenset())
    profile_ids = {change.profile_id for change in changes}
    links = await lock_people(conn, profile_ids) if held is None else {p: held[p] for p in profile_ids}
    named = {wish.subject.key for change in changes for wish in change.wishes if wish.subject.kind == "address"}
    named.update(change.address_id for change in changes if change.address_id is not None)
    suppressed = await reading.suppressed(conn, {c.address_id for c in changes if c.address_id is not None})
    people = await reading.people(conn, links, named=named, suppressed=suppressed, obtained=_told_late(changes))
    before = {profile_id: person.flags for profile_id, person in people.items()}
    preference_links = await reading.linked_preferences(conn)
    drafts: list[tuple[Event, Change]] = []
    for place, change in enumerate(changes):
        moved = transition(
            people[change.profile_id],
            change,
            links=preference_links,
            now=now + timedelta(microseconds=place),  # those that arrived together came one after the other
            new_id=lambda: new_id("evt"),
        )
        if moved.refusals:
            raise Refused(change, moved.refusals)
        people[change.profile_id] = reading.with_flags(people[change.profile_id], moved.flags)
        drafts.extend((event, change) for event in moved.events)
    if not drafts:
        return Recorded((), frozenset())
    lines = await _append(conn, drafts)
    rows = [
        reading.state_row(profile_id, subject, flag)
        for profile_id, person in sorted(people.items())
        for subject, flag in sorted(person.flags.items())
        if before[profile_id].get(subject) != flag
    ]
    await upsert(conn, consent_states, rows)
    closed = await _mark_addresses(conn, links, lines)
    undoing = {change.change_id for change in changes if change.undoes is not None}
    await _mark_suppressions(conn, lines, suppressed, undoing)
    return Recorded(tuple(lines), closed)


def _told_late(changes: Sequence[Change]) -> bool:
    """Whether a no comes with the time it was said at: then it matters how old the yes is that it meets."""
    return any(change.said_at is not None and any(wish.to == "no" for wish in change.wishes) for change in changes)


async def _append(conn: AsyncConnection, drafts: Sequence[tuple[Event, Change]]) -> list[Line]:
    """Give the events their places, chain them, and write them with their evidence."""
    first = await _take_seqs(conn, len(drafts))
    heads = await _heads(conn, {event.profile_id for event, _ in drafts})
    rows: list[dict[str, Any]] = []
    bodies: list[dict[str, Any]] = []
    lines: list[Line] = []
    for (event, change), seq in zip(drafts, first, strict=True):
        position, previous = heads.get(event.profile_id, (0, chain.START))
        position += 1
        salt, body, spelling = new_salt(), *chain.plain(change.evidence)
        proof = chain.salted(salt, spelling)
        digest = chain.line_hash(event, seq=seq, position=position, evidence=proof, previous=previous)
        heads[event.profile_id] = (position, digest)
        rows.append(_event_row(event, seq, position, proof, previous, digest))
        bodies.append({"event_id": event.id, "salt": salt, "body": body})
        lines.append(Line(event, seq))
    await bulk.insert_rows(conn, consent_events, rows)
    await bulk.insert_rows(conn, evidence, bodies)
    await _write_heads(conn, heads)
    return lines


async def _take_seqs(conn: AsyncConnection, count: int) -> list[int]:
    """The next numbers of the history; taken under the profiles' locks, so a profile's lines ascend."""
    if conn.dialect.name == "postgresql":
        drawn = await conn.execute(
            text("SELECT nextval('consent_event_seq') FROM generate_series(1, :count)"), {"count": count}
        )
        return sorted(drawn.scalars())
    [last] = await bulk.rows(conn, _LAST_SEQ)
    return list(range(last.seq + 1, last.seq + 1 + count))


async def _heads(conn: AsyncConnection, profile_ids: set[str]) -> dict[str, tuple[int, str]]:
    rows = await bulk.rows(conn, _HEADS, ids=sorted(profile_ids))
    return {row.profile_id: (row.length, row.head) for row in rows}


async def _write_heads(conn: AsyncConnection, heads: dict[str, tuple[int, str]]) -> None:
    await upsert(
        conn,
        consent_chains,
        [
            {"profile_id": profile_id, "count": count, "head": head}
            for profile_id, (count, head) in sorted(heads.items())
        ],
    )


async def _mark_addresses(
    conn: AsyncConnection, links: Mapping[str, Sequence[tuple[str, str]]], lines: Sequence[Line]
) -> frozenset[str]:
    """Set the version of every address row concerned, which a claim notes; returns those closed."""
    versions: dict[str, int] = {}
    closed: set[str] = set()
    for line in lines:
        event = line.event
        held = [address_id for address_id, _ in links[event.profile_id]]
        if event.address_id is not None:
            held.append(event.address_id)
        versions |= dict.fromkeys(held, line.seq)
        if event.to_state != "yes":
            closed.update(held)
    await bulk.run(conn, _MARK, [{"address": id_, "seq": seq} for id_, seq in sorted(versions.items())])
    return frozenset(closed)


async def _mark_suppressions(
    conn: AsyncConnection, lines: Sequence[Line], suppressed: Mapping[str, datetime], undoing: Collection[str]
) -> None:
    """Let a word from a suppressed address lift its suppression, or renew it.

    Who takes back an act of their own has said no yes: what others have left there stays.
    """
    lifting: list[dict[str, Any]] = []
    renewing: list[dict[str, Any]] = []
    for event in (line.event for line in lines):
        if event.address_id is None or event.address_id not in suppressed:
            continue
        word = {"address": event.address_id, "about": event.subject.key}
        if event.to_state == "yes" and event.personal and not event.superseded and event.change_id not in undoing:
            lifting.append(word | {"said": event.effective_at})
        elif event.to_state == "no":
            renewing.append(word | {"said": event.order_at})
    await bulk.run(conn, _RENEW, renewing)
    await bulk.run(conn, _LIFT, lifting)


def _event_row(event: Event, seq: int, position: int, proof: str, previous: str, digest: str) -> dict[str, Any]:
    return {
        "seq": seq,
        "id": event.id,
        "change_id": event.change_id,
        "profile_id": event.profile_id,
        "position": position,
        "subject_kind": event.subject.kind,
        "subject_key": event.subject.key,
        "address_id": event.address_id,
        "with_address": event.with_address,
        "from_state": event.from_state,
        "to_state": event.to_state,
        "basis": event.basis,
        "expires_at": event.expires_at,
        "at": event.at,
        "provider_at": event.provider_at,
        "source": event.source,
        "actor": event.actor,
        "personal": event.personal,
        "via": event.via,
        "superseded": event.superseded,
        "evidence_hash": proof,
        "previous_hash": previous,
        "hash": digest,
    }
