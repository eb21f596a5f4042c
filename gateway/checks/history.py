"""The ledger: whether its lines hold, as far as there is time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from sqlalchemy import func, select

from consent import proof
from gateway.checks.findings import Finding, ok, problem, warn
from store.engine import Database
from store.tables import consent_events

ABOUT = "ledger"
MOST = 1000  # faults that are counted

Told = Callable[[int], object]


async def length(database: Database) -> int:
    """About how many lines there are."""
    async with database.read() as conn:
        return int((await conn.execute(select(func.coalesce(func.max(consent_events.c.seq), 0)))).scalar_one())


async def findings(database: Database, *, seconds: float, told: Told) -> list[Finding]:
    """Whether every line holds; of a history too long for the time, whether those do that were read."""
    lines = faults = 0

    def count(more: int) -> None:
        nonlocal lines
        lines += more
        told(more)

    in_time = True
    try:
        async with asyncio.timeout(seconds), database.read() as conn:
            await proof.see_one_moment(conn)
            async for _ in proof.verify(conn, count):
                faults += 1
                if faults == MOST:
                    break
    except TimeoutError:
        in_time = False
    if faults:
        sentence = f"{faults}{' or more' if faults == MOST else ''} faults: it is not as it was written"
        return [problem(ABOUT, f"{sentence}; `optgate ledger verify` names them")]
    if not in_time:
        sentence = f"the first {lines:,} lines hold, and there was no time for more"
        return [warn(ABOUT, f"{sentence}; `optgate ledger verify` reads all of them")]
    return [ok(ABOUT, f"it verifies: none of its {lines:,} lines is altered, missing or added")]
