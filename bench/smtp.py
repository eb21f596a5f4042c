"""How fast a broadcast goes out by SMTP: claimed, composed, handed to a relay, and the outcome written down.

The limit is a bare loop of aiosmtplib that posts the same mails, made before, on as many connections. The relay is
aiosmtpd in a process of its own, which answers at once. The rate is its own count, of the middle eight tenths.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench import mailing, processes
from bench.databases import KINDS, Databases, databases
from bench.dispatch import rate
from bench.figures import Figure, figure, median, ratio, show
from bench.gateways import gateway
from bench.plan import call
from bench.processes import Process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--on", nargs="+", choices=KINDS, default=("sqlite",))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="another checkout: its gateway takes part too")
    parser.add_argument("--connections", type=int, default=10, help="to the relay at once")


@dataclass
class Runs:
    """Rounds of one broadcast, by who sends it."""

    made: Databases
    folder: Path
    like: str  # the database that each round has a copy of
    key: str
    count: int
    connections: int
    rates: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    cpu: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))  # us a mail, with its plan

    async def bare(self) -> None:
        with processes.running("bench.sink", str(self.count)) as sink:
            port = _port(sink)
            processes.ask("bench.baresmtp", port, str(self.count), str(self.connections))
            self.rates["bare"].append(await rate(sink, self.count))

    async def gateway(self, name: str, root: Path = processes.ROOT) -> None:
        url = self.made.new(self.like)
        with processes.running("bench.sink", str(self.count)) as sink:
            config = mailing.write_config(self.folder, url, int(_port(sink)), self.connections)
            with gateway(config, root=root) as server:
                before = server.cpu_seconds()
                body = {"name": "bench", "channel": "email", "audience": {"all": True}, "content": mailing.CONTENT}
                call(server, self.key, "/v1/broadcasts", body)
                self.rates[name].append(await rate(sink, self.count))
                self.cpu[name].append((server.cpu_seconds() - before) / self.count * 1e6)
        self.made.drop(url)


async def main(chosen: argparse.Namespace) -> None:
    for on in chosen.on:
        with databases(on) as made, tempfile.TemporaryDirectory() as where:
            like = made.new()
            key = await mailing.fill(like, chosen.people)
            runs = Runs(made, Path(where), like, key, chosen.people, chosen.connections)
            for _ in range(chosen.rounds):
                await runs.bare()
                await runs.gateway("ours")
                if chosen.before:
                    await runs.gateway("before", chosen.before.resolve())
        title = f"mail out, {chosen.people:,}, {chosen.connections} connections, {on}, {chosen.rounds} rounds"
        show(title, list(_figures(runs)), chosen.json)


def _figures(runs: Runs) -> Iterator[Figure]:
    rates = runs.rates
    notes = {name: f"{median(of):.0f}/s of {median(rates['bare']):.0f}/s" for name, of in rates.items()}
    yield ratio("by SMTP, of a bare loop of aiosmtplib", rates["ours"], rates["bare"], ">= 0.7", notes["ours"])
    yield figure("processor, us a mail with its plan", runs.cpu["ours"])
    if "before" in rates:
        yield ratio("by SMTP, of before", rates["ours"], rates["before"], note=f"before {notes['before']}")
        yield figure("processor before", runs.cpu["before"])


def _port(sink: Process) -> str:
    """Of the two addresses that the sink has told the second; the first stays."""
    sink.url, _, port = sink.url.partition(" ")
    return port
