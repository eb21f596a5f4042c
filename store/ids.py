"""Identifiers: opaque to clients, made by the application, in the order of their making.

The form is a prefix that says what it names and 26 characters of Crockford's base 32: 48 bits of milliseconds
and 80 bits at random, counted up within one millisecond (the ULID layout). So `ORDER BY id` is the order of
creation, which the domain's "the oldest profile" relies on.
"""

from __future__ import annotations

import secrets
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # by ten bits: a message makes six ids
_TENS = range(120, -1, -10)
_lock = threading.Lock()
_last = 0


def new_id(prefix: str) -> str:
    """A new id such as `pro_01jd5m…`; greater than every id made earlier in this process."""
    global _last  # noqa: PLW0603 - the one counter of the process
    with _lock:
        fresh = (time.time_ns() // 1_000_000) << 80 | secrets.randbits(80)
        _last = fresh if fresh > _last else _last + 1
        number = _last
    return f"{prefix}_{''.join([_PAIRS[number >> bits & 1023] for bits in _TENS])}"
