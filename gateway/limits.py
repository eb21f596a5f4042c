"""How many calls a key may make: so many in a minute, which come back evenly. Each process counts for itself.

The headers are those of draft-ietf-httpapi-ratelimit-headers: the policy's quota `q` and window `w`, and of the present
`r` calls that are left and `t` seconds until all of them are back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from time import monotonic

WINDOW_SECONDS = 60
_FORGET_AT = 10_000  # keys


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What a key has left after a call."""

    quota: int
    left: int
    whole_again_seconds: int
    is_over: bool = False  # there was none left for this one
    wait_seconds: int = 0  # until there is one again

    @property
    def headers(self) -> dict[str, str]:
        return headers("key", self.quota, WINDOW_SECONDS, left=self.left, whole_in=self.whole_again_seconds)


def headers(policy: str, quota: int, window_seconds: int, *, left: int, whole_in: int) -> dict[str, str]:
    """How a policy stands; `whole_in`: seconds."""
    return {
        "RateLimit-Policy": f'"{policy}";q={quota};w={window_seconds}',
        "RateLimit": f'"{policy}";r={left};t={whole_in}',
    }


class Limit:
    """So many calls a minute for each key."""

    def __init__(self, per_minute: int) -> None:
        self._quota = per_minute
        self._buckets: dict[str, _Bucket] = {}

    def take(self, key: str) -> Standing:
        """Count a call; what is over the limit is not counted."""
        now, rate = monotonic(), self._quota / WINDOW_SECONDS
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= _FORGET_AT:
                self._forget_the_whole(now, rate)
            bucket = self._buckets[key] = _Bucket(self._quota, now)
        bucket.left, bucket.at = min(self._quota, bucket.left + (now - bucket.at) * rate), now
        is_over = bucket.left < 1
        if not is_over:
            bucket.left -= 1
        whole = math.ceil((self._quota - bucket.left) / rate)
        wait = math.ceil((1 - bucket.left) / rate) if is_over else 0
        return Standing(self._quota, int(bucket.left), whole, is_over, wait)

    def _forget_the_whole(self, now: float, rate: float) -> None:
        for key, bucket in list(self._buckets.items()):
            if bucket.left + (now - bucket.at) * rate >= self._quota:
                del self._buckets[key]
