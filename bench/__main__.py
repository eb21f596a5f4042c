"""`python3 dev.py bench [NAME]`: run one measurement, or all."""

from __future__ import annotations

import argparse
import asyncio
import importlib

NAMES = ("inbound", "verify", "hostile")


def main() -> None:
    parser = argparse.ArgumentParser(prog="dev.py bench", description="Measure, as ratios against a limit.")
    parser.add_argument("name", nargs="?", choices=NAMES, help="one measurement; all without")
    chosen = parser.parse_args().name
    for name in (chosen,) if chosen else NAMES:
        asyncio.run(importlib.import_module(f"bench.{name}").main())


if __name__ == "__main__":
    main()
