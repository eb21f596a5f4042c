"""The provider's stand-in as a process of its own, so that neither its clock nor its work is the clients'."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from tests.campaign.gateways import ROOT
from tests.channels.requests_as_sent import ACCOUNT, TOKEN
from tests.standins.twilio import Request


@dataclass(frozen=True)
class StandIn:
    url: str

    async def log(self) -> list[Request]:
        """Every request so far."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.url}/log") as answer:
            return [Request(**json.loads(line)) for line in (await answer.text()).splitlines()]


def accepted(log: Sequence[Request]) -> Counter[str]:
    """How many messages each number was sent."""
    return Counter(line.to for line in log if line.sid)


@asynccontextmanager
async def open_standin(*, delay_seconds: float = 0.0) -> AsyncIterator[StandIn]:
    account = ["--account-sid", ACCOUNT, "--auth-token", TOKEN, "--delay", str(delay_seconds)]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.standins.twilio", *account, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        yield StandIn((await asyncio.wait_for(child.stdout.readline(), 60)).decode().strip())
    finally:
        child.kill()
        await child.wait()
