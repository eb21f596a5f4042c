"""What a broadcast would come to, counted without making it: the plan's own choice, chunk by chunk, read only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import and_, case, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from audience.lists import Part
from audience.select import Audience, Chunk, next_chunk
from broadcasts import plan
from broadcasts.records import Counts, Draft
from consent import verdict
from store.engine import Database
from store.tables import profile_addresses


async def count(database: Database, draft: Draft, parts: Sequence[Part], *, now: datetime) -> Counts:
    """The counts as they would stand when the plan is done. Nothing is written, and nobody kept from writing."""
    if database.dialect == "postgresql":
        await database.transact(plan.know_the_tables)
    tally = _Tally()
    async for conn, chunk in _chunks(database, draft.audience, parts):
        await _add(conn, tally, draft, chunk, now)
    return tally.counts()


@dataclass(slots=True)
class _Tally:
    queued: int = 0
    by_reason: dict[str, int] = field(default_factory=dict)
    taken: set[str] = field(default_factory=set)  # of the addresses that several people have

    def skip(self, reason: str, people: int) -> None:
        if people:
            self.by_reason[reason] = self.by_reason.get(reason, 0) + people

    def send(self, shared_address: str | None, people: int) -> None:
        """People who may be sent to, all at this address; or each at their own."""
        if shared_address is None:
            self.queued += people
            return
        first = int(shared_address not in self.taken)
        self.taken.add(shared_address)
        self.queued += first
        self.skip("duplicate_address", people - first)

    def counts(self) -> Counts:
        skipped = sum(self.by_reason.values())
        by_status = {"queued": self.queued} if self.queued else {}
        return Counts(self.queued + skipped, skipped, by_status, dict(sorted(self.by_reason.items())))


async def _chunks(
    database: Database, audience: Audience, parts: Sequence[Part]
) -> AsyncIterator[tuple[AsyncConnection, Chunk]]:
    """Each chunk with a transaction of its own: a long one would keep SQLite from checkpointing."""
    if audience.kind in ("profiles", "addresses"):
        for part in _parsed(parts):
            async with database.read() as conn:
                yield conn, part
        return
    after: str | None = None
    while True:
        async with database.read() as conn:
            chunk = await next_chunk(conn, audience, "", after=after, size=plan.CHUNK)
            if chunk is None:
                return
            yield conn, chunk
        after = chunk.keys[-1]


def _parsed(parts: Sequence[Part]) -> Iterator[Chunk]:
    for part in parts:
        yield Chunk(json.loads(part.members))


async def _add(conn: AsyncConnection, tally: _Tally, draft: Draft, chunk: Chunk, now: datetime) -> None:
    chosen = plan.chosen(draft.audience, chunk, draft, now)
    others = exists(
        select(1).where(
            profile_addresses.c.address_id == chosen.c.address_id,
            profile_addresses.c.profile_id != chosen.c.profile_id,
        )
    ).correlate(chosen)
    shared = case((and_(verdict.allowed(chosen.c.reason), others), chosen.c.address_id)).label("shared")
    each = select(chosen.c.reason, shared).subquery("each")
    people = func.count().label("people")
    known = 0
    rows = await conn.execute(select(each.c.reason, each.c.shared, people).group_by(each.c.reason, each.c.shared))
    for row in rows:
        known += row.people
        if verdict.is_allowed(row.reason):
            tally.send(row.shared, row.people)
        else:
            tally.skip(row.reason, row.people)
    if draft.audience.kind in ("addresses", "profiles"):
        missing = "unknown_address" if draft.audience.kind == "addresses" else "no_address"
        tally.skip(missing, len(chunk.members) - known)
