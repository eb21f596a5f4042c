"""What a claim reads: the queue of what is being sent now, however much is queued for what is not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import bindparam, event, text
from sqlalchemy.ext.asyncio import AsyncConnection

from outbox import claims
from outbox.sources import is_any_due
from store.engine import Database
from store.types import UTCDateTime
from tests.acts import NOON
from tests.outbox.conftest import POLICY, Planned

PEOPLE = [f"sms:+1415555010{n}" for n in range(3)]
WAITING = 200_000  # due on the same connection, for broadcasts that are not being sent
QUEUES = {"ix_deliveries_queue", "ix_deliveries_broadcast_queue"}

_OTHERS = text("""
    INSERT INTO broadcasts
        (id, name, channel, connection, content, audience, status, created_by, created_at, updated_at)
    SELECT 'brd_' || other, name, channel, connection, content, audience, other, created_by, created_at, updated_at
    FROM broadcasts CROSS JOIN (SELECT 'planning' AS other UNION ALL SELECT 'paused') AS others
""")
# More urgent, and earlier by key, than all that is being sent.
_WAITING = text("""
    INSERT INTO deliveries (id, broadcast_id, profile_id, address_id, channel, connection, class, priority, status,
        tries, due_at, created_at, updated_at)
    WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
    SELECT 'msg_0' || n, CASE WHEN n % 2 = 0 THEN 'brd_planning' ELSE 'brd_paused' END, 'pro_' || n, 'adr_' || n,
        'sms', 'sms', 'marketing', 0, 'queued', 0, :then, :then, :then
    FROM numbers
""").bindparams(bindparam("then", type_=UTCDateTime()))


async def let_others_wait(conn: AsyncConnection) -> None:
    await conn.execute(_OTHERS)
    await conn.execute(_WAITING, {"count": WAITING, "then": NOON})


async def reads_of_a_claim(database: Database) -> list[tuple[str, Any]]:
    """Every statement by which a claim reads deliveries, with its parameters; the claim is taken back."""
    reads: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if statement.startswith("SELECT") and "FROM deliveries" in statement:
            reads.append((statement, parameters))

    async with database.write() as conn:
        event.listen(conn.sync_connection, "before_cursor_execute", note)
        assert await is_any_due(conn, "sms", now=NOON)
        found = await claims.claim(conn, "sms", limit=50, bulk=50, owner="dsp_test", policy=POLICY, now=NOON)
        event.remove(conn.sync_connection, "before_cursor_execute", note)
        assert (len(found.claims), found.looked_at) == (len(PEOPLE), len(PEOPLE))
        await conn.rollback()
    return reads


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """PostgreSQL's plan, flattened."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


async def indexes_on_postgresql(conn: AsyncConnection, statement: str, parameters: Any) -> set[str]:
    """The indexes by which deliveries are found; nothing but what is being sent may be touched."""
    explained = await conn.exec_driver_sql(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", parameters)
    found = explained.scalar_one()
    [plan] = json.loads(found) if isinstance(found, str) else found
    steps = list(nodes(plan["Plan"]))
    for step in steps:
        if step.get("Relation Name") == "deliveries":
            touched = step["Actual Rows"] * step["Actual Loops"] + step.get("Rows Removed by Filter", 0)
            assert step["Node Type"] != "Seq Scan", step
            assert touched <= len(PEOPLE) ** 2, step  # each of them for each of them
            assert step["Shared Hit Blocks"] + step["Shared Read Blocks"] < 100, step
    return {step["Index Name"] for step in steps if "_deliveries" in step.get("Index Name", "")}


async def indexes_on_sqlite(conn: AsyncConnection, statement: str, parameters: Any) -> set[str]:
    """The indexes by which deliveries are found; it never scans, nor sorts what waits."""
    rows = await conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
    details = [str(row[-1]) for row in rows]
    assert not [line for line in details if line.startswith("SCAN deliveries") or "ORDER BY" in line], details
    return {line.split(" INDEX ")[1].split(" ")[0] for line in details if line.startswith("SEARCH deliveries")}


async def test_a_claim_reads_nothing_of_what_waits_for_other_broadcasts(database: Database, planned: Planned) -> None:
    await planned(*PEOPLE)
    await database.transact(let_others_wait)
    look = indexes_on_postgresql if database.dialect == "postgresql" else indexes_on_sqlite
    for counted in (False, True):  # by the database, for its plans
        if counted:
            async with database.write() as conn:
                await conn.execute(text("ANALYZE"))
        reads = await reads_of_a_claim(database)
        async with database.write() as conn:
            found = [(statement, await look(conn, statement, parameters)) for statement, parameters in reads]
        assert len(found) == 5  # is there any, and which: of single messages, of the broadcast; and the verdict's
        if database.dialect == "sqlite":  # PostgreSQL may choose among those that touch no more
            assert set.union(*(indexes for statement, indexes in found if "ORDER BY" in statement)) == QUEUES
