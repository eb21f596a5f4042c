"""How fast a broadcast goes out by SMTP: claimed, composed, handed to a relay, and the outcome written down.

The limit is a bare loop of aiosmtplib that posts the same mails, made before, on as many connections. The relay is
aiosmtpd in a process of its own, which answers at once. The rate is its own count, of the middle eight tenths.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path

from bench import mailing, processes
from bench.databases import KINDS, databases
from bench.dispatch import rate
from bench.figures import figure, median, ratio, show
from bench.gateways import gateway
from bench.plan import call
from bench.processes import Process


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--people", type=int, default=4000)
    parser.add_argument("--on", nargs="+", choices=KINDS, default=("sqlite",))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=10, help="to the relay at once")


async def main(chosen: argparse.Namespace) -> None:
    count, connections = chosen.people, chosen.connections
    for on in chosen.on:
        rates: defaultdict[str, list[float]] = defaultdict(list)
        cpu: list[float] = []
        with databases(on) as made, tempfile.TemporaryDirectory() as where:
            like = made.new()
            key = await mailing.fill(like, count)
            for _ in range(chosen.rounds):
                with processes.running("bench.sink", str(count)) as sink:
                    port = _port(sink)
                    processes.ask("bench.baresmtp", port, str(count), str(connections))
                    rates["bare"].append(await rate(sink, count))
                url = made.new(like)
                with processes.running("bench.sink", str(count)) as sink:
                    config = mailing.write_config(Path(where), url, int(_port(sink)), connections)
                    with gateway(config) as server:
                        before = server.cpu_seconds()
                        body = {"name": "bench", "channel": "email", "audience": {"all": True}}
                        call(server, key, "/v1/broadcasts", body | {"content": mailing.CONTENT})
                        rates["ours"].append(await rate(sink, count))
                        cpu.append((server.cpu_seconds() - before) / count * 1e6)
                made.drop(url)
        note = f"{median(rates['ours']):.0f}/s of {median(rates['bare']):.0f}/s"
        figures = [
            ratio("by SMTP, of a bare loop of aiosmtplib", rates["ours"], rates["bare"], ">= 0.7", note),
            figure("processor, us a mail with its plan", cpu),
        ]
        show(f"mail out, {count:,}, {connections} connections, {on}, {chosen.rounds} rounds", figures, chosen.json)


def _port(sink: Process) -> str:
    """Of the two addresses that the sink has told the second; the first stays."""
    sink.url, _, port = sink.url.partition(" ")
    return port
