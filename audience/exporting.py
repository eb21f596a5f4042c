"""People and their history as files. What `profiles` and `suppressions` give, an import reads back.

Read page by page in the order of a key, each page as it stands in its moment: nobody who was there all the time is left
out, and memory does not grow with the file. Not in a file of people: their history, pauses and reviews.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience import history_sheet
from audience.columns import ABOUT, MOST, TERMS
from audience.spreadsheet import joined
from consent import history, reading
from consent.history import Filter
from consent.states import CHANNELS, EVERYTHING, PERSONAL, Flag, Flags, Subject, obtained_at
from profiles import records
from profiles.links import Held
from profiles.records import NAMES, Profile
from store.engine import Database
from store.parts import IDS, rows_by
from store.tables import addresses, consent_events, evidence, preferences, profile_addresses, profiles

PAGE = 500  # rows that are in memory at once

Rows = list[list[str]]


@dataclass(frozen=True, slots=True)
class Export:
    """A table to be written: its columns, about how many rows, and the rows in pages."""

    columns: tuple[str, ...]
    total: int
    pages: AsyncIterator[Rows]


async def of_profiles(database: Database) -> Export:
    """Everybody, with what they said last of everything, and what shows it."""
    async with database.read() as conn:
        total = await _count(conn, profiles.c.id)
        named = (await conn.execute(select(preferences.c.name, preferences.c.id).order_by(preferences.c.id))).all()
    about = dict(zip(ABOUT, (EVERYTHING, *(Subject("channel", channel) for channel in CHANNELS)), strict=True))
    about |= {f"preference.{row.name}": Subject("preference", row.id) for row in named}
    answers = [f"{first}.{name}" for name in about for first in ("consent", *TERMS)]
    columns = ("profile_id", *NAMES, "tags", "attributes", *CHANNELS, *answers, "consent.addresses")

    async def page(conn: AsyncConnection, after: str) -> tuple[Rows, str | None]:
        some = select(profiles.c.id).where(profiles.c.id > after).order_by(profiles.c.id).limit(PAGE)
        ids = list((await conn.execute(some)).scalars())
        flags = await reading.flags_of(conn, ids)
        shown = await _evidence(conn, [flag.event_id for held in flags.values() for flag in held.values()])
        later = await _given_later(conn, ids)
        rows: Rows = []
        for profile in await records.read(conn, ids):
            rows += _person(profile, flags[profile.id], shown, list(about.values()), later.get(profile.id, {}))
        return rows, ids[-1] if len(ids) == PAGE else None

    return Export(columns, total, _paged(database, page, ""))


async def of_suppressions(database: Database) -> Export:
    """The addresses with a no that somebody left behind, and that somebody else has now.

    Of those that nobody has the value is forgotten: they are known again only by the gateway that forgot it.
    """
    held = addresses.c.suppressed_at.is_not(None), addresses.c.value.is_not(None)
    async with database.read() as conn:
        total = await _count(conn, addresses.c.id, *held)

    async def page(conn: AsyncConnection, after: str) -> tuple[Rows, str | None]:
        some = select(addresses).where(*held, addresses.c.id > after).order_by(addresses.c.id).limit(PAGE)
        found = (await conn.execute(some)).all()
        rows = [
            [*(row.value if channel == row.channel else "" for channel in CHANNELS),
             joined([f"no at {_spelled(row.suppressed_at)} {row.channel}:{row.value}"]),
             "suppressed"]
            for row in found
        ]  # fmt: skip
        return rows, found[-1].id if len(found) == PAGE else None

    return Export((*CHANNELS, "consent.addresses", "how"), total, _paged(database, page, ""))


async def of_consent_events(database: Database) -> Export:
    """The history, the newest line first, each with its evidence."""
    async with database.read() as conn:
        total = await _count(conn, consent_events.c.seq)

    async def page(conn: AsyncConnection, before: int | None) -> tuple[Rows, int | None]:
        lines = await history.read(conn, Filter(), before=before, limit=PAGE)
        return [history_sheet.cells(line) for line in lines], lines[-1].seq if len(lines) == PAGE else None

    return Export(history_sheet.COLUMNS, total, _paged(database, page, None))


EXPORTS: Mapping[str, Callable[[Database], Awaitable[Export]]] = {
    "profiles": of_profiles,
    "consent-events": of_consent_events,
    "suppressions": of_suppressions,
}


async def _paged(
    database: Database, page: Callable[[AsyncConnection, Any], Awaitable[tuple[Rows, Any]]], first: Any
) -> AsyncIterator[Rows]:
    cursor, more = first, True
    while more:
        async with database.read() as conn:
            rows, cursor = await page(conn, cursor)
        yield rows
        more = cursor is not None


async def _count(conn: AsyncConnection, column: Any, *where: Any) -> int:
    return int((await conn.execute(select(func.count(column)).where(*where))).scalar_one())


def _spelled(at: datetime | None) -> str:
    return at.isoformat().replace("+00:00", "Z") if at is not None else ""


# --- people ------------------------------------------------------------------------------------


def _person(
    profile: Profile, flags: Flags, shown: Mapping[str, Any], about: Sequence[Subject], given: Mapping[str, datetime]
) -> Rows:
    """A person's row; and behind it one with the addresses that a channel's yes does not cover, as they came later.

    A yes that covers none is left out. With a yes to everything a channel without an answer says so: the person had
    nothing there when it was said.
    """
    behind = {one.address_id for one in profile.addresses if _came_later(one, flags, given)}
    covered = {one.channel for one in profile.addresses if one.address_id not in behind}
    void = {one.channel for one in profile.addresses} - covered
    first = [one for one in profile.addresses if one.address_id not in behind or one.channel in void]
    later = [one for one in profile.addresses if one not in first]
    asked = {subject: flag for subject, flag in flags.items() if subject.kind != "channel" or subject.key not in void}
    words = [getattr(profile, name) or "" for name in NAMES]
    attributes = json.dumps(profile.attributes, ensure_ascii=False, sort_keys=True) if profile.attributes else ""
    answers = _answers(asked, shown, about)
    row = [
        profile.id,
        *words,
        joined(profile.tags),
        attributes,
        *_by_channel(first),
        *answers,
        _said_of(first, flags, shown),
    ]
    if not later:
        return [row]
    with_them = [one for one in profile.addresses if one.channel in {late.channel for late in later}]
    blank, nothing = [""] * (len(NAMES) + 1), [""] * len(answers)  # words but the first, tags, attributes
    return [row, [profile.id, words[0], *blank, *_by_channel(with_them), *nothing, _said_of(later, flags, shown)]]


def _came_later(one: Held, flags: Flags, given: Mapping[str, datetime]) -> bool:
    """Whether somebody has an address since after their yes to its channel, and was not made with it."""
    flag = flags.get(Subject("channel", one.channel))
    return flag is not None and flag.state == "yes" and given.get(one.address_id, flag.at) > flag.at


def _by_channel(held: Sequence[Held]) -> list[str]:
    """The addresses in a cell for each channel, the primary one first."""
    in_order = sorted(held, key=lambda one: not one.primary)
    return [joined([one.value for one in in_order if one.channel == channel]) for channel in CHANNELS]


def _said_of(held: Sequence[Held], flags: Flags, shown: Mapping[str, Any]) -> str:
    """What was said about these addresses themselves."""
    said = [(one, flags.get(Subject("address", one.address_id))) for one in held]
    return joined([_of_address(flag, f"{one.channel}:{one.value}", shown) for one, flag in said if flag is not None])


async def _given_later(conn: AsyncConnection, ids: Sequence[str]) -> dict[str, dict[str, datetime]]:
    """By profile and address, since when, of the addresses that the profile was not made with."""
    held = profile_addresses.c
    statement = (
        select(held.profile_id, held.address_id, held.since)
        .join(profiles, profiles.c.id == held.profile_id)
        .where(held.profile_id.in_(IDS), held.since > profiles.c.created_at)
    )
    found: dict[str, dict[str, datetime]] = {}
    for row in await rows_by(conn, statement, ids):
        found.setdefault(row.profile_id, {})[row.address_id] = row.since
    return found


def _answers(flags: Flags, shown: Mapping[str, Any], about: Sequence[Subject]) -> list[str]:
    wide = flags.get(EVERYTHING)
    silent = "not_asked" if wide is not None and wide.state == "yes" else ""
    return [
        cell
        for subject in about
        for cell in _answer(flags.get(subject), shown, silent if subject.kind == "channel" else "")
    ]


def _answer(flag: Flag | None, shown: Mapping[str, Any], silent: str) -> list[str]:
    """State and TERMS of one subject, as columns; `silent` where there is no answer.

    A yes that nothing shows has no `how`: else its going out and coming in would make evidence of it. What is longer
    than an import takes is cut: a row that is refused would leave a no behind.
    """
    if flag is None:
        return [silent, *[""] * len(TERMS)]
    proof = shown.get(flag.event_id) or {}
    terms = {
        "obtained_at": _spelled(_obtained(flag, proof)),
        "how": proof.get("how") or (flag.source if flag.state == "no" or flag.source in PERSONAL else None),
        "wording": _as_words(proof.get("wording")),
        "basis": flag.basis if flag.state == "yes" else None,
        "expires_at": _spelled(flag.expires_at) if flag.state == "yes" else None,
    }
    cells = {term: str(terms[term] or "") for term in TERMS}
    return [flag.state, *(cells[term][: MOST.get(term)] for term in TERMS)]


def _obtained(flag: Flag, proof: Mapping[str, Any]) -> datetime:
    """When it was said; of a yes when its evidence says so, where we heard of it later: a no from in between counts."""
    obtained = obtained_at(proof) if flag.state == "yes" else None
    return flag.at if obtained is None else min(obtained, flag.at)


def _as_words(wording: object) -> object:
    """The boxes of an own page as the lines that they were, as the wording of a form has them; any other as it is."""
    if not isinstance(wording, list) or not all(isinstance(one, dict) and "text" in one for one in wording):
        return wording
    return "\n".join(f"[{'x' if one.get('ticked') else ' '}] {one['text']}" for one in wording)


def _of_address(flag: Flag, address: str, shown: Mapping[str, Any]) -> str:
    basis = f" as {flag.basis}" if flag.basis is not None else ""
    until = f" until {_spelled(flag.expires_at)}" if flag.expires_at is not None else ""
    at = _obtained(flag, shown.get(flag.event_id) or {})
    return f"{flag.state} at {_spelled(at)}{basis}{until} {address}"


async def _evidence(conn: AsyncConnection, event_ids: Sequence[str]) -> dict[str, Any]:
    rows = await rows_by(conn, select(evidence.c.event_id, evidence.c.body).where(evidence.c.event_id.in_(IDS)),
                         event_ids)  # fmt: skip
    return {row.event_id: row.body for row in rows}
