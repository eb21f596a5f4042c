"""What others notice of hostile clients: the p99 of STOPs among them, against the same without them.

The gateway has a process of its own, with the limits that users run. Round by round the p99 of one client that texts
STOP again and again is taken alone, then among 2,000 connections that say nothing, drip their headers, or drip a body.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
from twilio.request_validator import RequestValidator

from bench.crowd import WAYS
from bench.gateways import ACCOUNT, TOKEN, URL

CROWD = 2000
ROUNDS = 5
SECONDS = 4.0
ROOT = Path(__file__).resolve().parents[1]
CONFIG = f"""
[server]
port = 0
[database]
url = "sqlite:///optgate.db"
[connections.sms]
channel = "sms"
provider = "twilio"
account_sid = "{ACCOUNT}"
auth_token = "{TOKEN}"
from = "+14155550100"
"""


def messages() -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """Form and headers of one STOP after another, each signed, each from a new number."""
    validator = RequestValidator(TOKEN)
    for number in itertools.count():
        form = {
            "MessageSid": f"SM{number:032d}",
            "AccountSid": ACCOUNT,
            "From": f"+1415{number:07d}",
            "To": "+14155550100",
            "Body": "STOP",
            "NumMedia": "0",
        }
        yield form, {"X-Twilio-Signature": validator.compute_signature(URL, form)}


async def p99(url: str, source: Iterator[tuple[dict[str, str], dict[str, str]]]) -> float:
    """The seconds below which 99 of 100 answers come to a client that asks one by one."""
    took = []
    until = time.perf_counter() + SECONDS
    async with aiohttp.ClientSession() as session:
        while time.perf_counter() < until:
            form, headers = next(source)
            began = time.perf_counter()
            async with session.post(url, data=form, headers=headers) as response:
                await response.read()
                if response.status != 200:
                    raise RuntimeError(f"answered {response.status}")
            took.append(time.perf_counter() - began)
    return statistics.quantiles(took, n=100)[-1]


@asynccontextmanager
async def crowd(port: int, name: str) -> AsyncIterator[None]:
    """They are all there meanwhile, in a process of their own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.crowd", str(port), str(CROWD), name, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout
        assert await process.stdout.readline() == b"here\n"
        yield
    finally:
        process.kill()
        await process.wait()


def rss_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=ROUNDS)


async def main(chosen: argparse.Namespace) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 2 * CROWD), hard), hard))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "optgate.toml").write_text(CONFIG)
        gateway = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from gateway.cli import main; main()", "serve", cwd=folder,
            env={"PYTHONPATH": str(ROOT), "PATH": ""}, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            assert gateway.stdout
            listens = re.search(rb":(\d+)$", (await gateway.stdout.readline()).strip())
            assert listens
            await measure(int(listens[1]), gateway.pid, chosen.rounds)
        finally:
            with suppress(ProcessLookupError):
                gateway.terminate()
            await gateway.wait()


async def measure(port: int, pid: int, rounds: int) -> None:
    url = f"http://127.0.0.1:{port}/webhooks/sms"
    source = messages()
    await p99(url, source)  # what is made once is made
    print(f"p99 of one client's STOPs among {CROWD} connections, against the same client alone; SQLite")
    for name in WAYS:
        alone, among, grown = [], [], 0
        for _ in range(rounds):
            alone.append(await p99(url, source))
            memory = rss_bytes(pid)
            async with crowd(port, name):
                await asyncio.sleep(1)  # until all are taken in: a rush is another thing
                grown = max(grown, rss_bytes(pid) - memory)
                among.append(await p99(url, source))
            await asyncio.sleep(0.5)
        before, now = statistics.median(alone), statistics.median(among)
        print(
            f"{name:18} {now * 1000:6.1f} ms of {before * 1000:6.1f} ms = {now / before:.2f}"
            f"   ({grown / CROWD / 1024:.1f} kB more for each)"
        )
