"""A database that goes away: nobody is told that a STOP holds which is not on disk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.settings import Settings
from store.engine import is_away
from tests.flows.away import Away, away_and_back
from tests.flows.running import ANA, BEN, OPTED_OUT, Gateway, eventually, said


@pytest.fixture
async def running(settings: Settings, database_url: str) -> AsyncIterator[tuple[Gateway, Away]]:
    async with away_and_back(settings, database_url) as parts:
        yield parts


async def test_a_stop_while_the_database_is_away_is_503_and_the_retry_is_kept(running: tuple[Gateway, Away]) -> None:
    gateway, database = running
    await gateway.text_in("hello", ANA)
    ready = await gateway.send("GET", "/readyz")
    assert (ready.status, ready.json) == (200, {"status": "ready"})
    stops = [gateway.form("STOP", ANA), gateway.form("STOP", BEN)]
    await database.go()
    try:
        answers = await asyncio.gather(*(gateway.post(body) for body in [*stops, *stops]))
        assert {got.status for got in answers} == {503}
        assert {got.type for got in answers} == {"application/problem+json"}
        assert all(int(got.headers["Retry-After"]) > 0 for got in answers)
        assert (await gateway.send("GET", "/healthz")).status == 200, "alive, whatever the database does"
        post = await gateway.ask("POST", "/v1/profiles", json={"first_name": "Ana"}, key="og_any")
        assert post.status in (401, 503), "and the API says no success either"
    finally:
        await database.come_back()

    async def kept() -> bool:
        answers = [await gateway.post(body) for body in stops]
        assert {got.status for got in answers} <= {200, 503}
        return [got.body for got in answers] == [said(OPTED_OUT)] * 2

    await eventually(kept)
    assert len(await gateway.rows("messages")) == 3
    assert len(await gateway.rows("consent_events")) == 2

    async def is_ready() -> bool:
        return (await gateway.send("GET", "/readyz")).status == 200

    await eventually(is_ready)


async def test_a_database_that_goes_away_over_and_over_loses_nothing_that_was_answered(
    running: tuple[Gateway, Away],
) -> None:
    gateway, database = running
    acknowledged: set[str] = set()

    async def texts(first: int) -> None:
        for number in range(first, first + 8):
            sender = f"+1415555{number:04d}"
            got = await gateway.text_in("STOP", sender)
            assert got.status in (200, 503), got
            if got.status == 200:
                acknowledged.add(sender)

    for round_ in range(2):
        before = len(acknowledged)
        senders = [asyncio.create_task(texts(1000 * round_ + 100 * place)) for place in range(4)]

        async def some_more(so_far: int = before) -> bool:
            return len(acknowledged) > so_far

        await eventually(some_more)
        await database.go()
        await asyncio.sleep(0.15)  # while it is away they go on
        await database.come_back()
        await asyncio.gather(*senders)

    async def on_disk() -> set[str]:
        try:
            return {str(message["sender"]) for message in await gateway.rows("messages")}
        except Exception as error:
            if not is_away(error):
                raise
            return set()

    found = await eventually(on_disk)
    assert acknowledged <= found
    states = {row["profile_id"] for row in await gateway.rows("consent_states") if row["state"] == "no"}
    assert len(states) == len(await gateway.rows("profiles"))


async def test_an_unready_gateway_says_so(running: tuple[Gateway, Away], dialect: str) -> None:
    """On SQLite a rival's lock takes only the writes: the database answers, and is ready."""
    gateway, database = running
    await database.go()
    try:
        ready = await gateway.send("GET", "/readyz")
        assert ready.status == (503 if dialect == "postgresql" else 200)
        if dialect == "postgresql":
            got = await gateway.ask("GET", "/v1/profiles", key="og_any")
            assert (got.status, got.type) == (503, "application/problem+json")
    finally:
        await database.come_back()
