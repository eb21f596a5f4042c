"""People over the API: made, read, found, changed, deleted."""

from __future__ import annotations

import asyncio
from urllib.parse import quote

from tests.flows.running import ANA, BEN, CLEO, OPTED_IN, Gateway, said

UNASKED = {channel: {"state": "not_asked"} for channel in ("sms", "whatsapp", "email", "voice", "post")}


async def test_a_profile_is_shown_whole(gateway: Gateway) -> None:
    given = {
        "external_id": "crm-7", "first_name": "Ana", "last_name": "Ruiz", "locale": "es", "timezone": "Europe/Madrid",
        "attributes": {"last_booking_at": "2024-05-01", "seats": {"row": 3}}, "tags": ["vip", "drama"],
        "addresses": [{"channel": "sms", "value": "(415) 555-0123"},
                      {"channel": "email", "value": "Ana.Ruiz@BÜCHER.example"},
                      {"channel": "post", "value": "1  Main Street,\nTown"}],
    }  # fmt: skip
    made = await gateway.api("POST", "/v1/profiles", status=201, json=given)
    assert await gateway.profile(made["id"]) == made
    assert {name: made[name] for name in given if name not in ("tags", "addresses")} == {
        name: value for name, value in given.items() if name not in ("tags", "addresses")
    }
    assert sorted(made["tags"]) == ["drama", "vip"]
    assert made["addresses"] == [
        {"channel": "sms", "value": ANA, "primary": True, "status": "ok"},
        {"channel": "email", "value": "Ana.Ruiz@xn--bcher-kva.example", "primary": True, "status": "ok"},
        {"channel": "post", "value": "1 Main Street, Town", "primary": True, "status": "ok"},
    ]
    consent = made["consent"]
    assert consent["everything"] == "not_asked"
    assert consent["channels"] == UNASKED
    assert consent["preferences"] == {}
    assert set(consent["addresses"]) == {f"{a['channel']}:{a['value']}" for a in made["addresses"]}
    assert made["created_at"] == made["updated_at"]
    assert made["created_at"].endswith("Z")


async def test_a_profile_may_be_nothing_but_a_name_or_not_even_that(gateway: Gateway) -> None:
    made = await gateway.api("POST", "/v1/profiles", status=201, json={})
    assert (made["first_name"], made["attributes"], made["tags"], made["addresses"]) == (None, {}, [], [])


async def test_a_number_given_under_phones_is_for_texts_and_calls(gateway: Gateway) -> None:
    made = await gateway.api("POST", "/v1/profiles", status=201, json={"phones": ["415 555 0123"]})
    assert [(a["channel"], a["value"]) for a in made["addresses"]] == [("sms", ANA), ("voice", ANA)]


async def test_people_are_found_by_what_is_known_of_them(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", "email:ana@example.org", first_name="Ana", tags=["vip"], external_id="a 1")
    kari = await gateway.person("sms:+4790123456", "whatsapp:US.1234", last_name="Ånæsen_50%", tags=["vip"])

    async def found(query: str) -> list[str]:
        return [one["id"] for one in (await gateway.api("GET", f"/v1/profiles?{query}"))["items"]]

    both, first, second = [ana["id"], kari["id"]], [ana["id"]], [kari["id"]]
    assert await found("") == both
    assert await found("tag=vip") == both
    assert await found("tag=VIP") == []
    for query in ("external_id=a%201", "external_id=a+1", "q=aNA", "q=ana%20example", "q=5550123", "tag=vip&q=ana@"):
        assert await found(query) == first, query
    assert await found("q=_50%25") == second, "no wildcards"
    # A plus in a query may arrive as a blank.
    for query in ("address=sms:%2B14155550123", "address=sms:+14155550123", "address=sms:(415)%20555-0123"):
        assert await found(query) == first, query
    assert await found("address=email:ANA@EXAMPLE.ORG") == first
    for query in ("address=sms:%2B4790123456", "address=sms:+4790123456", "address=sms:+47%2090%2012%2034%2056"):
        assert await found(query) == second, query
    assert await found("address=whatsapp:US.1234") == second
    assert await found("address=whatsapp:+4790123456") == []
    for query in ("address=14155550123", "address=sms:hello", "address=fax:1", "nobody=1", "tag=a&tag=b"):
        got = await gateway.ask("GET", f"/v1/profiles?{query}")
        assert (got.status, got.json["errors"][0]["field"]) == (422, query.partition("=")[0]), query


async def test_a_patch_changes_what_it_names_and_nothing_else(gateway: Gateway) -> None:
    attributes = {"seats": {"row": 3, "side": "left"}, "spent": 40, "notes": ["a", "b"]}
    ana = await gateway.person(
        f"sms:{ANA}",
        "email:ana@example.org",
        first_name="Ana",
        attributes=attributes,
        tags=["vip"],
        external_id="crm-7",
    )
    path = f"/v1/profiles/{ana['id']}"

    async def patched(**body: object) -> dict[str, object]:
        return dict(await gateway.api("PATCH", path, status=200, json=body))

    same = await patched()
    assert {**same, "updated_at": 0} == {**ana, "updated_at": 0}
    # RFC 7396: null takes away, objects are merged, arrays are replaced.
    changed = await patched(
        attributes={"seats": {"side": None, "box": {"name": None, "no": 1}}, "notes": ["c"], "spent": None, "x": None}
    )
    assert changed["attributes"] == {"seats": {"row": 3, "box": {"no": 1}}, "notes": ["c"]}
    assert (await patched(tags=["new", "new", " a "]))["tags"] == ["a", "new"]
    assert (await patched(first_name=None))["first_name"] is None
    assert (await patched(last_name="Ruiz"))["external_id"] == "crm-7"
    addresses = (
        await patched(addresses=[{"channel": "sms", "value": BEN}, {"channel": "sms", "value": ANA, "primary": True}])
    )["addresses"]
    assert addresses == [
        {"channel": "sms", "value": BEN, "primary": False, "status": "ok"},
        {"channel": "sms", "value": ANA, "primary": True, "status": "ok"},
    ]
    assert (await patched(tags=None))["tags"] == []
    assert (await patched(addresses=[]))["addresses"] == []
    assert (await gateway.profile(ana["id"]))["attributes"] == changed["attributes"]


async def test_addresses_set_to_null_are_emptied(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    assert (await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": None}))["addresses"] == []


async def test_consent_is_read_only_on_a_profile(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    for field in ("consent", "id", "created_at", "status"):
        got = await gateway.ask("PATCH", f"/v1/profiles/{ana['id']}", json={field: {"channels": {"sms": "yes"}}})
        assert (got.status, got.json["errors"]) == (422, [{"field": field, "message": "there is no such field"}])
    assert await gateway.rows("consent_events") == []


async def test_a_profile_may_be_made_with_what_the_person_has_said(gateway: Gateway) -> None:
    given = {
        "addresses": [{"channel": "sms", "value": ANA}],
        "consent": {"channels": {"sms": "yes"}, "wording": "Texts?"},
    }
    made = await gateway.api("POST", "/v1/profiles", status=201, json=given)
    assert made["consent"]["channels"]["sms"]["state"] == "yes"
    assert await gateway.verdict(made["id"]) == "opted_in"
    key = await gateway.key("profiles:write", "profiles:read")
    got = await gateway.ask("POST", "/v1/profiles", json=given, key=key)
    assert got.status == 403, "it needs the scope consent:write"
    assert len(await gateway.rows("profiles")) == 1


async def test_an_external_id_creates_and_then_updates(gateway: Gateway) -> None:
    path = "/v1/profiles/by-external-id/crm%2F7%20%C3%A9"
    made = await gateway.api("PUT", path, status=201, json={"first_name": "Ana", "tags": ["vip"], "phones": [ANA]})
    assert made["external_id"] == "crm/7 é"
    again = await gateway.api("PUT", path, status=200, json={"last_name": "Ruiz", "external_id": "crm/7 é"})
    assert (again["id"], again["first_name"], again["last_name"], again["tags"]) == (made["id"], "Ana", "Ruiz", ["vip"])
    said_yes = await gateway.api("PUT", path, status=200, json={"consent": {"channels": {"email": "yes"}}})
    assert said_yes["consent"]["channels"]["email"]["state"] == "yes"
    got = await gateway.ask("PUT", path, json={"external_id": "another"})
    assert (got.status, got.json["errors"][0]["field"]) == (422, "external_id")
    assert (await gateway.ask("PUT", "/v1/profiles/by-external-id/" + "x" * 256, json={})).status == 422


async def test_an_external_id_is_one_persons(gateway: Gateway) -> None:
    ana = await gateway.person(external_id="crm-7")
    ben = await gateway.person(external_id="crm-8")
    for got in (
        await gateway.ask("POST", "/v1/profiles", json={"external_id": "crm-7"}),
        await gateway.ask("PATCH", f"/v1/profiles/{ben['id']}", json={"external_id": "crm-7"}),
    ):
        assert (got.status, got.json["type"].rpartition("/")[2]) == (409, "external-id-taken")
        assert got.json["profile_id"] == ana["id"]
    assert len(await gateway.rows("profiles")) == 2


async def test_many_at_once_with_one_external_id_make_one_person(gateway: Gateway) -> None:
    answers = await asyncio.gather(
        *(gateway.ask("PUT", "/v1/profiles/by-external-id/crm-7", json={"first_name": f"Ana {n}"}) for n in range(8))
    )
    assert sorted(got.status for got in answers) == [200] * 7 + [201]
    posted = await asyncio.gather(
        *(gateway.ask("POST", "/v1/profiles", json={"external_id": "crm-8"}) for _ in range(8))
    )
    assert sorted(got.status for got in posted) == [201] + [409] * 7


async def test_a_deleted_person_is_gone_and_their_no_stays(gateway: Gateway) -> None:
    ana = await gateway.person("sms:+44 20 7946 0123", first_name="Ana", external_id="crm-7", tags=["vip"])
    await gateway.text_in("STOP", "+442079460123")
    got = await gateway.ask("DELETE", f"/v1/profiles/{ana['id']}")
    assert (got.status, got.body) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        json = {} if method == "PATCH" else None
        assert (await gateway.ask(method, f"/v1/profiles/{ana['id']}", json=json)).status == 404
    assert len(await gateway.history(ana["id"])) == 1, "the history outlives the person"
    # The same number, written otherwise, is still blocked: nobody comes back by an import or a form.
    again = await gateway.person("sms:+44 (0)20-7946 0123", external_id="crm-7", consent={"channels": {"sms": "yes"}})
    assert again["addresses"][0]["value"] == "+442079460123"
    assert await gateway.verdict(again["id"]) == "opted_out_address"
    await gateway.say(again["id"], addresses={"sms:+442079460123": "yes"}, by={"kind": "customer"})
    assert await gateway.verdict(again["id"]) == "opted_out_address", "only a word from that very address lifts it"
    assert (await gateway.text_in("START", "+442079460123")).body == said(OPTED_IN)
    assert await gateway.verdict(again["id"]) == "opted_in"


async def test_an_address_that_leaves_a_profile_leaves_its_no_behind(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", f"sms:{BEN}")
    await gateway.say(ana["id"], channels={"sms": "no"})
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": [{"channel": "sms", "value": ANA}]})
    ben = await gateway.person(f"sms:{BEN}", f"sms:{CLEO}", consent={"channels": {"sms": "yes"}})
    assert await gateway.verdict(ben["id"], address=BEN) == "opted_out_address"
    assert await gateway.verdict(ben["id"], address=CLEO) == "opted_in"


async def test_an_address_added_later_needs_a_yes_of_its_own_or_a_renewed_one(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}})
    both = [{"channel": "sms", "value": ANA}, {"channel": "sms", "value": BEN}]
    await gateway.api("PATCH", f"/v1/profiles/{ana['id']}", json={"addresses": both})
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_in"
    assert await gateway.verdict(ana["id"], address=BEN) == "not_opted_in"
    await gateway.say(ana["id"], channels={"sms": "yes"}, by={"kind": "customer"})
    assert await gateway.verdict(ana["id"], address=BEN) == "opted_in"


async def test_what_cannot_be_kept_is_named(gateway: Gateway) -> None:
    for body, field in (
        ({"addresses": [{"channel": "sms", "value": "12"}]}, "addresses.0.value"),
        ({"addresses": [{"channel": "email", "value": "a@b@c"}]}, "addresses.0.value"),
        ({"addresses": [{"channel": "fax", "value": "1"}]}, "addresses.0.channel"),
        ({"addresses": [{"channel": "sms", "value": ANA, "status": "ok"}]}, "addresses.0.status"),
        ({"addresses": [{"channel": "sms", "value": v, "primary": True} for v in (ANA, BEN)]}, "addresses"),
        ({"phones": ["hello"]}, "phones.0"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"locale": "e"}, "locale"),
        ({"tags": [""]}, "tags.0"),
        ({"tags": [7]}, "tags.0"),
        ({"attributes": []}, "attributes"),
        ({"external_id": ""}, "external_id"),
        ({"first_name": "x" * 501}, "first_name"),
        ({"first_name": "a\x00b"}, "first_name"),
        ({"attributes": {"a": ["\ud800"]}}, "attributes.a.0"),
        ({"consent": {"channels": {"sms": "maybe"}}}, "consent.channels.sms"),
        ({"nobody": 1}, "nobody"),
    ):
        got = await gateway.ask("POST", "/v1/profiles", json=body)
        assert (got.status, got.type) == (422, "application/problem+json"), (body, got)
        assert [error["field"] for error in got.json["errors"]] == [field], (body, got.json)
    assert await gateway.rows("profiles") == []


async def test_attributes_do_not_grow_without_end(gateway: Gateway) -> None:
    """A list of 500 would not fit into memory, and a cell of an exported sheet would not hold them."""
    most = {"a": "x" * 32_000, "b": {"c": "é" * 32_000}}
    person = await gateway.api("POST", "/v1/profiles", json={"external_id": "crm-1", "attributes": most})
    path = f"/v1/profiles/{person['id']}"
    for method, where, body in (
        ("POST", "/v1/profiles", {"attributes": {"a": "x" * 65_536}}),
        ("PATCH", path, {"attributes": {"d": "x" * 2_000}}),
        ("PUT", "/v1/profiles/by-external-id/crm-1", {"attributes": {"b": {"d": "x" * 2_000}}}),
    ):
        got = await gateway.ask(method, where, json=body)
        assert (got.status, [error["field"] for error in got.json["errors"]]) == (422, ["attributes"]), got
    batch = {"items": [{"external_id": "crm-1", "attributes": {"d": "x" * 2_000}}]}
    assert [item["status"] for item in (await gateway.api("POST", "/v1/profiles/batch", json=batch))["items"]] == [422]
    assert (await gateway.profile(person["id"]))["attributes"] == most
    changed = await gateway.api("PATCH", path, json={"attributes": {"a": None, "d": "x" * 2_000}})
    assert changed["attributes"] == {"b": most["b"], "d": "x" * 2_000}


async def test_who_was_changed_since_is_found_also_by_what_they_said(gateway: Gateway) -> None:
    ana, ben, _ = [await gateway.person(f"sms:{number}") for number in (ANA, BEN, CLEO)]
    gateway.clock.advance(minutes=5)
    since = quote(gateway.clock().isoformat())
    gateway.clock.advance(minutes=5)
    await gateway.text_in("STOP", ANA)
    await gateway.api("PATCH", f"/v1/profiles/{ben['id']}", json={"first_name": "Ben"})
    found = (await gateway.api("GET", f"/v1/profiles?updated_since={since}"))["items"]
    assert [one["id"] for one in found] == [ana["id"], ben["id"]]
    assert all(one["updated_at"] > one["created_at"] for one in found)
    got = await gateway.ask("GET", "/v1/profiles?updated_since=yesterday")
    assert (got.status, got.json["errors"][0]["field"]) == (422, "updated_since")
