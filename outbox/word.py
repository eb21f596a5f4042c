"""A word that comes from an address itself: by its provider, or an unsubscribe link. Through the one door."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import and_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds, reading
from consent.holds import Suppressed
from consent.states import CHANNELS, Change, Person, Subject, Wish, is_declined, is_open_under
from outbox import confirmations, heed
from profiles.links import holders
from store.engine import Raced
from store.ids import new_id
from store.locks import lock_people
from store.tables import consent_events, consent_states, profile_addresses


@dataclass(frozen=True, slots=True)
class Said:
    """That the owner of an address wants no more on its channel; with `to` yes, that they want it again."""

    address_id: str
    channel: str
    source: str  # of consent.states.SOURCES
    evidence: Mapping[str, object]
    with_address: bool = False  # the address turns too, as with a STOP
    to: Literal["yes", "no"] = "no"
    said_at: datetime | None = None  # by the provider's clock
    change_id: str | None = None  # of all that it changes; None: a new one for each person
    everywhere: bool = False  # on every channel, not on this alone
    is_often: bool = False  # said all too often in a while: a no that stands already makes no more history


def by_provider(
    address_id: str, channel: str, *, connection: str, attempt_id: str, error: str | None, marketing_only: bool = False
) -> Said:
    """That a provider will not carry to an address because its owner opted out; the address turns as with a STOP.

    With `marketing_only` the channel alone does (Meta's 131050): what is no marketing may still go there.
    """
    evidence = {"connection": connection, "error": error, "attempt": attempt_id}
    with_address = channel in ("sms", "whatsapp") and not marketing_only
    return Said(address_id, channel, "provider", evidence, with_address=with_address)


async def record(conn: AsyncConnection, said: Sequence[Said], *, now: datetime) -> frozenset[str]:
    """Record the word for everyone who has the address, on its channel; returns the addresses that this closes.

    Where nobody has the address a no stays with the address itself, for whoever has it next. Raises
    store.engine.Raced when somebody was given an address before its row was locked.
    """
    if not said:
        return frozenset()
    ids = {one.address_id for one in said}
    people = await holders(conn, ids)
    standing = await _standing(conn, [one for one in said if one.is_often], people, now=now)
    changes = [
        Change(
            profile_id=profile_id,
            change_id=one.change_id or new_id("chg"),
            wishes=tuple(Wish(subject, one.to) for subject in _subjects(one)),
            source=one.source,
            actor="customer",
            address_id=one.address_id,
            with_address=one.with_address,
            said_at=one.said_at,
            evidence=dict(one.evidence),
        )
        for one in said
        for profile_id in people.get(one.address_id, ())
        if (profile_id, one.address_id) not in standing
    ]
    heeded = await heed.record(conn, changes, now=now)
    await leave(conn, {one.address_id for one in said if one.to == "no"}, now=now)
    if conn.dialect.name == "postgresql":
        again = await holders(conn, ids)
        if any(not set(again.get(id_, ())) <= set(people.get(id_, ())) for id_ in ids):
            raise Raced("an address was given to somebody before it was locked")
    return heeded.closed.union(*standing.values())


async def _standing(
    conn: AsyncConnection, often: Sequence[Said], people: Mapping[str, Sequence[str]], *, now: datetime
) -> dict[tuple[str, str], frozenset[str]]:
    """Of these noes those that stand as they are said, with nothing open under them: profile and address → what they
    close.

    They are kept in no history, and take back what is asked of those people all the same.
    """
    if not often:
        return {}
    theirs = {profile_id for one in often for profile_id in people.get(one.address_id, ())}
    held = await lock_people(conn, theirs, also=[one.address_id for one in often])
    known = await reading.people(conn, held, suppressed={})
    found = {
        (profile_id, one.address_id): frozenset(address_id for address_id, _ in held[profile_id])
        for one in often
        for profile_id in people.get(one.address_id, ())
        if all(_stands(known[profile_id], subject) for subject in _subjects(one))
    }
    for one in often:
        for profile_id in people.get(one.address_id, ()):
            if (profile_id, one.address_id) in found:
                await confirmations.take_back(conn, profile_id, _subjects(one), now=now)
    return found


def _stands(person: Person, subject: Subject) -> bool:
    is_open = is_open_under(person.flags, subject, person.channels)
    return is_declined(person.flags, subject) and not is_open


async def leave(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> None:
    """Keep a no on those of the addresses that nobody has; it takes back what is asked there."""
    if not address_ids:
        return
    await holds.suppress_unheld(conn, address_ids, now=now)
    await confirmations.end_left(conn, address_ids, now=now)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What has come of a word: the addresses that it closes, and what it has done to its own; None: nothing."""

    closed: frozenset[str]
    suppressed: Suppressed | None = None


async def record_one(conn: AsyncConnection, said: Said, *, now: datetime) -> Recorded:
    """Record one word, and note what is needed to take it back."""
    people = (await holders(conn, [said.address_id])).get(said.address_id, [])
    await lock_people(conn, people, also=[said.address_id])
    before = (await reading.suppressed(conn, [said.address_id])).get(said.address_id)
    closed = await record(conn, [said], now=now)
    at = (await reading.suppressed(conn, [said.address_id])).get(said.address_id)
    return Recorded(closed, Suppressed(at, before) if at is not None and at != before else None)


async def standing(conn: AsyncConnection, change_id: str, *, address_id: str, channel: str) -> frozenset[str] | None:
    """What such a change has closed, where it is everybody's last word on the channel still; nothing where it is not;
    None where there is no such change."""
    recorded = select(consent_events.c.id).where(consent_events.c.change_id == change_id).limit(1)
    if (await conn.execute(recorded)).first() is None:
        return None
    has, theirs, state = profile_addresses, profile_addresses.alias(), consent_states.c
    flag = and_(state.profile_id == has.c.profile_id, state.kind == "channel", state.key == channel)
    rows = (
        await conn.execute(
            select(theirs.c.address_id, state.change_id)
            .select_from(has.outerjoin(consent_states, flag).join(theirs, theirs.c.profile_id == has.c.profile_id))
            .where(has.c.address_id == address_id)
        )
    ).all()
    stands = all(row.change_id == change_id for row in rows)
    return frozenset(row.address_id for row in rows) if stands else frozenset()


def _subjects(said: Said) -> list[Subject]:
    return [Subject("channel", name) for name in (CHANNELS if said.everywhere else (said.channel,))]
