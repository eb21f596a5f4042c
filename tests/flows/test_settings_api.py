"""Defaults and preferences over the API."""

from __future__ import annotations

from tests.flows.running import ANA, BEN, Gateway

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


async def test_a_preference_is_made_once_and_listed(gateway: Gateway) -> None:
    given = {
        "name": "Marketing Email",
        "text": "News by e-mail?",
        "description": "for staff",
        "selected_by_default": True,
        "linked_channel": "email",
        "contexts": ["donation"],
        "partner": "Gallery",
        "active": False,
    }
    made = await gateway.api("POST", "/v1/preferences", status=201, json=given)
    assert {name: made[name] for name in given} == given
    drama = await gateway.api("POST", "/v1/preferences", status=201, json={"name": "Drama"})
    assert (drama["text"], drama["active"], drama["selected_by_default"]) == ("Drama", True, False)
    assert await gateway.api("GET", "/v1/preferences") == {"items": [made, drama], "next": None}
    got = await gateway.ask("POST", "/v1/preferences", json={"name": "Drama"})
    assert (got.status, got.json["type"].rpartition("/")[2]) == (409, "name-taken")
    for wrong in (
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "A", "linked_channel": "fax"},
        {"name": "A", "active": 1},
    ):
        assert (await gateway.ask("POST", "/v1/preferences", json=wrong)).status == 422, wrong
