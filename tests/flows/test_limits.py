"""What a key may call, and what it is told of that."""

from __future__ import annotations

import re

import pytest

from gateway import limits
from gateway.limits import Limit
from gateway.settings import Api
from tests.flows.running import Gateway

DEFAULTS = "/v1/settings/defaults"


async def test_every_answer_says_how_many_calls_are_left(gateway: Gateway) -> None:
    first = await gateway.ask("GET", DEFAULTS)
    assert first.headers["RateLimit-Policy"] == '"key";q=30000;w=60'
    assert re.fullmatch(r'"key";r=\d+;t=\d+', first.headers["RateLimit"])
    assert "RateLimit" in (await gateway.ask("GET", "/v1/profiles/nobody")).headers
    assert "RateLimit" not in (await gateway.ask("GET", DEFAULTS, key="og_wrong")).headers


async def test_beyond_the_limit_a_key_waits_and_another_does_not(gateway: Gateway) -> None:
    await gateway.restart(api=Api(calls_per_minute=5))
    keys = await gateway.key(), await gateway.key("configure")
    got = [await gateway.ask("GET", DEFAULTS, key=keys[0]) for _ in range(6)]
    assert [one.status for one in got] == [200] * 5 + [429]
    assert (got[5].json["type"].rpartition("/")[2], got[5].headers["RateLimit"][:9]) == ("too-many-calls", '"key";r=0')
    assert 1 <= int(got[5].headers["Retry-After"]) <= 12
    assert (await gateway.ask("GET", DEFAULTS, key=keys[1])).status == 200


async def test_a_call_too_many_leaves_no_trace_under_its_idempotency_key(gateway: Gateway) -> None:
    await gateway.restart(api=Api(calls_per_minute=1))
    key = await gateway.key("profiles:write")
    for status in (201, 429):
        named = {"Idempotency-Key": str(status)}
        assert (await gateway.ask("POST", "/v1/profiles", json={}, key=key, headers=named)).status == status
    assert [row["name"] for row in await gateway.rows("idempotency_keys")] == ["201"]


def test_calls_come_back_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(limits, "monotonic", lambda: now)
    limit = Limit(60)
    assert [limit.take("a").left for _ in range(60)] == list(range(59, -1, -1))
    over = limit.take("a")
    assert (over.is_over, over.wait_seconds, over.whole_again_seconds) == (True, 1, 60)
    now += 1.5
    assert [limit.take("a").is_over for _ in range(2)] == [False, True]
    now += 3600
    assert limit.take("a").left == 59


def test_keys_that_are_whole_again_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(limits, "monotonic", lambda: now)
    monkeypatch.setattr(limits, "_FORGET_AT", 10)
    limit = Limit(60)
    for name in range(10):
        limit.take(str(name))
    now += 60
    limit.take("new")
    assert list(limit._buckets) == ["new"]
