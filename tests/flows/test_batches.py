"""Many profiles at once, as another system's nightly sync sends them."""

from __future__ import annotations

from typing import Any

from tests.flows.running import ANA, BEN, Gateway

PATH = "/v1/profiles/batch"
CUSTOMER = {"kind": "customer"}


async def send(gateway: Gateway, *items: Any, **more: Any) -> list[dict[str, Any]]:
    return list((await gateway.api("POST", PATH, json={"items": items}, **more))["items"])


def one(external_id: str, **more: Any) -> dict[str, Any]:
    return {"external_id": external_id, **more}


async def test_each_item_is_made_or_changed_and_has_its_result(gateway: Gateway) -> None:
    ben = await gateway.person(external_id="b", first_name="Ben")
    found = await send(
        gateway,
        one("a", first_name="Ana", addresses=[{"channel": "sms", "value": ANA}], consent={"channels": {"sms": "yes"}}),
        one("b", last_name="Ruiz"),
        one("c", first_name="C", timezone="Mars/Olympus"),
        one("a", tags=["vip"]),
        {"first_name": "Nobody"},
    )
    assert [(item["index"], item["status"]) for item in found] == [(0, 201), (1, 200), (2, 422), (3, 200), (4, 422)]
    ana = found[3]["profile"]
    assert (ana["first_name"], ana["tags"], ana["consent"]["channels"]["sms"]["state"]) == ("Ana", ["vip"], "yes")
    assert found[1]["profile"] == await gateway.profile(ben["id"])
    assert [item["problem"]["errors"][0]["field"] for item in (found[2], found[4])] == ["timezone", "external_id"]
    assert await gateway.api("GET", "/v1/profiles?external_id=c") == {"items": [], "next": None}


async def test_an_item_that_is_refused_changes_nothing_of_its_person(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", external_id="a", consent={"channels": {"sms": "no"}, "by": CUSTOMER})
    [item] = await send(gateway, one("a", first_name="Ana", consent={"channels": {"sms": "yes"}}))
    assert (item["status"], item["problem"]["type"].rpartition("/")[2]) == (409, "needs-evidence")
    assert (await gateway.profile(ana["id"]))["first_name"] is None


async def test_the_same_batch_again_changes_nothing(gateway: Gateway) -> None:
    items = [
        one("a", addresses=[{"channel": "sms", "value": ANA}], consent={"channels": {"sms": "yes"}}),
        one("b", addresses=[{"channel": "sms", "value": BEN}], consent={"channels": {"sms": "no"}}),
    ]
    first = await send(gateway, *items)
    history = await gateway.rows("consent_events")
    again = await send(gateway, *items)
    assert [item["status"] for item in again] == [200, 200]
    assert [item["profile"]["consent"] for item in again] == [item["profile"]["consent"] for item in first]
    assert await gateway.rows("consent_events") == history


async def test_under_one_idempotency_key_it_is_answered_alike(gateway: Gateway) -> None:
    named = {"Idempotency-Key": "night"}
    first = await send(gateway, one("a"), headers=named)
    assert await send(gateway, one("a"), headers=named) == first


async def test_consent_needs_its_own_scope_item_by_item(gateway: Gateway) -> None:
    key = await gateway.key("profiles:write")
    found = await send(gateway, one("a"), one("b", consent={"channels": {"sms": "yes"}}), key=key)
    assert [item["status"] for item in found] == [201, 403]


async def test_five_hundred_at_most(gateway: Gateway) -> None:
    got = await gateway.ask("POST", PATH, json={"items": [one(str(n)) for n in range(501)]})
    assert (got.status, got.json["errors"][0]["field"]) == (422, "items")
