"""May we send to this person, or to this address? The verdict, asked one by one, and which address is taken."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import verdict
from store.parts import IDS, rows_by
from store.tables import addresses, profile_addresses, profiles
from store.types import Key


@dataclass(frozen=True, slots=True)
class Answer:
    """The verdict on one profile at one address."""

    reason: str
    profile_id: str | None = None
    address_id: str | None = None
    address: str | None = None

    @property
    def allowed(self) -> bool:
        return verdict.is_allowed(self.reason)


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be sent."""

    channel: str
    class_: str  # marketing | transactional
    preference_id: str | None = None


async def of_profile(
    conn: AsyncConnection, profile_id: str, question: Question, *, address_id: str | None = None, now: datetime
) -> Answer:
    """The primary address if it may be sent to, else the next that may; else the primary's reason."""
    asked = _asked(question).where(profiles.c.id == profile_id)
    if address_id is not None:
        asked = asked.where(profile_addresses.c.address_id == address_id)
    rows = list(await conn.execute(_shown(asked, now)))
    rows.sort(key=lambda row: (not verdict.is_allowed(row.reason), not row.primary, row.position or 0))
    return _answer(rows[0]) if rows else Answer("no_address", profile_id)


async def of_address(conn: AsyncConnection, address_hash: str, question: Question, *, now: datetime) -> Answer:
    """A no of any profile that has it wins, then any that may be sent to, then the oldest profile's reason."""
    return (await of_addresses(conn, [(address_hash, question)], now=now))[0]


async def of_addresses(conn: AsyncConnection, asked: Sequence[tuple[str, Question]], *, now: datetime) -> list[Answer]:
    """As `of_address`, of each (hash, question) in their order; one statement for each different question."""
    by_question: dict[Question, set[str]] = defaultdict(set)
    for digest, question in asked:
        by_question[question].add(digest)
    found: dict[tuple[str, Question], list[Any]] = defaultdict(list)
    for question, hashes in by_question.items():
        statement = (
            _asked(question)
            .add_columns(addresses.c.hash)
            .join(addresses, addresses.c.id == profile_addresses.c.address_id)
            .where(addresses.c.hash.in_(IDS))
        )
        for row in await rows_by(conn, _shown(statement, now), hashes):
            found[row.hash, question].append(row)
    return [_first(found[one]) for one in asked]


def _first(rows: Sequence[Any]) -> Answer:
    best = min(
        rows,
        key=lambda row: (row.reason not in verdict.NO_REASONS, not verdict.is_allowed(row.reason), row.profile_id),
        default=None,
    )
    return _answer(best) if best is not None else Answer("unknown_address")


def _asked(question: Question) -> Select[Any]:
    held = (profile_addresses.c.profile_id == profiles.c.id) & (profile_addresses.c.channel == question.channel)
    return select(
        profiles.c.id.label("profile_id"),
        profile_addresses.c.address_id,
        profile_addresses.c.is_primary.label("primary"),
        profile_addresses.c.position,
        literal(question.channel, Key()).label("channel"),
        literal(question.preference_id, Key()).label("preference_id"),
        literal(question.class_, Key()).label("class"),
    ).select_from(profiles.outerjoin(profile_addresses, held))


def _shown(asked: Select[Any], now: datetime) -> Select[Any]:
    """The verdict on each row, with the address in words."""
    answered = verdict.over(asked.subquery("asked"), now=now).subquery("answered")
    return select(answered, addresses.c.value.label("address")).select_from(
        answered.outerjoin(addresses, addresses.c.id == answered.c.address_id)
    )


def _answer(row: Any) -> Answer:
    return Answer(row.reason, row.profile_id, row.address_id, row.address)
