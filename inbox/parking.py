"""Parts of genuine requests that cannot be understood: kept as they came, once each, so that nothing is lost."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Parked
from store.ids import new_id
from store.tables import parked
from store.upsert import insert_missing

log = structlog.get_logger("inbox")


@dataclass(frozen=True, slots=True)
class Found:
    """What could not be understood, and the connection whose webhook it came to."""

    entry: Parked
    connection: str


async def keep(conn: AsyncConnection, found: Sequence[Found], *, now: datetime) -> list[None]:
    """Keep them in the caller's transaction; what is there already stays as it is."""
    rows = [
        {
            "id": new_id("prk"),
            "connection": one.connection,
            "hash": hashlib.sha256(one.entry.raw).hexdigest(),
            "raw": one.entry.raw,
            "why": one.entry.why,
            "created_at": now,
        }
        for one in found
    ]
    await insert_missing(conn, parked, rows)
    for one in found:
        log.warning("webhook.parked", connection=one.connection, why=one.entry.why)
    return [None] * len(found)
