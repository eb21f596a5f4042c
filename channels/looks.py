"""What comes of asking a provider about our own account, besides what it tells: nothing is sent, nothing is changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider answered, and did not tell."""

    status: int


@dataclass(frozen=True, slots=True)
class NotReached:
    """There was no answer."""

    error: Exception


def ahead_seconds(headers: Mapping[str, str], asked_at: datetime, answered_at: datetime) -> float | None:
    """How far ours is ahead of their clock, at the least: Date is a whole second in between."""
    try:
        theirs = parsedate_to_datetime(headers["Date"])
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        return None
    theirs = theirs if theirs.tzinfo else theirs.replace(tzinfo=UTC)
    least, most = (asked_at - theirs).total_seconds() - 1, (answered_at - theirs).total_seconds()
    return least if least > 0 else min(most, 0.0)
