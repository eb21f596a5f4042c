"""Preferences, their groups and their order; who has answered; and that nothing in use is deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from consent.states import Subject, Wish
from gateway.settings import Settings
from outbox import confirmations
from store.ids import new_id
from store.tables import form_versions, forms
from tests.flows.running import ANA, BEN, CLEO, DIEGO, Gateway, Got, eventually
from tests.flows.test_overtaken import on_postgresql

PREFERENCES, GROUPS = "/v1/preferences", "/v1/preference-groups"


async def preference(gateway: Gateway, name: str, **more: Any) -> dict[str, Any]:
    return dict(await gateway.api("POST", PREFERENCES, status=201, json={"name": name, **more}))


async def group(gateway: Gateway, headline: str, **more: Any) -> dict[str, Any]:
    return dict(await gateway.api("POST", GROUPS, status=201, json={"headline": headline, **more}))


async def names(gateway: Gateway) -> list[str]:
    """All preferences as they are shown, with the groups' headlines before them."""
    found: list[str] = []
    for one in (await gateway.api("GET", PREFERENCES))["items"]:
        found.append(f"{one['group']}: {one['name']}" if one["group"] else one["name"])
    return found


def told(got: Got) -> tuple[int, str]:
    return got.status, got.json["type"].rpartition("/")[2]


def fields(got: Got) -> dict[str, str]:
    assert got.status == 422, got
    return {error["field"]: error["message"] for error in got.json["errors"]}


# --- preferences -------------------------------------------------------------------------------


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
    made = await gateway.api("POST", PREFERENCES, status=201, json=given)
    assert {name: made[name] for name in given} == given
    drama = await preference(gateway, "Drama")
    assert (drama["text"], drama["active"], drama["selected_by_default"]) == ("Drama", True, False)
    assert (drama["group"], drama["order"], made["group"]) == (None, 0, "Partner organisations")
    assert await gateway.api("GET", PREFERENCES) == {"items": [drama, made], "next": None}
    got = await gateway.ask("POST", PREFERENCES, json={"name": "Drama"})
    assert told(got) == (409, "name-taken")
    for wrong in (
        {},
        {"name": ""},
        {"name": "x" * 201},
        {"name": "A", "linked_channel": "fax"},
        {"name": "A", "active": 1},
        {"name": "A", "order": -1},
        {"name": "A", "group": "nobody knows it"},
        {"name": "A", "group": None, "partner": ""},
    ):
        assert (await gateway.ask("POST", PREFERENCES, json=wrong)).status == 422, wrong


async def test_a_preference_is_changed_by_what_is_named_and_null_empties(gateway: Gateway) -> None:
    await group(gateway, "News")
    made = await preference(
        gateway, "Drama", text="Plays?", description="d", group="News", contexts=["donation"], linked_channel="sms"
    )
    path = f"{PREFERENCES}/{made['id']}"
    assert await gateway.api("PATCH", path, json={}) == made
    changed = await gateway.api("PATCH", path, json={"name": "New drama", "selected_by_default": True})
    kept = {"updated_at", "name", "selected_by_default"}
    assert {k: v for k, v in changed.items() if k not in kept} == {k: v for k, v in made.items() if k not in kept}
    emptied = dict.fromkeys(("text", "description", "group", "contexts", "linked_channel"))
    shown = await gateway.api("PATCH", path, json=emptied)
    assert (shown["text"], shown["description"], shown["group"], shown["contexts"], shown["linked_channel"]) == (
        "New drama", None, None, [], None,
    )  # fmt: skip
    for name in ("name", "selected_by_default", "active", "order"):
        assert fields(await gateway.ask("PATCH", path, json={name: None})) == {name: "cannot be null"}
    await preference(gateway, "Opera")
    assert told(await gateway.ask("PATCH", path, json={"name": "Opera"})) == (409, "name-taken")
    assert (await gateway.ask("PATCH", f"{PREFERENCES}/prf_none", json={"active": False})).status == 404
    assert await gateway.api("GET", path) == shown | {"counts": {"yes": 0, "no": 0, "not_asked": 0}}


@pytest.mark.parametrize("name", [" Drama", "Drama ", "Drama\u00a0", " "])
async def test_a_name_is_one_that_a_column_of_a_sheet_can_have(gateway: Gateway, name: str) -> None:
    """An import reads `consent.preference.Drama ` as another's, and refuses the whole file."""
    made = await preference(gateway, "Opera")
    for got in (
        await gateway.ask("POST", PREFERENCES, json={"name": name}),
        await gateway.ask("PATCH", f"{PREFERENCES}/{made['id']}", json={"name": name}),
    ):
        assert (got.status, fields(got)) == (422, {"name": "a name neither begins nor ends with a blank"})


async def test_a_preference_is_asked_in_so_many_contexts(gateway: Gateway) -> None:
    contexts = [f"page-{n}" for n in range(100)]
    made = await preference(gateway, "Drama", contexts=contexts)
    assert made["contexts"] == contexts
    for got in (
        await gateway.ask("POST", PREFERENCES, json={"name": "Opera", "contexts": [*contexts, "one more"]}),
        await gateway.ask("PATCH", f"{PREFERENCES}/{made['id']}", json={"contexts": [*contexts, "one more"]}),
    ):
        assert "at most 100 items" in fields(got)["contexts"]


async def test_a_change_of_the_words_changes_no_answer(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], preferences={"Drama": "yes"}, wording="Plays?")
    await gateway.api("PATCH", f"{PREFERENCES}/{made['id']}", json={"name": "Theatre", "text": "All we play?"})
    assert (await gateway.profile(ana["id"]))["consent"]["preferences"]["Theatre"]["state"] == "yes"
    [line] = await gateway.history(ana["id"])
    assert (line["subject"], line["evidence"]["wording"]) == ({"kind": "preference", "name": "Theatre"}, "Plays?")


async def test_all_that_is_written_is_audited(gateway: Gateway) -> None:
    news = await group(gateway, "News")
    made = await preference(gateway, "Drama", group="News")
    await gateway.api("PATCH", f"{GROUPS}/{news['id']}", json={"active": False})
    await gateway.api("PATCH", f"{PREFERENCES}/{made['id']}", json={"group": None})
    await gateway.api("PUT", f"{GROUPS}/order", json={"ids": [news["id"]]})
    await gateway.api("PUT", f"{PREFERENCES}/order", json={"ids": [made["id"]]})
    await gateway.api("DELETE", f"{PREFERENCES}/{made['id']}")
    await gateway.api("DELETE", f"{GROUPS}/{news['id']}")
    acts = (await gateway.api("GET", "/v1/audit?actor=key:crm", key=await gateway.key("admin")))["items"]
    assert [act["action"] for act in reversed(acts)] == [
        "preference_group.created", "preference.created", "preference_group.changed", "preference.changed",
        "preference_groups.arranged", "preferences.arranged", "preference.deleted", "preference_group.deleted",
    ]  # fmt: skip


# --- groups and order --------------------------------------------------------------------------


async def test_a_group_is_made_changed_listed_and_deleted(gateway: Gateway) -> None:
    news = await group(gateway, "News", text="Tick as many as you like.")
    assert (news["active"], news["partner"], news["order"]) == (True, False, 0)
    first = await group(gateway, "First of all", order=0, active=False)
    assert await gateway.api("GET", GROUPS) == {"items": [first, news | {"order": 1}], "next": None}
    path = f"{GROUPS}/{news['id']}"
    changed = await gateway.api("PATCH", path, json={"headline": "What is on", "text": None, "order": 0})
    assert (changed["headline"], changed["text"], changed["order"]) == ("What is on", None, 0)
    assert await gateway.api("GET", path) == changed
    assert told(await gateway.ask("POST", GROUPS, json={"headline": "What is on"})) == (409, "name-taken")
    assert told(await gateway.ask("PATCH", path, json={"headline": "First of all"})) == (409, "name-taken")
    assert fields(await gateway.ask("PATCH", path, json={"headline": None})) == {"headline": "cannot be null"}
    await gateway.api("DELETE", path, status=204)
    for method in ("GET", "DELETE"):
        assert (await gateway.ask(method, path)).status == 404
    assert (await gateway.api("GET", GROUPS))["items"] == [first | {"order": 0}]


async def test_groups_and_the_preferences_in_them_are_put_in_order(gateway: Gateway) -> None:
    for headline in ("News", "Support"):
        await group(gateway, headline)
    for name, headline in (("Drama", "News"), ("Opera", "News"), ("Gifts", "Support"), ("Post", None)):
        await preference(gateway, name, group=headline)
    assert await names(gateway) == ["Post", "News: Drama", "News: Opera", "Support: Gifts"]
    put = await gateway.api("PUT", f"{GROUPS}/order", json={"ids": ["Support", "News"]})
    assert [(one["headline"], one["order"]) for one in put["items"]] == [("Support", 0), ("News", 1)]
    put = await gateway.api("PUT", f"{PREFERENCES}/order", json={"group": "News", "names": ["Opera", "Drama"]})
    assert [(one["name"], one["order"]) for one in put["items"]] == [("Opera", 0), ("Drama", 1)]
    assert await names(gateway) == ["Post", "Support: Gifts", "News: Opera", "News: Drama"]
    first = await gateway.api("GET", f"{PREFERENCES}?limit=3")
    rest = await gateway.api("GET", f"{PREFERENCES}?limit=3&cursor={first['next']}")
    assert [one["name"] for one in first["items"] + rest["items"]] == ["Post", "Gifts", "Opera", "Drama"]
    assert rest["next"] is None


async def test_an_order_names_each_once_and_says_which_are_missing(gateway: Gateway) -> None:
    await group(gateway, "News")
    await group(gateway, "Support")
    for name in ("Drama", "Opera", "Dance"):
        await preference(gateway, name, group="News")
    await preference(gateway, "Elsewhere")
    path = f"{PREFERENCES}/order"
    got = await gateway.ask("PUT", path, json={"group": "News", "names": ["Drama", "Drama", "Elsewhere"]})
    [why] = fields(got).values()
    assert "there is no 'Elsewhere'" in why
    assert "named twice: 'Drama'" in why
    assert "missing: 'Opera', 'Dance'" in why
    [why] = fields(await gateway.ask("PUT", f"{GROUPS}/order", json={"ids": ["News"]})).values()
    assert "missing: 'Support'" in why
    for wrong in ({"group": "News"}, {"names": [], "ids": []}, {"group": "None such", "names": []}):
        assert (await gateway.ask("PUT", path, json=wrong)).status == 422, wrong
    assert await names(gateway) == ["Elsewhere", "News: Drama", "News: Opera", "News: Dance"]


async def test_a_preference_moves_between_groups_by_headline_or_id(gateway: Gateway) -> None:
    news, support = await group(gateway, "News"), await group(gateway, "Support")
    made = [await preference(gateway, name, group="News") for name in ("Drama", "Opera", "Dance")]
    await preference(gateway, "Gifts", group=support["id"])
    moved = await gateway.api("PATCH", f"{PREFERENCES}/{made[1]['id']}", json={"group": support["id"], "order": 0})
    assert (moved["group"], moved["group_id"], moved["order"]) == ("Support", support["id"], 0)
    await gateway.api("PATCH", f"{PREFERENCES}/{made[0]['id']}", json={"group": None})
    assert await names(gateway) == ["Drama", "News: Dance", "Support: Opera", "Support: Gifts"]
    listed = (await gateway.api("GET", PREFERENCES))["items"]
    assert [one["order"] for one in listed] == [0, 0, 0, 1], "those left behind close up"
    assert (await gateway.api("PATCH", f"{PREFERENCES}/{made[0]['id']}", json={"group": "News"}))["group_id"] == (
        news["id"]
    )


async def test_a_partner_preference_stands_in_the_partner_group_and_no_other_does(gateway: Gateway) -> None:
    await group(gateway, "News")
    assert not any(one["partner"] for one in (await gateway.api("GET", GROUPS))["items"])
    gallery = await preference(gateway, "Gallery news", partner="Gallery")
    assert gallery["group"] == "Partner organisations"
    path = f"{PREFERENCES}/{gallery['id']}"
    for method, where, wrong in (
        ("POST", PREFERENCES, {"name": "A", "partner": "Museum", "group": "News"}),
        ("POST", PREFERENCES, {"name": "A", "group": "Partner organisations"}),
        ("PATCH", path, {"group": "News"}),
        ("PATCH", path, {"partner": None, "group": "Partner organisations"}),
    ):
        assert "partner" in fields(await gateway.ask(method, where, json=wrong))["group"], wrong
    headline = {"headline": "Our friends"}
    await gateway.api("PATCH", f"{GROUPS}/{gallery['group_id']}", json=headline)
    museum = await preference(gateway, "Museum news", partner="Museum", group="Our friends")
    assert museum["group_id"] == gallery["group_id"], "there is one, whatever its headline"
    alone = await gateway.api("PATCH", path, json={"partner": None, "group": "News"})
    assert (alone["partner"], alone["group"]) == (None, "News")
    again = await gateway.api("PATCH", path, json={"partner": "Gallery"})
    assert (again["partner"], again["group"]) == ("Gallery", "Our friends")
    assert (await gateway.api("PATCH", path, json={"partner": None}))["group"] is None


async def test_a_headline_like_the_partner_groups_stands_in_nobodys_way(gateway: Gateway) -> None:
    await group(gateway, "Partner organisations")
    assert (await preference(gateway, "Gallery news", partner="Gallery"))["group"] == "Partner organisations (2)"


@on_postgresql
async def test_two_replicas_make_one_partner_group(settings: Settings) -> None:
    first, other = Gateway(settings), Gateway(settings)
    await first.start()
    await other.start()
    try:
        key = await first.key()
        wanted = [(one, f"{at} {n}") for n in range(5) for at, one in enumerate((first, other))]
        bodies = [(one, {"name": name, "partner": "Gallery"}) for one, name in wanted]
        made = await asyncio.gather(*(one.api("POST", PREFERENCES, key=key, json=body) for one, body in bodies))
        assert len({one["group_id"] for one in made}) == 1
        assert sorted(one["order"] for one in (await first.api("GET", PREFERENCES))["items"]) == list(range(10))
    finally:
        await other.stop()
        await first.stop()


# --- who has answered --------------------------------------------------------------------------


async def test_who_has_which_answer_is_told_and_counted(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    people = [await gateway.person(f"sms:{number}") for number in (ANA, BEN, CLEO, DIEGO)]
    ids = [one["id"] for one in people]
    for person, state in zip(ids, ("yes", "no", "yes"), strict=False):
        await gateway.say(person, preferences={"Drama": state})
    await gateway.say(ids[2], preferences={"Drama": "not_asked"})
    path = f"{PREFERENCES}/{made['id']}"

    async def who(state: str, more: str = "") -> list[str]:
        found = await gateway.api("GET", f"{path}/profiles?state={state}{more}")
        return [one["id"] for one in found["items"]]

    assert (await who("yes"), await who("no"), await who("not_asked")) == ([ids[0]], [ids[1]], ids[2:])
    assert (await gateway.api("GET", path))["counts"] == {"yes": 1, "no": 1, "not_asked": 2}
    page = await gateway.api("GET", f"{path}/profiles?state=not_asked&limit=1")
    assert page["items"] == [await gateway.profile(ids[2])]
    assert await who("not_asked", f"&limit=1&cursor={page['next']}") == [ids[3]]
    await gateway.api("DELETE", f"/v1/profiles/{ids[0]}")
    assert await who("yes") == []
    assert (await gateway.api("GET", path))["counts"] == {"yes": 0, "no": 1, "not_asked": 2}
    assert "state" in fields(await gateway.ask("GET", f"{path}/profiles"))
    assert (await gateway.ask("GET", f"{path}/profiles?state=maybe")).status == 422
    assert (await gateway.ask("GET", f"{PREFERENCES}/prf_none/profiles?state=yes")).status == 404


async def test_the_name_of_an_inactive_one_is_marked_where_people_read_it(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], preferences={"Drama": "yes"})

    async def sheet() -> str:
        return (await gateway.ask("GET", "/v1/consent-events?format=csv")).body.decode()

    assert ",preference,Drama," in await sheet()
    await gateway.api("PATCH", f"{PREFERENCES}/{made['id']}", json={"active": False})
    assert ",preference,Drama (inactive)," in await sheet()
    [line] = await gateway.history(ana["id"])
    assert line["subject"] == {"kind": "preference", "name": "Drama", "active": False}
    assert (await gateway.api("GET", f"{PREFERENCES}/{made['id']}/profiles?state=yes"))["items"]


# --- in use ------------------------------------------------------------------------------------


async def refused(gateway: Gateway, made: Mapping[str, Any]) -> dict[str, str]:
    """Why it is not deleted: kind of use → words."""
    got = await gateway.ask("DELETE", f"{PREFERENCES}/{made['id']}")
    assert told(got) == (409, "in-use")
    uses = {use["kind"]: use["words"] for use in got.json["uses"]}
    assert all(words in got.json["detail"] for words in uses.values())
    assert (await gateway.api("GET", f"{PREFERENCES}/{made['id']}"))["name"] == made["name"]
    return uses


async def test_one_never_used_is_deleted(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    await preference(gateway, "Opera")
    await gateway.person(f"sms:{ANA}")
    await gateway.api("DELETE", f"{PREFERENCES}/{made['id']}", status=204)
    assert await names(gateway) == ["Opera"]
    assert (await gateway.ask("GET", f"{PREFERENCES}/{made['id']}")).status == 404


async def test_deleting_one_in_use_names_every_use_at_once(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama", linked_channel="sms")
    rule = {"channel": "sms", "keyword": "PLAY", "action": "opt_in", "subject": {"kind": "preference", "name": "Drama"}}
    await gateway.api("POST", "/v1/rules", json=rule)
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], preferences={"Drama": "yes"}, evidence={"how": "spoken"})
    at = (gateway.clock() + timedelta(days=1)).isoformat()
    await gateway.broadcast({"all": True}, connection="box", preference="Drama", send_at=at)
    changes = [{"kind": "preference", "name": "Drama", "to": "yes"}]
    await gateway.api("POST", "/v1/dispositions", json={"name": "Wants plays", "changes": changes})
    await gateway.house.database.transact(lambda conn: _a_form(conn, made["id"], gateway))
    await _a_confirmation(gateway, made["id"])
    uses = await refused(gateway, made)
    assert uses == {
        "rule": "the rule 'PLAY' on sms is about it",
        "form": "the form 'Newsletter' shows it",
        "disposition": "the disposition 'Wants plays' changes it",
        "broadcast": "the broadcast 'Autumn' (scheduled) names it",
        "confirmations": "asked to confirm it: one person",
        "answers": "the history holds answers of one person",
    }


async def _a_form(conn: AsyncConnection, preference_id: str, gateway: Gateway) -> None:
    now, form = gateway.clock(), new_id("frm")
    made = {"id": form, "channel": "email", "version": 2, "created_at": now, "updated_at": now}
    await conn.execute(insert(forms), [made | {"description": "Newsletter"}])
    body = {"preferences": [{"id": preference_id, "selected": False}]}
    version = {"form_id": form, "created_by": "key:crm", "created_at": now}
    await conn.execute(
        insert(form_versions), [version | {"version": n, "body": body if n == 2 else {}} for n in (1, 2)]
    )


async def _a_confirmation(gateway: Gateway, preference_id: str) -> None:
    now = gateway.clock()
    [address] = [row["id"] for row in await gateway.rows("addresses") if row["value"] == ANA]
    wish = Wish(Subject("preference", preference_id), "yes")
    wanted = confirmations.Wanted(address, "sms", (wish,), {}, now)
    await gateway.house.database.transact(lambda conn: confirmations.ask(conn, [wanted], now=now))


async def test_an_answer_of_somebody_who_is_gone_keeps_the_preference_too(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], preferences={"Drama": "no"})
    await gateway.say(ana["id"], by={"kind": "customer"}, preferences={"Drama": "yes"})
    await gateway.api("DELETE", f"/v1/profiles/{ana['id']}")
    assert await refused(gateway, made) == {"answers": "the history holds answers of one person"}
    [first, *_] = await gateway.history(ana["id"])
    assert first["subject"]["name"] == "Drama"


async def test_what_is_over_is_no_use(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    sent = await gateway.sent({"tag": "nobody"}, connection="box", preference="Drama")

    async def is_done() -> bool:
        return bool((await gateway.api("GET", f"/v1/broadcasts/{sent['id']}"))["status"] == "done")

    await eventually(is_done)
    rule = {"channel": "sms", "keyword": "PLAY", "action": "opt_in", "subject": {"kind": "preference", "name": "Drama"}}
    rule_id = (await gateway.api("POST", "/v1/rules", json=rule))["id"]
    await gateway.api("DELETE", f"/v1/rules/{rule_id}")
    await gateway.person(f"sms:{ANA}")
    await _a_confirmation(gateway, made["id"])
    assert set(await refused(gateway, made)) == {"confirmations"}
    gateway.clock.advance(days=8)
    await gateway.api("DELETE", f"{PREFERENCES}/{made['id']}", status=204)
    assert (await gateway.api("GET", f"/v1/broadcasts/{sent['id']}"))["preference"] is None


async def test_a_message_that_waits_keeps_its_preference(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    await gateway.person(f"sms:{ANA}")
    delivery = {"channel": "sms", "connection": "box", "class": "marketing", "priority": 1, "status": "queued"}
    now = gateway.clock()
    times = dict.fromkeys(("due_at", "created_at", "updated_at"), now + timedelta(days=1))
    row = delivery | times | {"id": new_id("dlv"), "preference_id": made["id"], "by_address": False, "tries": 0}

    async def work(conn: AsyncConnection) -> None:
        from store.tables import deliveries

        await conn.execute(insert(deliveries), [row])

    await gateway.house.database.transact(work)
    assert await refused(gateway, made) == {"deliveries": "waiting to be sent about it: one message"}


async def test_a_group_in_which_preferences_stand_is_not_deleted(gateway: Gateway) -> None:
    news = await group(gateway, "News")
    made = [await preference(gateway, name, group="News") for name in ("Drama", "Opera")]
    got = await gateway.ask("DELETE", f"{GROUPS}/{news['id']}")
    assert told(got) == (409, "in-use")
    assert [(use["kind"], use["id"]) for use in got.json["uses"]] == [("preference", one["id"]) for one in made]
    assert "'Drama'" in got.json["detail"]
    assert "'Opera'" in got.json["detail"]


@pytest.mark.parametrize("body", ["{% if preferences['Drama'] %}Plays{% endif %} on sale.", "On sale."])
async def test_what_a_broadcast_under_way_counts_on_stays(gateway: Gateway, body: str) -> None:
    made = await preference(gateway, "Drama")
    at = (gateway.clock() + timedelta(days=1)).isoformat()
    is_in_text = "Drama" in body
    named = None if is_in_text else "Drama"
    broadcast = await gateway.broadcast(
        {"all": True}, connection="box", send_at=at, content={"body": body}, preference=named
    )
    path = f"{PREFERENCES}/{made['id']}"
    assert set(await refused(gateway, made)) == {"broadcast"}
    wrong = {"name": "Plays"} if is_in_text else {"linked_channel": "email"}
    got = await gateway.ask("PATCH", path, json=wrong)
    assert told(got) == (409, "in-use")
    assert [use["id"] for use in got.json["uses"]] == [broadcast]
    await gateway.api("PATCH", path, json={"linked_channel": "email"} if is_in_text else {"name": "Plays"})
    await gateway.api("POST", f"/v1/broadcasts/{broadcast}/cancel")
    await gateway.api("PATCH", path, json=wrong)


@on_postgresql
async def test_who_deletes_and_who_begins_to_use_do_not_pass_each_other(settings: Settings) -> None:
    first, other = Gateway(settings), Gateway(settings)
    await first.start()
    await other.start()
    try:
        ana = await first.person(f"sms:{ANA}")
        for number in range(12):
            name = f"Preference {number}"
            made = await preference(first, name)
            path = f"/v1/profiles/{ana['id']}/consent"
            said, gone = await asyncio.gather(
                other.ask("PATCH", path, key=await first.key(), json={"preferences": {name: "yes"}}),
                first.ask("DELETE", f"{PREFERENCES}/{made['id']}"),
            )
            assert (said.status, gone.status) in ((200, 409), (422, 204)), (said, gone)
        assert all(line["subject"]["name"] for line in await first.history(ana["id"]))
    finally:
        await other.stop()
        await first.stop()
