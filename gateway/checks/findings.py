"""What was found, in plain words: as it should be, worth a look, or wrong. Never a secret."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "problem"]


@dataclass(frozen=True, slots=True)
class Finding:
    """A sentence about one thing."""

    level: Level
    about: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.level:<8}{self.about}: {self.sentence}"


def ok(about: str, sentence: str) -> Finding:
    return Finding("ok", about, sentence)


def warn(about: str, sentence: str) -> Finding:
    return Finding("warn", about, sentence)


def problem(about: str, sentence: str) -> Finding:
    return Finding("problem", about, sentence)
