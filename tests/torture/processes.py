"""The two processes beside the driver: the nursery of gateways, and the provider. Neither outlives it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0


@dataclass
class Life:
    """One gateway, from its birth."""

    pid: int
    listens: asyncio.Event
    ended: asyncio.Event
    died_at: str | None = None  # the crash point that ended it
    exit_code: int | None = None

    def kill(self) -> None:
        """As `kill -9` does, unless it is dead already."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)

    def die_elsewhere(self) -> None:
        """Its crash point is not come to: it is to die at the other one it was given."""
        if not self.ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGUSR1)


class Nursery:
    """Starts gateways, one after another, at one address."""

    def __init__(self, url: str, stdin: StreamWriter, stdout: StreamReader) -> None:
        self.url = url
        self._stdin, self._stdout = stdin, stdout

    async def bear(
        self, settings: dict[str, Any], ahead_seconds: float, log: Path, *, crash: str | None, instead: str | None
    ) -> Life:
        """A new gateway; the one before must have ended."""
        return await self._start(settings, ahead_seconds, log, crash=crash, instead=instead)

    async def rehearse(self, settings: dict[str, Any], ahead_seconds: float, log: Path) -> Life:
        """A gateway that nothing happens to, which those to come learn from; ends with `enough`."""
        return await self._start(settings, ahead_seconds, log, rehearsal=True)

    def enough(self) -> None:
        self._stdin.write(b"enough\n")

    async def _start(self, settings: dict[str, Any], ahead_seconds: float, log: Path, **more: Any) -> Life:
        asked = {"settings": settings, "ahead": ahead_seconds, "log": str(log), **more}
        self._stdin.write(json.dumps(asked).encode() + b"\n")
        fact = json.loads(await self._stdout.readline())
        life = Life(fact["born"], asyncio.Event(), asyncio.Event())
        self._following = asyncio.create_task(self._follow(life))
        return life

    async def _follow(self, life: Life) -> None:
        while not life.ended.is_set():
            fact = json.loads(await self._stdout.readline() or '{"ended": null}')
            life.died_at = fact.get("died_at", life.died_at)
            if "listens" in fact:
                life.listens.set()
            if "ended" in fact:
                life.exit_code = fact["ended"]
                life.ended.set()


@asynccontextmanager
async def open_nursery() -> AsyncIterator[Nursery]:
    async with _running("tests.torture.nursery") as child:
        assert child.stdout is not None
        assert child.stdin is not None
        fact = json.loads(await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS))
        yield Nursery(fact["url"], child.stdin, child.stdout)


@dataclass
class Provider:
    url: str
    journal: Path
    _stdin: StreamWriter

    def go_ahead(self, seconds: float) -> None:
        """Its clock is so far ahead of ours, as the gateway's is."""
        self._stdin.write(f"ahead {seconds}\n".encode())

    def calm(self) -> None:
        """No more faults from now on."""
        self._stdin.write(b"calm\n")


@asynccontextmanager
async def open_provider(seed: str, gateway_url: str, journal: Path) -> AsyncIterator[Provider]:
    arguments = ("--seed", seed, "--gateway", gateway_url, "--journal", str(journal))
    async with _running("tests.torture.provider", *arguments) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        url = (await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS)).decode().strip()
        yield Provider(url, journal, child.stdin)


@asynccontextmanager
async def _running(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of ours that ends with its standard input, or is ended."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTGATE_")}
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, *arguments, cwd=ROOT, env=kept, stdin=pipe, stdout=pipe
    )
    try:
        yield child
    finally:
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), 5)
        except TimeoutError:
            child.kill()
            await child.wait()
