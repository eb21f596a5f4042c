"""An unsubscribing is taken back by whoever did it: by the page that follows it, within the hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds, reading, undo
from consent.holds import Suppressed
from consent.states import Change, Event, Wish
from consent.undo import Having, Restored
from outbox import heed
from profiles.links import holders
from store.ids import new_id
from store.locks import lock_people
from store.parts import IDS, rows_by
from store.tables import consent_events, profile_addresses, profile_merges, profiles

_TICK = timedelta(microseconds=1)
_EVENTS = (
    select(consent_events)
    .where(consent_events.c.profile_id.in_(IDS))
    .order_by(consent_events.c.profile_id, consent_events.c.position)
)
_HAVING = select(profile_addresses).where(profile_addresses.c.profile_id.in_(IDS))
_JOINED = select(profile_merges.c.into_id, profile_merges.c.at).where(profile_merges.c.into_id.in_(IDS))
_MADE = select(profiles.c.id, profiles.c.created_at).where(profiles.c.id.in_(IDS))


async def take_back(
    conn: AsyncConnection,
    change_id: str,
    *,
    address_id: str,
    how: Mapping[str, Any],
    instead: Sequence[Wish] = (),
    suppressed: Suppressed | None = None,
    now: datetime,
) -> heed.Heeded:
    """Restore what a change turned, for everyone who has the address it came from, where nothing was said since.

    Nothing of somebody with whom another was merged since: a no of that one may stand behind the change's own.
    `instead`: what they say no to in its place. `how`: what is known of whoever does it. `suppressed`: what it has
    done to the address itself. What somebody left there before it, or since, stays.
    """
    people = (await holders(conn, [address_id])).get(address_id, [])
    held = await lock_people(conn, people, also=[address_id])
    if suppressed is not None and (people or not instead):  # a no in its place is kept with somebody, or is this one
        await holds.put_back(conn, address_id, suppressed)
    known = await reading.people(conn, held, suppressed={})
    history = await _histories(conn, people)
    having, made = await _having(conn, people), await _made(conn, people)
    links = await reading.linked_preferences(conn)
    joined = await _joined_since(conn, change_id, history)
    restored = {
        profile_id: ()
        if profile_id in joined
        else undo.wishes(
            change_id,
            history.get(profile_id, []),
            now=person.flags,
            addresses=having.get(profile_id, []),
            made_at=made[profile_id],
            channels=person.channels,
            links=links,
        )
        for profile_id, person in known.items()
    }
    change_ids = {profile_id: new_id("chg") for profile_id in restored}
    changes = [
        Change(
            profile_id=profile_id,
            change_id=change_ids[profile_id],
            wishes=wishes,
            source="unsubscribe_link",
            actor="customer",
            address_id=address_id,
            evidence={**how, "undo_of": change_id, **({"obtained_at": at.isoformat()} if at is not None else {})},
            undoes=change_id,
        )
        for profile_id, of_age in (await _by_age(conn, restored, instead)).items()
        for at, wishes in of_age.items()
    ]
    # After all that is recorded of them, by whichever replica's clock: of two at one time the no stands.
    recorded = [flag.recorded_at for person in known.values() for flag in person.flags.values()]
    return await heed.record(conn, changes, now=max([now, *(at + _TICK for at in recorded)]), held=held)


async def _by_age(
    conn: AsyncConnection, restored: Mapping[str, Sequence[Restored]], instead: Sequence[Wish]
) -> dict[str, dict[datetime | None, tuple[Wish, ...]]]:
    """Profile → when it was obtained → what is said; None of what is no yes.

    A yes said again is as old as the one it restores: a no from in between that is told only now must not lose to it.
    """
    yeses = {p: {one.wish.subject: one.was for one in some if one.was is not None} for p, some in restored.items()}
    obtained = await reading.obtained_of(conn, yeses)
    found: dict[str, dict[datetime | None, tuple[Wish, ...]]] = {}
    for profile_id, some in restored.items():
        of_age: dict[datetime | None, tuple[Wish, ...]] = {None: tuple(instead)} if instead else {}
        for wish, was in ((one.wish, one.was) for one in some):
            if any(wish.subject == other.subject for other in instead):
                continue
            at = obtained.get(profile_id, {}).get(wish.subject, was.at) if was is not None else None
            of_age[at] = (*of_age.get(at, ()), wish)
        found[profile_id] = of_age
    return found


async def _histories(conn: AsyncConnection, profile_ids: Sequence[str]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for row in await rows_by(conn, _EVENTS, profile_ids):
        found.setdefault(row.profile_id, []).append(reading.event_from(row))
    return found


async def _joined_since(conn: AsyncConnection, change_id: str, history: Mapping[str, Sequence[Event]]) -> set[str]:
    """Those with whom somebody was merged after the change."""
    rows = await rows_by(conn, _JOINED, list(history))
    changed_at = {one.profile_id: one.at for some in history.values() for one in some if one.change_id == change_id}
    return {row.into_id for row in rows if row.into_id in changed_at and row.at >= changed_at[row.into_id]}


async def _having(conn: AsyncConnection, profile_ids: Sequence[str]) -> dict[str, list[Having]]:
    found: dict[str, list[Having]] = {}
    for row in await rows_by(conn, _HAVING, profile_ids):
        found.setdefault(row.profile_id, []).append(Having(row.address_id, row.channel, row.since))
    return found


async def _made(conn: AsyncConnection, profile_ids: Sequence[str]) -> dict[str, datetime]:
    return {row.id: row.created_at for row in await rows_by(conn, _MADE, profile_ids)}
