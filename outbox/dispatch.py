"""The dispatcher: claims what may be sent, sends it, and writes down how it ended.

One loop per connection. No lock is held across the network; a claim may begin to send only while its lease
lasts, and the connector asks last (`channels.lease`). Where leases end unused, or a claim takes too long, the next ones
are smaller: what is too much to begin in time would else be claimed and given back for ever. How sends ended is written
down in groups, while the next ones go out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.lease import LeaseOver, boottime, lease
from channels.values import Adapter, InDoubt, NotSent, Outbound, Outcome
from outbox import claims, endings, letters
from outbox.claims import Claim, Claimed
from outbox.endings import Ending
from outbox.lines import REFILL_SECONDS, Line
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
# Between one group of ends and the next. If we die meanwhile what has ended is in doubt, and whoever opts out just then
# waits so much longer for a send to their address.
ENDS_SECONDS = 0.025
MEND_SAID_SECONDS = 60.0  # that somebody has to mend a connection is said once in this time
IDLE_SECONDS = 0.5  # between looks at an empty queue; whoever fills it in this process wakes us at once


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
        self._lines = {name: Line(name, partial(self._send, name)) for name in adapters}
        self._stopping = asyncio.Event()
        self._endings: GroupCommit[Ending, None] = GroupCommit(
            database, self._record, most=500, apart=True, every_seconds=ENDS_SECONDS
        )
        self._again: set[asyncio.Task[None]] = set()  # endings that the database did not take at first
        self._said_at = 0.0  # that ends wait
        self._to_mend_at: dict[str, float] = {}  # that somebody has to mend a connection
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._loops = [tasks.start(self._run(line), f"dispatch {name}") for name, line in self._lines.items()]

    def wake(self) -> None:
        """Look at the queue now."""
        for line in self._lines.values():
            line.wake()

    async def stop(self) -> None:
        """Claim no more, wait until what is under way has ended and is written down."""
        self._stopping.set()
        self.wake()
        await tasks.ended(self._loops)
        for name, line in self._lines.items():
            self._give_back(name, line.give_back())
        for line in self._lines.values():
            await line.emptied()
        while any(line.unwritten for line in self._lines.values()):
            await self._endings.drain()
            await tasks.ended(list(self._again))
            await asyncio.sleep(0.01)  # let those that are told of their end hear it

    @property
    def is_running(self) -> bool:
        """Whether every connection is served."""
        return tasks.all_run(self._loops)

    # --- claims ---------------------------------------------------------------------------------

    async def _run(self, line: Line) -> None:
        pause = IDLE_SECONDS
        while not self._stopping.is_set():
            try:
                pause = await self._fill(line)
            except Exception as error:
                line.is_hungry = False
                line.claim_less()
                pause = min(max(pause, IDLE_SECONDS) * 2, 10.0)
                level = log.warning if is_away(error) else log.exception
                level("dispatch.failed", connection=line.name, error=type(error).__name__, again_in_seconds=pause)
            if pause > 0:
                await line.rest(pause)
            late = line.give_back(now=boottime())
            if late:
                line.claim_less()
                self._give_back(line.name, late)

    async def _fill(self, line: Line) -> float:
        """Claim what there is room for and start to send it; returns for how long nothing else is to be done."""
        limit, bulk = line.room()
        if limit == 0:
            return IDLE_SECONDS
        if not (line.is_hungry and line.is_roomy):  # a look costs less than a claim, and keeps nobody waiting
            now = self._clock()
            if not await self._database.look(lambda c: is_any_due(c, line.name, now=now, of_broadcasts=bulk > 0)):
                line.is_hungry = line.is_hungry and bulk == 0
                return IDLE_SECONDS
        claimed = await self._claim(line, limit, bulk)
        # Whoever looked for single messages alone has not seen whether there are others.
        line.is_hungry = claimed.looked_at > 0 or (line.is_hungry and bulk == 0)
        if 2 * claimed.looked_at >= limit and line.is_roomy:
            return 0.0
        return min(IDLE_SECONDS, max(claimed.wait_seconds, REFILL_SECONDS)) if claimed.wait_seconds else IDLE_SECONDS

    async def _claim(self, line: Line, limit: int, bulk: int) -> Claimed:
        began = boottime()  # before the transaction: the lease covers the claim's own time

        async def work(conn: AsyncConnection) -> Claimed:
            return await claims.claim(
                conn,
                line.name,
                limit=limit,
                bulk=bulk,
                owner=self.owner,
                policy=self._policy,
                now=self._clock(),
            )

        claimed = await self._database.transact(work, apart=True)
        crash.point("claim.committed")
        line.add(claimed.claims, began + LEASE_SECONDS)
        return claimed

    # --- sends ----------------------------------------------------------------------------------

    async def _send(self, name: str, claim: Claim, until: float) -> None:
        outcome: Outcome | Abandoned
        began = boottime()
        took = 0.0
        try:
            message = self._message(claim)
            with lease(until):
                outcome = await self._adapters[name].send(message)
                took = boottime() - began
                self._lines[name].took(took)
        except LeaseOver:
            outcome = Abandoned()
            self._lines[name].claim_less()
        except Exception as error:
            log.exception("send.failed", connection=name, attempt=claim.attempt_id, error=type(error).__name__)
            outcome = InDoubt(f"unexpected {type(error).__name__}")
        crash.point("send.ended")
        self._ended(Ending(claim, outcome, name), took or boottime() - began)
        if isinstance(outcome, NotSent) and outcome.slow_down:  # what waits goes when the connection's rest is over
            self._give_back(name, self._lines[name].give_back())
        if isinstance(outcome, NotSent) and outcome.to_mend is not None:
            self._say_what_to_mend(name, outcome.to_mend)

    def _say_what_to_mend(self, name: str, why: str) -> None:
        """Once in a while: every message that is tried meanwhile says it again."""
        now = boottime()
        if now - self._to_mend_at.get(name, -MEND_SAID_SECONDS) >= MEND_SAID_SECONDS:
            self._to_mend_at[name] = now
            log.warning("connection.refused", connection=name, why=why)

    def _message(self, claim: Claim) -> Outbound:
        return Outbound(
            tag=claim.tag,
            channel=claim.channel,
            to=claim.address,
            body=claim.content.get("body"),
            template=claim.content.get("template"),
            mail=letters.mail_for(claim, self._policy) if claim.channel == "email" else None,
        )

    def _give_back(self, name: str, late: Sequence[Claim]) -> None:
        for claim in late:
            self._ended(Ending(claim, Abandoned(), name), 0.0)

    # --- ends -----------------------------------------------------------------------------------

    def _ended(self, ending: Ending, took: float) -> None:
        """Have it written down with all others that end meanwhile."""
        self._lines[ending.connection].unwritten += 1
        self._endings.hand_in(ending).add_done_callback(partial(self._written, ending, took))

    def _written(self, ending: Ending, took: float, future: asyncio.Future[None]) -> None:
        error = future.exception()
        if error is None:
            self._kept(ending, took)
            return
        task = tasks.start(self._write_again(ending, took, error), f"ending {ending.claim.attempt_id}")
        self._again.add(task)
        task.add_done_callback(self._again.discard)

    def _kept(self, ending: Ending, took: float) -> None:
        crash.point("ending.committed")
        self._told(ending, took)

    def _told(self, ending: Ending, took: float) -> None:
        self._lines[ending.connection].unwritten -= 1
        if self._on_ended is not None:  # last: whoever counts must not come between an end and its being written down
            self._on_ended(ending.connection, ending.outcome, took)

    async def _write_again(self, ending: Ending, took: float, error: BaseException) -> None:
        """Keep how an attempt ended, however long the database is away; the sweep would call it in doubt.

        What the database refuses for as long as the sweep waits is left to the sweep, and blocks the line no more.
        """
        pause = 0.2
        until = boottime() + ABANDONED_AFTER_SECONDS
        while True:
            hopeless = boottime() > until and not is_away(error)
            if hopeless or (self._stopping.is_set() and pause > 2):
                log.error("ending.lost", attempt=ending.claim.attempt_id, error=type(error).__name__)
                self._told(ending, took)
                return
            self._say_that_ends_wait(error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, 10.0)
            try:
                await self._endings.submit(ending)
            except Exception as again:
                error = again
            else:
                self._kept(ending, took)
                return

    def _say_that_ends_wait(self, error: BaseException) -> None:
        """Once a second at most: while the database is away there may be a thousand of them."""
        now = boottime()
        if now - self._said_at >= 1.0:
            self._said_at = now
            log.warning("ending.waits", items=len(self._again), error=type(error).__name__)

    async def _record(self, conn: AsyncConnection, batch: Sequence[Ending]) -> list[None]:
        await endings.record(conn, batch, now=self._clock())
        return [None] * len(batch)
