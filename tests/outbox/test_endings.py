"""An end that is told late, when the broadcast was taken for ended: nothing of it is left in the queue."""

from __future__ import annotations

from datetime import timedelta

import pytest
from sqlalchemy import select, update

from broadcasts import control, records
from channels.values import NotSent
from outbox import endings
from outbox.endings import Ending
from outbox.protocol import ABANDONED_AFTER_SECONDS
from store.engine import Database
from store.tables import broadcasts, deliveries
from tests.acts import NOON
from tests.outbox.conftest import Claimed

LATE = NOON + timedelta(seconds=2 * ABANDONED_AFTER_SECONDS)


@pytest.mark.parametrize(("before", "after"), [("done", "sending"), ("cancelled", "cancelled")])
async def test_a_broadcast_that_was_taken_for_ended_is_opened_again(
    database: Database, claimed: Claimed, before: str, after: str
) -> None:
    [claim] = await claimed("sms:+14155550101")
    await database.transact(lambda conn: endings.sweep(conn, now=LATE))
    if before == "cancelled":
        async with database.write() as conn:
            await conn.execute(update(broadcasts).values(status="cancelled"))
    await database.transact(lambda conn: records.finish(conn, now=LATE))
    async with database.read() as conn:
        [ended] = (await conn.execute(select(broadcasts))).all()
        assert (ended.status, ended.done_at) == (before, LATE)
    # The process was frozen, and knows that nothing was sent.
    await database.transact(
        lambda conn: endings.record(conn, [Ending(claim, NotSent("connection refused"), "sms")], now=LATE)
    )
    async with database.read() as conn:
        [open_] = (await conn.execute(select(broadcasts))).all()
        [delivery] = (await conn.execute(select(deliveries))).all()
    assert (open_.status, open_.done_at, delivery.status) == (after, None, "queued")
    if before == "cancelled":
        await database.transact(lambda conn: control.cancel_queued(conn, open_.id, now=LATE))
        async with database.read() as conn:
            assert (await conn.execute(select(deliveries.c.status))).scalar_one() == "cancelled"
