"""The lease: how long an opt-out waits for a send that is under way, and how late a send may begin."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from gateway.settings import load
from outbox.protocol import LEASE_SECONDS, SETTLE_SECONDS
from store.engine import Database
from store.tables import attempts
from tests.campaign import checks
from tests.campaign.clients import Marketer, Provider, Text, open_clients
from tests.campaign.gateways import House, house, opened
from tests.campaign.seed import Seeded, seed
from tests.channels.requests_as_sent import ACCOUNT, TOKEN
from tests.standins.twilio import TwilioStandIn
from tests.standins.twilio import accepted as after

pytestmark = pytest.mark.timeout(180)

MARGIN_SECONDS = 0.5  # for a busy machine
LINES = ("one", "two", "three", "four")


@dataclass
class Scene:
    """A gateway, people it may send to, and everybody outside."""

    home: House
    database: Database
    standin: TwilioStandIn
    seeded: Seeded
    url: str
    provider: Provider
    marketer: Marketer


@asynccontextmanager
async def scene(folder: Path, url: str, people: int, connections: tuple[str, ...] = ("sms",)) -> AsyncIterator[Scene]:
    async with (
        TwilioStandIn(ACCOUNT, TOKEN) as standin,
        house(folder, url, standin.url, connections) as home,
        opened(home) as database,
        open_clients() as session,
    ):
        seeded = await seed(database, load(home.config, {}), people)
        gateway = await home.serve()
        marketer = Marketer(session, seeded.key, gateway.url)
        yield Scene(home, database, standin, seeded, gateway.url, Provider(session), marketer)
        assert await gateway.stop() == 0
        assert home.complaints() == []


async def asked_for(standin: TwilioStandIn, number: str) -> None:
    while not any(line.to == number for line in standin.log):
        await asyncio.sleep(0.005)


async def test_an_opt_out_is_answered_when_the_send_to_that_very_address_has_ended(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    async with scene(tmp_path, new_database_url(), 100) as s:
        slow, other = s.seeded.to_be_sent()[:2]
        s.standin.on[slow] = after(0.6)
        broadcast_id = await s.marketer.broadcast({"addresses": [slow]})
        await asked_for(s.standin, slow)
        began = time.monotonic()
        waits = asyncio.create_task(s.provider.post(s.url, Text(slow, "STOP")))
        at_once = await s.provider.post(s.url, Text(other, "STOP"))
        answer = await waits
        print(f"\nwaited {answer.seconds:.2f} s; another person's STOP {at_once.seconds:.2f} s")
        assert {answer.status, at_once.status} == {200}
        assert at_once.answered_at_ns < answer.answered_at_ns
        assert 0.4 <= time.monotonic() - began <= 0.6 + MARGIN_SECONDS
        shown = await s.marketer.ended(broadcast_id, seconds=10)
        assert shown["counts"]["by_status"] == {"accepted": 1}


async def test_an_opt_out_waits_for_a_send_that_does_not_end_no_longer_than_any_could_still_begin(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    async with scene(tmp_path, new_database_url(), 100) as s:
        [stuck] = s.seeded.to_be_sent()[:1]
        s.standin.on[stuck] = after(4.0)
        await s.marketer.broadcast({"addresses": [stuck]})
        await asked_for(s.standin, stuck)
        text = Text(stuck, "STOP")
        first = asyncio.create_task(s.provider.post(s.url, text))
        await asyncio.sleep(0.3)
        again = await s.provider.post(s.url, text)  # delivered twice: neither answer may come before the other's time
        answer = await first
        print(f"\nwaited {answer.seconds:.2f} s, the second delivery {again.seconds:.2f} s")
        assert (answer.status, again.status) == (200, 200)
        assert answer.body == again.body
        assert SETTLE_SECONDS <= answer.seconds <= SETTLE_SECONDS + MARGIN_SECONDS
        committed_at_least = SETTLE_SECONDS - 0.3 - 0.1  # before the second one came, the first was not yet settled
        assert committed_at_least <= again.seconds <= SETTLE_SECONDS + MARGIN_SECONDS
        checks.no_send_began_after_its_stop_was_answered(s.standin.log, [answer, again])


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_with_a_slow_provider_no_send_begins_after_its_lease_and_all_are_sent_in_the_end(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    """A slow provider on four connections: together they want more connections than there are.

    Some may wait for one until their lease is over. None of them may begin then; all are sent in the end.
    """
    async with scene(tmp_path, new_database_url(), 500, LINES) as s:
        s.standin.default = after(1.5)
        numbers = s.seeded.to_be_sent()
        share = len(numbers) // len(LINES)
        parts = {line: numbers[i * share : (i + 1) * share] for i, line in enumerate(LINES)}
        ids = [await s.marketer.broadcast({"addresses": part}, connection=line) for line, part in parts.items()]
        shown = [await s.marketer.ended(broadcast_id, seconds=40) for broadcast_id in ids]
        assert [one["counts"]["by_status"] for one in shown] == [{"accepted": share}] * len(LINES)
        checks.nobody_was_sent_to_twice(s.standin.log)

        states = await checks.tally(s.database, attempts, "state")
        print("\nattempts:", states)
        assert states["accepted"] == share * len(LINES) == len(s.standin.log)
        offset = time.time_ns() - time.monotonic_ns()
        async with s.database.read() as conn:
            claimed = {row.id: row.at.timestamp() for row in await conn.execute(select(attempts.c.id, attempts.c.at))}
        delays = [(line.at_ns + offset) / 1e9 - claimed[line.tag or ""] for line in s.standin.log]
        print(f"the latest began {max(delays):.3f} s after its claim")
        assert max(delays) <= LEASE_SECONDS + 0.1
