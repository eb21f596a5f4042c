"""What is held up, run again, or overtaken by what came later: the order of arrival stands, and nobody waits long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import text

from channels.values import Inbound, Report
from gateway.webhooks import INBOX, REPORTS
from outbox.reports import Reported
from store.engine import Database
from tests.flows.running import ANA, BEN, OURS, Gateway
from tests.flows.test_single_messages import ended, message, send
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes"}}


on_postgresql = pytest.mark.parametrize("dialect", ["postgresql"])  # SQLite has one writer: nothing overtakes


@asynccontextmanager
async def holding(gateway: Gateway, *statements: str) -> AsyncIterator[Any]:
    """Somebody else's transaction, open meanwhile; yields its connection."""
    other = Database(gateway.settings.database.url)
    try:
        async with other.write() as conn:
            for statement in statements:
                await conn.execute(text(statement))
            yield conn
    finally:
        await other.dispose()


@pytest.mark.parametrize("order", [("START", "STOP"), ("STOP", "START")])
async def test_of_two_texts_that_are_kept_together_the_later_stands(gateway: Gateway, order: tuple[str, str]) -> None:
    """While another group is under way; a millisecond lies between the two."""
    ana = await gateway.person(f"sms:{ANA}", consent=YES)
    posted = [asyncio.create_task(gateway.text_in("hello", BEN))]
    await asyncio.sleep(0)
    for words in order:
        posted.append(asyncio.create_task(gateway.text_in(words, ANA)))
        await asyncio.sleep(0.001)
    assert {got.status for got in await asyncio.gather(*posted)} == {200}
    lines = [line for line in reversed(await gateway.history(ana["id"])) if line["source"] == "keyword"]
    came = [line["to"] for line in lines]  # each on a connection of its own, they may have met on the way
    stands = lines[-1]["to"] if not lines[-1]["superseded"] else "no"
    assert came in (["yes", "no"], ["no", "yes"])
    assert (await gateway.profile(ana["id"]))["consent"]["channels"]["sms"]["state"] == stands
    if came == ["yes", "no"]:
        assert stands == "no"
        assert not lines[-1]["superseded"]


async def test_a_no_over_the_api_right_after_a_yes_stands(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", consent=YES)

    async def say(state: str) -> int:
        said = {"channels": {"sms": state}, "by": {"kind": "customer"}}
        return (await gateway.ask("PATCH", f"/v1/profiles/{ana['id']}/consent", json=said)).status

    saying = asyncio.create_task(say("yes"))
    await asyncio.sleep(0.001)
    yes, no = await asyncio.gather(saying, say("no"))
    assert (yes, no) in (
        (200, 200),
        (409, 200),
    )  # 409: the no was the first, and a yes needs more
    newest = (await gateway.history(ana["id"]))[0]
    assert (newest["to"] == "no") == (await gateway.verdict(ana["id"]) == "opted_out_channel")
    assert not any(line["superseded"] for line in await gateway.history(ana["id"]) if line["to"] == "no")


@on_postgresql
async def test_a_start_that_is_run_again_does_not_undo_the_stop_that_passed_it(gateway: Gateway) -> None:
    people = sorted([await gateway.person(f"sms:{n}", consent=YES) for n in (ANA, BEN)], key=lambda one: one["id"])
    first, second = (one["addresses"][0]["value"] for one in people)
    inbox = gateway.app[INBOX]
    sent = [
        Inbound("sms", "sms", "AC1", f"SM{place}", who, OURS, words, received_at=gateway.clock())
        for place, (who, words) in enumerate([(first, "START"), (second, "hello")])
    ]
    async with holding(gateway, f"SELECT 1 FROM profiles WHERE id = '{people[1]['id']}' FOR UPDATE") as conn:
        held = asyncio.gather(*map(inbox.submit, sent))
        await asyncio.sleep(0.3)
        stopping = asyncio.create_task(gateway.text_in("STOP", first))
        await asyncio.sleep(0.2)
        # Each waits for the other now: after a second PostgreSQL ends whoever waited first. STOP is next in line.
        await conn.execute(text(f"SELECT 1 FROM profiles WHERE id = '{people[0]['id']}' FOR UPDATE"))
    assert (await stopping).status == 200
    await held
    assert await gateway.verdict(people[0]["id"]) == "opted_out_channel"
    lines = [line for line in await gateway.history(people[0]["id"]) if line["source"] == "keyword"]
    assert [(line["to"], line["superseded"]) for line in reversed(lines)] == [("no", False), ("yes", True)]


@on_postgresql
async def test_reports_that_cross_do_not_wait_for_each_other(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ids = []
    for number in (ANA, BEN):
        person = await gateway.person(f"sms:{number}", consent=YES)
        ids.append((await ended(gateway, await send(gateway, person["id"])))["id"])
    attempts = {row["delivery_id"]: row for row in await gateway.rows("attempts")}

    def report(place: int, status: Any) -> asyncio.Task[Any]:
        attempt = attempts[ids[place]]
        told = Reported(Report(attempt["id"], attempt["provider_id"], status), "sms")
        return asyncio.create_task(gateway.app[REPORTS].submit(told))

    async def deadlocks() -> int:
        async with gateway.house.database.read() as conn:
            met = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
            return int((await conn.execute(met)).scalar_one())

    before = await deadlocks()
    async with holding(gateway, "SELECT 1 FROM deliveries FOR UPDATE"):
        told = [report(0, "delivered"), report(1, "sent")]
        await asyncio.sleep(0.3)
        told += [report(1, "delivered"), report(0, "sent")]
        await asyncio.sleep(0.3)
    await asyncio.gather(*told)
    assert await deadlocks() == before
    assert [(await message(gateway, id_))["status"] for id_ in ids] == ["delivered", "delivered"]


TICKET = {"channel": "sms", "connection": "sms", "to": {"address": ANA}, "content": {"body": "Your ticket"},
          "require_opt_in": False}  # fmt: skip
ELSEWHERE = {"addresses": [{"channel": "email", "value": "ana@example.org"}]}


@on_postgresql
@pytest.mark.parametrize(("method", "body"), [("DELETE", None), ("PATCH", ELSEWHERE)])
async def test_a_ticket_to_a_number_that_changes_hands_meanwhile_is_to_somebody_new(
    gateway: Gateway, method: str, body: Any
) -> None:
    before = await gateway.person(f"whatsapp:{ANA}")
    async with holding(gateway, f"SELECT 1 FROM profiles WHERE id = '{before['id']}' FOR UPDATE"):
        going = asyncio.create_task(gateway.ask(method, f"/v1/profiles/{before['id']}", json=body))
        await asyncio.sleep(0.2)
        asked = asyncio.create_task(gateway.ask("POST", "/v1/messages", json=TICKET))
        await asyncio.sleep(0.2)
    assert (await going).status in (200, 204)
    assert (await asked).status == 202
    [new] = await gateway.whose(f"sms:{ANA}")
    assert new["id"] != before["id"]
