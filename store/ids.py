"""Identifiers: opaque to clients, made by the application, in the order of their making.

The form is a prefix that says what it names and 26 characters of Crockford's base 32: 48 bits of milliseconds
and 80 bits at random, counted up within one millisecond (the ULID layout). So `ORDER BY id` is the order of
creation, which the domain's "the oldest profile" relies on.
"""

from __future__ import annotations

import os
import threading
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _ALPHABET for second in _ALPHABET]  # by ten bits: a message makes six ids
_TENS = range(120, -1, -10)
_lock = threading.Lock()
_last = 0


class _Chance:
    """Random bytes of the system's, fetched many at a time: each fetch lets go of the interpreter."""

    _AT_ONCE = 4096

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)  # else parent and child would make the same ids

    def forget(self) -> None:
        self._bytes, self._at = b"", 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._bytes):
            self._bytes, self._at = os.urandom(max(self._AT_ONCE, count)), 0
        self._at += count
        return self._bytes[self._at - count : self._at]


_chance = _Chance()


def new_id(prefix: str) -> str:
    """A new id such as `pro_01jd5m…`; greater than every id made earlier in this process."""
    global _last  # noqa: PLW0603 - the one counter of the process
    with _lock:
        fresh = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(_chance.take(10))
        _last = fresh if fresh > _last else _last + 1
        number = _last
    return f"{prefix}_{''.join([_PAIRS[number >> bits & 1023] for bits in _TENS])}"


def new_salt() -> str:
    """128 bits that nobody can guess, as 32 hexadecimal digits."""
    with _lock:
        return _chance.take(16).hex()
