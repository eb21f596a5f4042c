"""Verdicts by the hundred, for a system that sends by itself."""

from __future__ import annotations

from typing import Any

from tests.flows.running import ANA, BEN, CLEO, DIEGO, Gateway

YES = {"channels": {"sms": "yes"}}
PATH = "/v1/verdicts"


async def ask(gateway: Gateway, *items: Any, **more: Any) -> list[dict[str, Any]]:
    return list((await gateway.api("POST", PATH, json={"items": items, **more}))["items"])


async def test_each_question_has_its_answer_in_its_place(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    await gateway.person(f"sms:{ANA}", "email:ana@example.org", consent=YES | {"preferences": {"Drama": "no"}})
    await gateway.person(f"sms:{BEN}")
    found = await ask(
        gateway,
        {"channel": "sms", "address": ANA},
        {"channel": "sms", "address": f"sms:{BEN}"},
        {"channel": "sms", "address": ANA, "preference": "Drama"},
        {"channel": "email", "address": "ana@EXAMPLE.org"},
        {"channel": "sms", "address": CLEO},
        {"channel": "sms", "address": ANA},
    )
    assert [(one["allowed"], one["reason"]) for one in found] == [
        (True, "opted_in"),
        (False, "not_opted_in"),
        (False, "preference_no"),
        (False, "not_opted_in"),
        (False, "unknown_address"),
        (True, "opted_in"),
    ]
    assert [one["address"] for one in found][:2] == [ANA, f"sms:{BEN}"]  # as it was asked


async def test_a_no_of_anybody_who_has_the_number_wins(gateway: Gateway) -> None:
    await gateway.person(f"sms:{ANA}", consent=YES)
    await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "no"}})
    assert [one["reason"] for one in await ask(gateway, {"channel": "sms", "address": ANA})] == ["opted_out_address"]


async def test_a_transactional_question_is_stopped_by_the_strongest_no_only(gateway: Gateway) -> None:
    await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "no"}})
    await gateway.person(f"sms:{BEN}", consent={"everything": "no"})
    items = [{"channel": "sms", "address": number} for number in (ANA, BEN)]
    found = await ask(gateway, *items, require_opt_in=False)
    assert [one["reason"] for one in found] == ["transactional", "opted_out_everything"]


async def test_a_thousand_are_answered_as_one_by_one(gateway: Gateway) -> None:
    numbers = [ANA, BEN, CLEO, DIEGO]
    for number, state in zip(numbers, ("yes", "no", "not_asked", "yes"), strict=True):
        await gateway.person(f"sms:{number}", consent={"channels": {"sms": state}})
    items = [{"channel": "sms", "address": f"+1415555{place:04d}"} for place in range(996)]
    items += [{"channel": "sms", "address": number} for number in numbers]
    found = await ask(gateway, *items)
    assert len(found) == 1000
    for number, one in list(zip([item["address"] for item in items], found, strict=True))[-4:]:
        [holder] = await gateway.whose(f"sms:{number}")
        assert one["reason"] == await gateway.verdict(holder["id"])


async def test_what_cannot_be_asked_names_its_place(gateway: Gateway) -> None:
    good = {"channel": "sms", "address": ANA}
    for items, field in (
        ([], "items"),
        ([good] * 1001, "items"),
        ([good, {"channel": "sms", "address": "no number"}], "items.1.address"),
        ([good, good | {"preference": "Opera"}], "items.1.preference"),
        ([{"channel": "fax", "address": ANA}], "items.0.channel"),
    ):
        got = await gateway.ask("POST", PATH, json={"items": items})
        assert (got.status, got.json["errors"][0]["field"]) == (422, field)
