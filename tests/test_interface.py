"""Every line of the interface, and every sentence of the seeds, names the test that shows it, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROWS = [line for line in (TESTS / "interface.md").read_text().splitlines() if line.startswith("| ")]


def known_tests() -> set[str]:
    return {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }


def test_every_sentence_of_the_seeds_names_a_test_of_its_own() -> None:
    lines = re.findall(r"^\d+\. .*", (TESTS.parent / "docs/seeds.md").read_text(), re.MULTILINE)
    assert len(lines) > 40
    assert [int(line.partition(".")[0]) for line in lines] == list(range(1, len(lines) + 1))
    named = [re.findall(r" → `(test_\w+)`$", line) for line in lines]
    assert all(len(found) == 1 for found in named), lines
    tests = [found[0] for found in named]
    assert len(set(tests)) == len(tests)
    assert set(tests) <= known_tests(), set(tests) - known_tests()


def test_every_line_of_the_interface_names_a_test_that_there_is() -> None:
    known = known_tests()
    rows = [row for row in ROWS if row != "| line | shown by |"]
    assert len(rows) > 60
    for row in rows:
        shown = row.rstrip("| ").rpartition(" | ")[2]
        named = re.findall(r"`(test_\w+)`", shown)
        assert named or shown == "not built", row
        assert set(named) <= known, (row, set(named) - known)
