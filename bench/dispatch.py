"""How fast a broadcast goes out through the Twilio adapter: claimed, sent, and the outcome written down.

The limit is a bare aiohttp client that posts the same bodies, as many at once. `direct` is the same gateway without the
twilio library: what that would gain. The rate is the stub's own count, of the middle eight tenths of each run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import people, processes
from bench.databases import KINDS, Databases, databases
from bench.figures import Figure, figure, median, ratio, show
from bench.gateways import gateway, settings_on, write_config
from bench.plan import call
from bench.processes import Process

PATIENCE_SECONDS = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--on", nargs="+", choices=KINDS, default=("sqlite",))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="another checkout: its gateway takes part too")
    parser.add_argument("--without-direct", action="store_true", help="leave out the gateway without the library")


async def rate(stub: Process, count: int) -> float:
    """Posts a second, once they have all come."""
    until = time.perf_counter() + PATIENCE_SECONDS
    while time.perf_counter() < until:
        await asyncio.sleep(0.2)
        with urllib.request.urlopen(stub.url, timeout=10) as response:
            told = json.load(response)
        if told["seconds"]:
            return count * 0.8 / float(told["seconds"])
    raise RuntimeError(f"only {told['came']} came")


async def _bare(count: int) -> float:
    with processes.running("bench.stub", str(count)) as stub:
        processes.ask("bench.baresend", stub.url, str(count))
        return await rate(stub, count)


@dataclass
class Runs:
    """Rounds of one broadcast, by who sends it."""

    made: Databases
    folder: Path
    like: str  # the database that each round has a copy of
    key: str
    count: int
    rates: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # us a message, with its plan

    async def bare(self) -> None:
        self.rates["bare"].append(await _bare(self.count))

    async def gateway(self, name: str, otherwise: str | None = None, root: Path = processes.ROOT) -> None:
        url = self.made.new(self.like)
        with (
            processes.running("bench.stub", str(self.count)) as stub,
            gateway(write_config(self.folder, url, stub.url), otherwise, root=root) as server,
        ):
            body = {"name": "bench", "channel": "sms", "content": {"body": "Hello"}, "audience": {"all": True}}
            before = server.cpu_seconds()
            call(server, self.key, "/v1/broadcasts", body)
            self.rates[name].append(await rate(stub, self.count))
            self.cpu[name].append((server.cpu_seconds() - before) / self.count * 1e6)
        self.made.drop(url)


async def main(chosen: argparse.Namespace) -> None:
    for on in chosen.on:
        with databases(on) as made, tempfile.TemporaryDirectory() as where:
            folder, like = Path(where), made.new()
            key = await people.fill(like, settings_on(like), chosen.people, all_say_yes=True)
            runs = Runs(made, folder, like, key, chosen.people)
            for _ in range(chosen.rounds):
                await runs.bare()
                await runs.gateway("twilio")
                if not chosen.without_direct:
                    await runs.gateway("direct", "direct")
                if chosen.before:
                    await runs.gateway("before", root=chosen.before.resolve())
            title = f"dispatch of {chosen.people:,}, {on}, {chosen.rounds} rounds"
            show(title, list(_figures(runs)), chosen.json)


def _figures(runs: Runs) -> Iterator[Figure]:
    rates = runs.rates
    notes = {name: f"{median(of):.0f}/s of {median(rates['bare']):.0f}/s" for name, of in rates.items()}
    yield ratio("twilio's library, of a bare client", rates["twilio"], rates["bare"], ">= 0.55", notes["twilio"])
    yield figure("twilio's library, processor us a message", runs.cpu["twilio"])
    if "direct" in rates:
        yield ratio("posted directly, of a bare client", rates["direct"], rates["bare"], note=notes["direct"])
        yield ratio("posted directly, of the library", rates["direct"], rates["twilio"])
    if "before" in rates:
        note = f"before {notes['before']}, {median(runs.cpu['before']):.0f} us"
        yield ratio("twilio's library, of before", rates["twilio"], rates["before"], note=note)
