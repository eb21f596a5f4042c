"""The gateway as it runs in production: a process of its own, started, stopped, killed and frozen from outside."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from store.engine import Database
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
OUR_NUMBER = "+14155550100"


def environment(shared: Path) -> dict[str, str]:
    """For a process of ours: no options from outside, and what one has compiled the next need not compile again."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTGATE_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | {"PYTHONPYCACHEPREFIX": str(shared / "compiled")}


@dataclass
class House:
    """One configuration, and the processes that were started with it."""

    folder: Path
    database_url: str
    provider_url: str
    connections: tuple[str, ...] = ("sms",)
    started: list[Process] = field(default_factory=list)

    def __post_init__(self) -> None:
        lines = ["[server]", "port = 0", f'public_url = "{ORIGIN}"', "[database]", f'url = "{self.database_url}"']
        lines += ["[sending]", 'quiet_hours = "off"']  # the tests run at any hour
        for name in self.connections:
            lines += [
                f"[connections.{name}]",
                'provider = "twilio"',
                'channel = "sms"',
                f'account_sid = "{ACCOUNT}"',
                f'auth_token = "{TOKEN}"',
                f'from = "{OUR_NUMBER}"',
                "rate = 100000",
                'stop_notice = "never"',
                f'api_url = "{self.provider_url}"',
            ]
        self.config = self.folder / "optgate.toml"
        self.config.write_text("\n".join(lines) + "\n")

    async def serve(self) -> Process:
        """Start a gateway; it listens when this returns."""
        return await self._start("serve", "Optgate listens on ")

    async def work(self) -> Process:
        """Start a worker; it dispatches when this returns."""
        return await self._start("worker", "Optgate's worker is at work")

    def complaints(self) -> list[str]:
        """What the processes logged as an error, said that is no log line, or had to do one by one."""
        found = []
        for process in self.started:
            for line in process.log.read_text().splitlines():
                try:
                    said = json.loads(line)
                except ValueError:
                    said = {}
                if said.get("level") not in ("debug", "info", "warning") or said.get("event") == "group.taken_apart":
                    found.append(line)
        return found

    async def _start(self, command: str, sign: str) -> Process:
        log = self.folder / f"{len(self.started)}-{command}.log"
        with log.open("wb") as err:
            child = await self._spawn(command, out=asyncio.subprocess.PIPE, err=err.fileno())
        process = Process(child, log)
        self.started.append(process)
        assert child.stdout is not None
        try:
            line = (await asyncio.wait_for(child.stdout.readline(), PATIENCE_SECONDS)).decode().strip()
        except TimeoutError:
            line = ""
        assert line.startswith(sign), f"{command} did not start: {line} {log.read_text()}"
        process.url = line.removeprefix(sign)
        return process

    async def _spawn(
        self, *arguments: str, out: int, err: int = asyncio.subprocess.STDOUT
    ) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.cli",
            *arguments,
            "--config",
            str(self.config),
            cwd=ROOT,
            env=environment(self.folder.parent),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )


@dataclass
class Process:
    """One running gateway or worker."""

    child: asyncio.subprocess.Process
    log: Path
    url: str = ""

    async def stop(self) -> int:
        """SIGTERM, as an operator does; returns the exit status."""
        self.child.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.child.wait(), PATIENCE_SECONDS)

    async def kill(self) -> None:
        """SIGKILL: no more of its instructions are carried out."""
        if self.child.returncode is None:
            self.child.kill()
            await self.child.wait()

    async def freeze(self, seconds: float) -> None:
        """Stand still for so long, as a machine does that is paused or swaps."""
        self.child.send_signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            self.child.send_signal(signal.SIGCONT)


@asynccontextmanager
async def house(
    folder: Path, database_url: str, provider_url: str, connections: tuple[str, ...] = ("sms",)
) -> AsyncIterator[House]:
    """A configuration to start processes with; none of them outlives it."""
    house = House(folder, database_url, provider_url, connections)
    try:
        yield house
    finally:
        for process in house.started:
            await process.kill()


@asynccontextmanager
async def opened(house: House) -> AsyncIterator[Database]:
    """Connections of our own to the gateway's database."""
    database = Database(house.database_url)
    try:
        yield database
    finally:
        await database.dispose()
