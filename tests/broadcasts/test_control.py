"""Paused and cancelled in the middle of being planned: what is planned adds up, the rest is planned never or later."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from audience.select import Audience
from broadcasts import control, plan, records
from broadcasts.records import Counts, Draft
from channels.http import open_session
from outbox import heed
from outbox.dispatch import Dispatcher
from outbox.policy import Policy
from outbox.protocol import LEASE_SECONDS
from store.clock import utcnow
from store.engine import Database
from tests.acts import NOON, add_person, later, text_in
from tests.channels.adapters import twilio_at
from tests.channels.requests_as_sent import ACCOUNT, TOKEN
from tests.standins.twilio import TwilioStandIn, accepted

PEOPLE = [f"sms:+1415555{place:04d}" for place in range(10)]


async def begun(database: Database) -> str:
    """A broadcast to ten people of whom six are planned, every second of whom said yes."""
    for place, address in enumerate(PEOPLE):
        await add_person(database, address)
        if place % 2:
            await text_in(database, address, "yes")
    draft = Draft("News", [{"channel": "sms", "connection": "sms"}], {"body": "On sale."}, Audience("all"))
    broadcast_id = await database.transact(lambda conn: records.create(conn, draft, created_by="key:me", now=NOON))
    for _ in range(2):
        assert await planned(database, broadcast_id)
    return broadcast_id


async def planned(database: Database, broadcast_id: str) -> bool:
    return await database.transact(lambda conn: plan.plan_chunk(conn, broadcast_id, now=NOON, size=3))


async def turned(database: Database, act: Any, broadcast_id: str) -> bool | None:
    return await database.transact(lambda conn: act(conn, broadcast_id, now=later()))  # type: ignore[no-any-return]


async def now_is(database: Database, broadcast_id: str) -> tuple[str, Counts]:
    async with database.read() as conn:
        found = await records.read(conn, broadcast_id)
        assert found
        return found.status, (await records.counts(conn, [broadcast_id]))[broadcast_id]


async def test_cancelled_while_it_is_planned(database: Database) -> None:
    broadcast_id = await begun(database)
    assert await turned(database, control.cancel, broadcast_id) is True
    assert await turned(database, control.cancel, broadcast_id) is False
    assert not await planned(database, broadcast_id), "nobody else is planned"
    assert not await database.transact(lambda conn: control.cancel_queued(conn, broadcast_id, now=later()))
    await database.transact(lambda conn: records.finish(conn, now=later(2)))
    assert await now_is(database, broadcast_id) == (
        "cancelled",
        Counts(planned=6, skipped=3, by_status={"cancelled": 3}, by_reason={"not_opted_in": 3}),
    )
    async with database.read() as conn:
        found = await records.read(conn, broadcast_id)
    assert found
    assert found.done_at == later(2)


async def test_paused_while_it_is_planned_it_is_planned_to_its_end_when_resumed(database: Database) -> None:
    broadcast_id = await begun(database)
    assert await turned(database, control.pause, broadcast_id) is True
    assert not await planned(database, broadcast_id)
    assert (await now_is(database, broadcast_id))[1].planned == 6
    assert await turned(database, control.resume, broadcast_id) is True
    assert await turned(database, control.resume, broadcast_id) is False
    while await planned(database, broadcast_id):
        pass
    assert await now_is(database, broadcast_id) == (
        "sending",
        Counts(planned=10, skipped=5, by_status={"queued": 5}, by_reason={"not_opted_in": 5}),
    )


async def test_there_is_no_such_broadcast(database: Database) -> None:
    for act in (control.pause, control.resume, control.cancel):
        assert await turned(database, act, "brd_nobody") is None


@pytest.mark.parametrize("act", [control.pause, control.cancel], ids=["pause", "cancel"])
async def test_what_was_claimed_before_has_begun_or_given_up_when_it_is_settled(database: Database, act: Any) -> None:
    """The provider has one line, and it is slow: of five that are claimed together four wait for it."""
    broadcast_id = await begun(database)
    while await planned(database, broadcast_id):
        pass
    policy = Policy(lambda address_id, channel, _: f"https://gw.example.org/unsubscribe/{address_id}.{channel}")
    async with TwilioStandIn(ACCOUNT, TOKEN) as standin, open_session(connections=1) as session:
        standin.default = accepted(0.4 * LEASE_SECONDS)
        adapters = {"sms": twilio_at(standin, session)}
        dispatcher = Dispatcher(database, adapters, policy=policy, clock=utcnow)
        dispatcher.start()
        try:
            async with asyncio.timeout(60):
                while not standin.log:
                    await asyncio.sleep(0.01)
            await turned(database, act, broadcast_id)
            await heed.settle(database, {broadcast_id})
            settled_ns = time.monotonic_ns()
            await asyncio.sleep(LEASE_SECONDS)
        finally:
            await dispatcher.stop()
        assert 0 < len(standin.log) < 5
        assert [line for line in standin.log if line.at_ns > settled_ns] == []
