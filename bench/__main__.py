"""`python3 dev.py bench [NAME]`: run one measurement, or all."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from pathlib import Path

NAMES = ("inbound", "plan", "dispatch", "rules", "memory", "hostile", "verify")


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench", description="Measure, as ratios against a limit.")
    parser.set_defaults(json=None)
    commands = parser.add_subparsers(dest="name", metavar="NAME", help="one measurement; all without")
    modules = {name: importlib.import_module(f"bench.{name}") for name in NAMES}
    parsers = {}
    for name, module in modules.items():
        parsers[name] = commands.add_parser(name, description=module.__doc__)
        parsers[name].add_argument("--json", type=Path, help="add the figures to this file, a line of JSON each")
        module.add_arguments(parsers[name])
    chosen = parser.parse_args()
    for name in (chosen.name,) if chosen.name else NAMES:
        asyncio.run(modules[name].main(chosen if chosen.name else parsers[name].parse_args([])))


if __name__ == "__main__":
    main()
