"""The planner gives way to who texts."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from broadcasts import plan
from broadcasts.planner import Planner
from store.clock import utcnow
from store.engine import Database


async def test_a_chunk_is_smaller_while_somebody_waits_to_write_and_grows_again(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'plan.db'}")
    planner = Planner(database, clock=utcnow, on_planned=lambda: None)

    async def write(conn: AsyncConnection) -> None:
        await conn.execute(text("SELECT 1"))

    def sizes() -> list[int]:
        found = []
        for _ in range(4):
            planner._suit()
            found.append(planner._size)
        return found

    async with database.write():
        message = asyncio.create_task(database.transact(write))
        await asyncio.sleep(0)
        assert sizes() == [500, 250, plan.LEAST, plan.LEAST]
    await message
    assert sizes() == [250, 500, plan.CHUNK, plan.CHUNK]
    await database.dispose()
