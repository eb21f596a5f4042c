"""How a test of the campaign begins and ends: a provider, a configuration, its people; and what must be true after."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from gateway.settings import load
from store.engine import Database
from tests.campaign import checks
from tests.campaign.clients import Marketer, open_clients
from tests.campaign.gateways import House, Process, house, opened
from tests.campaign.seed import Seeded, seed
from tests.campaign.standin import StandIn, open_standin


@dataclass(frozen=True)
class Stage:
    standin: StandIn
    home: House
    database: Database
    session: aiohttp.ClientSession
    seeded: Seeded

    def marketer(self, gateway: Process) -> Marketer:
        return Marketer(self.session, self.seeded.key, gateway.url)


@asynccontextmanager
async def staged(folder: Path, database_url: str, people: int, *, delay_seconds: float = 0.0) -> AsyncIterator[Stage]:
    """So many people in the database, and no gateway yet."""
    async with (
        open_standin(delay_seconds=delay_seconds) as standin,
        house(folder, database_url, standin.url) as home,
        opened(home) as database,
        open_clients() as session,
    ):
        yield Stage(standin, home, database, session, await seed(database, load(home.config, {}), people))


async def end_well(home: House, database: Database, *processes: Process, verified: bool = True) -> None:
    """Stop them, one after another; they have nothing to complain of, nor have the gateway's own checks."""
    for process in processes:
        assert await process.stop() == 0
    if verified:
        await checks.the_gateways_own_checks_find_nothing(database)
    assert home.complaints() == []
