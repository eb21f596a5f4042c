"""What the clients did and were told: their own logs, by CLOCK_MONOTONIC, to hold against the gateway's books."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from tests.standins.twilio import Request

Kind = Literal["stop", "start", "plain"]
State = Literal["yes", "no"]


@dataclass(kw_only=True)
class Repeated:
    """What is asked of us as often as it takes to be acknowledged."""

    sent_ns: int = 0  # when it was sent for the first time
    answered_ns: int = 0  # when the first acknowledgement was there; 0: never
    answer: bytes = b""

    @property
    def is_acknowledged(self) -> bool:
        return self.answered_ns > 0


@dataclass
class Act(Repeated):
    """Something that a person writes to us."""

    number: str
    kind: Kind
    body: str
    sid: str
    channel: str = "sms"
    said_at: datetime | None = None  # by the provider's clock, where it tells

    @property
    def name(self) -> str:
        return self.sid


@dataclass
class Merge(Repeated):
    """Two profiles are to be one, under an Idempotency-Key."""

    name: str  # the key
    into: str
    gone: str
    numbers: tuple[str, str]  # by which the two are known here

    @property
    def path(self) -> str:
        return f"/v1/profiles/{self.into}/merge"

    @property
    def body(self) -> dict[str, Any]:
        return {"from": self.gone}


@dataclass
class Item:
    """Of a batch: what is to be kept of one profile. `mark` is the attribute that it leaves, and is its alone."""

    number: str
    mark: str
    to: State | None  # what the person has said of texts
    body: dict[str, Any]


@dataclass
class Batch(Repeated):
    """Profiles that another system sends, under an Idempotency-Key."""

    name: str  # the key
    items: list[Item]
    path = "/v1/profiles/batch"

    @property
    def body(self) -> dict[str, Any]:
        return {"items": [item.body for item in self.items]}


@dataclass
class Row:
    """A person in a file that is imported."""

    number: str
    line: int
    to: State
    sent_ns: int = 0
    answered_ns: int = 0  # when the results of an import told what became of it
    profile_id: str = ""  # as they told


@dataclass(frozen=True)
class Replay:
    """Something acknowledged that came once more, and what was answered."""

    name: str
    first: bytes
    again: bytes


@dataclass
class Control:
    """A broadcast was paused, resumed or cancelled; `answered_ns` is 0 where no answer came."""

    verb: str
    sent_ns: int
    answered_ns: int = 0


@dataclass
class Send:
    """A broadcast or a single message that was asked for; its text names it."""

    text: str
    kind: str  # broadcast | marketing | transactional
    id: str | None = None  # as acknowledged
    to: str = ""  # of a single message
    controls: list[Control] = field(default_factory=list)


@dataclass
class Record:
    """Everything that happened to one database, as those outside saw it."""

    acts: list[Act] = field(default_factory=list)
    merges: list[Merge] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    replays: list[Replay] = field(default_factory=list)
    sends: list[Send] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)  # answers that no client should ever get
    second: dict[str, str] = field(default_factory=dict)  # who texts from the one number may be sent to at the other
    silent: frozenset[str] = frozenset()  # who said yes before all this, and says nothing
    said_no: frozenset[str] = frozenset()  # who said no before all this

    def owed(self) -> list[Act | Merge | Batch]:
        """What was asked, and not acknowledged."""
        return [one for one in (*self.acts, *self.merges, *self.batches) if not one.is_acknowledged]

    def write(self, file: Path) -> None:
        """Keep it as evidence."""
        with file.open("w") as out:
            for line in self._lines():
                out.write(json.dumps(line, default=str) + "\n")

    def _lines(self) -> Iterable[dict[str, Any]]:
        for name in ("acts", "merges", "batches", "rows", "replays", "sends"):
            for entry in getattr(self, name):
                yield {"what": name} | vars(entry)
        for refusal in self.refusals:
            yield {"what": "refusals", "answer": refusal}


def now_ns() -> int:
    return time.monotonic_ns()


class JournalReader:
    """Reads the provider's journal from where it stopped before."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._at = 0
        self.lines: list[Request] = []

    def read(self) -> list[Request]:
        """Every whole line so far."""
        if self._file.exists():
            with self._file.open("rb") as journal:
                journal.seek(self._at)
                new = journal.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._at += len(whole)
            self.lines += [Request(**json.loads(line)) for line in whole.splitlines()]
        return self.lines
