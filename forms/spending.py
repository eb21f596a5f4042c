"""What works once: a form's nonce, an undo. Who comes second, or with it at once, finds it spent."""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import spent
from store.upsert import insert_for


def digest_of(token: str) -> str:
    """By which it is kept."""
    return sha256(token.encode()).hexdigest()


async def spend(conn: AsyncConnection, token: str, *, until: datetime) -> bool:
    """Spend it; returns whether it was not spent yet. One statement; waits for a rival's commit.

    `until`: when nobody would take it any more, spent or not.
    """
    row = {"hash": digest_of(token), "expires_at": until}
    return bool((await conn.execute(insert_for(conn, spent).values(row).on_conflict_do_nothing())).rowcount)


async def forget_old(conn: AsyncConnection, *, now: datetime) -> int:
    """Remove what nobody would take any more; returns how many."""
    return int((await conn.execute(delete(spent).where(spent.c.expires_at <= now))).rowcount)
