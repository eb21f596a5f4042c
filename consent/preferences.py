"""Preferences: the questions put to customers."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.ids import new_id
from store.tables import preferences


class NameTaken(Exception):
    """Another preference has this name."""


class UnknownPreference(Exception):
    """No preference has this name; the message is the name."""


@dataclass(frozen=True, slots=True)
class Preference:
    id: str
    name: str  # unique; for staff and reports
    text: str  # all that customers see
    description: str | None
    selected_by_default: bool
    active: bool
    linked_channel: str | None
    contexts: Sequence[str]
    partner: str | None
    created_at: datetime
    updated_at: datetime


async def create(
    conn: AsyncConnection,
    *,
    name: str,
    text: str | None = None,
    description: str | None = None,
    selected_by_default: bool = False,
    active: bool = True,
    linked_channel: str | None = None,
    contexts: Sequence[str] = (),
    partner: str | None = None,
    now: datetime,
) -> Preference:
    """A new preference; raises NameTaken."""
    if await by_names(conn, [name]):
        raise NameTaken(name)
    row: dict[str, Any] = {
        "id": new_id("prf"),
        "name": name,
        "text": text or name,
        "description": description,
        "selected_by_default": selected_by_default,
        "active": active,
        "linked_channel": linked_channel,
        "contexts": list(contexts),
        "partner": partner,
        "created_at": now,
        "updated_at": now,
    }
    await conn.execute(insert(preferences), [row])
    return Preference(**row)


async def by_names(conn: AsyncConnection, names: Collection[str]) -> dict[str, str]:
    """Name → id, for those that exist."""
    rows = await conn.execute(select(preferences.c.name, preferences.c.id).where(preferences.c.name.in_(set(names))))
    return {row.name: row.id for row in rows}


async def require(conn: AsyncConnection, name: str) -> str:
    """The id of the preference with this name; raises UnknownPreference."""
    found = await by_names(conn, [name])
    if name not in found:
        raise UnknownPreference(name)
    return found[name]


async def names_of(conn: AsyncConnection, ids: Collection[str]) -> dict[str, str]:
    """Id → name."""
    rows = await conn.execute(select(preferences.c.id, preferences.c.name).where(preferences.c.id.in_(set(ids))))
    return {row.id: row.name for row in rows}


async def listed(conn: AsyncConnection, *, after: str | None, limit: int) -> list[Preference]:
    """Preferences in the order of their making, from behind `after`."""
    statement = select(preferences).order_by(preferences.c.id).limit(limit)
    if after is not None:
        statement = statement.where(preferences.c.id > after)
    fields = Preference.__dataclass_fields__
    return [Preference(**{name: row[name] for name in fields}) for row in (await conn.execute(statement)).mappings()]
