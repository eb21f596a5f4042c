"""The loop that ends what nobody has to decide, or nobody decided.

A review whose person has said no by another way is ended; one that is due becomes an opt-out by itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds
from inbox import review_list, reviews
from inbox.review_list import Waiting
from outbox import heed
from store import tasks
from store.clock import Clock
from store.engine import Database, is_away

log = structlog.get_logger("inbox")

AT_ONCE = 500  # reviews that are looked up together; each is ended in a transaction of its own


class Overdue(tasks.Woken):
    """Ends whatever is to be ended when it is woken, and as it starts.

    Several gateways may do so at once: who comes second to an address finds its reviews decided.
    """

    name = "reviews"

    def __init__(self, database: Database, *, clock: Clock) -> None:
        super().__init__()
        self._database = database
        self._clock = clock

    async def look(self) -> None:
        async for page in self._pages(due_by=None):
            async with self._database.read() as conn:
                said = await holds.said_no(conn, {one.address_id for one in page})
            for one in page:
                if one.address_id in said:
                    await self._try(self._end, one.id)
        async for page in self._pages(due_by=self._clock()):
            for one in page:
                await self._try(self._opt_out, one.id)

    async def _pages(self, *, due_by: datetime | None) -> AsyncIterator[list[Waiting]]:
        """What is open, or due; one that cannot be ended holds up no other."""
        after: Waiting | None = None
        while not self._stopping:
            async with self._database.read() as conn:
                page = await review_list.waiting(conn, due_by=due_by, after=after, limit=AT_ONCE)
            if not page:
                return
            yield page
            after = page[-1]

    async def _try(self, end: Callable[[str], Awaitable[None]], review_id: str) -> None:
        try:
            await end(review_id)
        except reviews.Decided:
            return  # with another of the same address, or by somebody just now
        except Exception as error:
            if is_away(error):
                raise
            log.exception("review.failed", error=type(error).__name__)

    async def _end(self, review_id: str) -> None:
        async def work(conn: AsyncConnection) -> bool:
            return await reviews.end_if_said(conn, review_id, now=self._clock())

        if await self._database.transact(work):
            log.info("review.ended", count=1)

    async def _opt_out(self, review_id: str) -> None:
        async def work(conn: AsyncConnection) -> frozenset[str]:
            return await reviews.decide(conn, review_id, "opt_out", by="system", now=self._clock())

        await heed.settle(self._database, await self._database.transact(work))
        log.info("review.lapsed", count=1)
