"""How fast a message is durable, settled and answered: a STOP, a START, a plain text, each from a new number.

Limits: a bare aiohttp handler that reads the form and computes the signature (`bare`); the same gateway with a
transaction for each message (`alone`). They run in turn, round by round, each in a process of its own.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from bench import processes
from bench.databases import KINDS, databases
from bench.figures import Figure, figure, median, ratio, show
from bench.gateways import gateway, write_config
from bench.processes import Process

CONCURRENCIES = (1, 8, 64, 256)
TARGETS = {("sqlite", 64): 0.5, ("sqlite", 256): 0.5, ("postgresql", 64): 0.35, ("postgresql", 256): 0.35}
ALONE_TARGET = 2.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--on", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--kind", nargs="+", choices=("stop", "start", "text", "mix"), default=("stop",))
    parser.add_argument("--concurrency", nargs="+", type=int, default=CONCURRENCIES)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5)
    parser.add_argument("--before", type=Path, help="another checkout: its gateway takes part too")
    parser.add_argument("--without-alone", action="store_true", help="leave out the transaction for each message")


class Runs:
    """Rounds of one kind of message at one concurrency, by server."""

    def __init__(self, servers: dict[str, Process]) -> None:
        self._servers = servers
        self._first = 0
        self.rates: dict[str, list[float]] = {name: [] for name in servers}
        self.cpu: dict[str, list[float]] = {name: [] for name in servers}  # seconds a message
        self.p50: dict[str, list[float]] = {name: [] for name in servers}
        self.p99: dict[str, list[float]] = {name: [] for name in servers}

    def forget(self) -> None:
        for series in (self.rates, self.cpu, self.p50, self.p99):
            for rounds in series.values():
                rounds.clear()

    def round(self, kind: str, concurrency: int, seconds: float, *, turn: int) -> None:
        names = list(self._servers)
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            server = self._servers[name]
            before = server.cpu_seconds()
            told = processes.ask(
                "bench.load", server.url, "--kind", kind, "--concurrency", str(concurrency),
                "--seconds", str(seconds), "--first", str(self._first),
            )  # fmt: skip
            self._first += 100_000
            self.rates[name].append(told["answers"] / told["seconds"])
            self.cpu[name].append((server.cpu_seconds() - before) / told["answers"])
            self.p50[name].append(told["p50_ms"])
            self.p99[name].append(told["p99_ms"])


async def main(chosen: argparse.Namespace) -> None:
    for on in chosen.on:
        with databases(on) as made, tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            enter = stack.enter_context
            servers = {
                "gateway": enter(gateway(write_config(Path(folder), made.new()))),
                "bare": enter(processes.running("bench.bare")),
            }
            if not chosen.without_alone:
                servers["alone"] = enter(gateway(write_config(Path(folder), made.new()), "alone"))
            if chosen.before:
                config = write_config(Path(folder), made.new())
                servers["before"] = enter(gateway(config, root=chosen.before.resolve()))
            runs = Runs(servers)
            runs.round(chosen.kind[0], 8, 0.5, turn=0)  # what is made once is made
            for kind in chosen.kind:
                figures: list[Figure] = []
                for concurrency in chosen.concurrency:
                    runs.forget()
                    for turn in range(chosen.rounds):
                        runs.round(kind, concurrency, chosen.seconds, turn=turn)
                    figures += _figures(on, concurrency, runs)
                show(f"inbound {kind}, {on}, {chosen.rounds} rounds of {chosen.seconds} s", figures, chosen.json)


def _figures(on: str, concurrency: int, runs: Runs) -> Iterator[Figure]:
    rates, at = runs.rates, f"c={concurrency}"
    note = f"{median(rates['gateway']):.0f}/s of {median(rates['bare']):.0f}/s; "
    note += f"p50 {median(runs.p50['gateway']):.1f} ms, p99 {median(runs.p99['gateway']):.1f} ms"
    target = TARGETS.get((on, concurrency))
    yield ratio(f"{at} of a bare handler", rates["gateway"], rates["bare"], f">= {target}" if target else "", note)
    note = f"a bare handler {median(runs.cpu['bare']) * 1e6:.0f}"
    yield figure(f"{at} processor us a message", [one * 1e6 for one in runs.cpu["gateway"]], note=note)
    for name, title in (("alone", "one by one"), ("before", "before")):
        if name in rates:
            note = f"{title} {median(rates[name]):.0f}/s, {median(runs.cpu[name]) * 1e6:.0f} us"
            target = ALONE_TARGET if name == "alone" and on == "sqlite" and concurrency >= 64 else None
            yield ratio(f"{at} of {title}", rates["gateway"], rates[name], f">= {target}" if target else "", note)
