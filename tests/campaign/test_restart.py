"""A broadcast goes on where it was, whether the gateway was asked to stop or was killed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from outbox.protocol import ABANDONED_AFTER_SECONDS
from store.engine import Database
from store.tables import attempts, deliveries
from tests.campaign import checks
from tests.campaign.stage import end_well, staged
from tests.campaign.standin import StandIn, accepted

pytestmark = pytest.mark.timeout(240)

PEOPLE = 700
DELAY_SECONDS = 0.1  # of each answer: so that many sends are under way when the end comes


async def half_way(standin: StandIn) -> None:
    """Return when some of them have been sent to, and many not yet."""
    while len(await standin.log()) < 200:
        await asyncio.sleep(0.02)


async def under_way(database: Database) -> set[str]:
    """The attempts whose end nobody has written down."""
    async with database.read() as conn:
        return set((await conn.execute(select(attempts.c.id).where(attempts.c.state == "sending"))).scalars())


async def ended_as(database: Database, state: str) -> set[str]:
    async with database.read() as conn:
        return set((await conn.execute(select(attempts.c.id).where(attempts.c.state == state))).scalars())


async def settled(database: Database, tags: set[str]) -> None:
    """Return when these attempts are in doubt no more."""
    async with asyncio.timeout(60):
        while await ended_as(database, "in_doubt") & tags:
            await asyncio.sleep(0.2)


async def a_minute_passes(database: Database, tags: set[str]) -> None:
    """Make attempts as old as those of a process that is given up; another replica may still be at its own."""
    async with database.write() as conn:
        rows = (await conn.execute(select(attempts.c.id, attempts.c.at).where(attempts.c.id.in_(tags)))).all()
        for row in rows:
            then = row.at - timedelta(seconds=ABANDONED_AFTER_SECONDS)
            await conn.execute(update(attempts).where(attempts.c.id == row.id).values(at=then))


async def test_a_gateway_asked_to_stop_leaves_nothing_in_doubt_and_the_next_one_goes_on(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    async with staged(tmp_path, new_database_url(), PEOPLE, delay_seconds=DELAY_SECONDS) as stage:
        standin, home, database, seeded = stage.standin, stage.home, stage.database, stage.seeded
        gateway = await home.serve()
        broadcast_id = await stage.marketer(gateway).broadcast({"all": True})
        await half_way(standin)
        assert await gateway.stop() == 0

        assert await under_way(database) == set()
        states = await checks.tally(database, attempts, "state")
        assert states["accepted"]
        assert set(states) <= {"accepted", "abandoned"}  # what had no place yet is given back
        before = await checks.tally(database, deliveries, "status")
        assert before["queued"] > 0
        assert before["accepted"] == len(accepted(await standin.log()))

        gateway = await home.serve()
        shown = await stage.marketer(gateway).ended(broadcast_id, seconds=60)
        log = await standin.log()
        checks.nobody_was_sent_to_twice(log)
        checks.counts_add_up(shown)
        assert set(accepted(log)) == set(seeded.to_be_sent())
        assert shown["counts"]["by_status"] == {"accepted": len(seeded.to_be_sent())}
        assert shown["counts"]["by_reason"] == seeded.reasons()
        await end_well(home, database, gateway)


async def test_what_was_under_way_at_a_kill_is_settled_or_in_doubt_and_never_sent_again(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    async with staged(tmp_path, new_database_url(), PEOPLE, delay_seconds=DELAY_SECONDS) as stage:
        standin, home, database, seeded = stage.standin, stage.home, stage.database, stage.seeded
        gateway = await home.serve()
        broadcast_id = await stage.marketer(gateway).broadcast({"all": True})
        await half_way(standin)
        await gateway.kill()

        lost = await under_way(database)
        print(f"\n{len(lost)} under way at the kill")
        assert lost
        if home.database_url.startswith("postgresql"):
            await a_minute_passes(database, lost)
        gateway = await home.serve()
        shown = await stage.marketer(gateway).ended(broadcast_id, seconds=60)

        checks.counts_add_up(shown)
        assert shown["counts"]["by_reason"] == seeded.reasons()
        expected = len(seeded.to_be_sent())
        # The provider is asked about them: those it has are settled, the others stay in doubt.
        tags = {line.tag for line in await standin.log() if line.sid}
        await settled(database, lost & tags)
        assert await ended_as(database, "in_doubt") == lost - tags
        assert await ended_as(database, "accepted") >= lost & tags
        log = await standin.log()
        checks.nobody_was_sent_to_twice(log)
        assert len(accepted(log)) == expected - len(lost - tags)
        assert {line.tag for line in log}.isdisjoint(lost - tags)
        await end_well(home, database, gateway)
