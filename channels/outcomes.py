"""The part of the outcome table that no provider changes (reliability.md, "the table that decides duplicates").

The one question is whether a byte may have gone out. Where that is not certainly no, the message is in doubt and is
never sent again by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp

from channels.http import Exchange
from channels.lease import LeaseOver
from channels.values import InDoubt, NotSent, Outcome, Rejected

RETRY_AFTER_AT_MOST = 3600.0
_SECONDS = re.compile(r"\d{1,12}(\.\d{1,6})?", re.ASCII)

# What aiohttp raises while it makes a connection and at no other time (tests/channels/test_outcomes.py asks real
# sockets): refused, unreachable, DNS, TLS and certificate are ClientConnectorError.
_BEFORE_THE_FIRST_BYTE = (
    aiohttp.ClientConnectorError,
    aiohttp.ConnectionTimeoutError,
    aiohttp.InvalidURL,
    aiohttp.NonHttpUrlClientError,
    aiohttp.ServerFingerprintMismatch,
)


def of_exchange(exchange: Exchange, now: datetime | None = None) -> Outcome | None:
    """How the send ended by what was seen on the wire; None for a 2xx read to its end: the provider's to read."""
    if exchange.status is None:
        return of_error(exchange.error or RuntimeError("nothing happened"), began=exchange.began)
    outcome = None
    if not 200 <= exchange.status < 300:
        headers = exchange.headers
        outcome = of_status(exchange.status, headers.get("Retry-After"), now or their_clock(headers))
    elif exchange.error is not None:
        outcome = InDoubt(f"HTTP {exchange.status}, then {_name(exchange.error)}")
    return outcome


def of_error(error: BaseException, *, began: bool = True) -> NotSent | InDoubt:
    """How a send ended that no answer ended. `began` false: no connection was ever handed over for writing.

    Raises LeaseOver, and whatever is no Exception (a cancellation), again: they are no outcomes.
    """
    if isinstance(error, LeaseOver) or not isinstance(error, Exception):
        raise error
    if not began or isinstance(error, _BEFORE_THE_FIRST_BYTE):
        return NotSent(_name(error))
    return InDoubt(_name(error))


def of_status(status: int, retry_after: str | None = None, now: datetime | None = None) -> Outcome | None:
    """How a send ended that an answer with this status ended; None for 2xx."""
    if 200 <= status < 300:
        return None
    if status == 429:
        return NotSent("HTTP 429", retry_after_seconds(retry_after, now or datetime.now(UTC)), slow_down=True)
    # 408 may come from an intermediary that had passed the request on: no definite 4xx.
    if 400 <= status < 500 and status != 408:
        return Rejected(str(status), f"HTTP {status}")
    return InDoubt(f"HTTP {status}")


def their_clock(headers: Mapping[str, str]) -> datetime:
    """When an answer was made, by the clock that the dates in it are of (RFC 9110 §6.6.1); ours, where it is not told.

    A Retry-After that is a date would else be as long or as short as the two clocks differ.
    """
    return _date(headers.get("Date")) or datetime.now(UTC)


def retry_after_seconds(value: str | None, now: datetime) -> float | None:
    """Retry-After (RFC 9110 §10.2.3), seconds or a date, from 0 to one hour; None where it says nothing."""
    text = (value or "").strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), RETRY_AFTER_AT_MOST)
    at = _date(text)
    return None if at is None else max(0.0, min((at - now).total_seconds(), RETRY_AFTER_AT_MOST))


def _date(text: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(text or "")
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _name(error: Exception) -> str:
    """The kind of error, with the system's words where there are some; never what was sent or answered."""
    words = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
