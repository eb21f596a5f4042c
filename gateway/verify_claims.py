"""Invariant I1, by folding: whether each marketing attempt was allowed by what had been said when it was claimed.

Independent of the SQL verdict. What leaves no history (a hold, a pause, a suppression, an address that went) cannot be
looked at; who shares an address is told by the links there are now, from the time they were made.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import reading
from consent.states import EVERYTHING, Event, Flag, Flags, Subject, fold, has_ended
from store.tables import attempts, audit, consent_events, defaults, profile_addresses, profiles

PAGE = 500  # attempts, with the histories of their people, that are in memory at once


async def without_consent(conn: AsyncConnection) -> AsyncIterator[str]:
    """A sentence for each marketing attempt that the history up to its consent_version did not allow."""
    known = await _read_defaults(conn)
    statement = (
        select(attempts)
        .where(attempts.c["class"] == "marketing", attempts.c.state != "abandoned")
        .order_by(attempts.c.id)
        .limit(PAGE)
    )
    page: Sequence[Row[Any]] = (await conn.execute(statement)).all()
    while page:
        world = await _read(conn, page, known)
        for attempt in page:
            if (why := world.forbids(attempt)) is not None:
                to = f"address {attempt.address_id} of {attempt.profile_id}"
                yield f"attempt {attempt.id} to {to} was begun at version {attempt.consent_version}, where {why}"
        behind = statement.where(attempts.c.id > page[-1].id)
        page = (await conn.execute(behind)).all() if len(page) == PAGE else ()


@dataclass(frozen=True, slots=True)
class _Defaults:
    answers: Mapping[tuple[int, str], str]  # by version and channel
    applied_at: datetime | None  # when they were last extended to those made with others


async def _read_defaults(conn: AsyncConnection) -> _Defaults:
    answers = {(row.version, row.channel): row.state for row in await conn.execute(select(defaults))}
    applied = select(func.max(audit.c.at)).where(audit.c.action.in_(["defaults.applying", "defaults.applied"]))
    return _Defaults(answers, (await conn.execute(applied)).scalar_one())


@dataclass(slots=True)
class _World:
    """The people that a page of attempts concerns."""

    defaults: _Defaults
    versions: dict[str, int]  # of the defaults, by profile that there is
    made: dict[str, datetime]  # by profile that there is
    since: dict[str, dict[str, datetime]] = field(default_factory=lambda: defaultdict(dict))  # by address, by profile
    histories: dict[str, list[tuple[int, Event]]] = field(default_factory=lambda: defaultdict(list))

    def forbids(self, attempt: Row[Any]) -> str | None:
        """Why the attempt should not have been begun."""
        flags = self._flags(attempt.profile_id, attempt)
        if (no := _no(flags, attempt)) is not None:
            return f"the person had said no to {no}"
        for other, since in self.since[attempt.address_id].items():
            if other == attempt.profile_id or since > attempt.at:
                continue
            if (no := _no(self._flags(other, attempt), attempt)) is not None:
                return f"{other}, who has the address too, had said no to {no}"
        if attempt.preference_id is not None:
            answer = flags.get(Subject("preference", attempt.preference_id))
            if answer is None or answer.state != "yes":
                return f"preference {attempt.preference_id} was {answer.state if answer else 'not_asked'}"
            if has_ended(answer, attempt.at):
                return f"the yes to preference {attempt.preference_id} had ended"
        return None if self._yes(flags, attempt) else "nobody had said yes"

    def _flags(self, profile_id: str, attempt: Row[Any]) -> Flags:
        said = (event for seq, event in self.histories[profile_id] if seq <= attempt.consent_version)
        return fold(said, {attempt.address_id: attempt.channel})

    def _yes(self, flags: Flags, attempt: Row[Any]) -> bool:
        """Whether a yes covered the address and had not run out; else the default, for who was never asked."""
        channel = flags.get(Subject("channel", attempt.channel))
        said = [flags.get(Subject("address", attempt.address_id))]
        if channel is not None and self._covers(channel, attempt):
            said.append(channel)
        yeses = [flag for flag in said if flag is not None and flag.state == "yes"]
        if yeses:
            return not all(has_ended(flag, attempt.at) for flag in yeses)
        if channel is not None and channel.state != "not_asked":
            return False
        version, applied_at = self.versions.get(attempt.profile_id), self.defaults.applied_at
        answers = self.defaults.answers
        # The person is gone, was merged, or was given others since: and with that is gone which defaults they had.
        if not version or (applied_at is not None and attempt.at <= applied_at):
            return any(state == "yes" for (_, name), state in answers.items() if name == attempt.channel)
        return answers.get((version, attempt.channel)) == "yes"

    def _covers(self, channel: Flag, attempt: Row[Any]) -> bool:
        """Whether the person had the address when it was said, or was made with it; what is not known is granted."""
        since, made = self.since[attempt.address_id].get(attempt.profile_id), self.made.get(attempt.profile_id)
        if since is None or made is None or since > attempt.at:
            return True
        return since <= channel.at or since <= made


def _no(flags: Flags, attempt: Row[Any]) -> str | None:
    """What of the three says no, and was not opened by a later yes on something narrower."""
    everything = flags.get(EVERYTHING)
    channel = flags.get(Subject("channel", attempt.channel))
    address = flags.get(Subject("address", attempt.address_id))
    if everything is not None and everything.state == "no" and not (channel is not None and channel.opens):
        return "everything"
    if channel is not None and channel.state == "no" and not (address is not None and address.opens):
        return f"channel {attempt.channel}"
    return "the address" if address is not None and address.state == "no" else None


async def _read(conn: AsyncConnection, page: Sequence[Row[Any]], answers: _Defaults) -> _World:
    people = {attempt.profile_id for attempt in page}
    theirs = select(profiles.c.id, profiles.c.defaults_version, profiles.c.created_at).where(profiles.c.id.in_(people))
    known = (await conn.execute(theirs)).all()
    world = _World(answers, {row.id: row.defaults_version for row in known}, {row.id: row.created_at for row in known})
    shared = {attempt.address_id for attempt in page}
    for link in await conn.execute(select(profile_addresses).where(profile_addresses.c.address_id.in_(shared))):
        world.since[link.address_id][link.profile_id] = link.since
        people.add(link.profile_id)
    await _read_histories(conn, world, people)
    return world


async def _read_histories(conn: AsyncConnection, world: _World, people: Collection[str]) -> None:
    order = consent_events.c.profile_id, consent_events.c.position
    names = sorted(people)
    for start in range(0, len(names), PAGE):  # a page of attempts may concern many more people than it has lines
        some = consent_events.c.profile_id.in_(names[start : start + PAGE])
        for row in await conn.execute(select(consent_events).where(some).order_by(*order)):
            world.histories[row.profile_id].append((row.seq, reading.event_from(row)))
