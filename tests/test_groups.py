"""What stands in `GROUPS` runs on one worker, whatever xdist and pytest make of groups in their next versions."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.conftest import GROUPS

ROOT = Path(__file__).resolve().parents[1]
WHERE = """
import os, pathlib, pytest, time

@pytest.mark.parametrize("number", range(8))
def test_where(number):
    time.sleep(0.05)
    pathlib.Path(__file__).with_suffix(f".{number}").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_a_group_stays_on_one_worker_and_all_else_is_shared_out(tmp_path: Path) -> None:
    for room in ("campaign", "flows"):
        (tmp_path / "tests" / room).mkdir(parents=True)
        (tmp_path / "tests" / room / "test_it.py").write_text(WHERE)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    command = [sys.executable, "-m", "pytest", "-p", "tests.conftest", "--import-mode=importlib"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [*command, "-n", "2", "--dist", "loadgroup", "tests"],
        cwd=tmp_path,
        env=env | {"PYTHONPATH": str(ROOT), "OPTGATE_TEST_PG_URL": "postgresql://nobody.invalid/"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(_workers(tmp_path / "tests" / "campaign")) == 1
    assert len(_workers(tmp_path / "tests" / "flows")) == 2


def _workers(room: Path) -> set[str]:
    return {(room / f"test_it.{number}").read_text() for number in range(8)}


def test_every_group_is_of_tests_that_there_are() -> None:
    for beginning in GROUPS:
        file, _, name = beginning.partition("::")
        assert (ROOT / file).exists(), file
        assert f"def {name}" in (ROOT / file).read_text() if name else True, beginning
