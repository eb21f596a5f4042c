"""The dispatcher: claims what may be sent, sends it, and writes down how it ended.

One loop per connection. No lock is held across the network; a claim may begin to send only while its lease
lasts, and the connector asks last (`channels.lease`). Where leases end unused, or a claim takes too long, the next ones
are smaller: what is too much to begin in time would else be claimed and given back for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.lease import LeaseOver, boottime, lease
from channels.values import Adapter, InDoubt, Outbound, Outcome
from outbox import claims, endings
from outbox.claims import Claim, Claimed
from outbox.endings import Ending
from outbox.outcomes import Abandoned
from outbox.policy import Policy
from outbox.protocol import ABANDONED_AFTER_SECONDS, LEASE_SECONDS
from outbox.sources import is_any_due
from store import crash, tasks
from store.clock import Clock
from store.engine import Database, is_away
from store.group import GroupCommit
from store.ids import new_id

log = structlog.get_logger("outbox")

# What is told of each attempt that ended: the connection, how, and the seconds it took.
Noted = Callable[[str, Outcome | Abandoned, float], None]
IDLE_SECONDS = 0.5  # between looks at an empty queue; whoever fills it in this process wakes us at once
CONCURRENCY = 64  # requests under way per connection
RESERVED = 8  # of them for what a person waits for, however much of a broadcast is under way


class Dispatcher:
    """Sends for every connection until stopped. Several may run on one PostgreSQL."""

    def __init__(
        self,
        database: Database,
        adapters: Mapping[str, Adapter],
        *,
        policy: Policy,
        clock: Clock,
        on_ended: Noted | None = None,
    ) -> None:
        self.owner = new_id("dsp")
        self._database = database
        self._adapters = adapters
        self._policy = policy
        self._clock = clock
        self._on_ended = on_ended
        self._most = dict.fromkeys(adapters, CONCURRENCY)  # claimed at once
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
            narrowed = bool(under_way)  # the look sees less than there may be: it takes what there is room for
            try:
                claimed = await self._fill(name, under_way)
                taken, pause = claimed.looked_at, min(IDLE_SECONDS, claimed.wait_seconds or IDLE_SECONDS)
            except Exception as error:
                taken, narrowed = 0, False
                self._claim_less(name)
                pause = min(max(pause, IDLE_SECONDS) * 2, 10.0)
                level = log.warning if is_away(error) else log.exception
                level("dispatch.failed", connection=name, error=type(error).__name__, again_in_seconds=pause)
            if taken or under_way or not narrowed:  # else all ended during the look: now there is room
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

    async def _fill(self, name: str, under_way: set[asyncio.Task[None]]) -> Claimed:
        """Claim as many as can begin now and start to send them."""
        free = CONCURRENCY - len(under_way)
        if free <= 0:
            return Claimed()
        limit = min(free, self._most[name])
        async with self._database.read() as conn:
            if not await is_any_due(conn, name, now=self._clock()):
                return Claimed()
        began = boottime()  # before the transaction: the lease covers the claim's own time
        async with self._database.write() as conn:
            claimed = await claims.claim(
                conn,
                name,
                limit=limit,
                bulk=max(0, min(limit, free - RESERVED)),
                owner=self.owner,
                policy=self._policy,
                now=self._clock(),
            )
        crash.point("claim.committed")
        for claim in claimed.claims:
            task = tasks.start(self._send(name, claim, began + LEASE_SECONDS), f"send {claim.attempt_id}")
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        return claimed

    def _claim_less(self, name: str) -> None:
        self._most[name] = max(1, self._most[name] // 2)

    async def _send(self, name: str, claim: Claim, until: float) -> None:
        outcome: Outcome | Abandoned
        message = Outbound(
            tag=claim.tag,
            channel=claim.channel,
            to=claim.address,
            body=claim.content.get("body"),
            template=claim.content.get("template"),
        )
        began = boottime()
        try:
            with lease(until):
                outcome = await self._adapters[name].send(message)
                self._most[name] = min(CONCURRENCY, self._most[name] + 1)
        except LeaseOver:
            outcome = Abandoned()
            self._claim_less(name)
        except Exception as error:
            log.exception("send.failed", connection=name, attempt=claim.attempt_id, error=type(error).__name__)
            outcome = InDoubt(f"unexpected {type(error).__name__}")
        crash.point("send.ended")
        took = boottime() - began
        await self._write_down(Ending(claim, outcome, name))
        if self._on_ended is not None:  # last: whoever counts must not come between an end and its being written down
            self._on_ended(name, outcome, took)

    async def _write_down(self, ending: Ending) -> None:
        """Keep how an attempt ended, however long the database is away; the sweep would call it in doubt.

        What the database refuses for as long as the sweep waits is left to the sweep, and blocks the line no more.
        """
        pause = 0.2
        until = boottime() + ABANDONED_AFTER_SECONDS
        while True:
            try:
                await self._endings.submit(ending)
                crash.point("ending.committed")
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
