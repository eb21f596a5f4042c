"""Two profiles that turn out to be one person."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

from broadcasts import plan
from gateway.verify import verify
from store.tables import pauses
from tests.campaign import checks
from tests.flows.running import ANA, BEN, CLEO, DIEGO, Gateway, eventually
from tests.standins.twilio import Answer, TwilioStandIn

CUSTOMER = {"kind": "customer"}
YES = {"channels": {"sms": "yes"}, "by": CUSTOMER}


async def merge(gateway: Gateway, into: dict[str, Any], gone: dict[str, Any]) -> dict[str, Any]:
    path = f"/v1/profiles/{into['id']}/merge"
    return dict(await gateway.api("POST", path, status=200, json={"from": gone["id"]}))


async def test_the_survivor_takes_what_it_lacks_and_keeps_what_it_has(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", first_name="Ana", tags=["vip"], attributes={"seat": "A", "row": 1})
    other = await gateway.person(
        f"sms:{BEN}", "email:ana@example.org", first_name="Anna", last_name="Ruiz", external_id="crm-7",
        tags=["opera"], attributes={"seat": "B", "box": 2},
    )  # fmt: skip
    shown = await merge(gateway, ana, other)
    assert (shown["id"], shown["first_name"], shown["last_name"]) == (ana["id"], "Ana", "Ruiz")
    assert (shown["external_id"], shown["tags"]) == ("crm-7", ["opera", "vip"])
    assert shown["attributes"] == {"seat": "A", "row": 1, "box": 2}
    assert [(a["value"], a["primary"]) for a in shown["addresses"]] == [
        (ANA, True), (BEN, False), ("ana@example.org", True),
    ]  # fmt: skip
    assert shown == await gateway.profile(ana["id"])
    [line] = [row for row in await gateway.rows("audit") if row["action"] == "profile.merged"]
    assert (line["target"], line["detail"]) == (ana["id"], {"from": other["id"]})


async def test_the_other_is_gone_and_its_id_says_whom_it_became(gateway: Gateway) -> None:
    people = [await gateway.person(f"sms:{n}") for n in (ANA, BEN)]
    third = await gateway.person("email:ana@example.org")
    await merge(gateway, people[0], people[1])
    await merge(gateway, third, people[0])
    for gone in people:
        for path in ("", "/verdict?channel=sms"):
            got = await gateway.ask("GET", f"/v1/profiles/{gone['id']}{path}")
            assert (got.status, got.json["merged_into"]) == (404, third["id"])
        got = await gateway.ask("POST", f"/v1/profiles/{third['id']}/merge", json={"from": gone["id"]})
        assert (got.status, got.json["errors"][0]["field"]) == (422, "from")
        got = await gateway.ask("POST", f"/v1/profiles/{gone['id']}/merge", json={"from": third["id"]})
        assert got.status == 404
    got = await gateway.ask("POST", f"/v1/profiles/{third['id']}/merge", json={"from": third["id"]})
    assert (got.status, got.json["errors"][0]["field"]) == (422, "from")


async def test_the_others_history_and_messages_are_read_with_the_survivors(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{BEN}")
    await gateway.text_in("START", BEN)
    await gateway.text_in("START", ANA)
    await merge(gateway, ana, other)
    lines = await gateway.history(ana["id"])
    assert [(line["source"], line["profile_id"]) for line in lines if line["source"] == "keyword"] == [
        ("keyword", ana["id"]), ("keyword", other["id"]),
    ]  # fmt: skip
    assert {line["actor"] for line in lines if line["source"] == "merge"} == {"key:crm"}
    assert await gateway.history(other["id"]) == [line for line in lines if line["profile_id"] == other["id"]]
    found = await gateway.api("GET", f"/v1/messages?profile_id={ana['id']}&direction=inbound")
    assert [message["from"] for message in found["items"]] == [ANA, BEN]


async def test_a_stop_of_the_other_stops_the_survivor_everywhere_and_needs_evidence_to_undo(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}", consent=YES), await gateway.person(f"sms:{BEN}")
    await gateway.text_in("STOP", BEN)
    await merge(gateway, ana, other)
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_out_channel"
    assert await gateway.verdict(ana["id"], address=BEN) == "opted_out_channel"
    await gateway.say(ana["id"], status=409, channels={"sms": "yes"})
    await gateway.text_in("START", BEN)
    assert await gateway.verdict(ana["id"], address=BEN) == "opted_in"


async def test_a_no_to_a_topic_is_no_effect_of_the_channels_beside_it_and_is_written_once(gateway: Gateway) -> None:
    topic = {"name": "Texts", "text": "I like texts", "linked_channel": "sms"}
    await gateway.api("POST", "/v1/preferences", status=201, json=topic)
    yes = {"channels": {"sms": "yes"}, "preferences": {"Texts": "yes"}, "by": CUSTOMER}
    ana, other = await gateway.person(f"sms:{ANA}", consent=yes), await gateway.person(f"sms:{BEN}")
    await gateway.say(other["id"], preferences={"Texts": "no"})
    await gateway.text_in("STOP", BEN)
    await merge(gateway, ana, other)
    lines = [line for line in await gateway.history(ana["id"]) if line["subject"].get("name") == "Texts"]
    assert [(line["to"], line["via"], line["source"]) for line in lines if line["to"] == "no"] == [
        ("no", None, "merge"), ("no", None, "api"),
    ]  # fmt: skip
    assert await verify(gateway.house.database) == []
    await gateway.text_in("START", BEN)
    assert await gateway.verdict(ana["id"], preference="Texts") == "preference_no", "no link had turned it"


async def test_each_number_may_be_sent_to_as_before_where_only_one_had_said_yes(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}", consent=YES), await gateway.person(f"sms:{BEN}")
    shown = await merge(gateway, ana, other)
    assert shown["consent"]["channels"]["sms"]["state"] == "not_asked"
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_in"
    assert await gateway.verdict(ana["id"], address=BEN) == "not_opted_in"


async def test_a_no_to_a_number_from_before_the_channels_yes_counts_also_where_that_has_moved_down_to_it(
    gateway: Gateway,
) -> None:
    """Told only afterwards: a yes to the channel is over no no to an address."""
    ana, other = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{BEN}")
    said_at = gateway.clock().isoformat()
    gateway.clock.advance(minutes=5)
    await gateway.say(ana["id"], channels={"sms": "yes"})
    await merge(gateway, ana, other)
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_in"
    await gateway.say(ana["id"], addresses={f"sms:{ANA}": "no"}, by=CUSTOMER, at=said_at)
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_out_address"


async def test_a_yes_of_both_covers_both_numbers(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}", consent=YES), await gateway.person(f"sms:{BEN}", consent=YES)
    await merge(gateway, ana, other)
    for number in (ANA, BEN):
        assert await gateway.verdict(ana["id"], address=number) == "opted_in"


async def test_a_household_that_was_one_person_is_no_duplicate_any_more(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}", consent=YES), await gateway.person(f"sms:{ANA}")
    await gateway.say(other["id"], channels={"sms": "no"}, by=CUSTOMER)
    assert await gateway.verdict(ana["id"]) == "opted_out_address"
    shown = await merge(gateway, ana, other)
    assert len(shown["addresses"]) == 1
    assert await gateway.verdict(ana["id"]) == "opted_out_channel"


async def test_what_waits_for_the_other_goes_to_the_survivor_once_and_only_if_it_may(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana, other = await gateway.person(f"sms:{ANA}", consent=YES), await gateway.person(f"sms:{BEN}", consent=YES)
    third = await gateway.person("sms:+14155550199", consent=YES)
    at = (gateway.clock() + timedelta(hours=1)).isoformat()
    both = await gateway.broadcast({"profiles": [ana["id"], other["id"]]}, send_at=at)
    one = await gateway.broadcast({"profiles": [other["id"], third["id"]]}, send_at=at)

    async def planned() -> bool:
        shown = [await gateway.api("GET", f"/v1/broadcasts/{id_}") for id_ in (both, one)]
        return all(broadcast["status"] == "scheduled" for broadcast in shown)

    await eventually(planned)
    await merge(gateway, ana, other)
    await gateway.say(third["id"], channels={"sms": "no"}, by=CUSTOMER)
    await merge(gateway, third, await gateway.person("sms:+14155550198"))
    gateway.clock.advance(hours=1, seconds=1)
    gateway.house.planner.wake()
    await gateway.all_sent(both)
    await gateway.all_sent(one)
    assert sorted(line.to for line in twilio.log) == [ANA, BEN]
    reasons = {(row["broadcast_id"], row["reason"]) for row in await gateway.rows("deliveries") if row["reason"]}
    assert reasons == {(both, "duplicate_address"), (one, "opted_out_channel")}


async def test_of_two_pauses_the_longer_stands(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}", consent=YES), await gateway.person(f"sms:{BEN}", consent=YES)
    now = gateway.clock()
    rows = [
        {"profile_id": one["id"], "channel": "sms", "until": now + timedelta(days=days)}
        for one, days in ((ana, 1), (other, 9))
    ]
    async with gateway.house.database.write() as conn:
        await conn.execute(pauses.insert(), rows)
    await merge(gateway, ana, other)
    assert await gateway.verdict(ana["id"]) == "paused"
    gateway.clock.advance(days=8)
    assert await gateway.verdict(ana["id"]) == "paused"
    gateway.clock.advance(days=2)
    assert await gateway.verdict(ana["id"]) == "opted_in"


async def test_the_books_are_in_order_after_merges(gateway: Gateway) -> None:
    people = [await gateway.person(f"sms:+1415555{n:04d}", consent=YES) for n in range(120, 126)]
    await gateway.sent({"all": True})
    for gone in people[1:]:
        await merge(gateway, people[0], gone)
    await checks.the_gateways_own_checks_find_nothing(gateway.house.database)


# --- nothing opens by it, and no no is lost -------------------------------------------------------


async def test_the_persons_own_no_stays_theirs_also_where_the_survivor_stood_at_no(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "no"}})
    other = await gateway.person(f"sms:{BEN}")
    await gateway.text_in("STOP", BEN)
    await merge(gateway, ana, other)
    await gateway.say(ana["id"], status=409, channels={"sms": "yes"})


async def test_of_two_noes_the_later_counts_against_a_yes_in_between(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", consent={**YES, "channels": {"sms": "no"}})
    other = await gateway.person(f"sms:{BEN}")
    between = gateway.clock()
    await asyncio.sleep(0.01)
    await gateway.text_in("STOP", BEN)
    await merge(gateway, ana, other)
    evidence = {"obtained_at": between.isoformat(), "how": "paper form"}
    await gateway.say(ana["id"], status=409, channels={"sms": "yes"}, evidence=evidence)


async def test_a_yes_keeps_what_shows_it_so_that_a_no_told_late_is_the_last_word(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{BEN}")
    obtained, said = gateway.clock() - timedelta(days=30), gateway.clock() - timedelta(days=10)
    evidence = {"obtained_at": obtained.isoformat(), "how": "paper form"}
    await gateway.say(other["id"], channels={"sms": "yes"}, evidence=evidence)
    await merge(gateway, ana, other)
    assert await gateway.verdict(ana["id"], address=BEN) == "opted_in"
    await gateway.say(ana["id"], by=CUSTOMER, at=said.isoformat(), channels={"sms": "no"})
    assert await gateway.verdict(ana["id"], address=BEN) == "opted_out_channel"


async def test_no_default_opens_what_it_did_not_open_before(gateway: Gateway) -> None:
    other = await gateway.person(f"sms:{BEN}")
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "yes"})
    ana = await gateway.person(f"sms:{ANA}")
    cleo = await gateway.person(f"sms:{CLEO}", consent=YES)
    both = [{"channel": "sms", "value": number} for number in (CLEO, DIEGO)]
    await gateway.api("PATCH", f"/v1/profiles/{cleo['id']}", json={"addresses": both})
    await merge(gateway, ana, other)
    await merge(gateway, cleo, await gateway.person())
    assert await gateway.verdict(ana["id"], address=BEN) == "not_opted_in"
    assert await gateway.verdict(cleo["id"], address=CLEO) == "opted_in"
    assert await gateway.verdict(cleo["id"], address=DIEGO) == "not_opted_in"


async def test_a_yes_to_an_address_that_is_gone_holds_up_no_merge(gateway: Gateway) -> None:
    ana, other = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{BEN}")
    await gateway.text_in("STOP", ANA)
    await gateway.say(other["id"], addresses={f"sms:{BEN}": "yes"}, by=CUSTOMER)
    await gateway.api("PATCH", f"/v1/profiles/{other['id']}", json={"addresses": [{"channel": "sms", "value": CLEO}]})
    await merge(gateway, ana, other)


async def test_the_books_are_in_order_after_a_stop_and_a_send_too(gateway: Gateway) -> None:
    ana, ben = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{BEN}", consent=YES)
    cleo, diego = await gateway.person(f"sms:{CLEO}", consent=YES), await gateway.person(f"sms:{DIEGO}", consent=YES)
    await merge(gateway, ana, ben)
    await gateway.sent({"addresses": [BEN]})
    await gateway.text_in("STOP", DIEGO)
    await merge(gateway, cleo, diego)
    await checks.the_gateways_own_checks_find_nothing(gateway.house.database)


async def test_who_has_got_a_broadcast_gets_it_no_second_time_by_a_merge(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana, other = await gateway.person(f"sms:{ANA}", consent=YES), await gateway.person(f"sms:{BEN}", consent=YES)
    twilio.on[ANA] = Answer("busy", 429, headers={"Retry-After": "3600"})
    broadcast = await gateway.broadcast({"profiles": [ana["id"], other["id"]]})

    async def is_sent_to_ben() -> bool:
        return (await gateway.deliveries(broadcast)).get(other["id"], {}).get("status") == "accepted"

    await eventually(is_sent_to_ben)
    await merge(gateway, ana, other)
    shown = (await gateway.api("GET", f"/v1/broadcasts/{broadcast}"))["counts"]
    assert (shown["by_status"], shown["by_reason"]) == ({"accepted": 1}, {"duplicate_address": 1})


async def test_who_is_merged_while_a_broadcast_is_planned_has_one_row_in_it(gateway: Gateway) -> None:
    people = [await gateway.person(f"sms:{number}", consent=YES) for number in (ANA, BEN, CLEO)]
    await gateway.house.planner.stop()
    broadcast = await gateway.broadcast({"all": True})
    database, now = gateway.house.database, gateway.clock()
    await database.transact(lambda conn: plan.plan_chunk(conn, broadcast, now=now, size=1))
    await merge(gateway, people[1], people[0])
    while await database.transact(lambda conn: plan.plan_chunk(conn, broadcast, now=now, size=1)):
        pass
    rows = [row["profile_id"] for row in await gateway.rows("deliveries")]
    assert sorted(rows) == sorted([people[1]["id"], people[2]["id"]])


async def test_a_broadcast_to_addresses_leaves_out_none_of_somebody_who_was_merged_just_before(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana, other = [await gateway.person(f"sms:{number}", consent=YES) for number in (ANA, BEN)]
    await merge(gateway, ana, other)
    await gateway.sent({"addresses": [ANA, BEN]})
    assert sorted(line.to for line in twilio.log) == [ANA, BEN]
    await checks.the_gateways_own_checks_find_nothing(gateway.house.database)


async def test_what_the_other_has_declined_itself_start_does_not_bring_back(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama", "linked_channel": "sms"})
    ana = await gateway.person(f"sms:{ANA}", consent=YES | {"preferences": {"Drama": "yes"}})
    other = await gateway.person(f"sms:{BEN}")
    await gateway.say(other["id"], preferences={"Drama": "no"}, by=CUSTOMER)
    await gateway.text_in("STOP", ANA)  # Drama follows, and would come back
    await merge(gateway, ana, other)
    await gateway.text_in("START", ANA)
    assert await gateway.verdict(ana["id"]) == "opted_in"
    assert await gateway.verdict(ana["id"], preference="Drama") == "preference_no"


async def test_an_address_that_the_others_no_has_closed_is_not_opened_by_what_the_survivor_said(
    gateway: Gateway,
) -> None:
    ana, other = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{ANA}", f"sms:{BEN}")
    for one in (other, ana):
        await gateway.say(one["id"], channels={"sms": "no"}, by=CUSTOMER)
    shown = {"obtained_at": gateway.clock().isoformat(), "how": "by phone"}
    await gateway.say(ana["id"], addresses={f"sms:{ANA}": "yes"}, by=CUSTOMER, evidence=shown)
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_out_address"
    await merge(gateway, ana, other)
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_out_channel"


async def test_attributes_that_are_too_large_together_are_refused_and_nothing_is_merged(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", attributes={"ours": "x" * 40_000})
    other = await gateway.person(f"sms:{BEN}", attributes={"theirs": "x" * 40_000})
    await gateway.text_in("STOP", BEN)
    before = [await gateway.profile(one["id"]) for one in (ana, other)]
    got = await gateway.ask("POST", f"/v1/profiles/{ana['id']}/merge", json={"from": other["id"]})
    assert (got.status, got.json["errors"][0]["field"]) == (422, "attributes")
    assert [await gateway.profile(one["id"]) for one in (ana, other)] == before
    await gateway.api("PATCH", f"/v1/profiles/{other['id']}", json={"attributes": {"theirs": None}})
    await merge(gateway, ana, other)
    assert await gateway.verdict(ana["id"]) == "opted_out_channel"
