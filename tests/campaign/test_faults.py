"""A broadcast through a provider of which nearly a third of the answers are wrong, late or missing.

`OPTGATE_FAULTS_PEOPLE=10000` is the whole of it; the suite makes do with fewer. `OPTGATE_FAULTS_SEED` repeats a run's
faults, though not which request meets which.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import aiohttp
import pytest
from sqlalchemy import select

from gateway.settings import load
from store.engine import Database
from store.tables import addresses, attempts, deliveries
from tests.campaign import checks
from tests.campaign.clients import Marketer, open_clients
from tests.campaign.gateways import house, opened
from tests.campaign.seed import seed
from tests.campaign.stage import end_well
from tests.campaign.standin import accepted
from tests.channels.requests_as_sent import ACCOUNT, FORM, ORIGIN, TOKEN, signature
from tests.standins.twilio import Request, TwilioStandIn, mixed_faults

pytestmark = pytest.mark.timeout(400)

PEOPLE = int(os.environ.get("OPTGATE_FAULTS_PEOPLE", "1000"))
SHARE = 0.3
SETTLED_SECONDS = 60
PROVED = {"accepted", "sent", "delivered", "read", "undelivered", "failed"}


class Reporter:
    """Posts status callbacks for two thirds of what was accepted: early, late, repeated, in any order."""

    def __init__(self, session: aiohttp.ClientSession, dice: random.Random) -> None:
        self.gateway = ""
        self.answers: Counter[int] = Counter()
        self._session, self._dice = session, dice

    async def report(self, line: Request) -> None:
        if self._dice.random() < 1 / 3:
            return  # it is told by the list, or never
        said = ["queued", "sent", "delivered"][: self._dice.randint(1, 3)]
        said += self._dice.choices(said, k=self._dice.randint(0, 2))
        self._dice.shuffle(said)
        for status in said:
            await asyncio.sleep(self._dice.choice((0, 0.02, 0.5, 3)))
            url = urlsplit(line.form["StatusCallback"])
            form = {"AccountSid": ACCOUNT, "MessageSid": line.sid or "", "MessageStatus": status, "To": line.to}
            body = urlencode(form).encode()
            path = f"{url.path}?{url.query}"
            headers = {"Content-Type": FORM, "X-Twilio-Signature": signature(body, ORIGIN + path)}
            async with self._session.post(self.gateway + path, data=body, headers=headers) as answer:
                self.answers[answer.status] += 1


async def standing(database: Database) -> dict[str, tuple[str, str | None]]:
    """Number → the status of its delivery and the provider's id."""
    async with database.read() as conn:
        rows = await conn.execute(
            select(addresses.c.value, deliveries.c.status, deliveries.c.provider_id)
            .join(addresses, addresses.c.id == deliveries.c.address_id)
            .where(deliveries.c.status != "skipped")
        )
        return {row.value: (row.status, row.provider_id) for row in rows}


async def settled(database: Database, took: set[str], *, seconds: float) -> tuple[float, int]:
    """Wait until everything that the provider took is known; returns the seconds, and how many were left."""
    began = time.monotonic()
    while True:
        stand = await standing(database)
        left = sum(stand[number][0] in ("in_doubt", "unknown", "sending") for number in took)
        waited = time.monotonic() - began
        if not left or waited > seconds:
            return waited, left
        await asyncio.sleep(0.5)


async def assert_all_is_known_as_it_was(database: Database, log: list[Request]) -> None:
    """The provider's log is the truth."""
    sids = {line.to: line.sid for line in log if line.sid}
    stand = await standing(database)
    proved = {number for number, (status, _) in stand.items() if status in PROVED - {"failed"}}
    assert proved <= sids.keys(), "marked accepted, and never was"
    refused = {line.to for line in log if line.answered == "error 21408"}
    for number, (status, sid) in stand.items():
        if number in sids:
            assert sid == sids[number]
        else:
            assert status == ("failed" if number in refused else "in_doubt"), number
    async with database.read() as conn:
        told = (await conn.execute(select(attempts.c.provider_id).where(attempts.c.provider_id.is_not(None)))).scalars()
        assert max(Counter(told).values()) == 1


async def test_with_thirty_percent_mixed_faults_totals_add_up_and_nobody_is_sent_to_twice(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    dice_seed = int(os.environ.get("OPTGATE_FAULTS_SEED", random.randrange(10**6)))
    print("seed", dice_seed)
    async with (
        TwilioStandIn(ACCOUNT, TOKEN) as twilio,
        house(tmp_path, new_database_url(), twilio.url) as home,
        opened(home) as database,
        open_clients() as session,
    ):
        seeded = await seed(database, load(home.config, {}), PEOPLE)
        gateway = await home.serve()
        reporter = Reporter(session, random.Random(dice_seed + 1))
        reporter.gateway = gateway.url
        twilio.decide = mixed_faults(random.Random(dice_seed), SHARE)
        twilio.on_accepted = reporter.report
        marketer = Marketer(session, seeded.key, gateway.url)
        began = time.monotonic()
        broadcast_id = await marketer.broadcast({"all": True})
        await marketer.ended(broadcast_id, seconds=300)
        took = set(accepted(twilio.log))
        print(f"{len(twilio.log)} requests, {len(took)} accepted, done after {time.monotonic() - began:.1f} s")
        print("faults:", dict(Counter(line.answered for line in twilio.log if line.answered != "accepted")))
        stand = await standing(database)
        doubtful = sum(stand[number][0] == "in_doubt" for number in took)
        waited, left = await settled(database, took, seconds=SETTLED_SECONDS)
        print(f"{doubtful} of them in doubt still; {waited:.1f} s later {left}; {len(twilio.lookups)} lookups")
        assert left == 0
        print("callbacks:", dict(reporter.answers))
        assert set(reporter.answers) == {200}
        checks.nobody_was_sent_to_twice(twilio.log)
        shown = await marketer.look(broadcast_id)
        checks.counts_add_up(shown)
        print(shown["counts"])
        assert shown["counts"]["planned"] == PEOPLE
        assert shown["counts"]["by_reason"] == seeded.reasons()
        assert {line.to for line in twilio.log} == set(seeded.to_be_sent())
        await assert_all_is_known_as_it_was(database, twilio.log)
        await end_well(home, database, gateway)
