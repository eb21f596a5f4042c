"""Finding people: a page of ids, the newest last, for whatever is asked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import addresses, consent_events, profile_addresses, profile_tags, profiles


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for; everything given must hold."""

    text: str | None = None  # in a name, an external id or an address, case-insensitively
    address_hash: str | None = None
    external_id: str | None = None
    tag: str | None = None
    updated_since: datetime | None = None  # the profile, or what it said


async def find(conn: AsyncConnection, search: Search, *, after: str | None, limit: int) -> list[str]:
    """Ids of the profiles that match, in the order of their making, from behind `after`."""
    statement = select(profiles.c.id).order_by(profiles.c.id).limit(limit)
    if after is not None:
        statement = statement.where(profiles.c.id > after)
    if search.external_id is not None:
        statement = statement.where(profiles.c.external_id == search.external_id)
    if search.tag is not None:
        tagged = select(profile_tags.c.profile_id).where(profile_tags.c.tag == search.tag)
        statement = statement.where(profiles.c.id.in_(tagged))
    if search.updated_since is not None:
        said = select(consent_events.c.profile_id).where(consent_events.c.at >= search.updated_since)
        statement = statement.where(or_(profiles.c.updated_at >= search.updated_since, profiles.c.id.in_(said)))
    held = select(profile_addresses.c.profile_id).join(addresses, addresses.c.id == profile_addresses.c.address_id)
    if search.address_hash is not None:
        statement = statement.where(profiles.c.id.in_(held.where(addresses.c.hash == search.address_hash)))
    for word in (search.text or "").split():
        contains = [
            column.icontains(word, autoescape=True)
            for column in (profiles.c.first_name, profiles.c.last_name, profiles.c.external_id)
        ]
        with_address = profiles.c.id.in_(held.where(addresses.c.value.icontains(word, autoescape=True)))
        statement = statement.where(or_(*contains, with_address))
    return list((await conn.execute(statement)).scalars())
