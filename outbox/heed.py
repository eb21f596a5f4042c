"""The one door for a change of consent: record it, skip what is queued, wait for what is under way.

    heeded = await heed.record(conn, changes, now=now)      # in the caller's transaction
    ...commit...
    await heeded.settled(database)                          # then answer

After `settled()` no send to a person who opted out begins any more (invariant I2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from weakref import WeakKeyDictionary

from sqlalchemy import bindparam, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.lease import boottime
from consent import ledger, verdict
from consent.ledger import Line
from consent.states import Change
from outbox import verdicts
from outbox.protocol import SETTLE_POLL_SECONDS, SETTLE_SECONDS
from store import bulk, crash
from store.engine import Database, is_away
from store.locks import Links
from store.parts import among
from store.tables import attempts, deliveries

# Literals, so that SQLite sees that the partial indexes serve.
_QUEUED = (
    select(deliveries.c.id)
    .where(among(deliveries.c.address_id), deliveries.c.status == literal_column("'queued'"))
    .order_by(deliveries.c.id)
    .with_for_update(skip_locked=True)
)
_SENDING = select(attempts.c.address_id, attempts.c.broadcast_id).where(attempts.c.state == literal_column("'sending'"))


@dataclass(frozen=True, slots=True)
class Heeded:
    """What was recorded, and the addresses that an opt-out in it closes."""

    lines: tuple[Line, ...] = ()
    closed: frozenset[str] = field(default_factory=frozenset)

    async def settled(self, database: Database) -> None:
        """Return when no claim taken before the commit can begin to send to an address that was closed.

        Call right after the commit, before the answer. Waits only while a send to that very address is under
        way, and never longer than SETTLE_SECONDS.
        """
        await settle(database, self.closed)


async def record(
    conn: AsyncConnection, changes: Sequence[Change], *, now: datetime, held: Links | None = None
) -> Heeded:
    """Record the changes and skip what is queued and may no longer be sent; raises consent.moves.Refused.

    `held`: what `lock_people` gave the caller, where that holds all these people already.
    """
    recorded = await ledger.record(conn, changes, now=now, held=held)
    crash.point("heed.recorded")
    await skip_queued(conn, recorded.closed, now=now)
    crash.point("heed.skipped")
    return Heeded(recorded.lines, recorded.closed)


async def skip_queued(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> int:
    """Skip queued deliveries to these addresses that the verdict no longer allows; returns how many.

    A row that a claim holds is passed over: that claim takes the verdict itself, after us.
    """
    if not address_ids:
        return 0
    ids = [row.id for row in await bulk.rows(conn, _QUEUED, ids=sorted(address_ids))]
    if not ids:
        return 0
    rows = (await verdicts.on(conn, ids, now=now)).values()
    stopped = [
        {"delivery": row.id, "why": row.reason, "moment": now} for row in rows if not verdict.is_allowed(row.reason)
    ]
    if stopped:
        await conn.execute(
            update(deliveries)
            .where(deliveries.c.id == bindparam("delivery"))
            .values(status="skipped", reason=bindparam("why"), updated_at=bindparam("moment")),
            stopped,
        )
    return len(stopped)


async def settle(database: Database, ids: Collection[str]) -> None:
    """The wait between commit and answer for these addresses, or broadcasts; see Heeded.settled."""
    if not ids:
        return
    watch = _watches.setdefault(database, _Watch())
    until = boottime() + SETTLE_SECONDS
    while (left := until - boottime()) > 0:
        crash.point("heed.settle")
        try:
            async with asyncio.timeout(left):
                if (await watch.look(database)).isdisjoint(ids):
                    return
        except Exception as error:
            if not is_away(error) and not isinstance(error, TimeoutError):
                raise
            # Who cannot look waits it out: after SETTLE_SECONDS nothing claimed before can begin.
        await asyncio.sleep(SETTLE_POLL_SECONDS)


class _Watch:
    """Looks at what is under way, once for all who wait: a hundred that look by themselves keep each other waiting."""

    def __init__(self) -> None:
        self._asking: list[asyncio.Future[frozenset[str]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def look(self, database: Database) -> frozenset[str]:
        """What is under way, by a look that began after the call."""
        future: asyncio.Future[frozenset[str]] = asyncio.get_running_loop().create_future()
        self._asking.append(future)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._run(database))
        return await future

    async def _run(self, database: Database) -> None:
        while self._asking:
            asking, self._asking = self._asking, []
            try:
                found: frozenset[str] | Exception = await under_way(database)
            except Exception as error:
                found = error
            for future in asking:
                if future.done():  # the one who asked waits no longer
                    continue
                if isinstance(found, Exception):
                    future.set_exception(found)
                else:
                    future.set_result(found)


_watches: WeakKeyDictionary[Database, _Watch] = WeakKeyDictionary()


async def under_way(database: Database) -> frozenset[str]:
    """The ids of every address, and of every broadcast, to which something is being sent, read from the primary."""
    rows = await database.look(lambda conn: bulk.rows(conn, _SENDING))
    return frozenset(id_ for row in rows for id_ in row if id_ is not None)
