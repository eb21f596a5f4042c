"""The dispatcher: claims what may be sent, sends it, and writes down how it ended.

One loop per connection. No lock is held across the network; a claim may begin to send only while its lease
lasts, and the connector asks last (`channels.lease`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.lease import LeaseOver, boottime, lease
from channels.values import Adapter, InDoubt, NotSent, Outbound, Outcome
from outbox import claims, endings
from outbox.claims import Claim
from outbox.endings import Ending
from outbox.outcomes import Abandoned
from outbox.protocol import ABANDONED_AFTER_SECONDS, LEASE_SECONDS
from store import tasks
from store.clock import Clock
from store.engine import Database, is_away
from store.group import GroupCommit
from store.ids import new_id

log = structlog.get_logger("outbox")

IDLE_SECONDS = 0.5  # between looks at an empty queue; whoever fills it in this process wakes us at once
CONCURRENCY = 64  # requests under way per connection
_BURST_SECONDS = 0.5 * LEASE_SECONDS  # what is claimed at once could all begin within this


class Pace:
    """How many messages a connection may begin now: a bucket that fills at its rate."""

    def __init__(self, per_second: float) -> None:
        self._rate = per_second
        self._size = max(1.0, per_second * _BURST_SECONDS)
        self._tokens = self._size
        self._filled_at = boottime()
        self._resting_until = 0.0

    def ready(self) -> int:
        """How many may begin now."""
        now = boottime()
        if now < self._resting_until:
            return 0
        self._tokens = min(self._size, self._tokens + (now - self._filled_at) * self._rate)
        self._filled_at = now
        return int(self._tokens)

    def spend(self, count: int) -> None:
        self._tokens -= count

    def rest(self, seconds: float) -> None:
        """Begin nothing for so long: the provider asked for it."""
        self._resting_until = max(self._resting_until, boottime() + seconds)


class Dispatcher:
    """Sends for every connection until stopped. Several may run on one PostgreSQL."""

    def __init__(
        self,
        database: Database,
        adapters: Mapping[str, Adapter],
        *,
        rates: Mapping[str, float],
        clock: Clock,
    ) -> None:
        self.owner = new_id("dsp")
        self._database = database
        self._adapters = adapters
        self._paces = {name: Pace(rates.get(name, 100.0)) for name in adapters}
        self._clock = clock
        self._wakes = {name: asyncio.Event() for name in adapters}
        self._stopping = asyncio.Event()
        self._endings: GroupCommit[Ending, None] = GroupCommit(database, self._record, most=200)
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops = [tasks.start(self._run(name), f"dispatch {name}") for name in self._adapters]

    def wake(self) -> None:
        """Look at the queue now."""
        for event in self._wakes.values():
            event.set()

    async def stop(self) -> None:
        """Claim no more, wait until what is under way has ended and is written down."""
        self._stopping.set()
        self.wake()
        await tasks.ended(self._loops)
        await self._endings.drain()

    @property
    def is_running(self) -> bool:
        """Whether every connection is served."""
        return tasks.all_run(self._loops)

    async def _record(self, conn: AsyncConnection, batch: Sequence[Ending]) -> list[None]:
        await endings.record(conn, batch, now=self._clock())
        return [None] * len(batch)

    async def _run(self, name: str) -> None:
        under_way: set[asyncio.Task[None]] = set()
        pause = IDLE_SECONDS
        while not self._stopping.is_set():
            try:
                taken = await self._fill(name, under_way)
                pause = IDLE_SECONDS
            except Exception as error:
                taken = 0
                pause = min(pause * 2, 10.0)
                level = log.warning if is_away(error) else log.exception
                level("dispatch.failed", connection=name, error=type(error).__name__, again_in_seconds=pause)
            await self._wait(name, under_way, taken, pause)
        if under_way:
            await asyncio.wait(under_way)

    async def _wait(self, name: str, under_way: set[asyncio.Task[None]], taken: int, pause: float) -> None:
        """Until there is room for more, or something may be due."""
        if taken and len(under_way) < CONCURRENCY:
            return
        if under_way:
            busy = len(under_way) >= CONCURRENCY
            await asyncio.wait(under_way, timeout=None if busy else pause, return_when=asyncio.FIRST_COMPLETED)
            await asyncio.sleep(0)  # let those that end together end together
            return
        wake = self._wakes[name]
        try:
            await asyncio.wait_for(wake.wait(), pause)
        except TimeoutError:
            return
        finally:
            wake.clear()

    async def _fill(self, name: str, under_way: set[asyncio.Task[None]]) -> int:
        """Claim as many as can begin now and start to send them; returns how many deliveries were looked at."""
        pace = self._paces[name]
        limit = min(CONCURRENCY - len(under_way), pace.ready())
        if limit <= 0:
            return 0
        async with self._database.read() as conn:
            if not await claims.is_any_due(conn, name, now=self._clock()):
                return 0
        began = boottime()  # before the transaction: the lease covers the claim's own time
        async with self._database.write() as conn:
            taken, looked_at = await claims.claim(conn, name, limit=limit, owner=self.owner, now=self._clock())
        pace.spend(len(taken))
        for claim in taken:
            task = tasks.start(self._send(name, claim, began + LEASE_SECONDS), f"send {claim.attempt_id}")
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        return looked_at

    async def _send(self, name: str, claim: Claim, until: float) -> None:
        outcome: Outcome | Abandoned
        message = Outbound(
            tag=claim.attempt_id,
            channel=claim.channel,
            to=claim.address,
            body=claim.content.get("body"),
            template=claim.content.get("template"),
        )
        try:
            with lease(until):
                outcome = await self._adapters[name].send(message)
        except LeaseOver:
            outcome = Abandoned()
        except Exception as error:
            log.exception("send.failed", connection=name, attempt=claim.attempt_id, error=type(error).__name__)
            outcome = InDoubt(f"unexpected {type(error).__name__}")
        if isinstance(outcome, NotSent) and outcome.slow_down:
            self._paces[name].rest(outcome.retry_after_seconds or 1.0)
        await self._write_down(Ending(claim, outcome, name))

    async def _write_down(self, ending: Ending) -> None:
        """Keep how an attempt ended, however long the database is away; the sweep would call it in doubt.

        What the database refuses for as long as the sweep waits is left to the sweep, and blocks the line no more.
        """
        pause = 0.2
        until = boottime() + ABANDONED_AFTER_SECONDS
        while True:
            try:
                await self._endings.submit(ending)
            except Exception as error:
                hopeless = boottime() > until and not is_away(error)
                if hopeless or (self._stopping.is_set() and pause > 2):
                    log.error("ending.lost", attempt=ending.claim.attempt_id, error=type(error).__name__)
                    return
                log.warning("ending.waits", attempt=ending.claim.attempt_id, error=type(error).__name__)
                await asyncio.sleep(pause)
                pause = min(pause * 2, 10.0)
            else:
                return
