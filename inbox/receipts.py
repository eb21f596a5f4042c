"""Each event of a provider once, for ever: a replay gets the same bytes and changes nothing (invariant I6).

A receipt is claimed first of all and answered last, in one transaction: another replica that has the same delivery
waits at the claim, and then finds either the answer or, where the first was rolled back, nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import bindparam, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import HttpAnswer
from store import bulk
from store.tables import receipts
from store.upsert import insert_into

EventKey = tuple[str, str]  # (provider account, provider id)

_ANSWER = (
    update(receipts)
    .where(receipts.c.account == bindparam("of"), receipts.c.provider_id == bindparam("event"))
    .values(content_type=bindparam("type"), answer=bindparam("body"))
)


@dataclass(frozen=True, slots=True)
class Receipt:
    key: EventKey
    message_id: str
    answer: HttpAnswer


async def claim(conn: AsyncConnection, message_ids: Mapping[EventKey, str], *, now: datetime) -> set[EventKey]:
    """Take these events, each as the message of this id; returns those that nobody had before.

    The caller answers them before its commit. The others are committed when this returns, and `known`.
    """
    claimed = await conn.execute(
        _claim(conn.dialect.name),
        [
            {"account": account, "provider_id": provider_id, "message_id": message_id, "received_at": now}
            for (account, provider_id), message_id in sorted(message_ids.items())
        ],
    )
    return {(row.account, row.provider_id) for row in claimed}


@cache
def _claim(dialect: str) -> Any:
    made = insert_into(dialect, receipts).on_conflict_do_nothing()
    return made.returning(receipts.c.account, receipts.c.provider_id)


async def known(conn: AsyncConnection, keys: Collection[EventKey]) -> list[Receipt]:
    """The receipts of events seen before."""
    rows = await conn.execute(
        select(receipts).where(tuple_(receipts.c.account, receipts.c.provider_id).in_(sorted(keys)))
    )
    return [Receipt((r.account, r.provider_id), r.message_id, HttpAnswer(r.content_type, r.answer)) for r in rows]


async def answer(conn: AsyncConnection, given: Mapping[EventKey, HttpAnswer]) -> None:
    """Keep the answers of events that this transaction has claimed."""
    await bulk.run(
        conn,
        _ANSWER,
        [
            {"of": account, "event": provider_id, "type": http.content_type, "body": http.body}
            for (account, provider_id), http in given.items()
        ],
    )
