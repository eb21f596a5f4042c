"""The loops beside the requests: what they cannot do is logged and tried again, and none is missed in silence."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import structlog
from sqlalchemy import text
from structlog.testing import capture_logs

from tests.flows.running import ANA, Gateway, eventually
from tests.standins.twilio import TwilioStandIn, accepted

YES = {"channels": {"sms": "yes"}}


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """What is logged from now on."""
    structlog.reset_defaults()
    with capture_logs() as lines:
        yield lines


@asynccontextmanager
async def gone(gateway: Gateway, table: str) -> AsyncIterator[None]:
    """A table is not there meanwhile, as after a restore that went wrong: the database answers, and refuses."""
    database = gateway.house.database
    async with database.write() as conn:
        await conn.execute(text(f"ALTER TABLE {table} RENAME TO {table}_gone"))
    yield
    async with database.write() as conn:
        await conn.execute(text(f"ALTER TABLE {table}_gone RENAME TO {table}"))


async def is_ready(gateway: Gateway) -> bool:
    return (await gateway.send("GET", "/readyz")).status == 200


async def test_what_the_database_refuses_is_logged_and_done_later(
    gateway: Gateway, twilio: TwilioStandIn, logged: list[Any]
) -> None:
    """A claim, an ending and a plan in turn."""
    person = await gateway.person(f"sms:{ANA}", consent=YES)

    def said(event: str) -> bool:
        return any(line["event"] == event for line in logged)

    async def told(event: str) -> None:
        async def is_told() -> bool:
            return said(event)

        await eventually(is_told)

    async with gone(gateway, "consent_states"):
        broadcast = await gateway.broadcast({"profiles": [person["id"]]})
        await told("plan.failed")
    async with gone(gateway, "attempts"):
        await told("dispatch.failed")
    await gateway.all_sent(broadcast, seconds=30)
    twilio.default = accepted(0.5)
    broadcast = await gateway.broadcast({"all": True})

    async def asked() -> bool:
        return len(twilio.log) == 2

    await eventually(asked)
    async with gone(gateway, "attempts"):
        await told("ending.waits")
    shown = await gateway.all_sent(broadcast, seconds=30)
    assert shown["counts"]["by_status"] == {"accepted": 1}
    assert twilio.accepted_to(ANA) == 2
    assert await is_ready(gateway)
    assert not said("task.died")


@pytest.mark.parametrize("name", ["dispatch sms", "planner", "settlement", "sweep"])
async def test_a_loop_that_died_is_logged_makes_the_gateway_unready_and_holds_up_no_stop(
    gateway: Gateway, logged: list[Any], name: str
) -> None:
    assert await is_ready(gateway)
    [loop] = [task for task in asyncio.all_tasks() if task.get_name() == name]
    loop.cancel()
    await asyncio.wait([loop])
    assert not await is_ready(gateway)
    assert {"event": "task.died", "task": name, "error": "CancelledError", "log_level": "error"} in logged
    await gateway.restart()
    assert await is_ready(gateway)


async def test_what_is_old_is_forgotten_within_a_minute_of_a_start_and_not_as_all_else_catches_up(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"}, headers={"Idempotency-Key": "once"})
    gateway.clock.advance(days=3)
    await gateway.restart()
    await asyncio.sleep(0.3)
    assert len(await gateway.rows("idempotency_keys")) == 1
    monkeypatch.setattr("gateway.app.FIRST_SECONDS", 0.5)
    await gateway.restart()

    async def is_forgotten() -> bool:
        return await gateway.rows("idempotency_keys") == []

    await eventually(is_forgotten)
