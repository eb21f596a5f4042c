"""How fast: what may begin under a rate, and when the next may. By injected clock."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from outbox import pace
from store.engine import Database
from tests.acts import NOON, later


async def take(database: Database, name: str, rate: float, now: datetime, *, weight: int = 1, most: int = 64) -> int:
    """Begin as much as may, each of so many segments; returns how many."""
    async with database.write() as conn:
        allowed = await pace.look(conn, name, rate, now=now)
        count = min(allowed.count, most)
        assert (allowed.wait_seconds(now) > 0) == (allowed.count == 0)
        await pace.spend(conn, allowed, count * weight)
    return count


@pytest.mark.parametrize(("rate", "weight"), [(10.0, 1), (10.0, 2), (3.0, 7), (0.2, 1), (250.0, 1), (1.0, 10)])
async def test_in_the_long_run_it_is_the_rate(database: Database, rate: float, weight: int) -> None:
    segments, now = 0, NOON
    seconds = max(20.0, 10 * weight / rate)
    while now < later(seconds):
        segments += weight * await take(database, "sms", rate, now, weight=weight)
        now += timedelta(seconds=max(0.05, seconds / 200))
    at_once = max(0.5 * rate, 1) * weight  # what may be claimed at the beginning, and be paid for later
    assert rate * seconds - weight - rate * seconds / 100 - 1 <= segments <= rate * seconds + at_once + weight


async def test_who_waits_as_long_as_told_may_begin(database: Database) -> None:
    for rate in (0.5, 7.0, 100.0):
        while await take(database, f"at {rate}", rate, NOON):
            pass
        async with database.write() as conn:
            wait = (await pace.look(conn, f"at {rate}", rate, now=NOON)).wait_seconds(NOON)
        assert 0 < wait <= 1 / rate + 1e-6
        assert await take(database, f"at {rate}", rate, later(wait + 1e-3)) >= 1


async def test_a_pause_is_no_credit(database: Database) -> None:
    assert await take(database, "sms", 10.0, NOON) == 5
    assert await take(database, "sms", 10.0, later(3600)) == 5


async def test_a_connection_that_rests_begins_nothing_and_goes_on_afterwards(database: Database) -> None:
    await database.transact(lambda conn: pace.rest(conn, "sms", 30, now=NOON))
    assert await take(database, "sms", 10.0, later(29)) == 0
    assert await take(database, "other", 10.0, later(29)) == 5
    assert await take(database, "sms", 10.0, later(30)) == 5
    # A shorter rest does not end a longer one.
    await database.transact(lambda conn: pace.rest(conn, "sms", 60, now=later(40)))
    await database.transact(lambda conn: pace.rest(conn, "sms", 5, now=later(41)))
    assert await take(database, "sms", 10.0, later(90)) == 0


async def test_a_pace_that_is_forgotten_begins_anew(database: Database) -> None:
    assert await take(database, "brd_1", 10.0, NOON) == 5
    assert await take(database, "brd_2", 10.0, NOON) == 5
    await database.transact(lambda conn: pace.forget(conn, ["brd_1"]))
    assert await take(database, "brd_1", 10.0, NOON) == 5
    assert await take(database, "brd_2", 10.0, NOON) == 0
