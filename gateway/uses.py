"""What would miss a preference, a group or a disposition that is gone: whoever deletes one is told every use.

It looks into the tables of every room, so it stands above them all. Who asks holds what is to be deleted, so that no
use begins behind the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Text, cast, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import preferences
from consent.preferences import Preference
from content import composition
from gateway.problems import Problem
from store.tables import (
    attempts,
    broadcasts,
    confirmations,
    deliveries,
    dispositions,
    form_versions,
    forms,
    interactions,
    rules,
)
from store.tables import preferences as preferences_table

_ENDED = ("done", "cancelled")  # broadcasts
# Literals, so that SQLite sees that the partial indexes serve.
_QUEUED: ColumnElement[str] = literal_column("'queued'")
_BEGUN: tuple[ColumnElement[str], ...] = (literal_column("'sending'"), literal_column("'in_doubt'"))


@dataclass(frozen=True, slots=True)
class Use:
    kind: (
        str  # rule | form | broadcast | disposition | answers | deliveries | confirmations | preference | interactions
    )
    id: str | None  # of what is one thing
    words: str


def refuse(uses: Sequence[Use], title: str, instead: str) -> None:
    """Raises Problem 409 that names every use, where there are any."""
    if uses:
        told = [{"kind": use.kind, "id": use.id, "words": use.words} for use in uses]
        words = "; ".join(use.words for use in uses)
        raise Problem(409, "in-use", title, f"{instead}: {words}"[:2000], uses=told)


async def of_preference(conn: AsyncConnection, preference: Preference, *, now: datetime) -> list[Use]:
    """Everything that names it: what is set up, what is under way, and the history."""
    found = [
        *await _rules(conn, preference.id),
        *await _forms(conn, preference.id),
        *await _dispositions(conn, preference.id),
        *await broadcasts_about(conn, preference),
    ]
    counted = (
        ("deliveries", await _waiting(conn, preference.id), "waiting to be sent about it: {}"),
        ("confirmations", await _unconfirmed(conn, preference.id, now), "asked to confirm it: {}"),
        ("answers", await preferences.ever_answered(conn, preference.id), "the history holds answers of {}"),
    )
    nouns = {"deliveries": "message", "confirmations": "person", "answers": "person"}
    for kind, count, words in counted:
        if count:
            found.append(Use(kind, None, words.format(_many(count, nouns[kind]))))
    return found


async def of_group(conn: AsyncConnection, group_id: str) -> list[Use]:
    """The preferences that stand in it."""
    table = preferences_table.c
    rows = await conn.execute(select(table.id, table.name).where(table.group_id == group_id).order_by(table.position))
    return [Use("preference", row.id, f"the preference {row.name!r} stands in it") for row in rows]


async def of_disposition(conn: AsyncConnection, disposition_id: str) -> list[Use]:
    """The interactions that name it."""
    about = interactions.c.disposition_id == disposition_id
    count = (await conn.execute(select(func.count()).select_from(interactions).where(about))).scalar_one()
    return [Use("interactions", None, f"{_many(count, 'interaction')} ended with it")] if count else []


async def broadcasts_about(conn: AsyncConnection, preference: Preference) -> list[Use]:
    """The broadcasts under way, or still to come, that are about it or whose text names it."""
    return [
        Use("broadcast", row.id, f"the broadcast {row.name!r} ({row.status}) names it")
        for row in await _under_way(conn)
        if row.preference_id == preference.id or _is_in_text(row, preference.name)
    ]


async def broadcasts_with(conn: AsyncConnection, name: str) -> list[Use]:
    """The broadcasts under way, or still to come, whose text says this name."""
    return [
        Use("broadcast", row.id, f"the text of the broadcast {row.name!r} ({row.status}) names it")
        for row in await _under_way(conn)
        if _is_in_text(row, name)
    ]


async def broadcasts_on_others(conn: AsyncConnection, preference_id: str, channel: str) -> list[Use]:
    """The broadcasts about it, under way or still to come, on another channel than this."""
    return [
        Use("broadcast", row.id, f"the broadcast {row.name!r} ({row.status}) goes out on {', '.join(others)}")
        for row in await _under_way(conn)
        if row.preference_id == preference_id and (others := [c for c in _channels(row) if c != channel])
    ]


async def _under_way(conn: AsyncConnection) -> Sequence[Any]:
    return (await conn.execute(select(broadcasts).where(broadcasts.c.status.not_in(_ENDED)))).all()


def _is_in_text(row: Any, name: str) -> bool:
    return any(name in names for names in composition.preferences_by_field(row.content).values())


def _channels(row: Any) -> list[str]:
    return [route["channel"] for route in row.routes] or [row.channel]


async def _rules(conn: AsyncConnection, preference_id: str) -> list[Use]:
    rows = await conn.execute(select(rules).where(rules.c.preference_id == preference_id).order_by(rules.c.id))
    return [Use("rule", row.id, f"the rule {row.keyword!r} on {row.channel} is about it") for row in rows]


async def _forms(conn: AsyncConnection, preference_id: str) -> list[Use]:
    """Forms that show it in their present version; an id stands in no other text by chance."""
    shown = (form_versions.c.form_id == forms.c.id) & (form_versions.c.version == forms.c.version)
    rows = await conn.execute(
        select(forms.c.id, forms.c.description)
        .join(form_versions, shown)
        .where(cast(form_versions.c.body, Text).contains(preference_id, autoescape=True))
        .order_by(forms.c.id)
    )
    return [Use("form", row.id, f"the form {row.description!r} shows it") for row in rows]


async def _dispositions(conn: AsyncConnection, preference_id: str) -> list[Use]:
    named = cast(dispositions.c.changes, Text).contains(preference_id, autoescape=True)
    rows = await conn.execute(select(dispositions.c.id, dispositions.c.name).where(named).order_by(dispositions.c.id))
    return [Use("disposition", row.id, f"the disposition {row.name!r} changes it") for row in rows]


async def _waiting(conn: AsyncConnection, preference_id: str) -> int:
    """Single messages that are queued, and whatever has begun and may be tried again; of a broadcast that is told."""
    queued = deliveries.c.status == _QUEUED, deliveries.c.broadcast_id.is_(None)
    about = [select(deliveries.c.id).where(*queued, deliveries.c.preference_id == preference_id)]
    for state in _BEGUN:
        about.append(
            select(attempts.c.delivery_id).where(attempts.c.state == state, attempts.c.preference_id == preference_id)
        )
    return len({id_ for statement in about for id_ in (await conn.execute(statement)).scalars()})


async def _unconfirmed(conn: AsyncConnection, preference_id: str, now: datetime) -> int:
    pending = (
        cast(confirmations.c.wishes, Text).contains(preference_id, autoescape=True),
        confirmations.c.confirmed_at.is_(None),
        confirmations.c.expires_at > now,
    )
    return int((await conn.execute(select(func.count()).select_from(confirmations).where(*pending))).scalar_one())


def _many(count: int, noun: str) -> str:
    if count == 1:
        return f"one {noun}"
    return f"{count:,} {'people' if noun == 'person' else noun + 's'}"
