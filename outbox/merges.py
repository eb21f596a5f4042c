"""Two profiles of one person become one, with all that it means for what may be sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import exists, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds, reading
from consent.merging import Said, Side, merged
from consent.states import Change
from outbox import heed
from profiles import links, merges, records
from profiles.records import Profile
from store.engine import Raced
from store.ids import new_id
from store.locks import lock_people
from store.parts import IDS, rows_by
from store.tables import defaults, deliveries, evidence, profiles


class Gone(Exception):
    """There is no such profile; the message is its id."""


async def merge(conn: AsyncConnection, into: str, gone: str, *, actor: str, now: datetime) -> heed.Heeded:
    """Let `gone` become part of `into`, which takes its addresses, tags, names and answers.

    Every no of the two wins. The history of `gone` stays under its id. Raises Gone, and records.AttributesTooLarge for
    what the two have together.
    """
    held = await lock_people(conn, [into, gone])
    found = {profile.id: profile for profile in await records.read(conn, [into, gone])}
    for profile_id in (into, gone):
        if profile_id not in found:
            raise Gone(profile_id)
    flags = await reading.flags_of(conn, [into, gone])
    covered = {profile_id: await reading.covered(conn, profile_id) for profile_id in (into, gone)}
    channels = {address_id: channel for links_ in held.values() for address_id, channel in links_}
    said = merged(Side(flags[into], covered[into]), Side(flags[gone], covered[gone]), channels)
    change_id = new_id("chg")
    shown = await _shown(conn, [one.event_id for one in said if one.event_id is not None])
    changes = [
        Change(
            profile_id=into,
            change_id=change_id if one.at is None else new_id("chg"),  # of one change a yes would open under its no
            wishes=one.wishes,
            source="merge",
            actor=actor,
            said_at=one.at,
            by_person=one.by_person,
            beside=tuple(wish for other in said if other.at is None and other is not one for wish in other.wishes),
            evidence={"merged": gone} | shown.get(one.event_id or "", {}),
        )
        for one in said
    ]
    heeded = await heed.record(conn, changes, now=now)
    await _carry_over(conn, found[into], found[gone], held, now=now)
    await _keep_the_stricter_default(conn, into, gone, _alone_in(said), now=now)
    await holds.carry_pauses(conn, gone, into)
    await _carry_queued(conn, into, gone, now=now)
    await records.remove(conn, gone)
    await merges.note(conn, gone, into, now=now)
    touched = frozenset(channels)
    await holds.touch(conn, touched)  # of those taken over too: a claim's version is not older than this
    await heed.skip_queued(conn, touched, now=now)
    return heed.Heeded(heeded.lines, touched)


def _alone_in(said: Sequence[Said]) -> set[str]:
    """The channels whose yes has moved down to addresses."""
    return {w.subject.key for one in said for w in one.wishes if w.to == "not_asked" and w.subject.kind == "channel"}


async def _shown(conn: AsyncConnection, event_ids: Sequence[str]) -> dict[str, dict[str, object]]:
    """What shows each: a no that is told late must find a yes as old as its evidence makes it."""
    statement = select(evidence.c.event_id, evidence.c.body).where(evidence.c.event_id.in_(IDS))
    rows = await rows_by(conn, statement, event_ids)
    return {
        row.event_id: {name: row.body[name] for name in ("obtained_at", "how", "wording") if name in row.body}
        for row in rows
        if row.body is not None
    }


async def _keep_the_stricter_default(
    conn: AsyncConnection, into: str, gone: str, alone: set[str], *, now: datetime
) -> None:
    """No default opens what it did not open before: not the other's addresses, nor those that a yes did not cover."""
    rows = await conn.execute(
        select(profiles.c.id, defaults.c.channel)
        .join(defaults, defaults.c.version == profiles.c.defaults_version)
        .where(profiles.c.id.in_([into, gone]), defaults.c.state == "yes")
    )
    yes: dict[str, set[str]] = {into: set(), gone: set()}
    for row in rows:
        yes[row.id].add(row.channel)
    if yes[into] - (yes[gone] - alone):
        await records.change(conn, into, {"defaults_version": 0}, now=now)


async def _carry_over(
    conn: AsyncConnection, into: Profile, gone: Profile, held: Mapping[str, Sequence[tuple[str, str]]], *, now: datetime
) -> None:
    """Names that the survivor lacks, attributes and tags besides its own, and the addresses behind its own."""
    has = {address_id for address_id, _ in held[into.id]}
    primary = {address.channel for address in into.addresses}
    given = []
    for place, address in enumerate(gone.addresses, start=len(has)):
        if address.address_id not in has:
            first = address.primary and address.channel not in primary
            given.append(links.Link(into.id, address.address_id, address.channel, first, place))
    await links.give(conn, given, now=now)
    await links.take(conn, gone.id, [address_id for address_id, _ in held[gone.id]])
    names = {name: getattr(into, name) or getattr(gone, name) for name in records.NAMES}
    if gone.external_id is not None:
        await records.change(conn, gone.id, {"external_id": None}, now=now)
    attributes = records.fitting(gone.attributes | into.attributes)
    await records.change(conn, into.id, names | {"attributes": attributes}, now=now)
    await records.set_tags(conn, into.id, {*into.tags, *gone.tags})


async def _carry_queued(conn: AsyncConnection, into: str, gone: str, *, now: datetime) -> None:
    """What waits for the one is for the survivor, but no broadcast comes to them twice."""
    queued = deliveries.c.status == literal_column("'queued'")
    waiting = select(deliveries.c.id).where(deliveries.c.profile_id.in_([into, gone]), queued)
    ids = set((await conn.execute(waiting)).scalars())
    if not ids:
        return
    # A claim holds deliveries, and then waits for the addresses that we hold: we step back.
    free = waiting.order_by(deliveries.c.id).with_for_update(skip_locked=True)
    if not ids <= set((await conn.execute(free)).scalars()):
        raise Raced("a claim holds what is queued")
    had = deliveries.alias("had")
    begun = exists(
        select(1).where(
            had.c.broadcast_id == deliveries.c.broadcast_id,
            had.c.profile_id == gone,
            had.c.status.not_in(["queued", "skipped", "cancelled"]),
        )
    )
    await conn.execute(
        update(deliveries)
        .where(deliveries.c.id.in_(ids), deliveries.c.profile_id == into, queued, begun)
        .values(status="skipped", reason="duplicate_address", updated_at=now)
    )
    own = deliveries.alias("own")
    twice = exists(select(1).where(own.c.broadcast_id == deliveries.c.broadcast_id, own.c.profile_id == into))
    theirs = deliveries.c.id.in_(ids), deliveries.c.profile_id == gone, queued
    await conn.execute(
        update(deliveries).where(*theirs, twice).values(status="skipped", reason="duplicate_address", updated_at=now)
    )
    await conn.execute(update(deliveries).where(*theirs, ~twice).values(profile_id=into, updated_at=now))
