"""Profiles as rows: made, read, changed, removed. What that does to consent is `outbox.people`'s business."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from profiles.links import Held, held_by
from store import bulk
from store.ids import new_id
from store.parts import IDS, rows_by
from store.tables import profile_addresses, profile_tags, profiles
from store.upsert import insert_missing

NAMES = ("external_id", "first_name", "last_name", "locale", "timezone")


# Of a profile's attributes, as JSON: a list shows 500 profiles whole, and a cell of a sheet takes 131,072.
MOST_CHARACTERS = 65_536


class AttributesTooLarge(Exception):
    """A profile's attributes would be longer than MOST_CHARACTERS."""


class ExternalIdTaken(Exception):
    """Another profile has this external id; the message is its profile's id."""


@dataclass(frozen=True, slots=True)
class Profile:
    id: str
    external_id: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    timezone: str | None
    attributes: dict[str, Any]
    tags: tuple[str, ...]
    addresses: tuple[Held, ...]
    created_at: datetime
    updated_at: datetime


async def make(
    conn: AsyncConnection, fields: Sequence[Mapping[str, Any]], *, defaults_version: int, now: datetime
) -> list[str]:
    """New profiles, one for each mapping of NAMES, `attributes` and maybe `id`; returns their ids, in order."""
    rows: list[dict[str, Any]] = [
        {
            "id": given.get("id") or new_id("pro"),
            **{name: given.get(name) for name in NAMES},
            "attributes": dict(given.get("attributes") or {}),
            "defaults_version": defaults_version,
            "created_at": now,
            "updated_at": now,
        }
        for given in fields
    ]
    await bulk.insert_rows(conn, profiles, rows)
    return [row["id"] for row in rows]


async def by_external_id(conn: AsyncConnection, external_id: str) -> str | None:
    """The id of the profile with this external id."""
    row = await conn.execute(select(profiles.c.id).where(profiles.c.external_id == external_id))
    return row.scalar_one_or_none()


async def by_external_ids(conn: AsyncConnection, external_ids: Collection[str]) -> dict[str, str]:
    """External id → the id of its profile, for those that somebody has."""
    statement = select(profiles.c.external_id, profiles.c.id).where(profiles.c.external_id.in_(IDS))
    return {row.external_id: row.id for row in await rows_by(conn, statement, external_ids)}


async def locale_at(conn: AsyncConnection, address_id: str) -> str | None:
    """The locale of whoever has the address; of several the first that has told."""
    statement = (
        select(profiles.c.locale)
        .join(profile_addresses, profile_addresses.c.profile_id == profiles.c.id)
        .where(profile_addresses.c.address_id == address_id, profiles.c.locale.is_not(None))
        .order_by(profiles.c.id)
        .limit(1)
    )
    return (await conn.execute(statement)).scalar_one_or_none()


async def read(conn: AsyncConnection, profile_ids: Sequence[str]) -> list[Profile]:
    """The profiles with these ids, in this order; those that do not exist are left out."""
    rows = {
        row["id"]: row
        for row in (await conn.execute(select(profiles).where(profiles.c.id.in_(list(profile_ids))))).mappings()
    }
    held = await held_by(conn, list(rows))
    tags = await tags_of(conn, list(rows))
    return [
        Profile(
            id=row["id"],
            **{name: row[name] for name in NAMES},
            attributes=row["attributes"],
            tags=tuple(tags.get(row["id"], ())),
            addresses=tuple(held[row["id"]]),
            created_at=row["created_at"],
            updated_at=row["updated_at"],
        )
        for profile_id in profile_ids
        if (row := rows.get(profile_id)) is not None
    ]


async def tags_of(conn: AsyncConnection, profile_ids: Collection[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    rows = await conn.execute(
        select(profile_tags).where(profile_tags.c.profile_id.in_(list(profile_ids))).order_by(profile_tags.c.tag)
    )
    for row in rows:
        found[row.profile_id].append(row.tag)
    return dict(found)


async def set_tags(conn: AsyncConnection, profile_id: str, tags: Collection[str]) -> None:
    """Replace the tags as given."""
    await conn.execute(delete(profile_tags).where(profile_tags.c.profile_id == profile_id))
    await add_tags(conn, {profile_id: tags})


async def add_tags(conn: AsyncConnection, tags: Mapping[str, Collection[str]]) -> None:
    """Let profiles have these tags too, by profile id."""
    rows = [{"profile_id": profile_id, "tag": tag} for profile_id, given in tags.items() for tag in sorted(set(given))]
    await insert_missing(conn, profile_tags, rows)


async def change(conn: AsyncConnection, profile_id: str, values: Mapping[str, Any], *, now: datetime) -> None:
    """Set these columns (NAMES, attributes) and the time of change."""
    await conn.execute(update(profiles).where(profiles.c.id == profile_id).values(**values, updated_at=now))


async def remove(conn: AsyncConnection, profile_id: str) -> None:
    """Take the row away; its links and tags are gone with it, its history stays."""
    await conn.execute(delete(profiles).where(profiles.c.id == profile_id))


def merged(attributes: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """`attributes` after an RFC 7396 merge patch: null removes, objects merge, all else replaces.

    Raises AttributesTooLarge.
    """
    return fitting(_merged(attributes, patch))


def fitting(attributes: dict[str, Any]) -> dict[str, Any]:
    """The attributes as they are; raises AttributesTooLarge."""
    if attributes and len(json.dumps(attributes, ensure_ascii=False)) > MOST_CHARACTERS:
        raise AttributesTooLarge
    return attributes


def _merged(attributes: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(attributes)
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping):
            below = result.get(name)
            result[name] = _merged(below if isinstance(below, Mapping) else {}, value)
        else:
            result[name] = value
    return result
