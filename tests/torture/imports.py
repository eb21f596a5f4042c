"""`optgate import` beside the gateways: a process that dies, and is run again with the same file to its end.

python -m tests.torture.imports AHEAD_SECONDS ARGUMENTS      `optgate ARGUMENTS`, by a clock that is so far ahead
"""

from __future__ import annotations

import asyncio
import csv
import os
import random
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from datetime import timedelta
from pathlib import Path

from store import clock
from store.crash import VARIABLE
from tests.channels.requests_as_sent import ORIGIN
from tests.torture.processes import ROOT
from tests.torture.records import Record, Row, now_ns

PEOPLE = [f"+1415558{n:04d}" for n in range(100, 170) if n % 100 != 90]  # nobody but the file knows them
PATIENCE_SECONDS = 60.0


class Importer:
    """One file into one database. A row is acknowledged when the results say what became of it."""

    def __init__(self, folder: Path, database_url: str, chance: random.Random, record: Record) -> None:
        self.findings: list[str] = []
        self._folder, self._url, self._record = folder, database_url, record
        self._file, self._config = folder / "people.csv", folder / "optgate.toml"
        self._runs = 0
        self._process: Process | None = None
        record.rows = [
            Row(number, line, "yes" if chance.random() < 0.7 else "no") for line, number in enumerate(PEOPLE, start=2)
        ]

    @property
    def is_through(self) -> bool:
        return all(row.answered_ns for row in self._record.rows)

    async def start(self, crash: str | None, ahead_seconds: float = 0.0) -> None:
        """Begin to import the file, by the gateway's clock, and die at that crash point; what is under way goes on."""
        if self._process is not None:
            return
        self._write()
        self._runs += 1
        for row in self._record.rows:
            row.sent_ns = row.sent_ns or now_ns()
        arguments = ["import", self._file, "--config", self._config, "--results", self._results]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("OPTGATE_")}
        kept |= {VARIABLE: crash} if crash else {}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tests.torture.imports",
            str(ahead_seconds),
            *map(str, arguments),
            cwd=ROOT,
            env=kept,
            stdout=DEVNULL,
            stderr=PIPE,
        )

    async def ended(self) -> None:
        """Wait for what is under way, and read its results; what ends otherwise than well or killed is a finding."""
        if self._process is None:
            return
        process, self._process = self._process, None
        try:
            _, complaint = await asyncio.wait_for(process.communicate(), PATIENCE_SECONDS)
        except TimeoutError:
            process.kill()
            complaint = b"it did not end by itself"
            await process.wait()
        if complaint or process.returncode not in (0, -9):
            self.findings.append(f"I5: an import ended with {process.returncode}: {complaint.decode()[-500:]}")
        self._read()

    def _write(self) -> None:
        self._config.write_text(f'[server]\npublic_url = "{ORIGIN}"\n[database]\nurl = "{self._url}"\n')
        with self._file.open("w", newline="") as opened:
            writer = csv.writer(opened)
            writer.writerow(("sms", "consent.sms", "obtained_at", "how"))
            for row in self._record.rows:
                shown = ("2024-05-01T10:00:00Z", "paper form") if row.to == "yes" else ("", "")
                writer.writerow((row.number, row.to, *shown))

    @property
    def _results(self) -> Path:
        return self._folder / f"results-{self._runs}.csv"

    def _read(self) -> None:
        if not self._results.exists():
            return
        by_line = {row.line: row for row in self._record.rows}
        text = self._results.read_text()
        for told in csv.DictReader(text[: text.rfind("\n") + 1].splitlines()):
            row = by_line[int(told["line"])]
            if told["outcome"] == "refused":
                self.findings.append(f"I5: line {row.line} was refused: {told['code']} {told['reason']}")
            elif not row.answered_ns:
                row.answered_ns, row.profile_id = now_ns(), told["profile_id"]
            elif (told["outcome"], told["profile_id"]) != ("unchanged", row.profile_id):
                self.findings.append(
                    f"I6: line {row.line}, which was taken, was {told['outcome']} by the same file again"
                )


if __name__ == "__main__":
    ahead, real = timedelta(seconds=float(sys.argv.pop(1))), clock.utcnow
    clock.utcnow = lambda: real() + ahead
    from gateway.cli import main

    sys.exit(main())
