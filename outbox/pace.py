"""How fast: so many SMS segments a second, for a connection or a broadcast, shared by all who send on one database.

The rate is kept as the moment at which the next segment may begin (GCRA, ITU-T I.371), in a row that a claim locks.
Whoever may begin is as much as fits between now and half a lease ahead of it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import floor

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox.protocol import LEASE_SECONDS
from store import bulk
from store.tables import paces
from store.upsert import insert_missing

_BURST_SECONDS = 0.5 * LEASE_SECONDS  # what is claimed at once could all begin within this

_FREE_AT = select(paces.c.free_at).where(paces.c.name == bindparam("pace")).with_for_update()
_SPENT = update(paces).where(paces.c.name == bindparam("pace")).values(free_at=bindparam("until"))


@dataclass(frozen=True, slots=True)
class Allowance:
    """What may begin now under one rate, until the transaction ends."""

    name: str
    rate: float  # segments a second
    free_at: datetime  # when the next one could have begun, never before now
    count: int

    def wait_seconds(self, now: datetime) -> float:
        """How long until one more may begin; 0 while some may."""
        if self.count > 0:
            return 0.0
        return max(0.0, (self.free_at - now).total_seconds() - _burst(self.rate) + 1 / self.rate)


class Room:
    """How many segments may begin in one claim, under the connection's rate and the broadcasts' own.

    Messages are taken while there is room at all, so that one that weighs more than fits at once goes out, too.
    """

    def __init__(self, allowances: Iterable[Allowance]) -> None:
        self._left = {allowance.name: allowance.count for allowance in allowances}

    def has_any(self, *names: str | None) -> bool:
        return all(self._left[name] > 0 for name in names if name in self._left)

    def take(self, segments: int, *names: str | None) -> None:
        for name in names:
            if name is not None and name in self._left:
                self._left[name] -= segments


def _burst(rate: float) -> float:
    return max(_BURST_SECONDS, 1 / rate)


async def look(conn: AsyncConnection, name: str, rate: float, *, now: datetime) -> Allowance:
    """Lock the pace and see how many segments may begin now."""
    found = await bulk.rows(conn, _FREE_AT, pace=name)
    if not found:
        await insert_missing(conn, paces, [{"name": name, "free_at": now}])
        found = await bulk.rows(conn, _FREE_AT, pace=name)
    free_at = max(found[0].free_at, now)
    ahead = (free_at - now).total_seconds()
    return Allowance(name, rate, free_at, max(0, floor((_burst(rate) - ahead) * rate + 1e-6)))


async def spend(conn: AsyncConnection, allowance: Allowance, segments: int) -> None:
    """Count what begins; more than the allowance is paid for by a longer wait."""
    if segments:
        until = allowance.free_at + timedelta(seconds=segments / allowance.rate)
        await bulk.run(conn, _SPENT, [{"pace": allowance.name, "until": until}])


async def forget(conn: AsyncConnection, names: Collection[str]) -> None:
    """Keep no pace of what will send no more."""
    if names:
        await conn.execute(delete(paces).where(paces.c.name.in_(sorted(names))))


async def rest(conn: AsyncConnection, name: str, seconds: float, *, now: datetime) -> None:
    """Begin nothing for so long, whoever sends: the provider asked for it."""
    await insert_missing(conn, paces, [{"name": name, "free_at": now}])
    until = now + timedelta(seconds=seconds)
    await conn.execute(update(paces).where(paces.c.name == name, paces.c.free_at < until).values(free_at=until))
