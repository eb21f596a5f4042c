"""Places where an opt-out could be lost or an opt-in slip in, each held by a test."""

from __future__ import annotations

from sqlalchemy import select

from channels.values import Inbound, Rejected
from inbox.receive import receive
from outbox import endings
from outbox.endings import Ending
from store.engine import Database
from store.tables import addresses
from tests.acts import BOOK, add_person, later, remove_person
from tests.channels.requests_as_sent import ACCOUNT
from tests.flows.running import OURS, Gateway
from tests.outbox.conftest import Claimed, claimed, planned  # noqa: F401 - fixtures

ANA = "+14155550101"


async def test_a_stop_from_a_number_that_the_metadata_calls_impossible_is_kept(gateway: Gateway) -> None:
    await gateway.text_in("STOP", "+9991234567")
    [person] = await gateway.rows("profiles")
    assert await gateway.verdict(person["id"]) == "opted_out_channel"


async def test_whatsapps_way_to_write_a_mexican_mobile_is_the_crms_number(gateway: Gateway) -> None:
    crm = await gateway.person("whatsapp:+525512345678")
    await gateway.whatsapp_in("STOP", "+5215512345678")
    assert await gateway.verdict(crm["id"], "whatsapp") == "opted_out_channel"


async def test_the_providers_no_stays_with_an_address_that_nobody_has_any_more(
    database: Database,
    claimed: Claimed,  # noqa: F811
) -> None:
    [claim] = await claimed(f"sms:{ANA}")
    await remove_person(database, claim.profile_id)
    ending = Ending(claim, Rejected("21610", "opted out", opted_out=True), "sms")
    await database.transact(lambda conn: endings.record(conn, [ending], now=later(30)))
    async with database.read() as conn:
        row = (await conn.execute(select(addresses).where(addresses.c.hash == BOOK.parse("sms", ANA).hash))).one()
    assert row.suppressed_at is not None
    assert await add_person(database, f"sms:{ANA}")


async def test_the_sandbox_of_a_public_gateway_takes_a_key_that_may_change_consent(gateway: Gateway) -> None:
    weak = await gateway.key("consent:read")
    message = {"from": ANA, "to": "+12025550100", "body": "START"}
    refused = await gateway.ask("POST", "/webhooks/box", key=weak, json=message)
    assert refused.status == 403
    assert await gateway.rows("profiles") == []


async def test_start_after_stop_in_one_group_opts_in(gateway: Gateway) -> None:
    house = gateway.house
    said = [
        Inbound("sms", "sms", ACCOUNT, f"SM{place}", ANA, OURS, text) for place, text in enumerate(["STOP", "START"])
    ]
    await house.database.transact(lambda conn: receive(conn, said, desk=house.desk, now=house.now()))
    [ana] = await gateway.whose(f"sms:{ANA}")
    assert await gateway.verdict(ana["id"]) == "opted_in"


async def test_a_built_in_stop_cannot_be_made_to_opt_in(gateway: Gateway) -> None:
    path = "/v1/rules/rul_builtin_sms_stop"
    assert (await gateway.ask("PATCH", path, json={"action": "opt_in"})).status == 409
    warned = await gateway.api("PATCH", path, json={"keyword": "STOPPIT"})
    assert "STOP" in warned["warning"]


async def test_odd_input_is_no_fault_of_ours(gateway: Gateway) -> None:
    got = await gateway.send("GET", "/v1/profiles", headers={"Authorization": "Bearer \udcff"})
    assert got.status == 401
    person = await gateway.person(f"sms:{ANA}")
    await gateway.say(person["id"], channels={"sms": "yes"}, evidence={"obtained_at": None})
    words = "+".join(["a"] * 11)
    assert (await gateway.ask("GET", f"/v1/profiles?q={words}")).status == 422
    twice = {"sms:+14155550101": "yes", "sms:415-555-0101": "no"}
    await gateway.say(person["id"], status=422, addresses=twice)
    await gateway.say(person["id"], status=422, by={"kind": "agent", "name": "x for customer"}, channels={"sms": "no"})


async def test_whoever_was_deleted_after_a_stop_comes_back_by_the_providers_start(gateway: Gateway) -> None:
    await gateway.text_in("STOP", ANA, OptOutType="STOP")
    [person] = await gateway.whose(f"sms:{ANA}")
    await gateway.api("DELETE", f"/v1/profiles/{person['id']}")
    again = await gateway.person(f"sms:{ANA}", "sms:+14155550109")
    assert await gateway.verdict(again["id"], address=ANA) == "opted_out_address"
    await gateway.text_in("START", ANA, OptOutType="START")
    assert await gateway.verdict(again["id"], address=ANA) == "opted_in"
    assert await gateway.verdict(again["id"], address="+14155550109") == "not_opted_in"
    [line] = await gateway.history(again["id"])
    assert (line["subject"]["kind"], line["to"], line["source"]) == ("address", "yes", "provider")


async def test_the_providers_start_asks_no_address_that_staff_had_not_asked(gateway: Gateway) -> None:
    person = await gateway.person(f"sms:{ANA}", "sms:+14155550109")
    await gateway.say(person["id"], channels={"sms": "no"})
    await gateway.text_in("START", ANA, OptOutType="START")
    line, _ = await gateway.history(person["id"])
    assert (line["subject"], line["to"], line["with_address"]) == ({"kind": "channel", "channel": "sms"}, "yes", False)
    assert [(flag["kind"], flag["state"]) for flag in await gateway.rows("consent_states")] == [("channel", "yes")]


async def test_a_yes_heard_of_late_covers_no_number_given_after_it_was_said(gateway: Gateway) -> None:
    person = await gateway.person(f"sms:{ANA}")
    friday = gateway.clock().isoformat()
    gateway.clock.advance(days=1)
    both = [{"channel": "sms", "value": ANA}, {"channel": "sms", "value": "+14155550109"}]
    await gateway.api("PATCH", f"/v1/profiles/{person['id']}", json={"addresses": both})
    gateway.clock.advance(days=1)
    await gateway.say(person["id"], at=friday, channels={"sms": "yes"})
    assert await gateway.verdict(person["id"], address=ANA) == "opted_in"
    assert await gateway.verdict(person["id"], address="+14155550109") == "not_opted_in"
    await gateway.say(person["id"], channels={"sms": "yes"}, by={"kind": "customer"})
    assert await gateway.verdict(person["id"], address="+14155550109") == "opted_in"


async def test_a_customers_no_is_theirs_whoever_passes_it_on(gateway: Gateway) -> None:
    person = await gateway.person(f"sms:{ANA}")
    await gateway.say(person["id"], channels={"email": "no"}, by={"kind": "agent", "name": "customer"})
    await gateway.say(person["id"], channels={"sms": "no"}, by={"kind": "customer"})
    await gateway.say(person["id"], channels={"email": "not_asked"})
    await gateway.say(person["id"], status=409, channels={"sms": "not_asked"})
