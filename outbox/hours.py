"""Allowed hours: when a message may go out, in the person's own time. Pure: no clock, no database.

A message that comes too early waits for the next minute in which every zone the person may be in allows it. Hours are
on the wall: on the day the clocks change a missing hour is none, and a doubled one counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from zoneinfo import ZoneInfo

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_DAY_MINUTES = 24 * 60
_LOOK_AHEAD = timedelta(days=8)  # a week and its clock change: what is not found by then never comes
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


class BadHours(ValueError):
    """Hours that cannot be read; the message says why."""


@dataclass(frozen=True, slots=True)
class Hours:
    """For each day, Monday first, the spans in minutes after midnight, from (included) to (not included)."""

    days: tuple[tuple[tuple[int, int], ...], ...]

    def allow(self, wall: datetime) -> bool:
        minute = wall.hour * 60 + wall.minute
        return any(start <= minute < end for start, end in self.days[wall.weekday()])


def daily(start: str, end: str) -> Hours:
    """The same hours every day; over midnight where `end` comes before `start`. Raises BadHours."""
    since, until = _minutes(start), _minutes(end)
    if since == until:
        raise BadHours("`from` and `to` are the same: nothing could ever be sent; use false for no quiet hours")
    spans = ((since, until),) if since < until else ((0, until), (since, _DAY_MINUTES))
    return Hours((tuple(span for span in spans if span[0] < span[1]),) * 7)


def outside(start: str, end: str) -> Hours:
    """Every day but the quiet hours from `start` to `end`; over midnight where `end` comes first. Raises BadHours."""
    hours = daily(end, start)
    if not any(hours.days):
        raise BadHours("nothing could ever be sent")
    return hours


def weekly(row: Mapping[str, Sequence[str]]) -> Hours:
    """Hours by day: `hours` for every day, and `monday` … `sunday` instead of it. Raises BadHours."""
    if unknown := sorted(set(row) - {"hours", *DAYS}):
        raise BadHours(f"there is no {unknown[0]!r}; known are hours, {', '.join(DAYS)}")
    week = Hours(tuple(_spans(row.get(day, row.get("hours", ()))) for day in DAYS))
    if not any(week.days):
        raise BadHours("nothing could ever be sent")
    return week


def _spans(texts: Sequence[str]) -> tuple[tuple[int, int], ...]:
    spans = []
    for text in texts:
        start, _, end = text.partition("-")
        span = (_minutes(start), _minutes(end))
        if span[0] >= span[1]:
            raise BadHours(f"{text!r}: write it as '08:00-21:00', the earlier time first")
        spans.append(span)
    return tuple(spans)


def _minutes(text: str) -> int:
    if not isinstance(text, str) or not _TIME.fullmatch(text):
        raise BadHours(f"{text!r} is no time of day such as 08:00")
    return int(text[:2]) * 60 + int(text[3:])


def next_allowed(now: datetime, zones: tuple[str, ...], hours: Hours) -> datetime | None:
    """The first moment from `now` on when all zones allow it; `now` itself where they do. None: there is none."""
    if all(hours.allow(now.astimezone(_zone(name))) for name in zones):
        return now
    minute = now.astimezone(UTC).replace(second=0, microsecond=0)
    return _next_minute(minute, zones, hours)


@lru_cache(maxsize=4096)
def _next_minute(minute: datetime, zones: tuple[str, ...], hours: Hours) -> datetime | None:
    """By trying each minute: exact whatever the zones do, and the answer serves everyone in these zones."""
    tried = minute
    while tried < minute + _LOOK_AHEAD:
        tried += timedelta(minutes=1)
        if all(hours.allow(tried.astimezone(_zone(name))) for name in zones):
            return tried
    return None


@cache
def is_known(name: str) -> bool:
    """Whether this machine's time zone database has it; what another one knew may be gone."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        return False
    return True


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)
