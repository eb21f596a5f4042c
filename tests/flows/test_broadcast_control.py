"""Broadcasts under control: tried dry, asked for in full, scheduled, paused, resumed, cancelled."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from audience import lists
from broadcasts import plan
from gateway.services import House
from profiles import records
from store.ids import new_id
from tests.flows.running import ANA, BEN, CLEO, DIEGO, Gateway, changed, eventually
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes"}}
BOTH = {"channels": {"sms": "yes", "whatsapp": "yes"}}
GOOD = {"name": "Autumn", "channel": "sms", "connection": "sms", "content": {"body": "x"}, "audience": {"all": True}}


def number(place: int) -> str:
    return f"+1415555{place:04d}"


async def fans(gateway: Gateway, count: int) -> list[str]:
    """So many people who said yes to texts; returns their ids."""
    return [(await gateway.person(f"sms:{number(place)}", consent=YES))["id"] for place in range(count)]


async def strangers(house: House, count: int) -> list[str]:
    """People without any address, made at once."""
    ids = [new_id("pro") for _ in range(count)]
    people = [{"id": profile_id} for profile_id in ids]
    await house.database.transact(lambda conn: records.make(conn, people, defaults_version=1, now=house.now()))
    return ids


def so_many(twilio: TwilioStandIn, count: int) -> Callable[[], Awaitable[bool]]:
    async def there() -> bool:
        return len(twilio.log) >= count

    return there


async def now_is(gateway: Gateway, broadcast: str, status: str) -> dict[str, Any]:
    async def it_is() -> dict[str, Any] | None:
        shown: dict[str, Any] = await gateway.api("GET", f"/v1/broadcasts/{broadcast}")
        return shown if shown["status"] == status else None

    return await eventually(it_is)  # type: ignore[return-value]


# --- tried dry --------------------------------------------------------------------------------


async def _a_mixed_people(gateway: Gateway) -> list[str]:
    """People of every kind, some at one address, more than a chunk apart; returns ids that are listed."""
    ids: list[str] = []

    async def add(*addresses: str, **more: Any) -> None:
        ids.append((await gateway.person(*addresses, **more))["id"])

    await add(f"sms:{ANA}", f"whatsapp:{ANA}", consent=BOTH, tags=["vip"])
    await add(f"sms:{BEN}", consent=YES)
    await add(f"sms:{CLEO}", tags=["vip"])
    await add(f"sms:{number(1)}", consent={"channels": {"sms": "no"}})
    await add("email:ana@example.org", tags=["vip"])
    await add(f"sms:{number(2)}", f"sms:{number(3)}", f"whatsapp:{number(3)}", consent=BOTH)
    await gateway.whatsapp_in("Hello", ANA)
    ids += await strangers(gateway.house, plan.CHUNK + 1)
    await add(f"sms:{ANA}", consent=YES, tags=["vip"])  # the second at this address, in another chunk
    await add(f"sms:{ANA}", f"sms:{number(4)}", consent=YES)
    await add(f"sms:{number(1)}", consent=YES)
    return ids


async def test_tried_dry_it_counts_what_the_plan_would(gateway: Gateway) -> None:
    ids = await _a_mixed_people(gateway)
    unknown = [f"+4479{place:08d}" for place in range(lists.PART + 1)]
    # A free WhatsApp text goes to who has written to us, the others get an SMS.
    both = {"channel": None, "connection": None, "channels": ["whatsapp", "sms"], "connections": {"sms": "box"}}
    for asked, counted in (
        ({"audience": {"all": True}}, len(ids)),
        ({"audience": {"tag": "vip"}}, 4),
        ({"audience": {"profiles": [*reversed(ids), *ids]}}, len(ids)),
        ({"audience": {"addresses": [ANA, BEN, CLEO, DIEGO, number(1), ANA, *unknown]}}, 5 + len(unknown)),
        ({"audience": {"all": True}, **both}, len(ids)),
        ({"audience": {"tag": "nobody"}}, 0),
    ):
        wanted = GOOD | {"connection": "box"} | asked
        before = await gateway.everything()
        dry = await gateway.api("POST", "/v1/broadcasts", status=200, json=wanted | {"dry_run": True})
        assert await gateway.everything() == before, "nothing is stored"
        assert (dry["id"], dry["status"]) == (None, "dry_run")
        made = await gateway.api("POST", "/v1/broadcasts", json=wanted | {"send_at": _tomorrow(gateway)})
        real = (await now_is(gateway, made["id"], "scheduled"))["counts"]
        if "channels" in asked:  # planned for tomorrow nobody knows who will have written; so it is planned for now
            made = await gateway.api("POST", "/v1/broadcasts", json=wanted)
            real = (await now_is(gateway, made["id"], "done"))["counts"]
            real["by_status"] = {"queued": sum(real["by_status"].values())}
        assert dry["counts"] == real, asked
        assert real["planned"] == counted
    by_reason = (await gateway.api("POST", "/v1/broadcasts", json=GOOD | {"dry_run": True}))["counts"]["by_reason"]
    assert by_reason["duplicate_address"] == 2


def _tomorrow(gateway: Gateway) -> str:
    return (gateway.clock() + timedelta(days=1)).isoformat()


async def test_tried_dry_it_keeps_nobody_from_writing_and_is_checked_as_if_it_were_made(gateway: Gateway) -> None:
    await fans(gateway, 2)
    key = await gateway.key()
    async with gateway.house.database.write(), asyncio.timeout(20):  # SQLite's one writer is taken
        dry = await gateway.api("POST", "/v1/broadcasts", status=200, key=key, json=GOOD | {"dry_run": True})
    assert dry["counts"] == {"planned": 2, "skipped": 0, "by_status": {"queued": 2}, "by_reason": {}}
    wrong = GOOD | {"dry_run": True, "content": {"body": "{{ preferences['Opera'] }}"}}
    assert (await gateway.ask("POST", "/v1/broadcasts", json=wrong)).status == 422


# --- asked for in full -------------------------------------------------------------------------


async def test_all_that_is_asked_for_is_shown(gateway: Gateway) -> None:
    made = await gateway.api(
        "POST",
        "/v1/broadcasts",
        status=202,
        json={
            "name": "Autumn",
            "channels": ["whatsapp", "sms"],
            "connections": {"sms": "box"},
            "content": {"body": "Hi {{ first_name }}", "template": {"name": "HX1", "variables": {"1": "{{ locale }}"}}},
            "audience": {"all": True},
            "send_at": "2099-05-01T10:00:00+02:00",
            "not_after": "2099-05-02T10:00:00Z",
            "quiet_hours": {"from": "21:00", "to": "08:30"},
            "rate": 5,
        },
    )
    shown = await now_is(gateway, made["id"], "scheduled")
    assert {name: shown[name] for name in ("channel", "connection", "channels", "connections")} == {
        "channel": "whatsapp",
        "connection": "whatsapp",
        "channels": ["whatsapp", "sms"],
        "connections": {"whatsapp": "whatsapp", "sms": "box"},
    }
    assert shown["content"]["template"]["variables"] == {"1": "{{ locale }}"}
    assert (shown["send_at"], shown["not_after"]) == ("2099-05-01T08:00:00.000000Z", "2099-05-02T10:00:00.000000Z")
    assert (shown["quiet_hours"], shown["rate"]) == ({"from": "21:00", "to": "08:30"}, 5)


async def test_no_quiet_hours_are_recorded_with_the_key_that_said_so(gateway: Gateway) -> None:
    made = await gateway.api("POST", "/v1/broadcasts", json=GOOD | {"quiet_hours": False})
    assert made["quiet_hours"] is False
    [line] = [row for row in await gateway.rows("audit") if row["action"] == "broadcast.created"]
    assert (line["actor"], line["target"], line["detail"]) == (
        "key:crm",
        made["id"],
        {"audience": "all", "quiet_hours": False},
    )


async def test_what_cannot_be_is_refused_with_the_field(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "By text", "linked_channel": "sms"})
    several = {"channel": None, "connection": None, "channels": ["whatsapp", "sms"], "connections": {"sms": "sms"}}
    soon = (gateway.clock() + timedelta(hours=1)).isoformat()
    for wrong, field, word in (
        ({"send_at": "2026-11-24T10:00:00"}, "send_at", "zone"),
        ({"send_at": "tomorrow"}, "send_at", "RFC 3339"),
        ({"not_after": "2020-01-01T00:00:00Z"}, "not_after", "now"),
        ({"send_at": soon, "not_after": soon}, "not_after", "send_at"),
        ({"rate": 0}, "rate", "greater"),
        ({"rate": -1}, "rate", "greater"),
        ({"rate": "5"}, "rate", "number"),
        ({"quiet_hours": True}, "quiet_hours", "false"),
        ({"quiet_hours": {"from": "21:00"}}, "quiet_hours", "from"),
        ({"quiet_hours": {"from": "9pm", "to": "08:00"}}, "quiet_hours", "time of day"),
        ({"quiet_hours": {"from": "08:00", "to": "08:00"}}, "quiet_hours", "nothing"),
        ({"quiet_hours": {"from": "00:00", "to": "24:00"}}, "quiet_hours", "nothing"),
        ({"channel": None}, "channel", "channels"),
        ({"channels": ["sms"]}, "channels", "not both"),
        ({"channels": []}, "channels", "at least 1"),
        ({"connections": {"sms": "sms"}}, "connections", "channels"),
        (several | {"connection": "sms"}, "connection", "connections"),
        (several | {"channels": ["sms", "sms"]}, "channels", "once"),
        (several | {"connections": None}, "connections.sms", "name one"),
        (several | {"connections": {"sms": "whatsapp"}}, "connections.sms", "no such"),
        (several | {"connections": {"sms": "sms", "email": "x"}}, "connections.email", "not among"),
        (several | {"audience": {"addresses": [ANA]}}, "channels", "one channel"),
        (several | {"content": {"template": {"name": "HX1"}}}, "content.body", "sms"),
        (several | {"preference": "By text"}, "preference", "whatsapp"),
        ({"content": {"body": "  "}}, "content.body", "nothing"),
        ({"content": {"body": "x" * 1601}}, "content.body", "1,600"),
        ({"dry_run": "yes"}, "dry_run", "boolean"),
    ):
        given = {name: value for name, value in (GOOD | wrong).items() if value is not None}
        got = await gateway.ask("POST", "/v1/broadcasts", json=given)
        assert got.status == 422, (wrong, got)
        [error] = got.json["errors"]
        assert error["field"] == field, (wrong, error)
        assert word in error["message"], (wrong, error)
    assert await gateway.rows("broadcasts") == []


# --- when its time comes -----------------------------------------------------------------------


async def test_it_is_sent_at_its_time_to_those_it_was_planned_for(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await fans(gateway, 2)
    at = gateway.clock() + timedelta(hours=2)
    broadcast = await gateway.broadcast({"all": True}, send_at=at.isoformat())
    await now_is(gateway, broadcast, "scheduled")
    await gateway.person(f"sms:{number(7)}", consent=YES)  # too late to be among them
    await gateway.text_in("STOP", number(1))
    gateway.clock.advance(hours=1, minutes=59)
    assert (await gateway.api("GET", f"/v1/broadcasts/{broadcast}"))["status"] == "scheduled"
    gateway.clock.advance(minutes=2)
    shown = await gateway.all_sent(broadcast)
    assert shown["counts"] == {
        "planned": 2,
        "skipped": 1,
        "by_status": {"accepted": 1},
        "by_reason": {"opted_out_channel": 1},
    }
    assert [line.to for line in twilio.log] == [number(0)]


async def test_what_has_not_begun_in_time_is_too_late(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await fans(gateway, 2)
    until = gateway.clock() + timedelta(hours=1)
    broadcast = await gateway.broadcast({"all": True}, send_at=(until - timedelta(minutes=30)).isoformat(),
                                        not_after=until.isoformat())  # fmt: skip
    await now_is(gateway, broadcast, "scheduled")
    await gateway.api("POST", f"/v1/broadcasts/{broadcast}/pause")
    gateway.clock.advance(hours=2)
    await gateway.api("POST", f"/v1/broadcasts/{broadcast}/resume")
    assert (await gateway.all_sent(broadcast))["counts"]["by_reason"] == {"too_late": 2}
    assert twilio.log == []


# --- paused, resumed, cancelled ----------------------------------------------------------------


async def test_nothing_begins_after_the_answer_to_pause_and_the_rest_is_sent_once(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    await gateway.restart(connections=changed(gateway.settings, "sms", rate=60.0))
    twilio.default = answers.accepted(0.2)
    people = await fans(gateway, 60)
    broadcast = await gateway.broadcast({"all": True})
    while len(twilio.log) < 45:
        await eventually(so_many(twilio, len(twilio.log) + 1))
        paused = await gateway.api("POST", f"/v1/broadcasts/{broadcast}/pause", status=200)
        answered_ns = time.monotonic_ns()
        assert paused["status"] == "paused"
        assert (await gateway.api("POST", f"/v1/broadcasts/{broadcast}/pause"))["status"] == "paused", "again is fine"
        await asyncio.sleep(0.2)
        assert [line for line in twilio.log if line.at_ns > answered_ns] == []
        resumed = await gateway.api("POST", f"/v1/broadcasts/{broadcast}/resume", status=200)
        assert resumed["status"] == "sending"
    shown = await gateway.all_sent(broadcast)
    assert shown["counts"]["by_status"] == {"accepted": len(people)}
    assert sorted(line.to for line in twilio.log) == [number(place) for place in range(60)]
    await now_is(gateway, broadcast, "done")
    acts = [row["action"] for row in await gateway.rows("audit") if row["target"] == broadcast]
    assert {"broadcast.created", "broadcast.paused", "broadcast.resumed"} == set(acts)
    assert acts.count("broadcast.paused") == acts.count("broadcast.resumed"), "a repeated one changes nothing"
    assert await gateway.rows("paces") == [row for row in await gateway.rows("paces") if row["name"] == "sms"]


async def test_nothing_begins_after_the_answer_to_cancel_and_the_totals_add_up(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    await gateway.restart(connections=changed(gateway.settings, "sms", rate=20.0))
    twilio.default = answers.accepted(0.2)
    await fans(gateway, 40)
    broadcast = await gateway.broadcast({"all": True}, rate=15)
    await eventually(so_many(twilio, 5))
    cancelled = await gateway.api("POST", f"/v1/broadcasts/{broadcast}/cancel", status=200)
    answered_ns = time.monotonic_ns()
    assert cancelled["status"] == "cancelled"
    shown = await gateway.all_sent(broadcast)
    assert (await gateway.api("POST", f"/v1/broadcasts/{broadcast}/cancel"))["status"] == "cancelled", "again is fine"
    assert [line for line in twilio.log if line.at_ns > answered_ns] == []
    by_status = shown["counts"]["by_status"]
    assert by_status == {"accepted": len(twilio.log), "cancelled": 40 - len(twilio.log)}

    async def closed() -> bool:
        return (await gateway.api("GET", f"/v1/broadcasts/{broadcast}"))["done_at"] is not None

    await eventually(closed)
    assert {row["name"] for row in await gateway.rows("paces")} == {"sms"}, "its own pace is forgotten"


async def test_a_scheduled_one_is_paused_and_comes_back_to_its_time(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await fans(gateway, 1)
    broadcast = await gateway.broadcast({"all": True}, send_at=_tomorrow(gateway))
    await now_is(gateway, broadcast, "scheduled")
    assert (await gateway.api("POST", f"/v1/broadcasts/{broadcast}/pause"))["status"] == "paused"
    assert (await gateway.api("POST", f"/v1/broadcasts/{broadcast}/resume"))["status"] == "scheduled"
    await gateway.api("POST", f"/v1/broadcasts/{broadcast}/pause")
    gateway.clock.advance(days=2)
    assert twilio.log == []
    assert (await gateway.api("POST", f"/v1/broadcasts/{broadcast}/resume"))["status"] == "sending"
    await gateway.all_sent(broadcast)
    assert twilio.accepted_to(number(0)) == 1


@pytest.mark.parametrize(
    ("state", "refused"),
    [("done", ("pause", "resume", "cancel")), ("cancelled", ("pause", "resume"))],
)
async def test_in_the_wrong_state_it_says_which(gateway: Gateway, state: str, refused: tuple[str, ...]) -> None:
    broadcast = await gateway.broadcast(
        {"tag": "nobody"}, **({"send_at": _tomorrow(gateway)} if state != "done" else {})
    )
    if state == "cancelled":
        await gateway.api("POST", f"/v1/broadcasts/{broadcast}/cancel")
    await now_is(gateway, broadcast, state)
    for act in refused:
        got = await gateway.ask("POST", f"/v1/broadcasts/{broadcast}/{act}")
        assert (got.status, got.json["detail"]) == (409, f"it is {state}"), act
    for act in ("pause", "resume", "cancel"):
        assert (await gateway.ask("POST", f"/v1/broadcasts/brd_nobody/{act}")).status == 404
    reader = await gateway.key("profiles:read")
    assert (await gateway.ask("POST", f"/v1/broadcasts/{broadcast}/cancel", key=reader)).status == 403


async def test_with_a_later_start_whatsapp_is_taken_only_by_whom_its_window_will_hold(gateway: Gateway) -> None:
    yes = {"channels": {"sms": "yes", "whatsapp": "yes"}}
    for number in (ANA, BEN):
        await gateway.person(f"sms:{number}", f"whatsapp:{number}", consent=yes)
    await gateway.whatsapp_in("hello", ANA)
    wish = {"name": "x", "channels": ["whatsapp", "sms"], "content": {"body": "Hi"}, "audience": {"all": True}}
    wish |= {"connections": {"whatsapp": "whatsapp", "sms": "sms"}}
    for hours, to_ana in ((1, "whatsapp"), (30, "sms")):
        later = (gateway.clock() + timedelta(hours=hours)).isoformat()
        made = await gateway.api("POST", "/v1/broadcasts", json=wish | {"send_at": later})

        async def planned(id_: str = made["id"]) -> bool:
            return bool((await gateway.api("GET", f"/v1/broadcasts/{id_}"))["status"] == "scheduled")

        await eventually(planned)
        rows = [row for row in await gateway.rows("deliveries") if row["broadcast_id"] == made["id"]]
        assert sorted(row["channel"] for row in rows) == sorted([to_ana, "sms"]), rows
        assert {row["status"] for row in rows} == {"queued"}
