"""An audience, cut into chunks in key order: each a SELECT of candidates that the verdict is asked about.

A candidate is a profile with one of its addresses on the channel (or with none). Which one is taken, and why not
the others, is the plan's decision.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

from sqlalchemy import BindParameter, Select, and_, bindparam, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience import lists
from audience.lists import Members
from store.tables import addresses, profile_addresses, profile_tags, profiles
from store.types import Key

MOST_SHOWN = 100  # members of a list; of a longer one the count is shown


@dataclass(frozen=True, slots=True)
class Audience:
    """Who a broadcast is for: everybody, a tag, or a list, whose members are kept apart (`lists`)."""

    kind: Literal["all", "tag", "profiles", "addresses"]
    tag: str | None = None
    count: int = 0  # of a list
    shown: tuple[str, ...] = ()  # the members of a short list

    @classmethod
    def listed(cls, kind: Literal["profiles", "addresses"], members: Members) -> Audience:
        shown = [value or key for key, value in members.items()] if len(members) <= MOST_SHOWN else []
        return cls(kind, count=len(members), shown=tuple(shown))

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "tag": self.tag, "count": self.count, "shown": list(self.shown)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Audience:
        return cls(value["kind"], value["tag"], value["count"], tuple(value["shown"]))


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next of an audience, by key: profile ids, or hashes of addresses with the address as it was asked for."""

    members: Members

    @property
    def keys(self) -> list[str]:
        """In order; the last is the cursor."""
        return list(self.members)


async def next_chunk(
    conn: AsyncConnection, audience: Audience, broadcast_id: str, *, after: str | None, size: int
) -> Chunk | None:
    """Up to `size` members behind `after`; None when there are no more."""
    if audience.kind in ("profiles", "addresses"):
        async for members in lists.read(conn, broadcast_id, after=after):
            return Chunk(dict(islice(members.items(), size)))
        return None
    column = profile_tags.c.profile_id if audience.kind == "tag" else profiles.c.id
    statement = select(column).order_by(column).limit(size)
    if audience.kind == "tag":
        statement = statement.where(profile_tags.c.tag == audience.tag)
    if after is not None:
        statement = statement.where(column > after)
    keys = (await conn.execute(statement)).scalars().all()
    return Chunk(dict.fromkeys(keys)) if keys else None


def candidates(audience: Audience, chunk: Chunk, *, channel: str, preference_id: str | None) -> Select[Any]:
    """The questions of one chunk, with `primary` and `position` to choose by; of another with its `bounds`."""
    held = profile_addresses
    columns = [
        literal(channel, Key()).label("channel"),
        literal(preference_id, Key()).label("preference_id"),
        literal("marketing", Key()).label("class"),
        held.c.is_primary.label("primary"),
        held.c.position.label("position"),
    ]
    if audience.kind == "addresses":
        return (
            select(held.c.profile_id, held.c.address_id, *columns)
            .join(addresses, addresses.c.id == held.c.address_id)
            .where(addresses.c.hash.in_(_keys(chunk)), held.c.channel == channel)
        )
    return (
        select(profiles.c.id.label("profile_id"), held.c.address_id, *columns)
        .select_from(profiles.outerjoin(held, (held.c.profile_id == profiles.c.id) & (held.c.channel == channel)))
        .where(_within(audience, chunk))
    )


def _within(audience: Audience, chunk: Chunk) -> Any:
    if audience.kind == "all":
        first, last = (bindparam(name, value, Key()) for name, value in bounds(audience, chunk).items())
        return and_(profiles.c.id >= first, profiles.c.id <= last)  # what was made meanwhile is behind the cursor
    return profiles.c.id.in_(_keys(chunk))


def _keys(chunk: Chunk) -> BindParameter[Any]:
    return bindparam("chunk_keys", chunk.keys, expanding=True)


def bounds(audience: Audience, chunk: Chunk) -> dict[str, Any]:
    """What a statement over `candidates` takes to be run for another chunk of the same audience."""
    keys = chunk.keys
    return {"chunk_first": keys[0], "chunk_last": keys[-1]} if audience.kind == "all" else {"chunk_keys": keys}
