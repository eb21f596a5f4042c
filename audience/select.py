"""An audience, cut into chunks in key order: each a SELECT of candidates that the verdict is asked about.

A candidate is a profile with one of its addresses on the channel (or with none). Which one is taken, and why not
the others, is the plan's decision.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Select, and_, literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import addresses, profile_addresses, profile_tags, profiles
from store.types import Key


@dataclass(frozen=True, slots=True)
class Audience:
    """Who a broadcast is for, normalised: exactly one of the four."""

    kind: Literal["all", "tag", "profiles", "addresses"]
    tag: str | None = None
    ids: tuple[str, ...] = ()  # profiles, sorted
    addresses: tuple[tuple[str, str], ...] = ()  # (hash, value), sorted

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "tag": self.tag,
            "ids": list(self.ids),
            "addresses": [list(a) for a in self.addresses],
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Audience:
        return cls(
            value["kind"],
            value["tag"],
            tuple(value["ids"]),
            tuple((digest, plain) for digest, plain in value["addresses"]),
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """The next keys of an audience: profile ids, or hashes of addresses; in order, `keys[-1]` is the cursor."""

    keys: tuple[str, ...]


async def next_chunk(conn: AsyncConnection, audience: Audience, *, after: str | None, size: int) -> Chunk | None:
    """The keys behind `after`; None when there are no more."""
    if audience.kind == "profiles":
        keys = [key for key in audience.ids if after is None or key > after][:size]
    elif audience.kind == "addresses":
        keys = [digest for digest, _ in audience.addresses if after is None or digest > after][:size]
    else:
        column = profile_tags.c.profile_id if audience.kind == "tag" else profiles.c.id
        statement = select(column).order_by(column).limit(size)
        if audience.kind == "tag":
            statement = statement.where(profile_tags.c.tag == audience.tag)
        if after is not None:
            statement = statement.where(column > after)
        keys = list((await conn.execute(statement)).scalars())
    return Chunk(tuple(keys)) if keys else None


def candidates(audience: Audience, chunk: Chunk, *, channel: str, preference_id: str | None) -> Select[Any]:
    """The questions of one chunk, with `primary` and `position` to choose by."""
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
            .where(addresses.c.hash.in_(chunk.keys), held.c.channel == channel)
        )
    return (
        select(profiles.c.id.label("profile_id"), held.c.address_id, *columns)
        .select_from(profiles.outerjoin(held, (held.c.profile_id == profiles.c.id) & (held.c.channel == channel)))
        .where(_within(audience, chunk))
    )


def _within(audience: Audience, chunk: Chunk) -> Any:
    if audience.kind == "all":
        return and_(
            profiles.c.id >= chunk.keys[0], profiles.c.id <= chunk.keys[-1]
        )  # what was made meanwhile is behind the cursor
    return profiles.c.id.in_(chunk.keys)


def values_of(audience: Audience, keys: Sequence[str]) -> dict[str, str]:
    """Hash → the address as it was asked for, of these keys."""
    wanted = set(keys)
    return {digest: value for digest, value in audience.addresses if digest in wanted}
