"""The loop that forgets what is kept for a time only."""

from __future__ import annotations

from functools import partial

from forms import budgets, intake, spending
from gateway import idempotency
from outbox import confirmations
from store import tasks
from store.clock import Clock
from store.engine import Database


class Tidier(tasks.Woken):
    """Tidies whenever it is woken."""

    name = "tidier"
    can_wait = True

    def __init__(self, database: Database, *, clock: Clock) -> None:
        super().__init__()
        self._database = database
        self._clock = clock

    async def look(self) -> None:
        for forget_old in (
            idempotency.forget_old,
            confirmations.forget_old,
            intake.forget_old,
            spending.forget_old,
            budgets.forget_old,
        ):
            await self._database.transact(partial(forget_old, now=self._clock()))
