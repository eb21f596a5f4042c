"""The lease: how long after its claim a send may begin (reliability.md, "The protocol behind I1–I3").

The dispatcher takes the verdict in the claiming transaction; until the lease is over no opt-out can have been
acknowledged without waiting for this send. After it, nothing may begin.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_until: ContextVar[float | None] = ContextVar("lease_until", default=None)
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", None)  # Linux; elsewhere the monotonic clock must do


class LeaseOver(Exception):
    """The claim ended before the first byte: nothing was sent, the attempt is abandoned."""


def boottime() -> float:
    """Seconds on a clock that never goes back and counts suspended time (CLOCK_MONOTONIC does not)."""
    return time.monotonic() if _CLOCK is None else time.clock_gettime(_CLOCK)


@contextmanager
def lease(until: float) -> Iterator[None]:
    """Everything inside may begin a send only while `boottime() <= until`; an inner lease replaces the outer one."""
    token = _until.set(until)
    try:
        yield
    finally:
        _until.reset(token)


def check() -> None:
    """Raise LeaseOver if the current lease is over. Where no lease is set, nothing is asked."""
    until = _until.get()
    if until is not None and boottime() > until:
        raise LeaseOver
