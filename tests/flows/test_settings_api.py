"""Defaults over the API."""

from __future__ import annotations

from urllib.parse import quote

from tests.campaign import checks
from tests.flows.running import ANA, BEN, Gateway
from tests.standins.twilio import TwilioStandIn

NO = dict.fromkeys(("sms", "whatsapp", "email", "voice", "post"), "no")


async def test_a_default_counts_for_people_made_later_and_is_never_consent(gateway: Gateway) -> None:
    path = "/v1/settings/defaults"
    assert await gateway.api("GET", path) == NO
    ana = await gateway.person(f"sms:{ANA}")
    assert await gateway.api("PATCH", path, json={"sms": "yes"}) == NO | {"sms": "yes"}
    assert await gateway.api("PATCH", path, json={}) == NO | {"sms": "yes"}
    ben = await gateway.person(f"sms:{BEN}")
    assert (await gateway.verdict(ana["id"]), await gateway.verdict(ben["id"])) == (
        "not_opted_in",
        "opted_in_by_default",
    )
    assert ben["consent"]["channels"]["sms"] == {"state": "not_asked"}
    await gateway.api("PATCH", path, json={"sms": "no"})
    assert await gateway.verdict(ben["id"]) == "opted_in_by_default", "nobody already known changes"
    assert await gateway.rows("consent_events") == []
    for wrong in ({"sms": None}, {"sms": "not_asked"}, {"sms": True}, {"fax": "yes"}):
        assert (await gateway.ask("PATCH", path, json=wrong)).status == 422, wrong


async def test_the_files_defaults_fill_the_database_once_and_later_it_has_the_word(gateway: Gateway) -> None:
    await gateway.api("PATCH", "/v1/settings/defaults", json={"email": "yes"})
    await gateway.restart(defaults=gateway.settings.defaults.model_copy(update={"sms": "yes", "email": "no"}))
    assert await gateway.api("GET", "/v1/settings/defaults") == NO | {"email": "yes"}


async def test_the_defaults_are_extended_to_those_already_known_by_a_recorded_act(gateway: Gateway) -> None:
    ana, ben = await gateway.person(f"sms:{ANA}"), await gateway.person(f"sms:{BEN}")
    await gateway.say(ben["id"], channels={"sms": "no"})
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "yes"})
    assert await gateway.verdict(ana["id"]) == "not_opted_in"
    admin = await gateway.key("admin")
    applied = await gateway.api("POST", "/v1/settings/defaults/apply", key=admin)
    assert (applied["profiles"], applied["defaults"]["sms"]) == (2, "yes")
    assert await gateway.verdict(ana["id"]) == "opted_in_by_default"
    assert await gateway.verdict(ben["id"]) == "opted_out_channel"
    assert (await gateway.api("POST", "/v1/settings/defaults/apply", key=admin))["profiles"] == 0
    acts = (await gateway.api("GET", "/v1/audit?action=defaults.applied", key=admin))["items"]
    assert [(act["actor"], act["detail"]["profiles"]) for act in acts] == [
        ("key:with admin", 0), ("key:with admin", 2),
    ]  # fmt: skip


async def test_what_was_sent_by_a_default_before_another_was_applied_is_in_order(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "yes"})
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.sent({"profiles": [ana["id"]]})
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "no"})
    await gateway.api("POST", "/v1/settings/defaults/apply", key=await gateway.key("admin"))
    assert await gateway.verdict(ana["id"]) == "not_opted_in"
    assert len(twilio.log) == 1
    await checks.the_gateways_own_checks_find_nothing(gateway.house.database)


async def test_the_audit_tells_who_did_what_the_newest_first(gateway: Gateway) -> None:
    admin = await gateway.key("admin")
    since = gateway.clock().isoformat()
    rule = await gateway.api("POST", "/v1/rules", json={"channel": "sms", "keyword": "X", "action": "opt_in"})
    await gateway.api("DELETE", f"/v1/rules/{rule['id']}")
    found = (await gateway.api("GET", f"/v1/audit?target={rule['id']}", key=admin))["items"]
    assert [(act["actor"], act["action"]) for act in found] == [
        ("key:crm", "rule.deleted"),
        ("key:crm", "rule.created"),
    ]
    page = await gateway.api("GET", f"/v1/audit?actor=key:crm&since={quote(since)}&limit=1", key=admin)
    assert [act["action"] for act in page["items"]] == ["rule.deleted"]
    rest = await gateway.api("GET", f"/v1/audit?actor=key:crm&limit=1&cursor={page['next']}", key=admin)
    assert [act["action"] for act in rest["items"]] == ["rule.created"]
