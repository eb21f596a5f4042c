"""The long race: many sends, many opt-outs, two replicas on PostgreSQL that freeze and thaw at random.

    python -m tests.campaign.race --sends 100000 --stops 10000

Ends with 0 when no send began after its opt-out was answered, everybody was sent to once, the totals add up and
every answer of a replica that stood still meanwhile was given in time; prints what it measured, and its seed.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import func, literal_column, select

from store.engine import Database
from store.tables import addresses, attempts, broadcasts, deliveries
from tests import postgres
from tests.campaign import checks
from tests.campaign.clients import Answered, Provider, Text
from tests.campaign.gateways import Process
from tests.campaign.stage import Stage, end_well, staged
from tests.campaign.standin import accepted

SHARE_SENT = 0.63  # of the people that tests.campaign.seed makes
ANSWER_P99_SECONDS, ANSWER_MOST_SECONDS = 1.3, 2.5


@dataclass
class Replica:
    """A gateway, and when it stood still."""

    process: Process
    frozen: list[tuple[int, int]] = field(default_factory=list)

    async def freeze(self, seconds: float) -> None:
        began = time.monotonic_ns()
        await self.process.freeze(seconds)
        self.frozen.append((began, time.monotonic_ns()))

    def stood_still(self, since: int, until: int) -> bool:
        return any(began < until and since < ended for began, ended in self.frozen)


@dataclass
class Race:
    stage: Stage
    replicas: list[Replica]
    dice: random.Random
    broadcast_id: str = ""
    stops: list[tuple[Replica, Answered]] = field(default_factory=list)
    over: bool = False

    async def freezes(self, most_seconds: float) -> None:
        """One after another stands still, never both."""
        while not self.over:
            await asyncio.sleep(self.dice.uniform(0.5, 3.0))
            await self.dice.choice(self.replicas).freeze(self.dice.uniform(0.1, most_seconds))

    async def stop(self, provider: Provider, number: str) -> None:
        """Text STOP; where the answer is none or 503 it is posted again, to either, as Twilio does."""
        text = Text(number, "STOP")
        for _ in range(5):
            replica = self.dice.choice(self.replicas)
            line = await provider.post(replica.process.url, text)
            self.stops.append((replica, line))
            if line.status == 200:
                return

    async def stop_those_who_are_next(self, count: int) -> None:
        provider = Provider(self.stage.session)
        candidates = set(self.stage.seeded.to_be_sent())
        total, posted = len(candidates), []
        while len(posted) < count and (line := await self._next_in_line(200)):
            through = 1 - await self._queued() / total
            due = int(count * min(1.0, through / 0.9 + 0.01)) - len(posted)
            fresh = [number for number in line if number in candidates]
            for number in self.dice.sample(fresh, min(len(fresh), max(due, 0))):
                candidates.remove(number)
                posted.append(asyncio.create_task(self.stop(provider, number)))
            await asyncio.sleep(self.dice.uniform(0, 0.1))
        await asyncio.gather(*posted)

    async def _next_in_line(self, count: int) -> list[str]:
        queued = (
            select(addresses.c.value)
            .join(deliveries, deliveries.c.address_id == addresses.c.id)
            .where(
                deliveries.c.broadcast_id == self.broadcast_id,
                deliveries.c.connection == "sms",
                deliveries.c.status == literal_column("'queued'"),
            )
            .order_by(deliveries.c.due_at, deliveries.c.id)
            .limit(count)
        )
        sending = (
            select(addresses.c.value)
            .join(attempts, attempts.c.address_id == addresses.c.id)
            .where(attempts.c.state == literal_column("'sending'"))
        )
        async with self.stage.database.read() as conn:
            return [*(await conn.execute(sending)).scalars(), *(await conn.execute(queued)).scalars()]

    async def _queued(self) -> int:
        queued = select(func.count()).where(
            deliveries.c.broadcast_id == self.broadcast_id, deliveries.c.status == literal_column("'queued'")
        )
        async with self.stage.database.read() as conn:
            return int((await conn.execute(queued)).scalar_one())

    async def ended(self) -> None:
        while True:
            async with self.stage.database.read() as conn:
                status = select(broadcasts.c.status).where(broadcasts.c.id == self.broadcast_id)
                if (await conn.execute(status)).scalar_one() == "done":
                    return
            await asyncio.sleep(0.5)


async def run(database: Database, race: Race, *, stops: int, freeze_seconds: float) -> list[str]:
    """Race to the end; returns what went wrong."""
    marketer = race.stage.marketer(race.replicas[0].process)
    began = time.monotonic()
    race.broadcast_id = await marketer.broadcast({"all": True})
    while not await race.stage.standin.log():
        await asyncio.sleep(0.1)
    print(f"first send after {time.monotonic() - began:.1f} s", flush=True)
    freezing = asyncio.create_task(race.freezes(freeze_seconds))
    await race.stop_those_who_are_next(stops)
    await race.ended()
    race.over = True
    await freezing
    print(f"done after {time.monotonic() - began:.0f} s", flush=True)
    return await judged(database, race, stops)


async def judged(database: Database, race: Race, stops: int) -> list[str]:
    log = await race.stage.standin.log()
    sent = accepted(log)
    heard = {line.text.sender for _, line in race.stops if line.status == 200}
    again = len(race.stops) - len(heard)
    print(f"{again} posts were answered otherwise than 200, and repeated")
    awake = sorted(
        line.seconds for replica, line in race.stops if not replica.stood_still(line.sent_at_ns, line.answered_at_ns)
    )
    p50, p99 = awake[len(awake) // 2], awake[len(awake) * 99 // 100]
    freezes = [ended - began for replica in race.replicas for began, ended in replica.frozen]
    spared = len(set(race.stage.seeded.to_be_sent()) - set(sent))
    print(f"{sum(sent.values()):,} sends, {len(heard):,} opt-outs, of whom {spared:,} came in time to be spared")
    print(
        f"{len(freezes)} freezes, {sum(freezes) / 1e9:.0f} s in all, the longest {max(freezes, default=0) / 1e9:.1f} s"
    )
    print(
        f"{len(awake):,} answers by replicas that were awake: p50 {p50:.3f} s, p99 {p99:.3f} s, max {awake[-1]:.3f} s"
    )
    faults = []
    for what, check in {
        "I2": lambda: checks.no_send_began_after_its_stop_was_answered(log, [line for _, line in race.stops]),
        "I3": lambda: checks.nobody_was_sent_to_twice(log),
    }.items():
        try:
            check()
        except AssertionError as error:
            faults.append(f"{what}: {error}")
    if not set(sent) <= set(race.stage.seeded.to_be_sent()):
        faults.append("somebody was sent to who had not said yes")
    if any(not replica.frozen for replica, line in race.stops if line.status != 200):
        faults.append("a replica that never stood still refused an opt-out")
    if p99 > ANSWER_P99_SECONDS or awake[-1] > ANSWER_MOST_SECONDS:
        faults.append(f"answers took p99 {p99:.2f} s, at most {awake[-1]:.2f} s")
    if len(heard) != stops:
        faults.append(f"only {len(heard)} of {stops} opt-outs were acknowledged")
    async with database.read() as conn:
        mine = deliveries.c.broadcast_id == race.broadcast_id
        rows = (
            await conn.execute(select(deliveries.c.status, func.count()).where(mine).group_by(deliveries.c.status))
        ).all()
    by_status = {row[0]: row[1] for row in rows}
    print("deliveries:", by_status)
    if sum(by_status.values()) != len(race.stage.seeded.people):
        faults.append(f"I4: {by_status} of {len(race.stage.seeded.people)}")
    return faults


async def main(sends: int, stops: int, freeze_seconds: float, seed: int) -> int:
    print("seed", seed, flush=True)
    people = int(sends / SHARE_SENT) // 100 * 100
    with postgres.own(fsync=True) as server, tempfile.TemporaryDirectory() as folder:
        if server is None:
            print("there is no PostgreSQL here", file=sys.stderr)
            return 2
        began = time.monotonic()
        async with staged(Path(folder), server.create_database("race"), people, delay_seconds=0.02) as stage:
            print(f"{people:,} people made in {time.monotonic() - began:.0f} s", flush=True)
            replicas = [Replica(await stage.home.serve()), Replica(await stage.home.serve())]
            race = Race(stage, replicas, random.Random(seed))
            faults = await run(stage.database, race, stops=stops, freeze_seconds=freeze_seconds)
            await end_well(stage.home, stage.database, *(r.process for r in replicas))
    print("\n".join(faults) or "no violation")
    return 1 if faults else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sends", type=int, default=100_000)
    parser.add_argument("--stops", type=int, default=10_000)
    parser.add_argument("--freeze-seconds", type=float, default=5.0, help="the longest a replica stands still")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    given = parser.parse_args()
    sys.exit(asyncio.run(main(given.sends, given.stops, given.freeze_seconds, given.seed)))
