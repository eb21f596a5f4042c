"""An audience given as a list, kept in parts: however long it is, little of it is made, read or parsed at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import audience_parts

MOST = 100_000  # in one list
PART = 500  # planned in one transaction, some 50 ms where nobody has the addresses

# A profile's id, with None; or the hash of an address, with the address as it was asked for.
Members = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Part:
    """Members in the order of their keys, spelled as they are kept."""

    last: str
    members: str


async def cut(members: Members) -> list[Part]:
    """The parts of a list, made before the transaction that keeps them; others have their turn between two."""
    keys = sorted(members)
    parts: list[Part] = []
    for start in range(0, len(keys), PART):
        some = keys[start : start + PART]
        parts.append(Part(some[-1], json.dumps({key: members[key] for key in some})))
        await asyncio.sleep(0)
    return parts


async def keep(conn: AsyncConnection, broadcast_id: str, parts: Sequence[Part]) -> None:
    if parts:
        rows = [{"broadcast_id": broadcast_id, "last": part.last, "members": part.members} for part in parts]
        await conn.execute(insert(audience_parts), rows)


async def read(conn: AsyncConnection, broadcast_id: str, *, after: str | None = None) -> AsyncIterator[Members]:
    """The members behind `after`, part by part, in the order of their keys."""
    parts = select(audience_parts.c.last, audience_parts.c.members)
    parts = parts.where(audience_parts.c.broadcast_id == broadcast_id).order_by(audience_parts.c.last).limit(1)
    while True:
        rest = parts if after is None else parts.where(audience_parts.c.last > after)
        part = (await conn.execute(rest)).one_or_none()
        if part is None:
            return
        yield {key: value for key, value in json.loads(part.members).items() if after is None or key > after}
        after = part.last
