"""Broadcasts: who gets it, who is skipped and why, and what the provider's answers come to."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

from audience import lists
from audience.select import MOST_SHOWN
from consent import holds
from gateway.api.bodies import BYTES as BODY_BYTES
from profiles import records
from store.ids import new_id
from tests.flows.running import ANA, BEN, CLEO, DIEGO, OURS, OURS_ON_WHATSAPP, Gateway, changed, eventually
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes"}}


def number(place: int) -> str:
    return f"+1415555{place:04d}"


def ends(delivery: dict[str, Any]) -> list[str]:
    """How its attempts ended, but for those given back before anything was sent: a busy machine has some."""
    return [attempt["state"] for attempt in delivery["attempts"] if attempt["state"] != "abandoned"]


async def fan(gateway: Gateway, address: str, **more: Any) -> str:
    """Somebody who said yes to texts; returns the id."""
    return str((await gateway.person(f"sms:{address}", consent=YES, **more))["id"])


# --- who --------------------------------------------------------------------------------------


async def test_everybody_is_sent_to_or_skipped_with_a_reason(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    people: dict[str, tuple[str, str]] = {}

    async def add(place: int, reason: str, consent: dict[str, Any] | None = None, **more: Any) -> str:
        person = await gateway.person(f"sms:{number(place)}", **({"consent": consent} if consent else {}), **more)
        people[person["id"]] = (number(place), reason)
        return str(person["id"])

    drama = {"preferences": {"Drama": "yes"}}
    await add(1, "opted_in", YES | drama)
    await add(2, "opted_out_everything", {"everything": "no"})
    await add(3, "opted_out_channel", {"channels": {"sms": "no"}})
    await add(4, "opted_out_address", YES | drama | {"addresses": {f"sms:{number(4)}": "no"}})
    held = await add(5, "under_review", YES | drama)
    paused = await add(6, "paused", YES | drama)
    await add(7, "preference_no", YES | {"preferences": {"Drama": "no"}})
    await add(8, "preference_not_asked", YES)
    await add(9, "consent_expired", YES | drama | {"expires_at": (gateway.clock() + timedelta(days=1)).isoformat()})
    await add(10, "not_opted_in", drama)
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "yes"})
    await add(11, "opted_in_by_default", drama)
    await add(1, "duplicate_address", YES | drama)
    nobody = await gateway.person("email:ana@example.org", consent=YES | drama)
    people[nobody["id"]] = ("", "no_address")
    undeliverable = await add(12, "undeliverable", YES | drama)
    twilio.on[number(12)] = answers.error(400, 21614, "'To' number is not a valid mobile number")
    await gateway.sent({"profiles": [undeliverable]})
    gateway.clock.advance(days=2)

    async def hold_and_pause(conn: Any) -> None:
        [row] = [r for r in await gateway.rows("profile_addresses") if r["profile_id"] == held]
        await holds.hold(conn, [row["address_id"]], message_id="msg_x", now=gateway.clock())
        await holds.pause(conn, paused, channel="sms", until=gateway.clock() + timedelta(days=1))

    await gateway.house.database.transact(hold_and_pause)
    twilio.log.clear()
    shown = await gateway.sent({"all": True}, preference="Drama")
    found = await gateway.deliveries(shown["id"])
    assert {who: one["reason"] or "sent" for who, one in found.items()} == {
        who: "sent" if reason.startswith("opted_in") else reason for who, (_, reason) in people.items()
    }
    assert {one["status"] for one in found.values()} == {"accepted", "skipped"}
    assert sorted(line.to for line in twilio.log) == [number(1), number(11)]
    sent, duplicate = [who for who, (address, _) in people.items() if address == number(1)]
    assert sent < duplicate, "the oldest gets it"
    counts = shown["counts"]
    assert (counts["planned"], counts["skipped"], counts["by_status"]) == (14, 12, {"accepted": 2})
    assert counts["by_reason"] == dict.fromkeys((r for _, r in people.values() if not r.startswith("opted_in")), 1)
    # The verdict of the API says the same of each.
    for who, (_, reason) in people.items():
        expected = "opted_in" if reason == "duplicate_address" else reason
        assert await gateway.verdict(who, preference="Drama") == expected
    by_reason = await gateway.api("GET", f"/v1/broadcasts/{shown['id']}/deliveries?reason=paused&status=skipped")
    assert [one["profile_id"] for one in by_reason["items"]] == [paused]


async def test_an_audience_is_all_or_a_tag_or_profiles_or_addresses(gateway: Gateway) -> None:
    ana, ben = await fan(gateway, ANA, tags=["vip"]), await fan(gateway, BEN)
    await gateway.person(f"sms:{CLEO}", tags=["vip"])
    for audience, expected in (
        ({"all": True}, {"accepted": 2, "not_opted_in": 1}),
        ({"tag": "vip"}, {"accepted": 1, "not_opted_in": 1}),
        ({"tag": "nobody"}, {}),
        ({"profiles": [ana, ben, ana]}, {"accepted": 2}),
        (
            {"addresses": [BEN, "sms:(415) 555-0124", CLEO, DIEGO]},
            {"accepted": 1, "not_opted_in": 1, "unknown_address": 1},
        ),
    ):
        shown = await gateway.sent(audience, connection="box")
        assert {**shown["counts"]["by_status"], **shown["counts"]["by_reason"]} == expected, audience
    unknown = (await gateway.deliveries(shown["id"]))[DIEGO]
    assert (unknown["profile_id"], unknown["status"], unknown["reason"]) == (None, "skipped", "unknown_address")
    assert shown["audience"] == {"addresses": shown["audience"]["addresses"]}
    assert sorted(shown["audience"]["addresses"]) == [ANA[:-1] + "4", CLEO, DIEGO]


async def test_asked_by_address_a_no_of_any_of_its_people_wins(gateway: Gateway) -> None:
    ana, ben = await fan(gateway, ANA), await gateway.person(f"sms:{ANA}")
    one = await gateway.sent({"addresses": [ANA]}, connection="box")
    assert one["counts"]["by_status"] == {"accepted": 1}, "one row per distinct address, and one person said yes"
    assert list(await gateway.deliveries(one["id"])) == [ana]
    await gateway.say(ben["id"], channels={"sms": "no"})
    none = await gateway.sent({"addresses": [ANA]}, connection="box")
    assert none["counts"]["skipped"] == none["counts"]["planned"] == 1


async def test_the_primary_address_is_taken_or_the_next_that_may_be_sent_to(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    def person(first: str, second: str) -> dict[str, Any]:
        addresses = [{"channel": "sms", "value": first}, {"channel": "sms", "value": second, "primary": True}]
        return {"addresses": addresses, "consent": YES}

    await gateway.api("POST", "/v1/profiles", json=person(ANA, BEN))
    other = await gateway.api("POST", "/v1/profiles", json=person(CLEO, DIEGO))
    await gateway.say(other["id"], addresses={f"sms:{DIEGO}": "no"})
    shown = await gateway.sent({"all": True})
    assert shown["counts"]["planned"] == 2
    assert sorted(line.to for line in twilio.log) == [BEN, CLEO]


async def test_what_goes_out_is_what_the_provider_is_asked_for(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana = await gateway.person(f"sms:{ANA}", f"whatsapp:{ANA}", consent={"channels": {"sms": "yes", "whatsapp": "yes"}})
    await gateway.sent({"all": True}, content={"body": "Schöne Grüße & 🎭"})
    template = {"name": "HX" + "0" * 32, "language": "en", "variables": {"1": "Ana"}}
    shown = await gateway.sent(
        {"profiles": [ana["id"]]}, connection="whatsapp", channel="whatsapp", content={"template": template}
    )
    assert shown["content"] == {"template": template}
    text, whatsapp = twilio.log
    assert (text.sender, text.to, text.body) == (OURS, ANA, "Schöne Grüße & 🎭")
    assert (whatsapp.sender, whatsapp.to) == (f"whatsapp:{OURS_ON_WHATSAPP}", f"whatsapp:{ANA}")
    assert (whatsapp.form["ContentSid"], whatsapp.form["ContentVariables"]) == (template["name"], '{"1": "Ana"}')
    tags = {row["id"] for row in await gateway.rows("attempts")}
    assert {text.tag, whatsapp.tag} == tags, "the attempt stands in the status callback's URL"
    sids = {row["provider_id"] for row in await gateway.rows("deliveries")}
    assert sids == {text.sid, whatsapp.sid}


async def test_a_broadcast_is_shown_whole_and_is_done_in_the_end(gateway: Gateway) -> None:
    await fan(gateway, ANA)
    made = await gateway.api(
        "POST",
        "/v1/broadcasts",
        status=202,
        json={
            "name": "Autumn",
            "channel": "whatsapp",
            "content": {"body": "x"},
            "audience": {"all": True},
            "preference": None,
            "send_at": None,
            "quiet_hours": None,
            "rate": None,
            "dry_run": False,
        },
    )
    assert (made["status"], made["held"], made["connection"], made["created_by"]) == (
        "planning",
        None,
        "whatsapp",
        "key:crm",
    )
    assert made["counts"] == {"planned": 0, "skipped": 0, "by_status": {}, "by_reason": {}}

    async def done() -> dict[str, Any] | None:
        shown: dict[str, Any] = await gateway.api("GET", f"/v1/broadcasts/{made['id']}")
        return shown if shown["status"] == "done" else None

    shown = await eventually(done)
    assert shown
    assert shown["counts"] == {"planned": 1, "skipped": 1, "by_status": {}, "by_reason": {"no_address": 1}}
    assert (await gateway.api("GET", "/v1/broadcasts"))["items"] == [shown]


async def test_a_broadcast_that_cannot_be_is_refused_and_makes_nothing(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "By mail", "linked_channel": "email"})
    good = {
        "name": "Autumn",
        "channel": "sms",
        "connection": "sms",
        "content": {"body": "x"},
        "audience": {"all": True},
    }
    for wrong, field in (
        ({"name": ""}, "name"),
        ({"channel": "fax"}, "channel"),
        ({"connection": "nobody"}, "connection"),
        ({"connection": "whatsapp"}, "connection"),
        ({"connection": None}, "connection"),
        ({"content": {}}, "content"),
        ({"content": {"body": ""}}, "content.body"),
        ({"content": {"body": "Hi {{ name }}"}}, "content.body"),
        ({"content": {"template": {"name": "HX1"}}}, "content.template"),
        ({"content": {"html": "x"}}, "content.html"),
        ({"audience": {}}, "audience"),
        ({"audience": {"all": True, "tag": "x"}}, "audience"),
        ({"audience": {"all": False}}, "audience.all"),
        ({"audience": {"profiles": ["pro_x"]}}, "audience.profiles"),
        ({"audience": {"profiles": []}}, "audience.profiles"),
        ({"audience": {"addresses": ["12"]}}, "audience.addresses.0"),
        ({"preference": "Nobody"}, "preference"),
        ({"preference": "By mail"}, "preference"),
        ({"colour": "red"}, "colour"),
    ):
        got = await gateway.ask("POST", "/v1/broadcasts", json=good | wrong)
        assert got.status == 422, (wrong, got)
        assert [error["field"] for error in got.json["errors"]] == [field], (wrong, got.json)
    assert await gateway.rows("broadcasts") == []
    assert (await gateway.ask("GET", "/v1/broadcasts/brd_nobody")).status == 404
    assert (await gateway.ask("GET", "/v1/broadcasts/brd_nobody/deliveries")).status == 404
    shown = await gateway.sent({"all": True})
    for query in ("status=lost", "reason=whim", "colour=red"):
        assert (await gateway.ask("GET", f"/v1/broadcasts/{shown['id']}/deliveries?{query}")).status == 422, query


# --- long lists -------------------------------------------------------------------------------

# Not +1: the numbers that take longest to read.
LONG = [f"+4479{place:08d}" for place in range(lists.MOST)]


async def post_list(gateway: Gateway, audience: dict[str, Any]) -> tuple[dict[str, Any], float]:
    """Make a broadcast to a list; returns it, and the part of that time for which the gateway left /healthz waiting."""
    await gateway.key()
    asked = {"name": "Long", "channel": "sms", "connection": "box", "content": {"body": "x"}, "audience": audience}
    began = time.monotonic()
    posted = asyncio.create_task(gateway.api("POST", "/v1/broadcasts", status=202, json=asked))
    longest = 0.0
    while not posted.done():
        at = time.monotonic()
        assert (await gateway.send("GET", "/healthz")).status == 200
        longest = max(longest, time.monotonic() - at)
    return await posted, longest / (time.monotonic() - began)


async def test_while_a_long_list_of_addresses_is_read_others_are_answered(gateway: Gateway) -> None:
    made, waited = await post_list(gateway, {"addresses": LONG})
    assert waited < 0.3  # read at a stretch, it is 0.8
    assert made["audience"] == {"addresses_count": len(LONG)}
    async with gateway.house.database.read() as conn:
        kept = [member async for members in lists.read(conn, made["id"]) for member in members.values()]
    assert sorted(map(str, kept)) == LONG


async def test_a_long_list_of_profiles_is_planned_once_each(gateway: Gateway) -> None:
    ids = [new_id("pro") for _ in range(1000)]
    people = [{"id": profile_id} for profile_id in ids]
    await gateway.house.database.transact(
        lambda conn: records.make(conn, people, defaults_version=1, now=gateway.clock())
    )
    made, _ = await post_list(gateway, {"profiles": ids * (lists.MOST // len(ids))})
    shown = await gateway.all_sent(made["id"], seconds=30)
    assert shown["audience"] == {"profiles_count": len(ids)}
    assert shown["counts"]["by_reason"] == {"no_address": len(ids)}


async def test_a_list_that_is_too_long_is_refused_with_what_to_do(gateway: Gateway) -> None:
    good = {"name": "Long", "channel": "sms", "connection": "box", "content": {"body": "x"}}
    for field in ("addresses", "profiles"):
        got = await gateway.ask("POST", "/v1/broadcasts", json=good | {"audience": {field: [ANA, *LONG]}})
        assert got.status == 422
        [error] = got.json["errors"]
        assert (error["field"], "100,000" in error["message"]) == (f"audience.{field}", True)
    too_large = await gateway.ask("POST", "/v1/broadcasts", data=b" " * (BODY_BYTES + 1))
    assert (too_large.status, str(BODY_BYTES) in too_large.json["detail"]) == (413, True)
    assert await gateway.rows("broadcasts") == await gateway.rows("audience_parts") == []


async def test_a_short_list_is_shown_and_a_long_one_counted(gateway: Gateway) -> None:
    """Wherever a broadcast is shown; and either is planned to its last member."""
    for count in (MOST_SHOWN, MOST_SHOWN + 1, 2 * lists.PART + 1):
        addresses = LONG[:count]
        made, _ = await post_list(gateway, {"addresses": addresses})
        shown = await gateway.all_sent(made["id"])
        expected = {"addresses": addresses} if count <= MOST_SHOWN else {"addresses_count": count}
        assert made["audience"] == shown["audience"] == expected
        assert (await gateway.api("GET", "/v1/broadcasts?limit=1"))["items"][0]["audience"] == expected
        assert shown["counts"]["by_reason"] == {"unknown_address": count}
    planned = [row["address"] for row in await gateway.rows("deliveries") if row["broadcast_id"] == made["id"]]
    assert sorted(planned) == addresses


# --- the last check ---------------------------------------------------------------------------


async def test_a_stop_before_its_turn_takes_a_person_out_with_the_reason(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    """Not all can go at once; who says STOP meanwhile gets nothing any more, everybody else does."""
    await gateway.restart(connections=changed(gateway.settings, "sms", rate=4.0))
    people = {number(place): await fan(gateway, number(place)) for place in range(8)}
    broadcast = await gateway.broadcast({"all": True})

    async def begun() -> bool:
        return len(twilio.log) >= 2

    await eventually(begun)
    late = [address for address in people if address not in {line.to for line in twilio.log}]
    assert late
    for address in late:
        await gateway.text_in("STOP", address)
    sent_before_the_stop = {line.to for line in twilio.log}
    shown = await gateway.all_sent(broadcast)
    found = await gateway.deliveries(broadcast)
    stopped = [address for address in late if address not in sent_before_the_stop]
    assert stopped
    for address, person in people.items():
        delivery = found[person]
        if address in stopped:
            assert (delivery["status"], delivery["reason"], delivery["attempts"]) == (
                "skipped",
                "opted_out_channel",
                [],
            )
        else:
            assert (delivery["status"], delivery["reason"]) == ("accepted", None)
            assert ends(delivery) == ["accepted"]
    assert {line.to for line in twilio.log} == set(people) - set(stopped)
    assert len(twilio.log) == len({line.to for line in twilio.log})
    assert shown["counts"]["by_reason"] == {"opted_out_channel": len(stopped)}


async def test_a_person_who_is_deleted_before_their_turn_gets_nothing(gateway: Gateway, twilio: TwilioStandIn) -> None:
    twilio.default = answers.throttled("2")
    ana = await fan(gateway, ANA)
    broadcast = await gateway.broadcast({"all": True})

    async def tried() -> bool:
        return bool(twilio.log)

    await eventually(tried)
    await gateway.api("DELETE", f"/v1/profiles/{ana}")
    twilio.default = answers.accepted()
    gateway.clock.advance(seconds=10)
    shown = await gateway.all_sent(broadcast)
    assert (shown["counts"]["planned"], shown["counts"]["by_reason"]) == (1, {"no_address": 1})
    assert all(line.sid is None for line in twilio.log)


# --- what the provider answers ----------------------------------------------------------------


async def test_each_answer_of_the_provider_comes_to_what_the_table_says(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    scripted = {
        "accepted": (answers.accepted(), "accepted", "accepted"),
        "bad number": (answers.error(400, 21211, "Invalid 'To'"), "rejected", "failed"),
        "any 4xx": (answers.error(400, 99999, "No"), "rejected", "failed"),
        "opted out": (answers.error(400, 21610, "Attempt to send to unsubscribed recipient"), "rejected", "failed"),
        "500": (answers.broken(500), "in_doubt", "in_doubt"),
        "503": (answers.broken(503), "in_doubt", "in_doubt"),
        "408": (answers.broken(408), "in_doubt", "in_doubt"),
        "reset": (answers.reset(), "in_doubt", "in_doubt"),
        "closed": (answers.close(), "in_doubt", "in_doubt"),
        "no id": (answers.odd(b"{}"), "in_doubt", "in_doubt"),
        "no JSON": (answers.odd(b"<ok/>"), "in_doubt", "in_doubt"),
        "a redirect": (answers.redirect("http://127.0.0.1:9/"), "in_doubt", "in_doubt"),
        "garbage": (answers.raw(b"\x00\x01\x02\r\n\r\n"), "in_doubt", "in_doubt"),
    }
    people = {}
    for place, (name, (answer, _, _)) in enumerate(scripted.items()):
        people[name] = await fan(gateway, number(place))
        twilio.on[number(place)] = answer
    shown = await gateway.sent({"all": True})
    found = await gateway.deliveries(shown["id"])
    for name, (_, attempt, status) in scripted.items():
        delivery = found[people[name]]
        assert ends(delivery) == [attempt], (name, delivery)
        assert delivery["status"] == status, (name, delivery)
        assert (delivery["attempts"][-1]["error"] is None) == (attempt == "accepted"), name
    assert len(twilio.log) == len(scripted), "each was asked once, whatever came of it"
    states = {
        p["addresses"][0]["value"]: p["addresses"][0]["status"]
        for p in (await gateway.api("GET", "/v1/profiles"))["items"]
    }
    assert [address for address, status in states.items() if status != "ok"] == [number(1)]


async def test_what_was_certainly_not_sent_is_sent_later(gateway: Gateway, twilio: TwilioStandIn) -> None:
    twilio.default = answers.throttled("1")
    ana = await fan(gateway, ANA)
    broadcast = await gateway.broadcast({"all": True})

    async def tried() -> bool:
        return ends((await gateway.deliveries(broadcast)).get(ana, {"attempts": []})) == ["not_sent"]

    await eventually(tried)
    twilio.default = answers.accepted()
    gateway.clock.advance(seconds=5)
    await gateway.all_sent(broadcast)
    delivery = (await gateway.deliveries(broadcast))[ana]
    assert ends(delivery) == ["not_sent", "accepted"]
    assert twilio.accepted_to(ANA) == 1


async def test_a_provider_that_cannot_be_reached_is_tried_again(gateway: Gateway, twilio: TwilioStandIn) -> None:
    away = "http://127.0.0.1:9"  # nobody listens there
    await gateway.restart(connections=changed(gateway.settings, "sms", api_url=away))
    ana = await fan(gateway, ANA)
    broadcast = await gateway.broadcast({"all": True})

    async def tried() -> bool:
        delivery = (await gateway.deliveries(broadcast)).get(ana, {})
        return bool(delivery.get("attempts")) and delivery["status"] == "queued"

    await eventually(tried)
    await gateway.restart(connections=changed(gateway.settings, "sms", api_url=twilio.url))
    gateway.clock.advance(seconds=10)
    await gateway.all_sent(broadcast)
    assert twilio.accepted_to(ANA) == 1


async def test_the_providers_word_that_somebody_opted_out_is_taken(gateway: Gateway, twilio: TwilioStandIn) -> None:
    ana, ben = await fan(gateway, ANA), await fan(gateway, ANA, first_name="Ben")
    twilio.on[ANA] = answers.error(400, 21610, "Attempt to send to unsubscribed recipient")
    await gateway.sent({"profiles": [ana]})
    for person in (ana, ben):
        [line, _] = await gateway.history(person)
        assert (line["source"], line["actor"], line["to"], line["with_address"]) == ("provider", "customer", "no", True)
        assert (line["address"], line["subject"]) == (ANA, {"kind": "channel", "channel": "sms"})
    twilio.on.clear()
    again = await gateway.sent({"all": True})
    assert again["counts"]["by_reason"] == {"opted_out_channel": 2}
    assert len(twilio.log) == 1


async def test_credentials_that_are_refused_are_about_us_and_reject_nobody(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    await fan(gateway, ANA)
    broadcast = await gateway.broadcast({"all": True}, connection="second")  # another account: the stand-in refuses it

    async def tried() -> bool:
        return bool(twilio.log)

    await eventually(tried)

    async def back() -> bool:
        [delivery] = (await gateway.deliveries(broadcast)).values()
        return bool(delivery["status"] == "queued" and delivery["attempts"])

    await eventually(back)
    assert twilio.accepted_to(ANA) == 0


async def test_the_sandbox_can_be_slow_and_can_fail(gateway: Gateway) -> None:
    failures = {"rejected": 0.3, "in_doubt": 0.2, "in_doubt_sent": 0.2, "opted_out": 0.2}
    await gateway.restart(
        connections=changed(gateway.settings, "box", delay_seconds=0.2, failures=failures, rate=1000.0)
    )
    people = [await fan(gateway, number(place)) for place in range(20)]
    shown = await gateway.sent({"all": True}, connection="box")
    adapter: Any = gateway.house.adapters["box"]
    for row in await gateway.rows("attempts"):
        fate = adapter.fate(row["id"])
        expected = {None: "accepted", "rejected": "rejected", "opted_out": "rejected"}.get(fate, "in_doubt")
        assert row["state"] == expected
    assert sum(shown["counts"]["by_status"].values()) == len(people)
    kept = (await gateway.api("GET", "/v1/sandbox/messages?limit=500"))["items"]
    expected_kept = [r for r in await gateway.rows("attempts") if adapter.fate(r["id"]) in (None, "in_doubt_sent")]
    assert len(kept) == len(expected_kept)


# --- a restart --------------------------------------------------------------------------------


async def test_a_restart_goes_on_where_it_was_and_sends_nothing_twice(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.restart(connections=changed(gateway.settings, "sms", rate=20.0))
    people = [await fan(gateway, number(place)) for place in range(25)]
    broadcast = await gateway.broadcast({"all": True})
    for stop_after in (3, 14):

        async def so_many(enough: int = stop_after) -> bool:
            return len(twilio.log) >= enough

        await eventually(so_many)
        await gateway.restart()
    shown = await gateway.all_sent(broadcast)
    assert shown["counts"]["by_status"] == {"accepted": len(people)}
    assert sorted(line.to for line in twilio.log) == [number(place) for place in range(25)]


async def test_what_a_dead_process_began_is_in_doubt_and_never_sent_again(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    """An attempt that nobody finished: the sweep calls it in doubt, and after a day it is unknown."""
    twilio.default = answers.throttled("30")
    ana = await fan(gateway, ANA)
    broadcast = await gateway.broadcast({"all": True})

    async def tried() -> bool:
        return any(row["state"] == "not_sent" for row in await gateway.rows("attempts"))

    await eventually(tried)
    await _as_if_its_process_had_died(gateway)
    twilio.default = answers.accepted()
    gateway.clock.advance(seconds=90)
    await gateway.restart()

    async def swept() -> bool:
        return (await gateway.deliveries(broadcast))[ana]["status"] == "in_doubt"

    await eventually(swept)
    assert (await gateway.all_sent(broadcast))["counts"]["by_status"] == {"in_doubt": 1}
    assert twilio.accepted_to(ANA) == 0


async def _as_if_its_process_had_died(gateway: Gateway) -> None:
    from sqlalchemy import update

    from store.tables import attempts, deliveries

    async def begun(conn: Any) -> None:
        await conn.execute(update(attempts).values(state="sending", owner="dsp_gone", ended_at=None, error=None))
        await conn.execute(update(deliveries).values(status="sending"))

    await gateway.house.database.transact(begun)


@pytest.mark.parametrize("channel", ["email", "voice"])
async def test_a_channel_without_a_connection_carries_no_broadcast(gateway: Gateway, channel: str) -> None:
    given = {"name": "x", "channel": channel, "content": {"body": "x"}, "audience": {"all": True}}
    got = await gateway.ask("POST", "/v1/broadcasts", json=given)
    assert (got.status, got.json["errors"][0]["field"]) == (422, "connection" if channel == "email" else "channel")
