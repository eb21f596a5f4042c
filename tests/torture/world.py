"""A database, its people, and one gateway after another that dies on it."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.settings import Settings
from store.clock import utcnow
from store.engine import Database
from store.tables import broadcasts, deliveries
from tests.campaign.seed import Seeded, seed
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN
from tests.torture import checker
from tests.torture.casting import cast
from tests.torture.clients import OURS, Clients
from tests.torture.imports import Importer
from tests.torture.nursery import BOX
from tests.torture.processes import Life, Nursery, Provider, open_provider
from tests.torture.records import JournalReader, Record

PEOPLE = 100  # a hundred of tests.campaign.seed are of every kind
A_LIFE_AHEAD = 61.0  # the clock jumps so far from one life to the next: what the dead one held is lost by then
IMPORTS = 0.1  # of the lives have an import beside them that is to die, too
START_SECONDS = 60.0
ROUND_SECONDS = 4.0  # an opt-out may wait 1.1 s
TAIL_SECONDS = 0.4  # for what goes on when the clients are done
ROUNDS, SHORT_ROUNDS = 4, 3  # until a gateway that does not come to its crash point is killed from outside
ROUNDS_BEFORE_INSTEAD = 1  # until it is told to die elsewhere
REHEARSED_ROUNDS, REHEARSED_SECONDS = 3, 2.0
LAST_SECONDS = 15.0  # where every point must be come to: for what goes on by itself


def settings_for(database_url: str, provider_url: str) -> dict[str, Any]:
    twilio = {"provider": "twilio", "channel": "sms", "account_sid": ACCOUNT, "auth_token": TOKEN, "from": OURS}
    return {
        "server": {"public_url": ORIGIN},
        "database": {"url": database_url},
        "sending": {"quiet_hours": "off"},  # it runs at any hour
        "connections": {
            "sms": twilio | {"api_url": provider_url, "rate": 100_000, "stop_notice": "never"},
            BOX: {"provider": "sandbox", "channel": "whatsapp"},
        },
    }


@dataclass
class Template:
    """A database with people in mixed states; each world gets a copy."""

    url: str
    seeded: Seeded
    copy: Callable[[str], str]  # name → the copy's address
    drop: Callable[[str], None]


async def make_template(url: str, copy: Callable[[str], str], drop: Callable[[str], None]) -> Template:
    database = Database(url)
    try:
        settings = Settings.model_validate(settings_for(url, "http://127.0.0.1:9"))
        return Template(url, await seed(database, settings, PEOPLE), copy, drop)
    finally:
        await database.dispose()


@dataclass
class Death:
    """How a life ended."""

    asked: str | None
    died_at: str | None  # None: killed from outside
    findings: list[str] = field(default_factory=list)


class World:
    """One story, from a fresh database to its end."""

    def __init__(self, name: str, seed: str, folder: Path, template: Template, nursery: Nursery) -> None:
        self.name, self.seed, self.folder = name, seed, folder
        self.url = template.copy(name)
        self.record = Record()
        self.findings: list[str] = []
        self._told: set[str] = set()  # each is told once, in the life after which it was first seen
        self.lives = 0
        self._template, self._nursery = template, nursery
        self._chance = random.Random(f"{seed} {name}")
        self._log = folder / "gateway.log"
        self._logged = 0
        self.script = cast(template.seeded, self._chance, name, self.record)
        self._importer = Importer(folder, self.url, self._chance, self.record)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[World]:
        self.folder.mkdir(parents=True, exist_ok=True)
        async with AsyncExitStack() as ending:
            journal = self.folder / "provider.jsonl"
            self.provider: Provider = await ending.enter_async_context(
                open_provider(f"{self.seed} {self.name}", self._nursery.url, journal)
            )
            self.journal = JournalReader(journal)
            connector = aiohttp.TCPConnector(limit=0, force_close=True)
            session = aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10))
            await ending.enter_async_context(session)
            self.clients = Clients(
                session, self._nursery.url, self._template.seeded.key, self.record, self._gateway_clock
            )
            is_file = self.url.startswith("sqlite")
            self._books = Database(f"sqlite:///{self.folder / 'copy.db'}" if is_file else self.url, pool_size=2)
            ending.push_async_callback(self._books.dispose)
            ending.push_async_callback(self._importer.ended)
            yield self
        self._template.drop(self.name)

    # --- one life ---------------------------------------------------------------------------------

    async def live(self, crash: str | None, *, everything: bool = False) -> Death:
        """A gateway that dies where it is told; then what is found.

        One that does not come there dies at another point, which its seed gives; where `everything` is to be come to,
        and after all that, it is killed from outside.
        """
        instead = None if everything else f"any:{self._chance.randint(1, 40)}"
        life = await self._bear(crash, instead)
        if not self._importer.is_through and self._chance.random() < IMPORTS:
            await self._importer.start(f"any:{self._chance.randint(1, 16)}", self._ahead)
        for place in range(ROUNDS if everything else SHORT_ROUNDS):
            if life.ended.is_set() or not await self._first(life, life.listens.wait(), START_SECONDS):
                break
            if place == ROUNDS_BEFORE_INSTEAD and instead is not None:
                life.die_elsewhere()
            jobs = self.script.round(self.clients, everything=everything)
            await self._first(life, _gathered(jobs), ROUND_SECONDS)
            await self._first(life, asyncio.sleep(self._chance.uniform(0, TAIL_SECONDS)), TAIL_SECONDS)
        if everything:
            await self._first(life, asyncio.sleep(LAST_SECONDS), LAST_SECONDS)
        return await self._end(life, crash)

    async def rehearse(self) -> None:
        """Let the nursery's parent be a gateway for a while, and do everything there is to be done with it."""
        life = await self._nursery.rehearse(settings_for(self.url, self.provider.url), 0.0, self._log)
        await self._first(life, life.listens.wait(), START_SECONDS)
        for _ in range(REHEARSED_ROUNDS):
            await self._first(life, _gathered(self.script.round(self.clients, everything=True)), ROUND_SECONDS)
        await asyncio.sleep(REHEARSED_SECONDS)
        self._nursery.enough()
        await life.ended.wait()

    async def _bear(self, crash: str | None, instead: str | None = None) -> Life:
        self.lives += 1
        settings = settings_for(self.url, self.provider.url)
        self.provider.go_ahead(self._ahead)
        return await self._nursery.bear(settings, self._ahead, self._log, crash=crash, instead=instead)

    @property
    def _ahead(self) -> float:
        return A_LIFE_AHEAD * self.lives

    def _gateway_clock(self) -> datetime:
        return utcnow() + timedelta(seconds=self._ahead)

    async def _first(self, life: Life, work: Coroutine[Any, Any, object], seconds: float) -> bool:
        """Do it while the gateway lives; whether it was done."""
        doing, ended = asyncio.ensure_future(work), asyncio.ensure_future(life.ended.wait())
        await asyncio.wait((doing, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        done = doing.done()
        for task in (doing, ended):
            task.cancel()
        await asyncio.gather(doing, ended, return_exceptions=True)
        if done and not doing.cancelled() and (error := doing.exception()) is not None:
            raise error
        return done

    async def _end(self, life: Life, crash: str | None) -> Death:
        life.kill()
        await life.ended.wait()
        await self._importer.ended()
        death = Death(crash, life.died_at, [*self._importer.findings])
        if not life.died_at and life.exit_code != -9:
            death.findings.append(f"the gateway ended by itself with {life.exit_code}")
        death.findings += self._complaints() + await self._check()
        new = [finding for finding in dict.fromkeys(death.findings) if finding not in self._told]
        self._told.update(new)
        self.findings += [f"life {self.lives} ({life.died_at or 'killed'}): {finding}" for finding in new]
        return death

    # --- what is found ----------------------------------------------------------------------------

    async def _check(self) -> list[str]:
        journal = list(self.journal.read())
        await self._copy_books()
        return [*checker.of_logs(self.record, journal), *await checker.of_books(self._books, self.record, journal)]

    async def _copy_books(self) -> None:
        """A SQLite file and its log are read as a copy: the next gateway finds what the kill has left."""
        if not self.url.startswith("sqlite"):
            return
        await self._books.dispose()
        source = Path(self.url.removeprefix("sqlite:///"))
        for ending in ("", "-wal"):
            target = self.folder / f"copy.db{ending}"
            target.unlink(missing_ok=True)
            if (there := source.with_name(source.name + ending)).exists():
                shutil.copyfile(there, target)
        (self.folder / "copy.db-shm").unlink(missing_ok=True)

    def _complaints(self) -> list[str]:
        """What the gateways logged as an error, or said that is no log line."""
        if not self._log.exists():
            return []
        with self._log.open() as log:
            log.seek(self._logged)
            lines = log.readlines()
            self._logged = log.tell()
        found = []
        for line in lines:
            try:
                level = json.loads(line).get("level")
            except ValueError:
                level = None
            if level not in ("debug", "info", "warning"):
                found.append(f"the gateway complained: {line.strip()[:500]}")
        return found

    # --- the end ----------------------------------------------------------------------------------

    async def finish(self, *, seconds: float = 120.0) -> None:
        """One last gateway that nothing happens to: all that is owed is acknowledged, all that is queued sent."""
        self.provider.calm()
        self.lives += 120  # some two hours: the longest that a provider may ask us to wait
        life = await self._bear(None)
        until = asyncio.get_running_loop().time() + seconds
        await self._first(life, life.listens.wait(), START_SECONDS)
        await self._importer.start(None, self._ahead)
        await asyncio.gather(*self.script.going_on(self.clients))
        await self._importer.ended()
        if not self._importer.is_through:
            self.findings.append("I5: an import that nothing happened to has left out rows")
        while not life.ended.is_set() and asyncio.get_running_loop().time() < until:
            await asyncio.gather(*(self.clients.ask(one) for one in self.record.owed()))
            if not self.record.owed() and not await self._under_way() and not await self._unsettled():
                break
            await asyncio.sleep(0.1)
        else:
            self.findings.append(
                f"I4: not at rest after {seconds} s: {len(self.record.owed())} unanswered, "
                f"{await self._under_way()} under way, {await self._unsettled()} not settled"
            )
        await asyncio.sleep(0.2)
        await self._end(life, None)
        last = await checker.of_the_end(self._books, self.record, self.journal.read())
        self.findings += [f"at the end: {finding}" for finding in last]

    async def _under_way(self) -> int:
        open_ = select(func.count()).where(deliveries.c.status.in_(["queued", "sending"]))
        planning = select(func.count()).where(broadcasts.c.status.in_(["planning", "scheduled", "sending", "paused"]))
        async with self._looking() as conn:
            return int((await conn.execute(open_)).scalar_one() + (await conn.execute(planning)).scalar_one())

    async def _unsettled(self) -> int:
        """Messages in doubt that the provider has, and would tell of."""
        async with self._looking() as conn:
            return len(list(checker.in_doubt_still(await checker.ends(conn), self.journal.read())))

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[AsyncConnection]:
        """At the books that the gateway is writing."""
        database = Database(self.url, pool_size=1)
        try:
            async with database.read() as conn:
                yield conn
        finally:
            await database.dispose()

    def keep_evidence(self) -> None:
        self.record.write(self.folder / "clients.jsonl")
        (self.folder / "findings.txt").write_text("\n".join(self.findings) + "\n")
        if self.url.startswith("sqlite"):
            for file in Path(self.url.removeprefix("sqlite:///")).parent.glob(f"{self.name}.db*"):
                shutil.copyfile(file, self.folder / file.name)


async def _gathered(jobs: list[Coroutine[Any, Any, object]]) -> None:
    await asyncio.gather(*jobs)
