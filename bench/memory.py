"""What `optgate serve` holds: idle on a new SQLite file, and after five thousand messages."""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from pathlib import Path

from bench import processes
from bench.databases import databases
from bench.figures import figure, show
from bench.gateways import gateway, write_config

IDLE_SECONDS = 3
TEXTS, PER_SECOND = 5000, 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=5)


async def main(chosen: argparse.Namespace) -> None:
    idle, after = [], []
    with databases("sqlite") as made, tempfile.TemporaryDirectory() as folder:
        for _ in range(chosen.rounds):
            with gateway(write_config(Path(folder), made.new())) as server:
                await asyncio.sleep(IDLE_SECONDS)
                idle.append(server.resident_mb())
                processes.ask(
                    "bench.load", server.url, "--kind", "mix", "--rate", str(PER_SECOND),
                    "--seconds", str(TEXTS / PER_SECOND),
                )  # fmt: skip
                after.append(server.resident_mb())
    figures = [
        figure("MB idle", idle, "<= 150"),
        figure(f"MB after {TEXTS:,} messages", after),
    ]
    show(f"memory, sqlite, {chosen.rounds} starts", figures, chosen.json)
