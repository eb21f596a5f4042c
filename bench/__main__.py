"""`python3 dev.py bench [NAME]`: run one measurement, or all."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

NAMES = ("inbound", "plan", "dispatch", "smtp", "rules", "memory", "hostile", "verify", "forms")


def asked(words: Sequence[str] | None = None) -> tuple[dict[str, ModuleType], dict[str, argparse.Namespace]]:
    """The measurements, and what was chosen of each of those that are asked for."""
    parser = argparse.ArgumentParser(prog="dev.py bench", description="Measure, as ratios against a limit.")
    parser.set_defaults(json=None)
    commands = parser.add_subparsers(dest="name", metavar="NAME", help="one measurement; all without")
    modules = {name: importlib.import_module(f"bench.{name}") for name in NAMES}
    parsers = {}
    for name, module in modules.items():
        parsers[name] = commands.add_parser(name, description=module.__doc__)
        parsers[name].add_argument("--json", type=Path, help="add the figures to this file, a line of JSON each")
        module.add_arguments(parsers[name])
    chosen = parser.parse_args(words)
    if chosen.name:
        return modules, {chosen.name: chosen}
    return modules, {name: parsers[name].parse_args([]) for name in NAMES}


def main() -> None:
    modules, chosen = asked()
    for name, choice in chosen.items():
        asyncio.run(modules[name].main(choice))


if __name__ == "__main__":
    main()
