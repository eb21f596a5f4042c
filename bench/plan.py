"""How long the plan of a broadcast to everybody takes, what it holds, and how long those wait who text meanwhile.

The limit is a bare INSERT … SELECT of as many rows in the same order and chunks (`bareplan`); each round has a new copy
of the same database. Memory is the most that the gateway held during the plan, beyond what it held before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
import urllib.request
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import select

from bench import people, processes
from bench.databases import KINDS, Databases, databases
from bench.figures import figure, median, ratio, show
from bench.gateways import gateway, settings_on, write_config
from bench.processes import Process
from store.clock import utcnow
from store.engine import Database
from store.tables import broadcasts

PER_SECOND = 100
QUIET_SECONDS = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=int, default=100_000)
    parser.add_argument("--on", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--before", type=Path, help="another checkout: its gateway takes part too")


def call(server: Process, key: str, path: str, body: Any = None) -> Any:
    request = urllib.request.Request(
        server.url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {key}", "Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


async def planned(server: Process, key: str, url: str, *, patience_seconds: float = 600) -> float:
    """Make a broadcast to everybody, due next month; returns the seconds until it was planned."""
    body = {
        "name": "bench", "channel": "sms", "content": {"body": "Hello"}, "audience": {"all": True},
        "preference": people.PREFERENCE, "send_at": (utcnow() + timedelta(days=30)).isoformat(),
    }  # fmt: skip
    call(server, key, "/v1/broadcasts", body)
    database, began = Database(url), time.perf_counter()
    try:
        while time.perf_counter() < began + patience_seconds:
            await asyncio.sleep(0.2)
            async with database.read() as conn:
                row = (await conn.execute(select(broadcasts.c.created_at, broadcasts.c.planned_at))).one()
            if row.planned_at is not None:
                return float((row.planned_at - row.created_at).total_seconds())
    finally:
        await database.dispose()
    raise RuntimeError("it was not planned in time")


class Rounds:
    """What was measured in each round."""

    def __init__(self) -> None:
        self.seconds: dict[str, list[float]] = {"gateway": [], "bare": [], "before": []}
        self.megabytes: list[float] = []
        self.waits: dict[str, list[float]] = {"quiet": [], "plan": [], "plan p50": []}

    def bare(self, made: Databases, like: str) -> None:
        url = made.new(like)
        self.seconds["bare"].append(processes.ask("bench.bareplan", url)["seconds"])
        made.drop(url)

    async def gateway(self, name: str, made: Databases, like: str, key: str, folder: Path, root: Path) -> None:
        url = made.new(like)
        with gateway(write_config(folder, url), root=root) as server:
            call(server, key, "/v1/broadcasts")
            server.forget_peak()
            idle = server.resident_mb()
            self.seconds[name].append(await planned(server, key, url))
            if name == "gateway":
                self.megabytes.append(server.resident_mb("VmHWM") - idle)
        made.drop(url)

    async def with_texts(self, made: Databases, like: str, key: str, folder: Path) -> None:
        """The same while somebody texts, as often before as during the plan."""
        url = made.new(like)
        with gateway(write_config(folder, url)) as server:
            lasts = max(2.0, median(self.seconds["gateway"]))
            common = ("bench.load", server.url, "--kind", "mix", "--rate", str(PER_SECOND), "--concurrency", "32")
            processes.ask(*common, "--seconds", "1")
            quiet = processes.ask(*common, "--seconds", str(QUIET_SECONDS), "--first", "1000000")
            texts = processes.begin(*common, "--seconds", str(lasts), "--first", "2000000")
            time.sleep(0.4)  # it starts
            await planned(server, key, url)
            told = processes.end(texts)
        self.waits["quiet"].append(quiet["p99_ms"])
        self.waits["plan"].append(told["p99_ms"])
        self.waits["plan p50"].append(told["p50_ms"])
        made.drop(url)


async def main(chosen: argparse.Namespace) -> None:
    for on in chosen.on:
        with databases(on) as made, tempfile.TemporaryDirectory() as where:
            folder, like, rounds = Path(where), made.new(), Rounds()
            key = await people.fill(like, settings_on(like), chosen.people)
            for _ in range(chosen.rounds):
                rounds.bare(made, like)
                await rounds.gateway("gateway", made, like, key, folder, processes.ROOT)
                if chosen.before:
                    await rounds.gateway("before", made, like, key, folder, chosen.before.resolve())
            for _ in range(chosen.rounds):
                await rounds.with_texts(made, like, key, folder)
            _show(on, chosen, rounds)


def _show(on: str, chosen: argparse.Namespace, rounds: Rounds) -> None:
    ours, bare, before = (rounds.seconds[name] for name in ("gateway", "bare", "before"))
    note = f"{median(ours):.1f} s of {median(bare):.1f} s"
    figures = [ratio("time, of a bare statement", ours, bare, "<= 2", note)]
    if before:
        figures.append(ratio("time, of before", ours, before, note=f"before {median(before):.1f} s"))
    quiet = f"p50 {median(rounds.waits['plan p50']):.1f}; p99 while it is quiet {median(rounds.waits['quiet']):.1f}"
    figures += [
        figure("MB beyond idle, at the most", rounds.megabytes, "<= 60"),
        figure(f"p99 ms of {PER_SECOND} texts a second meanwhile", rounds.waits["plan"], "<= 100",
               quiet),
    ]  # fmt: skip
    show(f"plan of {chosen.people:,}, {on}, {chosen.rounds} rounds", figures, chosen.json)
