"""Idempotency-Key: however often a request comes, it has one effect and one answer."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text, update

from consent import defaults
from gateway import idempotency
from gateway.api.base import Call
from gateway.settings import Settings
from outbox import heed
from store.tables import api_keys
from tests.flows.running import ANA, BEN, CLEO, Gateway, Got, eventually
from tests.flows.test_overtaken import on_postgresql
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes"}, "evidence": {"how": "spoken"}}


async def post(gateway: Gateway, path: str, json: Any, *, name: str, **more: Any) -> Got:
    return await gateway.ask("POST", path, json=json, headers={"Idempotency-Key": name}, **more)


def is_replay(got: Got) -> bool:
    return got.headers.get("Idempotency-Replayed") == "true"


async def test_fifty_at_once_with_one_key_have_one_effect_and_one_answer(gateway: Gateway) -> None:
    wanted = {"first_name": "Ana", "addresses": [{"channel": "sms", "value": ANA}]}
    key = await gateway.key()
    got = await asyncio.gather(*(post(gateway, "/v1/profiles", wanted, name="one", key=key) for _ in range(50)))
    assert {one.status for one in got} == {201}
    assert len({one.body for one in got}) == 1
    assert sum(not is_replay(one) for one in got) == 1
    assert len(await gateway.rows("profiles")) == 1


@on_postgresql
async def test_fifty_over_two_replicas_have_one_effect(settings: Settings) -> None:
    first, other = Gateway(settings), Gateway(settings)
    await first.start()
    await other.start()
    try:
        ana = await first.person(f"sms:{ANA}", consent=YES)
        to = {"channel": "sms", "connection": "box", "to": {"profile_id": ana["id"]}, "content": {"body": "Hello"}}
        key = await first.key()
        got = await asyncio.gather(
            *(post(one, "/v1/messages", to, name="ticket", key=key) for _ in range(25) for one in (first, other))
        )
        assert {one.status for one in got} == {202}
        assert len({one.body for one in got}) == 1
        assert sum(not is_replay(one) for one in got) == 1
        assert len(await first.rows("deliveries")) == 1
    finally:
        await other.stop()
        await first.stop()


async def test_the_same_again_gets_the_first_answer_byte_for_byte(gateway: Gateway) -> None:
    first = await post(gateway, "/v1/profiles", {"first_name": "Ana"}, name="a")
    again = await post(gateway, "/v1/profiles", {"first_name": "Ana"}, name="a")
    assert (again.status, again.body, again.type) == (first.status, first.body, first.type)
    assert (is_replay(first), is_replay(again)) == (False, True)


async def test_it_is_remembered_over_a_restart_for_a_day(gateway: Gateway) -> None:
    first = await post(gateway, "/v1/profiles", {}, name="a")
    gateway.clock.advance(hours=23, minutes=59)
    await gateway.restart()
    assert (await post(gateway, "/v1/profiles", {}, name="a")).body == first.body
    gateway.clock.advance(minutes=2)
    later = await post(gateway, "/v1/profiles", {}, name="a")
    assert (later.status, is_replay(later)) == (201, False)
    assert later.json["id"] != first.json["id"]


async def test_what_is_a_day_old_is_swept_away(gateway: Gateway) -> None:
    await post(gateway, "/v1/profiles", {}, name="a")
    gateway.clock.advance(hours=25)
    await gateway.restart()
    gateway.house.tidier.wake()

    async def is_gone() -> bool:
        return not await gateway.rows("idempotency_keys")

    await eventually(is_gone)


async def test_another_body_under_the_same_key_is_refused(gateway: Gateway) -> None:
    await post(gateway, "/v1/profiles", {"first_name": "Ana"}, name="a")
    got = await post(gateway, "/v1/profiles", {"first_name": "Ben"}, name="a")
    assert got.status == 409
    assert got.json["type"].endswith("/idempotency-key-reused")
    assert len(await gateway.rows("profiles")) == 1


async def test_a_key_is_of_one_path_and_one_api_key(gateway: Gateway) -> None:
    for path, status in (("/v1/profiles", 201), ("/v1/preferences", 422), ("/v1/profiles", 201)):
        got = await post(gateway, path, {}, name="a")
        assert got.status == status
    other = await post(gateway, "/v1/profiles", {}, name="a", key=await gateway.key("profiles:write"))
    assert (other.status, is_replay(other)) == (201, False)
    assert len(await gateway.rows("profiles")) == 2


async def test_a_refusal_that_had_no_effect_is_remembered(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    to = {"channel": "sms", "connection": "box", "to": {"profile_id": ana["id"]}, "content": {"body": "Hello"}}
    first = await post(gateway, "/v1/messages", to, name="a")
    assert (first.status, first.json["reason"]) == (403, "not_opted_in")
    await gateway.say(ana["id"], **YES)
    again = await post(gateway, "/v1/messages", to, name="a")
    assert (again.status, again.body, again.type) == (403, first.body, "application/problem+json")
    assert is_replay(again)
    assert (await post(gateway, "/v1/messages", to, name="b")).status == 202


async def test_what_the_caller_can_mend_is_not_remembered(gateway: Gateway) -> None:
    wrong = await post(gateway, "/v1/preferences", {"nmae": "Drama"}, name="a")
    right = await post(gateway, "/v1/preferences", {"name": "Drama"}, name="a")
    assert (wrong.status, right.status, is_replay(right)) == (422, 201, False)
    refused = await post(gateway, "/v1/profiles", {}, name="b", key="og_wrong")
    assert (refused.status, (await post(gateway, "/v1/profiles", {}, name="b")).status) == (401, 201)


async def test_a_key_that_is_none_is_refused(gateway: Gateway) -> None:
    for name in ("", "x" * 256, "caf\u00e9"):
        got = await post(gateway, "/v1/profiles", {}, name=name)
        assert got.status == 400, name
        assert got.json["type"].endswith("/idempotency-key")
    assert not await gateway.rows("profiles")


async def test_an_opt_out_is_settled_before_its_replay_is_answered(
    gateway: Gateway, twilio: TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled: list[frozenset[str]] = []
    settle = heed.settle

    async def noted(database: Any, ids: Any) -> None:
        settled.append(frozenset(ids))
        await settle(database, ids)

    monkeypatch.setattr(heed, "settle", noted)
    broadcast = {"name": "A", "channel": "sms", "connection": "sms", "content": {"body": "x"},
                 "audience": {"addresses": [ANA, BEN]}, "send_at": "2099-01-01T00:00:00Z"}  # fmt: skip
    made = (await post(gateway, "/v1/broadcasts", broadcast, name="a")).json["id"]
    settled.clear()
    for _ in range(2):
        assert (await post(gateway, f"/v1/broadcasts/{made}/pause", None, name="b")).status == 200
    assert settled == [frozenset({made})] * 2


async def test_nothing_is_kept_of_what_was_rolled_back(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("no luck")

    with monkeypatch.context() as patched:
        patched.setattr(idempotency.Once, "keep", broken)
        assert (await post(gateway, "/v1/profiles", {}, name="a")).status == 500
    assert not await gateway.rows("profiles")
    assert not await gateway.rows("idempotency_keys")
    assert (await post(gateway, "/v1/profiles", {}, name="a")).status == 201


async def test_one_that_waits_too_long_is_told_to_come_again(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "WAIT_SECONDS", 0.3)
    key = await gateway.key()
    async with gateway.house.database.write() as conn:
        # Whoever holds the key's row, or on SQLite all of it, keeps the first from ending.
        await conn.execute(update(api_keys).values(name=f"crm {uuid4()}"))
        await conn.execute(text("DELETE FROM profiles"))
        if conn.dialect.name == "postgresql":
            await conn.execute(text("LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE"))
        first = asyncio.create_task(post(gateway, "/v1/profiles", {}, name="a", key=key))
        await asyncio.sleep(0.2)
        got = await post(gateway, "/v1/profiles", {}, name="a", key=key)
        assert got.status == 409
        assert got.json["type"].endswith("/idempotency-key-in-use")
        assert int(got.headers["Retry-After"]) > 0
    assert (await first).status == 201
    assert is_replay(await post(gateway, "/v1/profiles", {}, name="a", key=key))


@on_postgresql
async def test_a_batch_over_two_replicas_has_each_of_its_effects_once(settings: Settings) -> None:
    first, other = Gateway(settings), Gateway(settings)
    await first.start()
    await other.start()
    try:
        yes = {"channels": {"sms": "yes"}, "by": {"kind": "customer"}}
        items = [{"external_id": str(n), "consent": yes} for n in range(20)]
        key = await first.key()
        got = await asyncio.gather(
            *(post(one, "/v1/profiles/batch", {"items": items}, name="night", key=key) for one in (first, other))
        )
        assert [one.status for one in got] == [200, 200]
        assert got[0].body == got[1].body
        assert len(await first.rows("consent_events")) == 20
        other_body = await post(other, "/v1/profiles/batch", {"items": items[:1]}, name="night", key=key)
        assert other_body.json["type"].endswith("/idempotency-key-reused")
    finally:
        await other.stop()
        await first.stop()


async def test_another_body_does_not_take_the_key_of_a_batch_that_is_under_way(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its items have the key already, its answer not yet: who comes with something else is told so, and leaves none."""
    path, items = "/v1/profiles/batch", [{"external_id": "a"}, {"external_id": "b"}]

    async def cut(*_: Any, **__: Any) -> None:
        raise RuntimeError("no luck")

    with monkeypatch.context() as patched:
        patched.setattr(Call, "commit", cut)
        assert (await post(gateway, path, {"items": items}, name="night")).status == 500
    other = await post(gateway, path, {"items": [{"external_id": "c"}]}, name="night")
    assert (other.status, other.json["type"].rpartition("/")[2]) == (409, "idempotency-key-reused")
    again = await post(gateway, path, {"items": items}, name="night")
    assert (again.status, is_replay(again)) == (200, False)
    assert [item["status"] for item in again.json["items"]] == [201, 201]
    assert sorted(row["external_id"] for row in await gateway.rows("profiles")) == ["a", "b"]


APPLY = "/v1/settings/defaults/apply"


async def applied(gateway: Gateway) -> tuple[set[int], list[tuple[str, int]]]:
    """With which defaults people are judged now, and what the audit tells of their applying."""
    acts = [row for row in await gateway.rows("audit") if row["action"].startswith("defaults.appl")]
    versions = {row["defaults_version"] for row in await gateway.rows("profiles")}
    return versions, sorted((act["action"], act["detail"]["version"]) for act in acts)


async def test_defaults_whose_applying_was_cut_short_are_gone_on_with_whatever_they_are_by_now(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(defaults, "PART", 2)
    for number in (ANA, BEN, CLEO):
        await gateway.person(f"sms:{number}")
    admin = await gateway.key("admin")
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "yes"})

    async def cut(*_: Any, **__: Any) -> None:
        raise RuntimeError("no luck")

    with monkeypatch.context() as patched:
        patched.setattr(Call, "commit", cut)
        assert (await post(gateway, APPLY, None, name="a", key=admin)).status == 500
    await gateway.api("PATCH", "/v1/settings/defaults", json={"sms": "no"})
    again = await post(gateway, APPLY, None, name="a", key=admin)
    assert (again.json["profiles"], again.json["defaults"]["sms"]) == (3, "yes")
    assert await applied(gateway) == ({2}, [("defaults.applied", 2), ("defaults.applying", 2)])
    assert (await post(gateway, APPLY, None, name="b", key=admin)).json["defaults"]["sms"] == "no"


@on_postgresql
async def test_defaults_are_applied_once_over_two_replicas(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(defaults, "PART", 3)
    first, other = Gateway(settings), Gateway(settings)
    await first.start()
    await other.start()
    try:
        for number in range(20):
            await first.person(external_id=str(number))
        await first.api("PATCH", "/v1/settings/defaults", json={"sms": "yes"})
        key = await first.key("admin")
        got = await asyncio.gather(*(post(one, APPLY, None, name="a", key=key) for one in (first, other)))
        assert got[0].body == got[1].body
        assert (got[0].json["profiles"], sorted(map(is_replay, got))) == (20, [False, True])
        assert await applied(first) == ({2}, [("defaults.applied", 2), ("defaults.applying", 2)])
    finally:
        await other.stop()
        await first.stop()


async def test_a_first_that_is_still_running_is_not_the_last_word(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def running(*_: Any) -> None:
        raise idempotency.still_running()

    with monkeypatch.context() as patched:
        patched.setattr(idempotency.Once, "claim", running)
        assert (await post(gateway, "/v1/profiles", {}, name="a")).status == 409
    assert (await post(gateway, "/v1/profiles", {}, name="a")).status == 201
