"""What time it is, for what a provider signs with a time in it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

Clock = Callable[[], datetime]


def utcnow() -> datetime:
    return datetime.now(UTC)


def is_within(seconds: str, age: timedelta, now: datetime) -> bool:
    """Whether a time, written as seconds since 1970, is no farther from now, before or after."""
    if not seconds.isascii() or not seconds.isdecimal() or len(seconds) > 12:
        return False
    return abs(int(seconds) - now.timestamp()) <= age.total_seconds()
