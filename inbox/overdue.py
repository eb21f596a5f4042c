"""The loop that ends what nobody decided: a review that is due becomes an opt-out by itself."""

from __future__ import annotations

from datetime import datetime

import structlog

from inbox import review_list, reviews
from outbox import heed
from store import tasks
from store.clock import Clock
from store.engine import Database, is_away

log = structlog.get_logger("inbox")

AT_ONCE = 100  # due reviews that are looked up together; each is decided in a transaction of its own


class Overdue(tasks.Woken):
    """Decides whatever is due when it is woken, and as it starts.

    Several gateways may do so at once: who comes second to an address finds its reviews decided.
    """

    name = "reviews"

    def __init__(self, database: Database, *, clock: Clock) -> None:
        super().__init__()
        self._database = database
        self._clock = clock

    async def look(self) -> None:
        after: tuple[datetime, str] | None = None
        while not self._stopping:
            async with self._database.read() as conn:
                due = await review_list.due(conn, now=self._clock(), after=after, limit=AT_ONCE)
            if not due:
                return
            for _, review_id in due:
                await self._opt_out(review_id)
            after = due[-1]  # one that cannot be decided holds up no other

    async def _opt_out(self, review_id: str) -> None:
        try:
            closed = await self._database.transact(
                lambda conn: reviews.decide(conn, review_id, "opt_out", by="system", now=self._clock())
            )
        except reviews.Decided:
            return  # with another of the same address, or by somebody just now
        except Exception as error:
            if is_away(error):
                raise
            log.exception("review.failed", error=type(error).__name__)
            return
        await heed.settle(self._database, closed)
        log.info("review.lapsed", count=1)
