"""The dispatcher against a provider with one slow line: what cannot begin in time goes back, and is sent later."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from sqlalchemy import event, func, select

from channels.http import open_session
from outbox.dispatch import Dispatcher
from outbox.lines import AHEAD, CONCURRENCY, RESERVED
from outbox.policy import Manner, Policy
from outbox.protocol import LEASE_SECONDS
from store.clock import utcnow
from store.engine import Database
from store.tables import attempts, deliveries
from tests.channels.adapters import twilio_at
from tests.channels.requests_as_sent import ACCOUNT, TOKEN
from tests.outbox.conftest import POLICY, Planned
from tests.standins.twilio import Answer, TwilioStandIn, accepted

PEOPLE = [f"sms:+1415555010{n}" for n in range(4)]


async def tally(database: Database) -> tuple[dict[str, int], dict[str, int]]:
    """Deliveries by status, attempts by state."""
    async with database.read() as conn:
        by_status = await conn.execute(select(deliveries.c.status, func.count()).group_by(deliveries.c.status))
        by_state = await conn.execute(select(attempts.c.state, func.count()).group_by(attempts.c.state))
        return {row[0]: row[1] for row in by_status}, {row[0]: row[1] for row in by_state}


@asynccontextmanager
async def dispatching(
    database: Database,
    *,
    lines: int,
    slow_seconds: float = 0.0,
    quick_seconds: float | None = None,
    sends: int = 1,
    policy: Policy = POLICY,
    connections: Sequence[str] = ("sms",),
) -> AsyncIterator[TwilioStandIn]:
    """A dispatcher at work, with so many lines to a provider that takes so long, and was quicker for some sends."""
    async with TwilioStandIn(ACCOUNT, TOKEN) as standin, open_session(connections=lines) as session:
        standin.default = accepted(slow_seconds)
        adapters = {name: twilio_at(standin, session, name) for name in connections}
        dispatcher = Dispatcher(database, adapters, policy=policy, clock=utcnow)
        if quick_seconds is not None:
            for line in dispatcher._lines.values():
                for _ in range(sends):
                    line.took(quick_seconds)
        dispatcher.start()
        try:
            yield standin
        finally:
            await dispatcher.stop()


async def all_accepted(database: Database, count: int) -> None:
    async with asyncio.timeout(60):
        while (await tally(database))[0] != {"accepted": count}:
            await asyncio.sleep(0.1)


async def test_a_send_whose_lease_is_over_goes_back_to_the_queue_and_is_sent_later(
    database: Database, planned: Planned
) -> None:
    await planned(*PEOPLE)
    # The one line is taken for longer than a lease lasts.
    async with dispatching(database, lines=1, slow_seconds=LEASE_SECONDS + 0.3) as standin:
        await all_accepted(database, len(PEOPLE))
    _, states = await tally(database)
    assert states["abandoned"] > 0  # of the four some waited for the line until their lease was over
    assert states["accepted"] == len(PEOPLE) == len(standin.log)
    assert len({request.to for request in standin.log}) == len(PEOPLE)
    async with database.read() as conn:
        assert set((await conn.execute(select(deliveries.c.tries))).scalars()) == {1}  # such tries are not counted


async def test_a_provider_that_asks_to_slow_down_gets_nothing_of_what_waits(
    database: Database, planned: Planned
) -> None:
    await planned(*(f"sms:+1415555{n:04d}" for n in range(300)))
    fast = replace(POLICY, manners={"sms": Manner(rate=100_000)})
    async with dispatching(database, lines=CONCURRENCY, quick_seconds=0.0, sends=AHEAD, policy=fast) as standin:
        standin.default = Answer("busy", 429, headers={"Retry-After": "3600"})
        async with asyncio.timeout(60):
            while (await tally(database))[1].get("not_sent", 0) < 1:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)
        asked = len(standin.log)
        statuses, _ = await tally(database)
    assert asked <= CONCURRENCY  # what was under way when the first was refused
    assert statuses == {"queued": 300}


async def test_who_stops_gives_back_at_once_what_waits_for_a_place(database: Database, planned: Planned) -> None:
    people = [f"sms:+1415555{n:04d}" for n in range(CONCURRENCY)]
    await planned(*people)
    async with dispatching(database, lines=CONCURRENCY, slow_seconds=0.5) as standin, asyncio.timeout(60):
        while len(standin.log) < CONCURRENCY - RESERVED:
            await asyncio.sleep(0.01)
    statuses, states = await tally(database)
    assert set(states) <= {"accepted", "abandoned"}  # nothing is left behind as under way
    assert statuses["accepted"] == states["accepted"] == len(standin.log)
    assert statuses.get("queued", 0) == len(people) - len(standin.log)


async def test_who_stops_gives_back_at_once_what_waits_on_any_connection(database: Database, planned: Planned) -> None:
    """Whoever stops a process may not wait for the slowest of its requests, and what is left then stays in doubt."""
    connections = ("sms", "other")
    await planned(*(f"sms:+1415555{n:04d}" for n in range(CONCURRENCY)))
    await planned(connection="other")

    async def under_way(per_connection: int) -> float:
        async with asyncio.timeout(60):
            while (await tally(database))[1].get("sending") != len(connections) * per_connection:
                await asyncio.sleep(0.01)
        return time.monotonic()

    async with dispatching(database, lines=200, slow_seconds=3.0, quick_seconds=0.001, connections=connections):
        await under_way(CONCURRENCY)
        given_back = asyncio.create_task(under_way(CONCURRENCY - RESERVED))
    assert await given_back < time.monotonic() - 1.0  # while all that had begun still went on


async def test_a_claim_that_takes_too_long_for_its_lease_is_made_smaller(database: Database, planned: Planned) -> None:
    """On a database that is so slow that forty claims take longer than a lease lasts, twenty do not."""
    people = [f"sms:+1415555{n:04d}" for n in range(40)]
    await planned(*people)
    claimed: list[int] = []

    def slow(statement: str, rows: int) -> None:
        if statement.startswith("INSERT INTO attempts"):
            claimed.append(rows)
            time.sleep(0.035 * rows)

    def traced(statement: str) -> None:
        """Of SQLite, which tells of every row."""
        if statement.startswith("BEGIN"):
            claimed.append(0)
        elif statement.startswith("INSERT INTO attempts"):
            claimed[-1] += 1
            time.sleep(0.035)

    async with database._writer.connect() as conn:
        raw = (await conn.get_raw_connection()).driver_connection
    if database.dialect == "sqlite":
        await raw.set_trace_callback(traced)
    else:
        event.listen(
            database._writer.sync_engine,
            "before_cursor_execute",
            lambda _conn, _cursor, statement, rows, _context, _many: slow(statement, len(rows)),
        )
    async with dispatching(database, lines=64) as standin:
        await all_accepted(database, len(people))
    assert max(claimed) * 0.035 > LEASE_SECONDS
    assert len(standin.log) == len(people)
