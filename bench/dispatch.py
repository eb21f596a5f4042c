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
from pathlib import Path

from bench import people, processes
from bench.databases import KINDS, Databases, databases
from bench.figures import median, ratio, show
from bench.gateways import gateway, settings_on, write_config
from bench.plan import call
from bench.processes import Process

PATIENCE_SECONDS = 120


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--on", nargs="+", choices=KINDS, default=("sqlite",))
    parser.add_argument("--rounds", type=int, default=5)


async def _rate(stub: Process, count: int) -> float:
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
        return await _rate(stub, count)


async def _gateway(made: Databases, like: str, key: str, count: int, folder: Path, otherwise: str | None) -> float:
    url = made.new(like)
    with (
        processes.running("bench.stub", str(count)) as stub,
        gateway(write_config(folder, url, stub.url), otherwise) as server,
    ):
        body = {"name": "bench", "channel": "sms", "content": {"body": "Hello"}, "audience": {"all": True}}
        call(server, key, "/v1/broadcasts", body)
        rate = await _rate(stub, count)
    made.drop(url)
    return rate


async def main(chosen: argparse.Namespace) -> None:
    for on in chosen.on:
        with databases(on) as made, tempfile.TemporaryDirectory() as where:
            folder, like = Path(where), made.new()
            key = await people.fill(like, settings_on(like), chosen.people, all_say_yes=True)
            rates: dict[str, list[float]] = {"bare": [], "twilio": [], "direct": []}
            for _ in range(chosen.rounds):
                rates["bare"].append(await _bare(chosen.people))
                for name, otherwise in (("twilio", None), ("direct", "direct")):
                    rates[name].append(await _gateway(made, like, key, chosen.people, folder, otherwise))
        notes = {name: f"{median(of):.0f}/s of {median(rates['bare']):.0f}/s" for name, of in rates.items()}
        figures = [
            ratio("twilio's library, of a bare client", rates["twilio"], rates["bare"], ">= 0.55", notes["twilio"]),
            ratio("posted directly, of a bare client", rates["direct"], rates["bare"], note=notes["direct"]),
            ratio("posted directly, of the library", rates["direct"], rates["twilio"]),
        ]
        show(f"dispatch of {chosen.people:,}, {on}, {chosen.rounds} rounds", figures, chosen.json)
