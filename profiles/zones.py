"""Time zones that there are."""

from __future__ import annotations

from functools import cache
from zoneinfo import ZoneInfo, available_timezones


def is_zone(name: str) -> bool:
    """Whether the time zone database has a zone of this name."""
    return name in _names()


def zone(name: str | None) -> ZoneInfo:
    """The zone of this name; UTC for none, and for one that there is no more."""
    return ZoneInfo(name if name and is_zone(name) else "UTC")


@cache
def _names() -> frozenset[str]:
    # Read once: it walks the whole database on disk, for 10 ms in which nothing else is served.
    return frozenset(available_timezones())
