"""Figures: each a ratio of what was measured to its limit, taken in pairs of the same round."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One line of a table."""

    name: str
    value: float  # the median of the rounds
    lowest: float
    highest: float
    target: str = ""  # such as ">= 0.5"
    met: bool | None = None  # None: there is no target
    note: str = ""


def figure(name: str, rounds: Sequence[float], target: str = "", note: str = "") -> Figure:
    """The median of the rounds, with the lowest and the highest, held against the target."""
    value = statistics.median(rounds)
    return Figure(name, value, min(rounds), max(rounds), target, _meets(value, target), note)


def ratio(name: str, ours: Sequence[float], limit: Sequence[float], target: str = "", note: str = "") -> Figure:
    """Ours against the limit, round by round: what else the machine does then bears on both."""
    return figure(name, [one / other for one, other in zip(ours, limit, strict=True)], target, note)


def _meets(value: float, target: str) -> bool | None:
    if not target:
        return None
    sign, number = target.split()[:2]
    return value >= float(number) if sign == ">=" else value <= float(number)


def show(title: str, figures: Sequence[Figure], file: Path | None = None) -> None:
    """Print a table; add it to a file of JSON lines where one is named."""
    width = max((len(f.name) for f in figures), default=0)
    print(title)
    for f in figures:
        spread = f"({_plain(f.lowest)} to {_plain(f.highest)})"
        verdict = {None: "", True: "met", False: "MISSED"}[f.met]
        print(f"  {f.name:{width}}  {_plain(f.value):>8} {spread:20} {f.target:9} {verdict:6} {f.note}".rstrip())
    print(flush=True)
    if file is not None:
        with file.open("a") as out:
            out.writelines(json.dumps({"of": title, **asdict(f)}) + "\n" for f in figures)


def _plain(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def median(rounds: Sequence[float]) -> float:
    return statistics.median(rounds)
