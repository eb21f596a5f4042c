"""The limit of a plan: a bare INSERT … SELECT of as many rows, in the same order and chunks, by the driver itself.

    python -m bench.bareplan DATABASE-URL

It joins each person with their number and the flag of the channel, and asks nothing else; each chunk is a transaction
that notes how far it came. Prints JSON: the seconds and the rows.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import time
from typing import Any

from broadcasts.plan import CHUNK

_BOUNDS = "SELECT min(id), max(id) FROM (SELECT id FROM profiles WHERE id > {after} ORDER BY id LIMIT {size}) AS part"
_INSERT = """INSERT INTO deliveries (id, broadcast_id, profile_id, address_id, by_address, channel, connection, class,
    priority, preference_id, status, reason, tries, due_at, created_at, updated_at)
    SELECT {random}, 'brd_bare', p.id, a.address_id, {false}, 'sms', 'sms', 'marketing', 2, 'prf_news',
    CASE WHEN s.state = 'yes' THEN 'queued' ELSE 'skipped' END, CASE WHEN s.state = 'yes' THEN NULL ELSE 'no' END,
    0, {at}, {at}, {at}
    FROM profiles AS p
    LEFT JOIN profile_addresses AS a ON a.profile_id = p.id AND a.channel = 'sms'
    LEFT JOIN consent_states AS s ON s.profile_id = p.id AND s.kind = 'channel' AND s.key = 'sms'
    WHERE p.id >= {first} AND p.id <= {last}
    ON CONFLICT DO NOTHING"""
_CURSOR = "UPDATE settings SET value = {cursor} WHERE key = 'bare'"


def on_sqlite(file: str) -> None:
    at = {"random": "'msg_' || lower(hex(randomblob(16)))", "false": "0", "at": "'2025-01-01 12:00:00.000000'"}
    bounds = _BOUNDS.format(after="?", size=CHUNK)
    insert = _INSERT.format(first="?", last="?", **at)
    conn = sqlite3.connect(file, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "temp_store=MEMORY", "cache_size=-32000"):
        conn.execute(f"PRAGMA {pragma}")
    after = ""
    while True:
        conn.execute("BEGIN IMMEDIATE")
        first, last = conn.execute(bounds, (after,)).fetchone()
        if first is not None:
            conn.execute(insert, (first, last))
            conn.execute(_CURSOR.format(cursor="?"), (json.dumps(last),))
        conn.execute("COMMIT")
        if first is None:
            break
        after = last
    conn.close()


async def on_postgresql(url: str) -> None:
    import asyncpg

    at = {"random": "'msg_' || replace(gen_random_uuid()::text, '-', '')", "false": "false", "at": "now()"}
    bounds = _BOUNDS.format(after="$1", size=CHUNK)
    insert = _INSERT.format(first="$1", last="$2", **at)
    conn: Any = await asyncpg.connect(url)
    await conn.execute("ANALYZE profiles, profile_addresses, consent_states")
    after = ""
    while True:
        async with conn.transaction():
            first, last = await conn.fetchrow(bounds, after)
            if first is not None:
                await conn.execute(insert, first, last)
                await conn.execute(_CURSOR.format(cursor="$1"), json.dumps(last))
        if first is None:
            break
        after = last
    await conn.execute("ANALYZE deliveries")
    await conn.close()


def main() -> None:
    url = sys.argv[1]
    began = time.perf_counter()
    if url.startswith("sqlite"):
        on_sqlite(url.removeprefix("sqlite:///"))
    else:
        asyncio.run(on_postgresql(url))
    print(json.dumps({"seconds": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
