"""The line of one connection: what is claimed, and waits for a place or is being sent.

A claim costs as much for one message as for many, so it is made when there is room for a worthwhile number, and a
little ahead: while it is made the places are not empty. How far ahead is bounded by how fast the provider answers, for
whoever opts out waits for what is claimed, and a lease is soon over.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from time import monotonic

from outbox.claims import Claim
from store import tasks

CONCURRENCY = 64  # requests under way per connection
RESERVED = 8  # of them for what a person waits for, however much of a broadcast is under way
AHEAD = 448  # claimed at most beyond these,
AHEAD_SECONDS = 0.1  # and no more than begins within this, by how long the sends take
MOST = CONCURRENCY + AHEAD  # claimed and not ended
REFILL_SECONDS = 0.05  # where less than a worthwhile number ends within this, that is claimed
MOST_UNWRITTEN = 2 * MOST  # ends that the database has not taken yet; with more nothing is claimed

Held = tuple[Claim, float]  # and the end of its lease


class Line:
    """Room for claims, and places to send from. Claims of broadcasts have all places but the reserved ones."""

    def __init__(self, name: str, send: Callable[[Claim, float], Awaitable[None]]) -> None:
        """`send` sends one claim within its lease; it raises nothing."""
        self.name = name
        self.unwritten = 0
        self.is_hungry = False  # more is believed to be queued than was claimed
        self._send = send
        self._most = CONCURRENCY  # claimed at once
        self._seconds: float | None = None  # that a send takes, the latest counted most
        self._first: deque[Held] = deque()  # what a person waits for
        self._bulk: deque[Held] = deque()
        self._sending = self._sending_bulk = 0
        self._serving = 0  # places that send, or look whether there is something to send
        self._places: set[asyncio.Task[None]] = set()
        self._called = False  # by whoever has queued something
        self._wake = asyncio.Event()

    # --- room for claims ----------------------------------------------------------------------

    def room(self) -> tuple[int, int]:
        """How many may be claimed now, and how many of them of broadcasts."""
        if self.unwritten > MOST_UNWRITTEN:
            return 0, 0
        places = CONCURRENCY - self._sending - len(self._first)
        # What a person waits for goes before all of a broadcast that waits, which may be more than is wanted by now.
        free = max(places, places + self._ahead() - len(self._bulk))
        bulk = CONCURRENCY - RESERVED + self._ahead() - self._sending_bulk - len(self._bulk)
        limit = max(0, min(free, self._most))
        return limit, max(0, min(limit, free - RESERVED, bulk))

    @property
    def is_roomy(self) -> bool:
        """Whether there is room for half of what may be claimed at all."""
        most = min(CONCURRENCY - RESERVED + self._ahead(), self._most)
        return 2 * self.room()[1] >= most

    def _ahead(self) -> int:
        return 0 if self._seconds is None else int(min(AHEAD, AHEAD_SECONDS * CONCURRENCY / max(self._seconds, 1e-3)))

    def took(self, seconds: float) -> None:
        """A send has begun in time and ended."""
        self._seconds = seconds if self._seconds is None else 0.95 * self._seconds + 0.05 * seconds
        self._most = min(MOST, self._most + 1)

    def claim_less(self) -> None:
        """What was claimed at once could not begin in time."""
        self._most = max(1, self._most // 2)

    # --- places -------------------------------------------------------------------------------

    def add(self, claims: Iterable[Claim], until: float) -> None:
        """Send these as there are places, what a person waits for first."""
        for claim in claims:
            (self._first if claim.broadcast_id is None else self._bulk).append((claim, until))
        for _ in range(min(len(self._first) + len(self._bulk), CONCURRENCY - self._serving)):
            self._serving += 1
            place = tasks.start(self._serve(), f"send {self.name}")
            self._places.add(place)
            place.add_done_callback(self._places.discard)

    async def _serve(self) -> None:
        try:
            while (held := self._next()) is not None:
                await self._send_one(*held)
        finally:
            self._serving -= 1

    async def _send_one(self, claim: Claim, until: float) -> None:
        is_bulk = claim.broadcast_id is not None
        self._sending += 1
        self._sending_bulk += is_bulk
        try:
            await self._send(claim, until)
        finally:
            self._sending -= 1
            self._sending_bulk -= is_bulk
        if self.is_hungry and not self._wake.is_set() and self.is_roomy:
            self._wake.set()

    def _next(self) -> Held | None:
        if self._first:
            return self._first.popleft()
        if self._bulk and self._sending_bulk < CONCURRENCY - RESERVED:
            return self._bulk.popleft()
        return None

    def give_back(self, *, now: float | None = None) -> list[Claim]:
        """Take out what has found no place within its lease; all that has found none where no time is given."""
        given: list[Claim] = []
        for waiting in (self._first, self._bulk):
            while waiting and (now is None or waiting[0][1] < now):
                given.append(waiting.popleft()[0])
        return given

    async def emptied(self) -> None:
        """Wait until nothing is under way."""
        await tasks.ended(list(self._places))

    # --- when to claim ------------------------------------------------------------------------

    def wake(self) -> None:
        """Look at the queue now."""
        self._called = True
        self._wake.set()

    async def rest(self, seconds: float) -> None:
        """Until there is room for a worthwhile number of what is queued, or something else may be due."""
        until = monotonic() + seconds
        while not self._called and (left := until - monotonic()) > 0:
            self._wake.clear()  # there may have been room that is taken meanwhile
            woken = await self._woken(min(left, REFILL_SECONDS) if self.is_hungry else left)
            if self.is_hungry and (self.is_roomy if woken else self.room()[1]):
                break
        self._called = False

    async def _woken(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._wake.wait()
        return False
