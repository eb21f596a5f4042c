"""Consent over the API: flags on somebody's word, the history that proves them, and the verdict."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from typing import Any

from audience import exporting, spreadsheet
from tests.flows.running import ANA, BEN, Gateway


async def states(gateway: Gateway, profile_id: str) -> dict[str, str]:
    consent = (await gateway.profile(profile_id))["consent"]
    return {"everything": consent["everything"]} | {name: flag["state"] for name, flag in consent["channels"].items()}


async def preference(gateway: Gateway, name: str, **more: Any) -> dict[str, Any]:
    return dict(await gateway.api("POST", "/v1/preferences", status=201, json={"name": name} | more))


async def test_a_change_answers_with_its_lines_and_the_flags_they_left(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    ana = await gateway.person(f"sms:{ANA}")
    answer = await gateway.say(
        ana["id"],
        by={"kind": "agent", "name": "sadie"},
        wording="May we text you?",
        channels={"sms": "yes", "email": "no"},
        addresses={"sms: 14155550123": "yes"},
        preferences={"Drama": "yes"},
        evidence={"call": 7},
    )
    lines = answer["events"]
    assert {line["change_id"] for line in lines} == {answer["change_id"]}
    assert [line["subject"] for line in reversed(lines)] == [
        {"kind": "channel", "channel": "sms"},
        {"kind": "channel", "channel": "email"},
        {"kind": "address", "channel": "sms", "address": ANA},
        {"kind": "preference", "name": "Drama"},
    ], "from wide to narrow, the newest first"
    for line in lines:
        assert (line["source"], line["actor"], line["from"]) == ("api", "key:crm for agent:sadie", "not_asked")
        assert line["evidence"]["wording"] == "May we text you?"
        assert line["evidence"]["call"] == 7
        assert line["superseded"] is False
        assert line["basis"] == ("express" if line["to"] == "yes" else None)
    assert answer["consent"] == (await gateway.profile(ana["id"]))["consent"]
    assert answer["consent"]["preferences"]["Drama"]["state"] == "yes"
    assert await gateway.history(ana["id"]) == lines


async def test_somebody_without_an_address_has_flags_too(gateway: Gateway) -> None:
    ana = await gateway.person(first_name="Ana")
    await gateway.say(ana["id"], channels={"post": "no", "sms": "yes"})
    assert (await states(gateway, ana["id"]))["post"] == "no"
    assert await gateway.verdict(ana["id"]) == "no_address"


async def test_by_says_who_spoke(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    for by, actor in (
        (None, "key:crm"),
        ({"kind": "customer"}, "key:crm for customer"),
        ({"kind": "agent"}, "key:crm for agent"),
        ({"kind": "agent", "name": "sadie"}, "key:crm for agent:sadie"),
    ):
        said = {"by": by} if by else {}
        [line] = (await gateway.say(ana["id"], channels={"sms": "no"}, evidence={"how": "call"}, **said))["events"]
        assert line["actor"] == actor
    for by in ({"kind": "robot"}, {"kind": "agent", "name": ""}, {"name": "x"}, "customer"):
        assert (await gateway.ask("PATCH", f"/v1/profiles/{ana['id']}/consent", json={"by": by})).status == 422


async def test_absent_is_not_null_and_null_is_not_no(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], channels={"sms": "yes"})
    path = f"/v1/profiles/{ana['id']}/consent"
    for body in ({}, {"wording": "x"}, {"channels": {}}):
        assert (await gateway.ask("PATCH", path, json=body)).status == 422, body
    for body in (
        {"channels": {"sms": None}},
        {"channels": None},
        {"channels": {"sms": False}},
        {"channels": {"fax": "no"}},
        {"preferences": {"Nobody": "yes"}},
        {"addresses": {f"sms:{BEN}": "no"}},
        {"addresses": {"sms": "no"}},
        {"at": "2026-01-01T00:00:00", "channels": {"sms": "no"}},
        {"at": 7, "channels": {"sms": "no"}},
        {"evidence": {"obtained_at": "today"}, "channels": {"sms": "no"}},
        {"sms": "no"},
    ):
        assert (await gateway.ask("PATCH", path, json=body)).status == 422, body
    assert (await states(gateway, ana["id"]))["sms"] == "yes"
    assert len(await gateway.rows("consent_events")) == 1
    await gateway.say(ana["id"], channels={"sms": "not_asked"})
    assert (await states(gateway, ana["id"]))["sms"] == "not_asked"


async def test_everything_comes_first_then_what_is_narrower(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", "email:ana@example.org")
    answer = await gateway.say(ana["id"], channels={"sms": "yes"}, everything="no")
    assert await states(gateway, ana["id"]) == {
        "everything": "no",
        "sms": "yes",
        "whatsapp": "not_asked",
        "email": "not_asked",
        "voice": "not_asked",
        "post": "not_asked",
    }
    assert len(answer["events"]) == 2
    assert await gateway.verdict(ana["id"]) == "opted_in", "a later yes on something narrower opens that alone"
    assert await gateway.verdict(ana["id"], "email") == "opted_out_everything"
    renewed = await gateway.say(ana["id"], everything="yes", by={"kind": "customer"}, evidence=_now(gateway))
    assert {line["change_id"] for line in renewed["events"]} == {renewed["change_id"]}
    assert (await states(gateway, ana["id"]))["email"] == "yes", "yes on every channel the person has an address for"
    assert (await states(gateway, ana["id"]))["post"] == "not_asked"


def _now(gateway: Gateway) -> dict[str, str]:
    return {"obtained_at": gateway.clock().isoformat(), "how": "on the phone"}


async def test_no_machine_undoes_a_persons_no(gateway: Gateway) -> None:
    await gateway.text_in("STOP", ANA)
    [ana] = await gateway.whose(f"sms:{ANA}")
    before = (gateway.clock() - timedelta(hours=1)).isoformat()
    for evidence in (
        {},
        {"how": "paper"},
        {"obtained_at": gateway.clock().isoformat()},
        {"obtained_at": before, "how": "x"},
    ):
        got = await gateway.ask(
            "PATCH", f"/v1/profiles/{ana['id']}/consent", json={"channels": {"sms": "yes"}, "evidence": evidence}
        )
        assert (got.status, got.type) == (409, "application/problem+json")
        assert got.json["type"].endswith("/needs-evidence")
        assert got.json["errors"][0]["field"] == "channel sms"
    path = f"/v1/profiles/{ana['id']}/consent"
    assert (
        (await gateway.ask("PATCH", path, json={"channels": {"sms": "not_asked"}})).json["type"].endswith("/persons-no")
    )
    # All of a change is refused, or none.
    assert (await gateway.ask("PATCH", path, json={"channels": {"sms": "yes", "email": "yes"}})).status == 409
    assert (await states(gateway, ana["id"]))["email"] == "not_asked"
    await gateway.say(ana["id"], channels={"sms": "yes"}, evidence=_now(gateway))
    assert (await states(gateway, ana["id"]))["sms"] == "yes"


async def test_a_bare_repetition_is_not_recorded_and_renewed_consent_is(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], channels={"sms": "yes"})
    again = await gateway.say(ana["id"], channels={"sms": "yes"})
    assert (again["events"], again["consent"]["channels"]["sms"]["state"]) == ([], "yes")
    await gateway.say(ana["id"], channels={"sms": "yes"}, evidence={"how": "asked again"})
    await gateway.say(ana["id"], channels={"sms": "yes"}, by={"kind": "customer"})
    assert len(await gateway.history(ana["id"])) == 3


async def test_what_was_said_earlier_and_arrives_later_is_recorded_and_changes_nothing(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], channels={"sms": "no"})
    yesterday = (gateway.clock() - timedelta(days=1)).isoformat()
    [line] = (await gateway.say(ana["id"], channels={"sms": "yes"}, at=yesterday, evidence=_now(gateway)))["events"]
    assert line["superseded"] is True
    assert (await states(gateway, ana["id"]))["sms"] == "no"
    tomorrow = (gateway.clock() + timedelta(days=1)).isoformat()
    await gateway.say(ana["id"], channels={"email": "yes"}, at=tomorrow)
    await gateway.say(ana["id"], channels={"email": "no"})
    assert (await states(gateway, ana["id"]))["email"] == "no", "nobody speaks later than now"


async def test_a_yes_may_have_a_basis_and_an_end(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    ends = gateway.clock() + timedelta(days=730)
    answer = await gateway.say(ana["id"], channels={"sms": "yes"}, basis="implied", expires_at=ends.isoformat())
    flag = answer["consent"]["channels"]["sms"]
    assert (flag["basis"], flag["expires_at"][:10]) == ("implied", ends.date().isoformat())
    assert await gateway.verdict(ana["id"]) == "opted_in"
    gateway.clock.advance(days=731)
    assert await gateway.verdict(ana["id"]) == "consent_expired"


async def test_linked_preferences_follow_their_channel(gateway: Gateway) -> None:
    await preference(gateway, "Marketing Email", linked_channel="email")
    await preference(gateway, "Drama", linked_channel="email")
    ana = await gateway.person("email:ana@example.org")
    answer = await gateway.say(ana["id"], preferences={"Marketing Email": "yes"}, by={"kind": "customer"})
    assert answer["consent"]["channels"]["email"]["state"] == "yes", "a yes to it turns its channel yes"
    assert answer["consent"]["preferences"] == {"Marketing Email": answer["consent"]["preferences"]["Marketing Email"]}
    gone = (await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer"}))["consent"]
    assert gone["preferences"]["Marketing Email"]["state"] == "no"
    back = (await gateway.say(ana["id"], channels={"email": "yes"}, by={"kind": "customer"}, evidence=_now(gateway)))[
        "consent"
    ]
    assert back["preferences"]["Marketing Email"]["state"] == "yes", "what the link had turned no comes back"
    assert "Drama" not in back["preferences"], "what was never asked stays"


async def test_the_verdict_gives_the_first_reason_that_applies(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    ana = await gateway.person(f"sms:{ANA}", first_name="Ana")
    path = f"/v1/profiles/{ana['id']}/verdict"
    assert await gateway.api("GET", f"{path}?channel=email") == {
        "allowed": False,
        "reason": "no_address",
        "address": None,
    }
    assert await gateway.api("GET", f"{path}?channel=sms") == {
        "allowed": False,
        "reason": "not_opted_in",
        "address": ANA,
    }
    await gateway.say(ana["id"], channels={"sms": "yes"})
    assert await gateway.api("GET", f"{path}?channel=sms&address=+14155550123") == {
        "allowed": True, "reason": "opted_in", "address": ANA
    }  # fmt: skip
    assert await gateway.verdict(ana["id"], preference="Drama") == "preference_not_asked"
    await gateway.say(ana["id"], preferences={"Drama": "no"})
    assert await gateway.verdict(ana["id"], preference="Drama") == "preference_no"
    await gateway.say(ana["id"], preferences={"Drama": "yes"})
    assert await gateway.verdict(ana["id"], preference="Drama") == "opted_in"
    # A second person at the number who says no stops it for both.
    ben = await gateway.person(f"sms:{ANA}", first_name="Ben")
    await gateway.say(ben["id"], channels={"sms": "no"})
    assert await gateway.verdict(ana["id"], preference="Drama") == "opted_out_address"
    assert await gateway.verdict(ben["id"]) == "opted_out_channel"
    await gateway.say(ana["id"], everything="no")
    assert await gateway.verdict(ana["id"]) == "opted_out_everything"
    for query, field in (("", "channel"), ("channel=fax", "channel"), ("channel=sms&preference=x", "preference"),
                         (f"channel=sms&address={BEN}", "address"), ("channel=sms&now=1", "now")):  # fmt: skip
        got = await gateway.ask("GET", f"{path}?{query}")
        assert (got.status, got.json["errors"][0]["field"]) == (422, field), query


async def test_the_verdict_takes_the_primary_address_or_the_next_that_may_be_sent_to(gateway: Gateway) -> None:
    addresses = [{"channel": "sms", "value": ANA}, {"channel": "sms", "value": BEN, "primary": True}]
    ana = await gateway.api(
        "POST", "/v1/profiles", json={"addresses": addresses, "consent": {"channels": {"sms": "yes"}}}
    )
    path = f"/v1/profiles/{ana['id']}/verdict?channel=sms"
    assert (await gateway.api("GET", path))["address"] == BEN
    await gateway.say(ana["id"], addresses={f"sms:{BEN}": "no"})
    assert await gateway.api("GET", path) == {"allowed": True, "reason": "opted_in", "address": ANA}
    await gateway.say(ana["id"], addresses={f"sms:{ANA}": "no"})
    assert await gateway.api("GET", path) == {"allowed": False, "reason": "opted_out_address", "address": BEN}


async def test_evidence_does_not_grow_without_end(gateway: Gateway) -> None:
    person = await gateway.person(f"sms:{ANA}")
    body = {"channels": {"sms": "yes"}, "evidence": {"how": "form", "form": "x" * 65_536}}
    got = await gateway.ask("PATCH", f"/v1/profiles/{person['id']}/consent", json=body)
    assert (got.status, [error["field"] for error in got.json["errors"]]) == (422, ["evidence"])
    assert await gateway.history(person["id"]) == []


async def test_consent_events_are_everybodys_history_by_what_is_asked(gateway: Gateway) -> None:
    await gateway.text_in("STOP", ANA)
    middle = gateway.clock()
    gateway.clock.advance(seconds=1)
    ben = await gateway.person(f"sms:{BEN}")
    await gateway.say(ben["id"], channels={"email": "yes"}, addresses={f"sms:{BEN}": "yes"}, everything="no")

    async def count(query: str) -> int:
        return len((await gateway.api("GET", f"/v1/consent-events?{query}"))["items"])

    since = middle.isoformat()  # its plus arrives as a blank
    for query, expected in {
        "": 4, "source=keyword": 1, "source=api": 3, "actor=customer": 1, "actor=key:crm": 3, "subject=everything": 1,
        "channel=sms": 2, "channel=email": 1, f"since={since}": 3, f"until={since}": 1, "source=api&subject=address": 1,
        "format=json": 4,
    }.items():  # fmt: skip
        assert await count(query) == expected, query
    for query in ("since=today", "since=2026-01-01T00:00:00", "source=rumour", "subject=x", "channel=fax", "x=1"):
        assert (await gateway.ask("GET", f"/v1/consent-events?{query}")).status == 422, query
    seqs = [line["seq"] for line in (await gateway.api("GET", "/v1/consent-events"))["items"]]
    assert seqs == sorted(seqs, reverse=True)


async def test_unknown_people_are_404(gateway: Gateway) -> None:
    for method, path in (("PATCH", "consent"), ("GET", "history"), ("GET", "verdict?channel=sms")):
        json = {"channels": {"sms": "no"}} if method == "PATCH" else None
        assert (await gateway.ask(method, f"/v1/profiles/pro_nobody/{path}", json=json)).status == 404


async def test_the_history_comes_as_a_sheet_all_of_it_and_harmless(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    for turn in range(3):
        await gateway.say(ana["id"], channels={"sms": "yes"}, wording="=HYPERLINK(evil)", by={"kind": "customer"})
        await gateway.say(ana["id"], channels={"email": "no"}, by={"kind": "customer", "name": f"-{turn}"})
    got = await gateway.ask("GET", "/v1/consent-events?format=csv&limit=1&actor=key:crm%20for%20customer")
    assert (got.status, got.type) == (200, "text/csv")
    rows = list(csv.DictReader(io.StringIO(got.body.decode())))
    lines = (await gateway.api("GET", "/v1/consent-events?limit=500"))["items"]
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    assert [(row["subject"], row["subject_name"], row["to"]) for row in rows][:2] == [
        ("channel", "email", "no"), ("channel", "sms", "yes"),
    ]  # fmt: skip
    assert json.loads(rows[1]["evidence"])["wording"] == "=HYPERLINK(evil)"
    assert [row["at"] for row in rows] == [line["at"] for line in lines]
    assert not any(cell.startswith(("=", "@", "-")) for row in rows for cell in row.values())


async def test_a_sheet_of_the_history_is_the_same_from_the_api_and_from_the_command(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.api("POST", "/v1/preferences", json={"name": "=Drama"})
    await gateway.say(ana["id"], addresses={f"sms:{ANA}": "no"}, everything="no", preferences={"=Drama": "yes"})
    await gateway.text_in("START", ANA)
    got = await gateway.ask("GET", "/v1/consent-events?format=csv")
    export = await exporting.of_consent_events(gateway.house.database)
    pages = [row async for page in export.pages for row in page]
    assert got.body == spreadsheet.encoded([export.columns, *pages])
    rows = {row["subject"]: row for row in csv.DictReader(io.StringIO(got.body.decode()))}
    names = {kind: row["subject_name"] for kind, row in rows.items()}
    assert names == {"everything": "", "channel": "sms", "address": f"sms:{ANA}", "preference": "'=Drama"}
    [line] = [one for one in await gateway.history(ana["id"]) if one["id"] == rows["channel"]["id"]]
    told = json.loads(rows["channel"]["evidence"])
    assert told == line["evidence"]
    for column in ("seq", "address", "with_address", "from", "to", "at", "source", "actor", "superseded", "hash"):
        shown = line[column] if isinstance(line[column], str) else json.dumps(line[column])
        assert rows["channel"][column] == shown, column
