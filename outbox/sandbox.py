"""What the sandbox connections sent, kept where any process can read it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.sandbox import SandboxMessage
from store.clock import Clock
from store.engine import Database
from store.group import GroupCommit
from store.ids import new_id
from store.tables import sandbox_messages


@dataclass(frozen=True, slots=True)
class Kept:
    id: str
    connection: str
    sender: str
    receiver: str
    body: str
    at: datetime


class SandboxOutbox:
    """Keeps what the sandbox adapters hand over; concurrent messages share a transaction."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._clock = clock
        self._group: GroupCommit[SandboxMessage, None] = GroupCommit(database, self._write, most=200)

    async def keep(self, message: SandboxMessage) -> None:
        await self._group.submit(message)

    async def _write(self, conn: AsyncConnection, batch: Sequence[SandboxMessage]) -> list[None]:
        rows = [
            {
                "id": new_id("sbx"),
                "connection": message.connection,
                "sender": message.sender,
                "receiver": message.to,
                "body": message.body,
                "at": self._clock(),
            }
            for message in batch
        ]
        await conn.execute(insert(sandbox_messages), rows)
        return [None] * len(batch)


async def listed(
    conn: AsyncConnection, *, connection: str | None, to: str | None, before: str | None, limit: int
) -> list[Kept]:
    """What was sent, the newest first."""
    statement = select(sandbox_messages).order_by(sandbox_messages.c.id.desc()).limit(limit)
    if connection is not None:
        statement = statement.where(sandbox_messages.c.connection == connection)
    if to is not None:
        statement = statement.where(sandbox_messages.c.receiver == to)
    if before is not None:
        statement = statement.where(sandbox_messages.c.id < before)
    return [Kept(**row) for row in (await conn.execute(statement)).mappings()]
