"""What is held up, run again, or overtaken by what came later: the order of arrival stands, and nobody waits long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from channels.values import Inbound, Report
from gateway.arrivals import ARRIVALS
from store.engine import Database
from tests.flows.running import ANA, BEN, OURS, SILENCE, Gateway, _as_json
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
    arrivals, sms = gateway.app[ARRIVALS], gateway.house.adapters["sms"]
    sent = [
        Inbound("sms", "sms", "AC1", f"SM{place}", who, OURS, words)
        for place, (who, words) in enumerate([(first, "START"), (second, "hello")])
    ]
    async with holding(gateway, f"SELECT 1 FROM profiles WHERE id = '{people[1]['id']}' FOR UPDATE") as conn:
        held = asyncio.create_task(arrivals.keep(sms, sent, received_at=gateway.clock()))
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
        told = Report(attempt["id"], attempt["provider_id"], status)
        sms = gateway.house.adapters["sms"]
        return asyncio.create_task(gateway.app[ARRIVALS].keep(sms, [told], received_at=gateway.clock()))

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


# --- what counts is when it came, not when its transaction got through ----------------------------

_LOCKED = {"sqlite": (), "postgresql": ("LOCK TABLE consent_states IN ACCESS EXCLUSIVE MODE",)}
CUSTOMER, SADIE = {"kind": "customer"}, {"kind": "agent", "name": "sadie"}


@asynccontextmanager
async def slowly(gateway: Gateway, method: str, path: str, json: Any) -> AsyncIterator[asyncio.Task[Any]]:
    """A request whose head is there at once, and whose body comes at the end."""
    arrives = asyncio.Event()
    body = _as_json(json)

    async def parts() -> AsyncIterator[bytes]:
        yield body[:1]
        await arrives.wait()
        yield body[1:]

    async def ask() -> Any:
        head = {"Authorization": f"Bearer {await gateway.key()}", "Content-Type": "application/json"}
        async with gateway._session.request(method, gateway.url + path, data=parts(), headers=head) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    asking = asyncio.create_task(ask())
    await asyncio.sleep(0.1)
    yield asking
    arrives.set()
    await asking


def consent_of(person: dict[str, Any]) -> str:
    return f"/v1/profiles/{person['id']}/consent"


async def test_a_start_that_waited_for_the_database_does_not_beat_a_no_said_meanwhile(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    async with holding(gateway, "DELETE FROM pauses", *_LOCKED[gateway.house.database.dialect]):
        start = asyncio.create_task(gateway.text_in("START", ANA))
        await asyncio.sleep(0.2)
        said = gateway.clock()
        await asyncio.sleep(0.3)
    assert (await start).status == 200
    await gateway.say(ana["id"], by=CUSTOMER, at=said.isoformat(), channels={"sms": "no"})
    assert await gateway.verdict(ana["id"]) == "opted_out_channel"


async def test_a_time_that_lies_ahead_makes_a_yes_no_younger_than_its_coming(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    ahead = (gateway.clock() + timedelta(seconds=0.5)).isoformat()
    yes = {"channels": {"sms": "yes"}, "addresses": {f"sms:{ANA}": "yes"}, "by": CUSTOMER, "at": ahead}
    async with slowly(gateway, "PATCH", consent_of(ana), yes):
        await gateway.say(ana["id"], by=SADIE, channels={"sms": "no"})
        await asyncio.sleep(0.6)
    assert await gateway.verdict(ana["id"]) == "opted_out_channel"


async def test_evidence_from_after_its_request_is_refused(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "no"}, "by": CUSTOMER})
    ahead = (gateway.clock() + timedelta(seconds=5)).isoformat()
    said = {"channels": {"sms": "yes"}, "evidence": {"obtained_at": ahead, "how": "by clairvoyance"}}
    got = await gateway.ask("PATCH", consent_of(ana), json=said)
    assert (got.status, got.json["errors"][0]["field"]) == (422, "evidence.obtained_at")


async def test_what_a_change_that_was_overtaken_leaves_open_stays_closed(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    only_sms = {"everything": "no", "channels": {"sms": "yes"}, "by": SADIE}
    async with slowly(gateway, "PATCH", consent_of(ana), only_sms):
        await gateway.say(ana["id"], everything="no", by=SADIE)
    assert await gateway.verdict(ana["id"]) == "opted_out_everything"


async def test_a_yes_covers_no_number_that_was_given_after_it_came(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    async with slowly(gateway, "PATCH", consent_of(ana), {"channels": {"sms": "yes"}, "by": CUSTOMER}):
        both = [{"channel": "sms", "value": number} for number in (ANA, BEN)]
        await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": both})
    assert await gateway.verdict(ana["id"], address=BEN) == "not_opted_in"
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_in"


async def test_a_yes_covers_the_number_that_came_with_it(gateway: Gateway) -> None:
    await gateway.person(f"sms:{ANA}", external_id="a")
    body = {"addresses": [{"channel": "sms", "value": BEN}], "consent": {"channels": {"sms": "yes"}, "by": CUSTOMER}}
    async with slowly(gateway, "PUT", "/v1/profiles/by-external-id/a", body) as putting:
        pass
    assert await gateway.verdict((await putting)["id"]) == "opted_in"


async def test_everything_by_keyword_covers_the_number_it_came_from(gateway: Gateway) -> None:
    """Also one that its person had only on another channel until then."""
    ana = await gateway.person(f"whatsapp:{ANA}")
    rule = {"channel": "sms", "keyword": "ALLES", "action": "opt_in", "subject": {"kind": "everything"}}
    await gateway.api("POST", "/v1/rules", json=rule)
    async with holding(gateway, "DELETE FROM pauses", *_LOCKED[gateway.house.database.dialect]):
        texting = asyncio.create_task(gateway.text_in("ALLES", ANA))
        await asyncio.sleep(0.3)
    assert (await texting).status == 200
    assert [await gateway.verdict(ana["id"], channel) for channel in ("sms", "whatsapp")] == ["opted_in"] * 2


async def test_who_has_said_no_since_is_not_told_that_they_are_subscribed(gateway: Gateway) -> None:
    await gateway.person(f"sms:{ANA}")
    came = gateway.clock()
    await gateway.text_in("STOP", ANA)
    start = Inbound("sms", "sms", "AC1", "SM1", ANA, OURS, "START")
    kept = await gateway.app[ARRIVALS].keep(gateway.house.adapters["sms"], [start], received_at=came)
    assert kept.http.body == SILENCE
