"""Dispositions, and talks with customers that end with one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.flows.running import ANA, BEN, Gateway, Got, eventually
from tests.flows.test_preferences import fields, preference, told
from tests.standins.twilio import TwilioStandIn

DISPOSITIONS = "/v1/dispositions"
NO_CALLS = [{"kind": "channel", "channel": "voice", "to": "no"}]


async def disposition(gateway: Gateway, name: str, *changes: dict[str, Any], **more: Any) -> dict[str, Any]:
    body = {"name": name, "changes": list(changes), **more}
    return dict(await gateway.api("POST", DISPOSITIONS, status=201, json=body))


async def ended(gateway: Gateway, profile_id: str, disposition: str, channel: str = "sms", **more: Any) -> Got:
    """Somebody of the staff tells how a talk ended."""
    body = {"disposition": disposition, "channel": channel, **more}
    return await gateway.ask("POST", f"/v1/profiles/{profile_id}/interactions", json=body)


def channels(answer: Got) -> dict[str, str]:
    """The channels that were asked, by what the answer shows."""
    assert answer.status == 201, answer
    found = {name: flag["state"] for name, flag in answer.json["consent"]["channels"].items()}
    return {name: state for name, state in found.items() if state != "not_asked"}


# --- dispositions ------------------------------------------------------------------------------


async def test_a_disposition_is_made_changed_ordered_and_deleted(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    changes = [
        {"kind": "everything", "to": "no"},
        {"kind": "address", "to": "no", "address": "all", "channel": "email"},
        {"kind": "preference", "to": "yes", "name": "Drama"},
    ]
    made = await disposition(gateway, "Moved away", *changes)
    assert (made["changes"], made["undeliverable"], made["active"], made["order"]) == (changes, False, True, 0)
    wrong_number = await disposition(gateway, "Wrong number", undeliverable=True, order=0)
    listed = await gateway.api("GET", DISPOSITIONS)
    assert listed == {"items": [wrong_number, made | {"order": 1}], "next": None}
    put = await gateway.api("PUT", f"{DISPOSITIONS}/order", json={"ids": ["Moved away", wrong_number["id"]]})
    assert [one["name"] for one in put["items"]] == ["Moved away", "Wrong number"]
    [why] = fields(await gateway.ask("PUT", f"{DISPOSITIONS}/order", json={"ids": []})).values()
    assert "missing: 'Moved away', 'Wrong number'" in why
    path = f"{DISPOSITIONS}/{made['id']}"
    assert await gateway.api("PATCH", path, json={}) == made
    changed = await gateway.api("PATCH", path, json={"name": "Gone", "active": False, "changes": NO_CALLS})
    assert (changed["name"], changed["active"], changed["changes"]) == ("Gone", False, NO_CALLS)
    assert (await gateway.api("PATCH", path, json={"changes": None}))["changes"] == []
    assert told(await gateway.ask("PATCH", path, json={"name": "Wrong number"})) == (409, "name-taken")
    assert told(await gateway.ask("POST", DISPOSITIONS, json={"name": "Gone"})) == (409, "name-taken")
    await gateway.api("DELETE", path, status=204)
    assert (await gateway.ask("GET", path)).status == 404
    assert (await gateway.api("GET", DISPOSITIONS))["items"] == [wrong_number]


async def test_a_disposition_that_means_nothing_is_refused_with_words(gateway: Gateway) -> None:
    for wrong in (
        {"kind": "preference", "to": "yes"},
        {"kind": "preference", "to": "yes", "name": "None such"},
        {"kind": "channel", "to": "no", "name": "Drama"},
        {"kind": "channel", "to": "no", "address": "all"},
        {"kind": "everything", "to": "no", "channel": "sms"},
        {"kind": "address", "to": "no", "channel": "sms"},
        {"kind": "channel", "to": "off"},
        {"kind": "nobody", "to": "no"},
    ):
        got = await gateway.ask("POST", DISPOSITIONS, json={"name": "A", "changes": [wrong]})
        assert fields(got), wrong
    twice = [{"kind": "address", "to": "no"}, {"kind": "address", "to": "yes", "address": "contacted"}]
    assert fields(await gateway.ask("POST", DISPOSITIONS, json={"name": "A", "changes": twice}))
    assert (await gateway.api("GET", DISPOSITIONS))["items"] == []


async def test_a_preference_keeps_its_place_in_a_disposition_under_another_name(gateway: Gateway) -> None:
    drama = await preference(gateway, "Drama")
    made = await disposition(gateway, "Wants plays", {"kind": "preference", "to": "yes", "name": "Drama"})
    await gateway.api("PATCH", f"/v1/preferences/{drama['id']}", json={"name": "Plays"})
    assert (await gateway.api("GET", f"{DISPOSITIONS}/{made['id']}"))["changes"][0]["name"] == "Plays"


# --- interactions ------------------------------------------------------------------------------


async def test_a_talk_changes_what_its_disposition_says_on_the_agents_word(gateway: Gateway) -> None:
    drama = await preference(gateway, "Drama", linked_channel="sms")
    await disposition(gateway, "Texts only", *NO_CALLS, {"kind": "preference", "name": drama["name"], "to": "yes"})
    ana = await gateway.person(f"sms:{ANA}", f"voice:{ANA}")
    got = await ended(
        gateway, ana["id"], "Texts only", "voice", address=ANA, by="Maria", note="At work", reference="call-4711"
    )
    assert channels(got) == {"voice": "no", "sms": "yes"}, "a yes to a linked preference by staff turns its channel"
    made = got.json
    assert made["consent"] == (await gateway.profile(ana["id"]))["consent"]
    assert (made["by"], made["address"], made["created_by"]) == ("Maria", ANA, "key:crm")
    for line in made["events"]:
        assert (line["source"], line["actor"]) == ("disposition", "key:crm for agent:Maria")
        assert line["change_id"] == made["change_id"]
        assert line["evidence"] == {
            "disposition": "Texts only",
            "interaction": made["id"],
            "channel": "voice",
            "address": ANA,
            "reference": "call-4711",
            "by": {"kind": "agent", "name": "Maria"},
        }
    listed = await gateway.api("GET", f"/v1/profiles/{ana['id']}/interactions")
    kept = {name: value for name, value in made.items() if name not in ("events", "consent")}
    assert listed == {"items": [kept], "next": None}


async def test_talks_are_listed_newest_first_also_of_who_was_merged(gateway: Gateway) -> None:
    await disposition(gateway, "Call back later")
    ana, again = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{BEN}")
    made = [(await ended(gateway, who["id"], "Call back later")).json for who in (ana, again, ana)]
    assert all(one["change_id"] is None and one["events"] == [] for one in made)
    await gateway.api("POST", f"/v1/profiles/{ana['id']}/merge", json={"from": again["id"]})
    path = f"/v1/profiles/{ana['id']}/interactions"
    first = await gateway.api("GET", f"{path}?limit=2")
    rest = await gateway.api("GET", f"{path}?limit=2&cursor={first['next']}")
    assert [one["id"] for one in first["items"] + rest["items"]] == [one["id"] for one in reversed(made)]
    assert (await gateway.ask("GET", f"/v1/profiles/{again['id']}/interactions")).status == 404
    assert await gateway.rows("consent_events") == []


async def test_a_wrong_number_marks_the_address_and_changes_no_consent(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await disposition(gateway, "Wrong number", undeliverable=True)
    ana = await gateway.person(f"sms:{ANA}", f"sms:{BEN}", consent={"channels": {"sms": "yes"}})
    before = await gateway.rows("consent_events")
    assert (await ended(gateway, ana["id"], "Wrong number")).status == 422, "it needs the address"
    got = await ended(gateway, ana["id"], "Wrong number", address=ANA)
    assert (got.status, got.json["change_id"], got.json["events"]) == (201, None, [])
    assert await gateway.rows("consent_events") == before
    shown = {one["value"]: one["status"] for one in (await gateway.profile(ana["id"]))["addresses"]}
    assert shown == {ANA: "undeliverable", BEN: "ok"}
    assert await gateway.verdict(ana["id"], address=ANA) == "undeliverable"
    await gateway.sent({"profiles": [ana["id"]]})
    assert [one.to for one in twilio.log] == [BEN]


async def test_over_a_persons_own_no_a_yes_by_disposition_needs_evidence(gateway: Gateway) -> None:
    await disposition(gateway, "Wants texts again", {"kind": "channel", "to": "yes"})
    await gateway.text_in("STOP", ANA)
    [ana] = await gateway.whose(f"sms:{ANA}")
    got = await ended(gateway, ana["id"], "Wants texts again", address=ANA)
    assert told(got) == (409, "needs-evidence")
    assert await gateway.rows("interactions") == [], "nothing of it is kept"
    gateway.clock.advance(minutes=5)
    at = gateway.clock().isoformat()
    gateway.clock.advance(minutes=5)
    future = {"obtained_at": "2999-01-01T00:00:00Z", "how": "on the phone"}
    assert fields(await ended(gateway, ana["id"], "Wants texts again", evidence=future))
    got = await ended(
        gateway, ana["id"], "Wants texts again", by="Maria", evidence={"obtained_at": at, "how": "on the phone"}
    )
    assert channels(got) == {"sms": "yes"}
    assert {"obtained_at": at, "how": "on the phone"}.items() <= got.json["events"][0]["evidence"].items()


async def test_a_no_by_disposition_stops_what_is_queued_before_it_is_answered(gateway: Gateway) -> None:
    await disposition(gateway, "Stop", {"kind": "everything", "to": "no"})
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}})
    at = (gateway.clock() + timedelta(days=1)).isoformat()
    await gateway.broadcast({"profiles": [ana["id"]]}, send_at=at)
    await eventually(lambda: gateway.rows("deliveries"))
    assert (await ended(gateway, ana["id"], "Stop", by="Maria")).status == 201
    [row] = await gateway.rows("deliveries")
    assert (row["status"], row["reason"]) == ("skipped", "opted_out_everything")


async def test_what_is_told_of_a_talk_is_checked(gateway: Gateway) -> None:
    retired = await disposition(gateway, "Retired", *NO_CALLS, active=False)
    await disposition(gateway, "Call back later")
    ana = await gateway.person(f"sms:{ANA}")
    assert "inactive" in fields(await ended(gateway, ana["id"], "Retired"))["disposition"]
    assert "None such" in fields(await ended(gateway, ana["id"], "None such"))["disposition"]
    for wrong in ({"address": BEN}, {"address": "?"}, {"channel": "fax"}, {"by": "A for B"}, {"by": ""}, {"x": 1}):
        assert fields(await ended(gateway, ana["id"], "Call back later", **wrong)), wrong
    assert (await ended(gateway, ana["id"], "Call back later", address=f"sms:{ANA}")).status == 201
    assert (await ended(gateway, "pro_none", "Call back later")).status == 404
    await gateway.api("PATCH", f"{DISPOSITIONS}/{retired['id']}", json={"active": True})
    assert (await ended(gateway, ana["id"], retired["id"])).status == 201, "by its id as well"


async def test_the_export_is_chosen_by_disposition(gateway: Gateway) -> None:
    made = await disposition(gateway, "No calls", *NO_CALLS)
    await disposition(gateway, "No texts", {"kind": "channel", "to": "no"})
    ana = await gateway.person(f"sms:{ANA}")
    await ended(gateway, ana["id"], "No calls")
    await ended(gateway, ana["id"], "No texts")
    await gateway.say(ana["id"], channels={"email": "no"})
    for named in ("No%20calls", made["id"]):
        found = (await gateway.api("GET", f"/v1/consent-events?disposition={named}"))["items"]
        assert [line["subject"]["channel"] for line in found] == ["voice"]
    sheet = await gateway.ask("GET", "/v1/consent-events?disposition=No%20calls&format=csv")
    assert len(sheet.body.splitlines()) == 2
    assert fields(await gateway.ask("GET", "/v1/consent-events?disposition=None%20such"))


async def test_a_disposition_that_talks_ended_with_is_retired_and_not_deleted(gateway: Gateway) -> None:
    made = await disposition(gateway, "No calls", *NO_CALLS)
    ana = await gateway.person(f"sms:{ANA}")
    await ended(gateway, ana["id"], "No calls")
    got = await gateway.ask("DELETE", f"{DISPOSITIONS}/{made['id']}")
    assert told(got) == (409, "in-use")
    assert got.json["uses"] == [{"kind": "interactions", "id": None, "words": "one interaction ended with it"}]
    await gateway.api("PATCH", f"{DISPOSITIONS}/{made['id']}", json={"active": False})
    [talk] = (await gateway.api("GET", f"/v1/profiles/{ana['id']}/interactions"))["items"]
    assert talk["disposition"] == "No calls"


async def test_the_address_contacted_may_be_one_that_only_a_sender_can_have(gateway: Gateway) -> None:
    await gateway.text_in("Hello", "+1415555")
    [ana] = await gateway.whose("sms:+1415555")
    await disposition(gateway, "Not this number", {"kind": "address", "to": "no"})
    assert (await ended(gateway, ana["id"], "Not this number", address="+1415555")).status == 201
    assert await gateway.verdict(ana["id"]) == "opted_out_address"
    for given in ({"address": "sms:+1415555"}, {"address": "+1415555", "channel": "sms"}):
        links = await gateway.api("POST", f"/v1/profiles/{ana['id']}/links", json=given)
        assert "/unsubscribe/" in links["unsubscribe"]
