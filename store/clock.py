"""The time, as an argument: rooms are handed a clock, tests hand in their own."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]


def utcnow() -> datetime:
    """Now, in UTC, with microseconds."""
    return datetime.now(UTC)
