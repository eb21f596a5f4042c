"""What is measured runs in processes of its own; this starts them and reads what the system says of them (Linux)."""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")


def environment(root: Path = ROOT) -> dict[str, str]:
    """No options from outside; the sources are those in `root`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTGATE_")}
    return kept | {"PYTHONPATH": str(root)}


class Process:
    """A server of ours: started, it has said where it listens."""

    def __init__(self, *words: str, sign: str = "", root: Path = ROOT) -> None:
        """Run `python -m WORDS` in `root`; `sign` is what stands before the URL in its first line."""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        self._child = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=root,
            env=environment(root),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )
        self.pid = self._child.pid
        line = self._first_line()
        if not line.startswith(sign) or not line:
            self.stop()
            self._log.seek(0)
            raise RuntimeError(f"{' '.join(words)} did not start: {line} {self._log.read()[-2000:].decode()}")
        self.url = line.removeprefix(sign)

    def _first_line(self) -> str:
        assert self._child.stdout is not None
        readable, _, _ = select.select([self._child.stdout], [], [], PATIENCE_SECONDS)
        return self._child.stdout.readline().decode().strip() if readable else ""

    def cpu_seconds(self) -> float:
        """What it has used of the processors, all its threads together."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def resident_mb(self, name: str = "VmRSS") -> float:
        """Memory it holds now; VmHWM: the most it held since `forget_peak`."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"the system does not tell {name}")

    def forget_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def said(self) -> str:
        self._log.seek(0)
        return self._log.read().decode()

    def stop(self) -> None:
        self._child.terminate()
        try:
            self._child.wait(20)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


@contextlib.contextmanager
def running(*words: str, sign: str = "", root: Path = ROOT) -> Iterator[Process]:
    process = Process(*words, sign=sign, root=root)
    try:
        yield process
    finally:
        process.stop()


def ask(*words: str) -> Any:
    """Run `python -m WORDS` to its end; what it prints is JSON."""
    ended = subprocess.run(
        [sys.executable, "-m", *words], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, check=True
    )
    return json.loads(ended.stdout)


def begin(*words: str) -> subprocess.Popen[bytes]:
    """The same, not waited for; `end` it."""
    return subprocess.Popen([sys.executable, "-m", *words], cwd=ROOT, env=environment(), stdout=subprocess.PIPE)


def end(child: subprocess.Popen[bytes]) -> Any:
    said, _ = child.communicate()
    if child.returncode:
        raise RuntimeError(f"{child.args} ended with {child.returncode}")
    return json.loads(said)
