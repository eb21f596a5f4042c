"""Each event of a provider once, for ever: a replay gets the same bytes and changes nothing (invariant I6)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import HttpAnswer
from store.tables import receipts

EventKey = tuple[str, str]  # (provider account, provider id)


@dataclass(frozen=True, slots=True)
class Receipt:
    key: EventKey
    message_id: str
    answer: HttpAnswer


async def known(conn: AsyncConnection, keys: Collection[EventKey]) -> dict[EventKey, Receipt]:
    """The receipts of these events, of those seen before."""
    if not keys:
        return {}
    rows = await conn.execute(
        select(receipts).where(tuple_(receipts.c.account, receipts.c.provider_id).in_(sorted(keys)))
    )
    found = [Receipt((r.account, r.provider_id), r.message_id, HttpAnswer(r.content_type, r.answer)) for r in rows]
    return {receipt.key: receipt for receipt in found}


async def keep(conn: AsyncConnection, given: Sequence[Receipt], *, now: datetime) -> None:
    """Keep answers with their events. A rival that kept one first is an error by name: `pk_receipts`."""
    await conn.execute(
        insert(receipts),
        [
            {
                "account": receipt.key[0],
                "provider_id": receipt.key[1],
                "message_id": receipt.message_id,
                "content_type": receipt.answer.content_type,
                "answer": receipt.answer.body,
                "received_at": now,
            }
            for receipt in sorted(given, key=lambda r: r.key)
        ],
    )
