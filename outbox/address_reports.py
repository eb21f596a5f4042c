"""What providers tell of addresses: bounces, complaints, what people set there. Each event once, for ever.

A bounce is no change of consent: a hard one marks the address undeliverable, soft ones do when they come on SOFT_DAYS
different days within SOFT_WITHIN. A complaint is one: the e-mail channel turns no. So is a `stop`; a `resume` turns a
no into a yes, and a silence into nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import AddressReport, Report
from outbox import reports, word
from outbox.reports import Reported
from outbox.word import Said
from profiles import links
from profiles.addresses import Address, AddressBook, BadAddress
from store.tables import address_reports, attempts, deliveries, profile_addresses
from store.upsert import insert_for

SOFT_DAYS = 5
SOFT_WITHIN = timedelta(days=30)
_SOURCES = {"stop": "provider", "resume": "provider", "complaint": "complaint"}

EventKey = tuple[str, str]  # (account, event id)


@dataclass(frozen=True, slots=True)
class ToldOf:
    """A report of an address, and the connection whose webhook it came to."""

    report: AddressReport
    connection: str


def _key(told: ToldOf) -> EventKey:
    return (told.report.account, told.report.event_id)


async def apply(
    conn: AsyncConnection, told: Sequence[ToldOf], *, book: AddressBook, now: datetime
) -> list[frozenset[str]]:
    """Keep the reports in the caller's transaction, and do what they mean; returns for each what it closes.

    A tag that is no attempt on the connection names nobody. One that comes again changes nothing, and closes what it
    closed: its first coming may not be settled yet.
    """
    first: dict[EventKey, ToldOf] = {}
    for one in told:
        first.setdefault(_key(one), one)
    attempted = await _attempted(conn, [one for one in first.values() if one.report.tag is not None])
    ids = attempted | await _named(conn, [one for key, one in first.items() if key not in attempted], book, now)
    fresh = await _claim(conn, first, ids, now)
    new = [
        (replace(one.report, proved=one.report.proved or key in attempted), one.connection, address_id)
        for key, one in first.items()
        if key in fresh and (address_id := ids[key]) is not None
    ]
    closed = await word.record(conn, [_said(*one) for one in new if one[0].kind in _SOURCES], now=now)
    await links.mark_undeliverable(conn, await _unreachable(conn, new, now))
    bounced = [
        Reported(Report(r.tag, r.provider_id or "", "undelivered", r.code), connection)
        for r, connection, _ in new
        if r.tag is not None and r.kind in ("hard_bounce", "soft_bounce")
    ]
    await reports.apply(conn, bounced, now=now)
    again = await _theirs(conn, {ids[key] for key in first.keys() - fresh if first[key].report.kind in _SOURCES})
    return [again.get(ids[_key(one)], frozenset()) | (closed if _key(one) in fresh else frozenset()) for one in told]


async def _claim(
    conn: AsyncConnection, first: Mapping[EventKey, ToldOf], ids: Mapping[EventKey, str | None], now: datetime
) -> set[EventKey]:
    """The events that nobody had before, written down."""
    rows = [
        {
            "account": key[0],
            "event_id": key[1],
            "connection": first[key].connection,
            "channel": first[key].report.channel,
            "address_id": ids[key],
            "kind": first[key].report.kind,
            "code": first[key].report.code,
            "provider_at": first[key].report.at,
            "created_at": now,
        }
        for key in sorted(first)
    ]
    made = insert_for(conn, address_reports).on_conflict_do_nothing()
    claimed = await conn.execute(made.returning(address_reports.c.account, address_reports.c.event_id), rows)
    return {(row.account, row.event_id) for row in claimed}


# --- whose address ----------------------------------------------------------------------------


async def _named(
    conn: AsyncConnection, told: Sequence[ToldOf], book: AddressBook, now: datetime
) -> dict[EventKey, str | None]:
    """The address that each tells, of which a row is made; None where it tells none."""
    named = {_key(one): _parsed(one.report, book) for one in told}
    made = await links.ensure_addresses(conn, [a for a in named.values() if a is not None], now=now, lock=False)
    return {key: made[address.hash] if address is not None else None for key, address in named.items()}


async def _attempted(conn: AsyncConnection, told: Sequence[ToldOf]) -> dict[EventKey, str | None]:
    """The address of the attempt that each names, where it is one of the connection's."""
    if not told:
        return {}
    rows = await conn.execute(
        select(attempts.c.id, attempts.c.address_id, deliveries.c.connection)
        .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .where(attempts.c.id.in_(sorted({one.report.tag for one in told if one.report.tag is not None})))
    )
    of = {(row.id, row.connection): row.address_id for row in rows}
    return {_key(one): of[one.report.tag, one.connection] for one in told if (one.report.tag, one.connection) in of}


def _parsed(report: AddressReport, book: AddressBook) -> Address | None:
    try:
        return None if report.address is None else book.proved(report.channel, report.address)
    except BadAddress:
        return None


async def _theirs(conn: AsyncConnection, address_ids: Collection[str | None]) -> dict[str | None, frozenset[str]]:
    """By address: all addresses of those who have it."""
    wanted = sorted(id_ for id_ in address_ids if id_ is not None)
    if not wanted:
        return {}
    other = profile_addresses.alias()
    rows = await conn.execute(
        select(profile_addresses.c.address_id, other.c.address_id.label("theirs"))
        .join(other, other.c.profile_id == profile_addresses.c.profile_id)
        .where(profile_addresses.c.address_id.in_(wanted))
    )
    found: defaultdict[str | None, set[str]] = defaultdict(set)
    for row in rows:
        found[row.address_id].add(row.theirs)
    return {id_: frozenset(theirs) for id_, theirs in found.items()}


# --- what it means ----------------------------------------------------------------------------


def _said(report: AddressReport, connection: str, address_id: str) -> Said:
    evidence = {"connection": connection, "event": report.event_id, "kind": report.kind, "code": report.code}
    if report.tag is not None:
        evidence["attempt"] = report.tag
    if not report.proved:
        evidence["weak"] = "nothing proves that the complaint is from its provider"
    return Said(
        address_id,
        report.channel,
        _SOURCES[report.kind],
        {name: value for name, value in evidence.items() if value is not None},
        to="yes" if report.kind == "resume" else "no",
        said_at=report.at,
    )


async def _unreachable(conn: AsyncConnection, new: Sequence[tuple[AddressReport, str, str]], now: datetime) -> set[str]:
    """The addresses that nothing can reach, by what these bounces say."""
    hard = {address_id for report, _, address_id in new if report.kind == "hard_bounce"}
    soft = {address_id for report, _, address_id in new if report.kind == "soft_bounce"}
    if not soft:
        return hard
    rows = await conn.execute(
        select(address_reports.c.address_id, address_reports.c.created_at).where(
            address_reports.c.address_id.in_(sorted(soft)),
            address_reports.c.kind == "soft_bounce",
            address_reports.c.created_at > now - SOFT_WITHIN,
        )
    )
    days: defaultdict[str, set[date]] = defaultdict(set)
    for row in rows:
        days[row.address_id].add(row.created_at.date())
    return hard | {address_id for address_id, on in days.items() if len(on) >= SOFT_DAYS}
