"""The crash points: a closed list, each in the code once, and nothing happens at them unless it was asked for."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from store import crash
from tests.torture.run import every_point, random_points

ROOT = Path(__file__).parents[2]
ROOMS = ("broadcasts", "channels", "forms", "gateway", "inbox", "outbox", "store")
PASSED = re.compile(r"(?:crash\.point|told)\(\s*\"([a-z._]+)\"")


def test_every_point_is_in_the_list_and_in_the_code_once() -> None:
    found = Counter(
        name
        for room in ROOMS
        for file in (ROOT / room).rglob("*.py")
        if file.name != "crash.py"
        for name in PASSED.findall(file.read_text())
    )
    assert found == Counter(dict.fromkeys(crash.POINTS, 1))


def passing(asked: str | None, *names: str) -> subprocess.CompletedProcess[str]:
    """A process that passes these points, says so at each, and ends well."""
    program = f"from store import crash\nfor n in {names!r}:\n    crash.point(n)\n    print(n, flush=True)\n"
    environment = {k: v for k, v in os.environ.items() if k != crash.VARIABLE}
    environment |= {crash.VARIABLE: asked} if asked else {}
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_nothing_happens_at_a_point_unless_it_was_asked_for() -> None:
    ended = passing(None, "claim.begun", "claim.begun")
    assert (ended.returncode, ended.stdout) == (0, "claim.begun\nclaim.begun\n")


@pytest.mark.parametrize(("asked", "before"), [("claim.begun:2", 2), ("any:3", 2), ("any:1", 0), ("random:x:1.0", 0)])
def test_a_process_that_was_asked_to_is_killed_there_and_goes_no_further(asked: str, before: int) -> None:
    ended = passing(asked, "claim.begun", "claim.taken", "claim.begun")
    assert ended.returncode == -signal.SIGKILL
    assert len(ended.stdout.splitlines()) == before


def test_random_ones_are_the_same_for_the_same_seed() -> None:
    names = ["claim.begun"] * 500
    first, second, other = (passing(f"random:{seed}:0.01", *names).stdout for seed in ("a", "a", "b"))
    assert first == second != other


@pytest.mark.parametrize("asked", ["claim.beginning:1", "claim.begun", "any:x"])
def test_an_unknown_point_or_an_unreadable_wish_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        crash.arm(asked)


def test_the_same_seed_asks_for_the_same_points() -> None:
    first, second = random_points("a"), random_points("a")
    assert [next(first) for _ in range(100)] == [next(second) for _ in range(100)]
    assert {point.partition(":")[0] for point in every_point()} == set(crash.POINTS)
