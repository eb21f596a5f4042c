"""The loop that plans broadcasts, one chunk a transaction, and closes those that are done."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import structlog
from sqlalchemy import select

from broadcasts import control, plan, records
from store import crash, tasks
from store.clock import Clock
from store.engine import Database, is_away
from store.tables import broadcasts

log = structlog.get_logger("broadcasts")

TURN_SECONDS = 1.0  # for which one broadcast is planned while another waits to be started, or cancelled


class Planner(tasks.Woken):
    """Plans what is `planning`, starts what is `scheduled` and due, marks what is `done`.

    It is woken by the scheduler, and by whoever makes a broadcast. What there is to do, and whether its time has come,
    the database says.
    """

    name = "planner"

    def __init__(self, database: Database, *, clock: Clock, on_planned: Callable[[], None]) -> None:
        super().__init__()
        self._database = database
        self._clock = clock
        self._on_planned = on_planned
        self._size = plan.CHUNK

    async def look(self) -> None:
        """Plan, start and finish; a broadcast whose plan takes long is left for the next look after a second."""
        async with self._database.read() as conn:
            open_ = [
                (row.id, row.status, row.plan_cursor is None)
                for row in await conn.execute(
                    select(broadcasts.c.id, broadcasts.c.status, broadcasts.c.plan_cursor)
                    .where(
                        broadcasts.c.status.in_(["planning", "scheduled", "sending", "cancelled"]),
                        broadcasts.c.done_at.is_(None),
                    )
                    .order_by(broadcasts.c.id)
                )
            ]
        for broadcast_id, status, is_new in open_:
            if status == "planning":
                await self._plan(broadcast_id, is_new)
            elif status == "cancelled":
                await self._cancel(broadcast_id)
        if open_:
            await self._close()

    async def _plan(self, broadcast_id: str, is_new: bool) -> None:
        """Plan one for a while, then the others have their turn; what cannot be planned is tried again."""
        until = monotonic() + TURN_SECONDS
        try:
            if is_new:
                await self._database.transact(plan.know_the_tables)
            while not self._stopping and await self._database.transact(
                lambda conn: plan.plan_chunk(conn, broadcast_id, now=self._clock(), size=self._size), apart=True
            ):
                crash.point("plan.committed")
                self._suit()
                if monotonic() > until:
                    self.wake()
                    return
            await self._database.transact(plan.know_the_plan)
            self._on_planned()
        except Exception as error:
            if is_away(error):
                raise
            log.exception("plan.failed", broadcast=broadcast_id, error=type(error).__name__)

    def _suit(self) -> None:
        """Take less at a time while others wait to write, such as whoever texts, and all again when nobody does."""
        if self._database.is_waited_for:
            self._size = max(plan.LEAST, self._size // 2)
        else:
            self._size = min(plan.CHUNK, self._size * 2)

    async def _close(self) -> None:
        now = self._clock()
        crash.point("broadcast.closing")
        started = await self._database.transact(lambda conn: records.start_scheduled(conn, now=now))
        await self._database.transact(lambda conn: records.finish(conn, now=now))
        if started:
            self._on_planned()

    async def _cancel(self, broadcast_id: str) -> None:
        """Cancel what is queued for a cancelled broadcast, also what came back to the queue since."""
        while not self._stopping and await self._database.transact(
            lambda conn: control.cancel_queued(conn, broadcast_id, now=self._clock())
        ):
            pass
