"""A broadcast to 10,000 people in mixed states, while those who are about to be sent to text STOP."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from store.engine import Database
from store.tables import attempts
from tests.campaign import checks
from tests.campaign.clients import Answered, Provider, Text, told
from tests.campaign.gateways import Process
from tests.campaign.seed import Seeded
from tests.campaign.stage import Stage, end_well, staged
from tests.campaign.standin import StandIn, accepted

pytestmark = pytest.mark.timeout(240)

PEOPLE = 10_000


async def stop_those_who_are_next(
    database: Database, provider: Provider, url: str, candidates: set[str], count: int, dice: random.Random
) -> list[Answered]:
    """Let `count` people text STOP, always some of those being sent to just now or very soon.

    They keep pace with the broadcast and wait for nobody's answer: three quarters through it, all have.
    """
    posted: list[asyncio.Task[Answered]] = []
    total = len(candidates)
    while len(posted) < count and (line := await checks.next_in_line(database, 100)):
        through = 1 - await checks.still_queued(database) / total
        due = int(count * min(1.0, through / 0.75 + 0.05)) - len(posted)
        fresh = [number for number in line if number in candidates]
        for number in dice.sample(fresh, min(len(fresh), max(due, 0))):
            candidates.remove(number)
            posted.append(asyncio.create_task(provider.post(url, Text(number, "STOP"))))
        await asyncio.sleep(dice.uniform(0, 0.05))
    return list(await asyncio.gather(*posted))


async def assert_the_broadcast_kept_its_promises(
    database: Database, standin: StandIn, seeded: Seeded, shown: dict[str, object], stops: list[Answered]
) -> None:
    """Exactly one for each who had said yes, none for anybody else; I1 to I4."""
    log = await standin.log()
    got = accepted(log)
    stopped = {stop.text.sender for stop in stops}
    assert set(got) <= set(seeded.to_be_sent())
    spared = set(seeded.to_be_sent()) - set(got)
    assert spared <= stopped
    checks.nobody_was_sent_to_twice(log)
    checks.no_send_began_after_its_stop_was_answered(log, stops)
    checks.counts_add_up(shown)
    counts = shown["counts"]
    assert isinstance(counts, dict)
    assert counts["planned"] == len(seeded.people)
    assert counts["by_status"] == {"accepted": len(got)}
    assert counts["by_reason"] == seeded.reasons(spared)
    assert await checks.no_claim_came_after_an_opt_out(database) >= len(got)
    print("in time to be spared:", len(spared), "of", len(stopped), "who texted STOP")


async def run(stage: Stage, count: int, gateway: Process) -> None:
    """A broadcast to all, and so many STOPs meanwhile."""
    dice_seed = random.randrange(10**6)
    print("seed", dice_seed)
    provider, marketer = Provider(stage.session), stage.marketer(gateway)
    began = time.monotonic()
    broadcast_id = await marketer.broadcast({"all": True})
    while not await stage.standin.log():
        await asyncio.sleep(0.02)
    first = time.monotonic() - began
    stops = await stop_those_who_are_next(
        stage.database, provider, gateway.url, set(stage.seeded.to_be_sent()), count, random.Random(dice_seed)
    )
    shown = await marketer.ended(broadcast_id, seconds=60)
    took = time.monotonic() - began
    sent = shown["counts"]["by_status"]["accepted"]
    print(f"first send after {first:.2f} s, {sent} sent in {took:.1f} s: {sent / (took - first):.0f}/s")
    print(told(stops))
    assert len(stops) == count
    assert {stop.status for stop in stops} == {200}
    assert max(stop.seconds for stop in stops) <= 2.5
    await assert_the_broadcast_kept_its_promises(stage.database, stage.standin, stage.seeded, shown, stops)


async def test_a_hundred_stops_during_a_broadcast_to_ten_thousand_are_honoured(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    async with staged(tmp_path, new_database_url(), PEOPLE) as stage:
        gateway = await stage.home.serve()
        await run(stage, 100, gateway)
        # On PostgreSQL the next test verifies, after a fiercer race.
        await end_well(stage.home, stage.database, gateway, verified=stage.database.dialect == "sqlite")


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_a_thousand_stops_are_honoured_by_two_dispatchers(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    async with staged(tmp_path, new_database_url(), PEOPLE) as stage:
        gateway, worker = await stage.home.serve(), await stage.home.work()
        await run(stage, 1000, gateway)
        owners = await checks.tally(stage.database, attempts, "owner")
        print("attempts by dispatcher:", sorted(owners.values()))
        assert len(owners) == 2
        await end_well(stage.home, stage.database, worker, gateway)
