"""The line of a connection: who gets a place, how much is claimed, and when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from outbox.claims import Claim
from outbox.lines import (
    AHEAD,
    AHEAD_SECONDS,
    CONCURRENCY,
    MOST_UNWRITTEN,
    REFILL_SECONDS,
    RESERVED,
    Line,
)

SOON = 60.0  # a lease that no test outlives


def claim(number: int, broadcast: str | None = "brd_1") -> Claim:
    return Claim(
        attempt_id=f"att_{number}",
        tag=f"att_{number}",
        delivery_id=f"msg_{number}",
        broadcast_id=broadcast,
        profile_id="pro_1",
        address_id="adr_1",
        address="+14155550101",
        channel="sms",
        class_="marketing",
        preference_id=None,
        content={"body": "On sale."},
        as_written=True,
        tries=1,
    )


class Sends:
    """What is under way; each ends when it is let go."""

    def __init__(self) -> None:
        self.line = Line("sms", self._send)
        self.under_way: list[Claim] = []
        self._ends: dict[str, asyncio.Event] = {}

    async def _send(self, one: Claim, _until: float) -> None:
        self.under_way.append(one)
        await self._ends.setdefault(one.attempt_id, asyncio.Event()).wait()
        self.under_way.remove(one)

    async def add(self, *claims: Claim, until: float = SOON) -> None:
        self.line.add(claims, until)
        await asyncio.sleep(0)

    async def end(self, count: int) -> None:
        for one in self.under_way[:count]:
            self._ends[one.attempt_id].set()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


@pytest.fixture
async def sends() -> AsyncIterator[Sends]:
    made = Sends()
    yield made
    made.line.give_back()
    while made.under_way:
        await made.end(CONCURRENCY)
    await made.line.emptied()


async def test_a_broadcast_leaves_places_for_what_a_person_waits_for(sends: Sends) -> None:
    await sends.add(*(claim(n) for n in range(2 * CONCURRENCY)))
    assert len(sends.under_way) == CONCURRENCY - RESERVED
    replies = [claim(n, broadcast=None) for n in range(1000, 1000 + RESERVED + 1)]
    await sends.add(*replies)
    assert sends.under_way[-RESERVED:] == replies[:-1]
    await sends.end(1)
    assert sends.under_way[-1] == replies[-1]  # before all that a broadcast has waiting
    await sends.end(RESERVED)
    assert sum(one.broadcast_id is not None for one in sends.under_way) == CONCURRENCY - len(replies)


async def test_single_messages_may_have_every_place(sends: Sends) -> None:
    assert sends.line.room() == (CONCURRENCY, CONCURRENCY - RESERVED)
    await sends.add(*(claim(n, broadcast=None) for n in range(CONCURRENCY)))
    assert len(sends.under_way) == CONCURRENCY
    assert sends.line.room() == (0, 0)


async def test_of_a_broadcast_nothing_is_claimed_when_only_reserved_places_are_free(sends: Sends) -> None:
    await sends.add(*(claim(n) for n in range(CONCURRENCY - RESERVED)))
    assert sends.line.room() == (RESERVED, 0)


@pytest.mark.parametrize(("seconds", "ahead"), [(0.0, AHEAD), (0.05, 128), (0.5, 12), (10.0, 0)])
async def test_no_more_is_claimed_ahead_than_begins_soon(sends: Sends, seconds: float, ahead: int) -> None:
    for _ in range(1000):
        sends.line.took(seconds)
    assert sends.line.room() == (CONCURRENCY + ahead, CONCURRENCY - RESERVED + ahead)
    assert ahead * seconds <= AHEAD_SECONDS * CONCURRENCY


async def test_a_broadcast_that_waits_for_a_provider_grown_slow_leaves_room_for_what_a_person_waits_for(
    sends: Sends,
) -> None:
    for _ in range(1000):
        sends.line.took(0.001)
    await sends.add(*(claim(n) for n in range(sends.line.room()[1])))
    for _ in range(1000):
        sends.line.took(10.0)
    assert sends.line.room() == (RESERVED, 0)


async def test_claims_that_could_not_begin_make_the_next_ones_smaller(sends: Sends) -> None:
    for left in (32, 16, 8, 4, 2, 1, 1):
        sends.line.claim_less()
        assert sends.line.room()[0] == left
    sends.line.took(10.0)
    assert sends.line.room()[0] == 2


async def test_what_finds_no_place_within_its_lease_is_given_back(sends: Sends) -> None:
    await sends.add(*(claim(n) for n in range(CONCURRENCY)), until=1.0)
    await sends.add(claim(1000), until=2.0)
    assert sends.line.give_back(now=1.0) == []
    assert sends.line.give_back(now=1.5) == [claim(n) for n in range(CONCURRENCY - RESERVED, CONCURRENCY)]
    assert sends.line.give_back() == [claim(1000)]
    assert len(sends.under_way) == CONCURRENCY - RESERVED


async def test_nothing_is_claimed_while_the_database_takes_no_ends(sends: Sends) -> None:
    sends.line.unwritten = MOST_UNWRITTEN + 1
    assert sends.line.room() == (0, 0)


async def rested(sends: Sends, seconds: float) -> float:
    began = time.monotonic()
    await sends.line.rest(seconds)
    return time.monotonic() - began


async def test_a_line_rests_until_a_worthwhile_number_has_ended(sends: Sends) -> None:
    sends.line.is_hungry = True
    await sends.add(*(claim(n) for n in range(CONCURRENCY - RESERVED)))
    resting = asyncio.create_task(rested(sends, SOON))
    await asyncio.sleep(0)
    await sends.end((CONCURRENCY - RESERVED) // 2)
    await asyncio.sleep(0)
    assert resting.done()
    assert await resting < REFILL_SECONDS


async def test_a_few_that_ended_are_replaced_soon(sends: Sends) -> None:
    sends.line.is_hungry = True
    await sends.add(*(claim(n) for n in range(CONCURRENCY - RESERVED)))
    resting = asyncio.create_task(rested(sends, SOON))
    await asyncio.sleep(2 * REFILL_SECONDS)
    assert not resting.done()
    await sends.end(1)
    async with asyncio.timeout(SOON / 2):
        await resting


async def test_whoever_queues_something_wakes_a_line_that_rests(sends: Sends) -> None:
    resting = asyncio.create_task(rested(sends, SOON))
    await asyncio.sleep(0)
    sends.line.wake()
    async with asyncio.timeout(SOON / 2):
        await resting
