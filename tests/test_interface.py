"""Every line of the interface names the test that shows it, and the test is there."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).parent
ROWS = [line for line in (TESTS / "interface.md").read_text().splitlines() if line.startswith("| ")]


def test_every_line_of_the_interface_names_a_test_that_there_is() -> None:
    known = {
        name
        for file in TESTS.rglob("test_*.py")
        for name in re.findall(r"^(?:async )?def (test_\w+)", file.read_text(), re.MULTILINE)
    }
    rows = [row for row in ROWS if row != "| line | shown by |"]
    assert len(rows) > 60
    for row in rows:
        shown = row.rstrip("| ").rpartition(" | ")[2]
        named = re.findall(r"`(test_\w+)`", shown)
        assert named or shown == "not built", row
        assert set(named) <= known, (row, set(named) - known)
