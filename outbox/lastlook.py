"""The last look at what the verdict allows, in the claiming transaction: may it go now, and what does it say?

It may be too late, outside WhatsApp's window, one too many for the person, or too early in the person's day; then it
is skipped with that reason, or waits. What is left is filled in for the person.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnClause, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from content import composition
from content.composition import BadContent, Needs
from content.notices import longest, with_notice
from outbox.hours import Hours, is_known, next_allowed, outside
from outbox.jurisdictions import zones_of
from outbox.pace import Room
from outbox.policy import Policy
from outbox.protocol import LEASE_SECONDS
from store import bulk
from store.ids import new_id
from store.parts import among
from store.tables import attempts, consent_states, messages, preferences, profile_tags, profiles

WINDOW = timedelta(hours=24)  # WhatsApp's customer-service window
_A_MOMENT = timedelta(seconds=0.2)
_MOST_SECONDS = 0.25 * LEASE_SECONDS  # of filling in, in one claim
_A_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """A delivery that the verdict allows, with what its broadcast, if any, says of it."""

    id: str
    profile_id: str
    address_id: str
    address: str
    channel: str
    connection: str
    class_: str
    content: composition.Content
    preference_id: str | None = None
    broadcast_id: str | None = None
    not_after: datetime | None = None
    quiet_hours: Any = None  # None: the policy's; False: none; {"from", "to"}: nothing is sent between


@dataclass(frozen=True, slots=True)
class Go:
    """It may be sent now, as it stands here."""

    content: dict[str, Any]
    weight: int  # SMS segments
    locale: str | None = None  # of the person, where a mail's foot is in their language


@dataclass(frozen=True, slots=True)
class Skip:
    reason: str  # of outbox.statuses.SKIP_REASONS


@dataclass(frozen=True, slots=True)
class Wait:
    until: datetime


@dataclass(frozen=True, slots=True)
class Broken:
    error: str


Look = Go | Skip | Wait | Broken


async def look(
    conn: AsyncConnection, rows: Sequence[Asked], *, policy: Policy, room: Room, now: datetime
) -> dict[str, Look]:
    """By delivery: whether it goes, and how it reads. Those for which no room or no time is left have no entry.

    They stay as they are, and have their turn in the next claim: a lease that is over before the first byte would come
    back for ever.
    """
    facts = await _facts(conn, rows, policy, now)
    until = time.monotonic() + _MOST_SECONDS
    looks: dict[str, Look] = {}
    for row in rows:
        if not room.has_any(row.connection, row.broadcast_id) or (looks and time.monotonic() > until):
            continue
        found = looks[row.id] = _decide(row, facts, policy, now)
        if isinstance(found, Go):
            room.take(found.weight, row.connection, row.broadcast_id)
    return looks


def _decide(row: Asked, facts: _Facts, policy: Policy, now: datetime) -> Look:
    marketing = row.class_ == "marketing"
    if row.not_after is not None and now > row.not_after:
        return Skip("too_late")
    if _must_be_in_window(row) and row.address_id not in facts.in_window:
        return Skip("window_closed")
    person = facts.people.get(row.profile_id, {})
    if marketing and (opens := _opens(row, person.get("timezone"), policy, now)) is not None:
        return Skip("too_late") if row.not_after is not None and opens > row.not_after else Wait(opens)
    # The cap after the hours: who has had enough by night may not have by morning.
    if marketing and row.profile_id in facts.busy:
        return Wait(now + _A_MOMENT)
    if marketing and policy.cap is not None and facts.recent[row.profile_id] >= policy.cap.messages:
        return Skip("frequency_capped")
    try:
        go = _composed(row, person, facts, policy)
    except BadContent as error:
        return Broken(f"{error.field}: {error}")
    facts.recent[row.profile_id] += marketing  # of those that go together, too
    return go


def _must_be_in_window(row: Asked) -> bool:
    return row.class_ != "service" and composition.is_free_form(row.content, row.channel)


def _composed(row: Asked, person: Mapping[str, Any], facts: _Facts, policy: Policy) -> Go:
    if row.class_ == "service":
        return Go(dict(row.content), composition.weight(row.content, row.channel))
    tells = row.class_ == "marketing" and row.channel == "sms" and _tells_how_to_stop(row, facts, policy)
    answers = policy.manner(row.connection).answers
    if not facts.needs[id(row.content)].is_plain or (tells and not answers):
        return _filled(row, person, policy, tells=tells)
    alike = (id(row.content), row.channel, tells, person.get("locale") if tells or row.channel == "email" else None)
    if (go := facts.alike.get(alike)) is None:
        go = facts.alike[alike] = _filled(row, person, policy, tells=tells)
    return go


def _filled(row: Asked, person: Mapping[str, Any], policy: Policy, *, tells: bool) -> Go:
    """What it says to this person; `tells`: how to opt out as well."""
    part = composition.on_channel(row.content, row.channel)
    links = {"unsubscribe": policy.unsubscribe_link(row.address_id, row.channel, row.preference_id)}
    if policy.preferences_link is not None:
        links["preferences"] = policy.preferences_link(row.profile_id, row.address_id)
    content = composition.fill_in(part, {**person, "channel": row.channel, "links": links})
    if tells and links["unsubscribe"] not in (content.get("body") or ""):
        link = None if policy.manner(row.connection).answers else links["unsubscribe"]
        content["body"] = with_notice(content["body"], locale=person.get("locale"), link=link)
    composition.check_length(content, row.channel)
    return Go(content, composition.weight(content, row.channel), person.get("locale"))


def check_with_notice(content: composition.Content, connection: str, policy: Policy) -> None:
    """Raises BadContent for a marketing SMS that is too long once the line that tells how to opt out is below it."""
    manner = policy.manner(connection)
    if manner.stop_notice == "never" or not composition.is_plain(content):
        return
    link = None if manner.answers else policy.unsubscribe_link(new_id("adr"), "sms", new_id("prf"))
    if (chars := longest(content["body"], link=link)) > composition.MOST_CHARS:
        words = (
            f"with the line that tells how to opt out it comes to {chars:,} characters, of {composition.MOST_CHARS:,}"
        )
        raise BadContent("body", f"{words}: shorten it, or say in it how to opt out")


def _tells_how_to_stop(row: Asked, facts: _Facts, policy: Policy) -> bool:
    notice = policy.manner(row.connection).stop_notice
    return notice == "always" or (notice == "first" and row.profile_id not in facts.texted)


def _opens(row: Asked, timezone: str | None, policy: Policy, now: datetime) -> datetime | None:
    """When it may go, where it may not go now."""
    hours = _hours(row, policy)
    if hours is None:
        return None
    zones = _zones(row, timezone, policy)
    opens = next_allowed(now, zones, hours)
    if opens is None:  # the number may be all over the world, with no hour in common
        opens = next_allowed(now, (policy.timezone,), hours) or now + _A_DAY
    return None if opens <= now else opens


def _zones(row: Asked, timezone: str | None, policy: Policy) -> tuple[str, ...]:
    """Where the person may be: their own zone, else their number's, else the default."""
    if timezone and is_known(timezone):
        return (timezone,)
    return tuple(zone for zone in zones_of(row.address) if is_known(zone)) or (policy.timezone,)


def _hours(row: Asked, policy: Policy) -> Hours | None:
    if policy.manner(row.connection).sandbox or row.quiet_hours is False:
        return None
    if row.quiet_hours is not None:
        return outside(row.quiet_hours["from"], row.quiet_hours["to"])
    if policy.law is None or row.channel not in ("sms", "whatsapp"):
        return None
    return policy.law.hours_for(row.address)


# --- what must be known of the people ---------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Facts:
    people: Mapping[str, Mapping[str, Any]]  # by profile
    in_window: frozenset[str]  # addresses that wrote to us on WhatsApp within 24 hours
    recent: defaultdict[str, int]  # marketing messages within the cap's time, by profile
    busy: frozenset[str]  # profiles that another claim counts for just now
    texted: frozenset[str]  # profiles that were sent a marketing SMS before
    needs: Mapping[int, Needs]  # by the identity of the content
    alike: dict[Any, Go] = field(default_factory=dict)  # what says the same to many


async def _facts(conn: AsyncConnection, rows: Sequence[Asked], policy: Policy, now: datetime) -> _Facts:
    """Only what these rows need: most messages need nothing."""
    needs = _needs(rows)
    zoned = [row for row in rows if row.class_ == "marketing" and _hours(row, policy) is not None]
    first = {
        row.profile_id
        for row in rows
        if row.class_ == "marketing"
        and row.channel == "sms"
        and policy.manner(row.connection).stop_notice in ("first", "always")
    }
    mailed = {row.profile_id for row in rows if row.class_ == "marketing" and row.channel == "email"}
    personal = {row.profile_id for row in rows if needs[id(row.content)].uses} | {row.profile_id for row in zoned}
    marketed = {row.profile_id for row in rows if row.class_ == "marketing"} if policy.cap is not None else set()
    windowed = {row.address_id for row in rows if _must_be_in_window(row)}
    uses = frozenset().union(*(need.uses for need in needs.values()))
    names = frozenset().union(*(need.preferences for need in needs.values()))
    counted = await _counted_by_us(conn, marketed)
    return _Facts(
        people=await _people(conn, personal | first | mailed, uses, names),
        in_window=await in_window(conn, windowed, now=now),
        recent=await _recent(conn, counted, policy, now),
        busy=frozenset(marketed) - counted,
        texted=await _texted(conn, first),
        needs=needs,
    )


def _needs(rows: Sequence[Asked]) -> dict[int, Needs]:
    """By the identity of the content: a broadcast's deliveries share theirs."""
    found: dict[int, Needs] = {}
    for row in rows:
        if id(row.content) not in found:
            try:
                found[id(row.content)] = (
                    Needs() if row.class_ == "service" else composition.check(row.content, [row.channel])
                )
            except BadContent:  # told when it is filled in
                found[id(row.content)] = Needs()
    return found


_NAMED = (profiles.c.id, profiles.c.first_name, profiles.c.last_name, profiles.c.locale, profiles.c.timezone)
_PEOPLE = {  # made once for all; by whether the attributes are asked for
    False: select(*_NAMED).where(among(profiles.c.id)),
    True: select(*_NAMED, profiles.c.attributes).where(among(profiles.c.id)),
}


async def _people(
    conn: AsyncConnection, ids: Collection[str], uses: Collection[str], names: Collection[str]
) -> dict[str, dict[str, Any]]:
    if not ids:
        return {}
    found: dict[str, dict[str, Any]] = {}
    for row in await bulk.rows(conn, _PEOPLE["attributes" in uses], ids=sorted(ids)):
        person = row._asdict()
        found[person.pop("id")] = person
    if "tags" in uses:
        for person in found.values():
            person["tags"] = []
        tagged = select(profile_tags).where(profile_tags.c.profile_id.in_(sorted(found))).order_by(profile_tags.c.tag)
        for row in await conn.execute(tagged):
            found[row.profile_id]["tags"].append(row.tag)
    if names:
        for person in found.values():
            person["preferences"] = dict.fromkeys(names)
        answered = (
            select(consent_states.c.profile_id, preferences.c.name, consent_states.c.state)
            .join(preferences, preferences.c.id == consent_states.c.key)
            .where(
                consent_states.c.profile_id.in_(sorted(found)),
                consent_states.c.kind == literal_column("'preference'"),
                preferences.c.name.in_(sorted(names)),
            )
        )
        for row in await conn.execute(answered):
            found[row.profile_id]["preferences"][row.name] = {"yes": True, "no": False}.get(row.state)
    return found


async def in_window(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> frozenset[str]:
    """Those of the addresses whose owner has written to us on WhatsApp within the last 24 hours."""
    if not address_ids:
        return frozenset()
    wrote = (
        select(messages.c.address_id)
        .distinct()
        .where(
            messages.c.address_id.in_(sorted(address_ids)),
            messages.c.channel == literal_column("'whatsapp'"),
            messages.c.created_at > now - WINDOW,
            messages.c.automatic.is_(None),
        )
    )
    return frozenset((await conn.execute(wrote)).scalars())


# What was sent, or may have been: the predicate of ix_attempts_marketing, word for word.
_MARKETED: ColumnClause[bool] = literal_column("class = 'marketing' AND state IN ('sending', 'accepted', 'in_doubt')")


async def _counted_by_us(conn: AsyncConnection, ids: Collection[str]) -> frozenset[str]:
    """Those of the people that no other claim is counting for: of two claims for one person the second waits.

    Skipped, not waited for: whoever changes consent locks profiles before address rows, and we hold address rows.
    """
    if not ids:
        return frozenset()
    locked = (
        select(profiles.c.id)
        .where(profiles.c.id.in_(sorted(ids)))
        .order_by(profiles.c.id)
        .with_for_update(skip_locked=True, key_share=True)
    )
    return frozenset((await conn.execute(locked)).scalars())


async def _recent(conn: AsyncConnection, ids: Collection[str], policy: Policy, now: datetime) -> defaultdict[str, int]:
    found: defaultdict[str, int] = defaultdict(int)
    if policy.cap is not None and ids:
        counted = (
            select(attempts.c.profile_id, func.count().label("sent"))
            .where(_MARKETED, attempts.c.profile_id.in_(sorted(ids)), attempts.c.at > now - policy.cap.within)
            .group_by(attempts.c.profile_id)
        )
        for row in await conn.execute(counted):
            found[row.profile_id] = row.sent
    return found


async def _texted(conn: AsyncConnection, ids: Collection[str]) -> frozenset[str]:
    if not ids:
        return frozenset()
    texted = (
        select(attempts.c.profile_id)
        .distinct()
        .where(_MARKETED, attempts.c.profile_id.in_(sorted(ids)), attempts.c.channel == literal_column("'sms'"))
    )
    return frozenset((await conn.execute(texted)).scalars())
