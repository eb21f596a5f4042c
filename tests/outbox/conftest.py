"""A broadcast's deliveries, ready to be claimed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from audience.select import Audience
from broadcasts import plan, records
from broadcasts.records import Draft
from outbox import claims
from outbox.claims import Claim
from outbox.policy import Policy
from store.engine import Database, DatabaseAway
from tests.acts import NOON, add_person, text_in

POLICY = Policy(lambda address_id, channel, _: f"https://gw.example.org/unsubscribe/{address_id}.{channel}")
Planned = Callable[..., Awaitable[None]]
Claimed = Callable[..., Awaitable[list[Claim]]]


@pytest.fixture
def planned(database: Database) -> Planned:
    """Opt people in and plan a broadcast to all: `await planned("sms:+14155550101", …, connection="sms")`."""

    async def plan_for(*tagged: str, connection: str = "sms") -> None:
        for address in tagged:
            await add_person(database, address)
            await text_in(database, address, "yes")
        broadcast_id = await database.transact(
            lambda conn: records.create(
                conn,
                Draft(
                    name="Autumn",
                    routes=[{"channel": "sms", "connection": connection}],
                    content={"body": "On sale."},
                    audience=Audience("all"),
                ),
                created_by="key:me",
                now=NOON,
            )
        )
        while await database.transact(lambda conn: plan.plan_chunk(conn, broadcast_id, now=NOON)):
            pass

    return plan_for


@pytest.fixture
def claimed(database: Database, planned: Planned) -> Claimed:
    """Opt people in, plan a broadcast to all, claim it: `await claimed("sms:+14155550101", …)`."""

    async def claim(*tagged: str) -> list[Claim]:
        await planned(*tagged)
        for _ in range(5):
            with suppress(DatabaseAway):  # on a busy machine half a second may not be enough for a claim
                found = await database.transact(
                    lambda conn: claims.claim(conn, "sms", limit=50, bulk=50, owner="dsp_test", policy=POLICY, now=NOON)
                )
                break
        assert found.looked_at == len(found.claims) == len(tagged)
        return found.claims

    return claim
