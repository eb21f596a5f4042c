"""The sweep: attempts whose process never told how they ended are put in doubt, and after a day called unknown."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from outbox import endings
from store import tasks
from store.clock import Clock
from store.engine import Database

log = structlog.get_logger("outbox")


class Sweeper(tasks.Woken):
    """Sweeps whenever it is woken; see endings.sweep.

    On SQLite there is one gateway for a file: what another than `owner` began is never finished, and known to be lost
    at once.
    """

    name = "sweep"

    def __init__(self, database: Database, *, clock: Clock, owner: str) -> None:
        super().__init__()
        self._database = database
        self._clock = clock
        self._owners: Sequence[str] | None = [owner] if database.dialect == "sqlite" else None

    async def look(self) -> None:
        owners = self._owners
        lost = await self._database.transact(lambda conn: endings.sweep(conn, now=self._clock(), not_owned_by=owners))
        self._owners = None  # from here on all that is not ours is old
        if lost:
            log.warning("attempts.in_doubt", count=lost)
