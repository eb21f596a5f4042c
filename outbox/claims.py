"""Claims: the last consent check, in the transaction whose commit is the moment a send begins.

    1. deliveries … FOR UPDATE SKIP LOCKED, their broadcasts FOR SHARE
    2. their address rows, sorted, FOR SHARE
    3. in a new statement: the verdict, and the version it was taken at
    4. one attempt each, state `sending`

Locking the flags instead of the address row, or joining the verdict into the locking statement, lets sends begin
after an opt-out was acknowledged: an unasked flag is no row, and a joined verdict is read before the lock is had.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnClause, ColumnElement, bindparam, literal_column, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import verdict
from outbox import verdicts
from store.ids import new_id
from store.locks import lock_addresses
from store.tables import attempts, broadcasts, deliveries
from store.upsert import insert_for

_TIMEOUTS = text(
    "SELECT set_config('statement_timeout', '500', true),"
    " set_config('idle_in_transaction_session_timeout', '500', true)"
)
_QUEUED: ColumnClause[str] = literal_column("'queued'")


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery that may be sent now, until the lease is over."""

    attempt_id: str
    delivery_id: str
    profile_id: str
    address_id: str
    address: str
    channel: str
    content: dict[str, Any]
    tries: int  # this one counted


async def _sources(conn: AsyncConnection, connection: str) -> list[ColumnElement[bool]]:
    """Where there may be something to send, what a person waits for first: single messages, then each broadcast.

    One by one, each by its own index: what is queued for a broadcast that is planned or paused is not even looked at.
    """
    sending = await conn.execute(
        select(broadcasts.c.id)
        .where(broadcasts.c.connection == connection, broadcasts.c.status == "sending", broadcasts.c.held.is_(None))
        .order_by(broadcasts.c.id)
    )
    return [deliveries.c.broadcast_id.is_(None), *(deliveries.c.broadcast_id == id_ for id_ in sending.scalars())]


def _due(connection: str, source: ColumnElement[bool], now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (deliveries.c.connection == connection, deliveries.c.status == _QUEUED, deliveries.c.due_at <= now, source)


async def is_any_due(conn: AsyncConnection, connection: str, *, now: datetime) -> bool:
    """Whether a claim on this connection could find something."""
    for source in await _sources(conn, connection):
        found = await conn.execute(select(deliveries.c.id).where(*_due(connection, source, now)).limit(1))
        if found.first() is not None:
            return True
    return False


async def _take(conn: AsyncConnection, connection: str, *, limit: int, now: datetime) -> list[Any]:
    """Lock up to `limit` rows that are due and that nobody else has locked."""
    rows: list[Any] = []
    for source in await _sources(conn, connection):
        if len(rows) < limit:
            rows += await conn.execute(
                select(deliveries)
                .where(*_due(connection, source, now))
                .order_by(deliveries.c.priority, deliveries.c.due_at, deliveries.c.id)
                .limit(limit - len(rows))
                .with_for_update(skip_locked=True)
            )
    return rows


async def claim(
    conn: AsyncConnection, connection: str, *, limit: int, owner: str, now: datetime
) -> tuple[list[Claim], int]:
    """Take up to `limit` deliveries for sending; returns the claims, and how many were looked at.

    Only what is returned may be sent, only after this transaction's commit has been seen to succeed, and only
    while the lease that began before the transaction lasts. What the verdict stops is skipped with its reason.
    """
    if conn.dialect.name == "postgresql":
        await conn.execute(_TIMEOUTS)
    rows = await _take(conn, connection, limit=limit, now=now)
    looked_at = len(rows)
    if not rows:
        return [], 0
    contents = await _hold_broadcasts(conn, {row.broadcast_id for row in rows if row.broadcast_id})
    rows = [row for row in rows if row.broadcast_id is None or row.broadcast_id in contents]
    await lock_addresses(conn, {row.address_id for row in rows}, share=True)
    answers = await verdicts.on(conn, [row.id for row in rows], now=now)
    claims: list[Claim] = []
    taken: list[dict[str, Any]] = []
    skipped: list[dict[str, Any]] = []
    for row in rows:
        answer = answers.get(row.id)
        reason = answer.reason if answer is not None else "no_address"  # the profile is gone
        if answer is None or not verdict.is_allowed(reason):
            skipped.append({"delivery": row.id, "why": reason})
            continue
        attempt_id = new_id("att")
        taken.append(_attempt(row, attempt_id, answer.version, owner, now))
        claims.append(
            Claim(
                attempt_id,
                row.id,
                row.profile_id,
                row.address_id,
                answer.value,
                row.channel,
                row.content if row.content is not None else contents[row.broadcast_id],
                row.tries + 1,
            )
        )
    begun = await _begin(conn, taken)
    skipped += [{"delivery": c.delivery_id, "why": "duplicate_address"} for c in claims if c.attempt_id not in begun]
    claims = [c for c in claims if c.attempt_id in begun]
    await _mark(conn, claims, skipped, now)
    return claims, looked_at


async def _hold_broadcasts(conn: AsyncConnection, ids: set[str]) -> dict[str, dict[str, Any]]:
    """The content of those broadcasts that are sending still, held against pause and cancel until the commit."""
    if not ids:
        return {}
    rows = await conn.execute(
        select(broadcasts.c.id, broadcasts.c.content)
        .where(broadcasts.c.id.in_(sorted(ids)), broadcasts.c.status == "sending", broadcasts.c.held.is_(None))
        .order_by(broadcasts.c.id)
        .with_for_update(read=True)
    )
    return {row.id: row.content for row in rows}


def _attempt(row: Any, attempt_id: str, version: int, owner: str, now: datetime) -> dict[str, Any]:
    return {
        "id": attempt_id,
        "delivery_id": row.id,
        "broadcast_id": row.broadcast_id,
        "profile_id": row.profile_id,
        "address_id": row.address_id,
        "channel": row.channel,
        "class": row._mapping["class"],
        "preference_id": row.preference_id,
        "consent_version": version,
        "state": "sending",
        "owner": owner,
        "at": now,
    }


async def _begin(conn: AsyncConnection, taken: Sequence[dict[str, Any]]) -> set[str]:
    """Insert the attempts; returns the ids of those that no earlier attempt forbids (invariant I3)."""
    if not taken:
        return set()
    # Rows as parameters: as values of the statement each number of them would be another statement, made anew.
    statement = insert_for(conn, attempts).on_conflict_do_nothing().returning(attempts.c.id)
    return set((await conn.execute(statement, list(taken))).scalars())


async def _mark(
    conn: AsyncConnection, claims: Sequence[Claim], skipped: Sequence[dict[str, Any]], now: datetime
) -> None:
    if claims:
        await conn.execute(
            update(deliveries)
            .where(deliveries.c.id.in_([c.delivery_id for c in claims]))
            .values(status="sending", tries=deliveries.c.tries + 1, updated_at=now)
        )
    if skipped:
        await conn.execute(
            update(deliveries)
            .where(deliveries.c.id == bindparam("delivery"))
            .values(status="skipped", reason=bindparam("why"), updated_at=now),
            list(skipped),
        )
