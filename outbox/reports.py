"""What providers tell later: a report moves its delivery up, whenever and however often it comes, and never down."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, bindparam, func, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Report
from outbox import word
from outbox.statuses import among, below
from profiles.links import mark_undeliverable
from store import crash
from store.locks import lock_deliveries
from store.tables import attempts, deliveries


@dataclass(frozen=True, slots=True)
class Reported:
    """A report, and the connection whose webhook it came to."""

    report: Report
    connection: str


async def apply(conn: AsyncConnection, reported: Sequence[Reported], *, now: datetime) -> list[frozenset[str]]:
    """Keep the reports in the caller's transaction; returns for each the addresses that an opt-out in it closes.

    Its coming proves that the provider has the message: an attempt in doubt is settled by it. A tag that is no
    attempt on this connection is somebody else's, and changes nothing; so is, without a tag, an unknown message id.
    """
    found = await _attempts(conn, reported)
    known = [(r.report, found[_key(r)], r.connection) for r in reported if _key(r) in found]
    if not known:
        return [frozenset()] * len(reported)
    # A report that comes again says nothing again.
    noes = {row.id: (report, row, c) for report, row, c in known if report.opted_out and row.error != _error(report)}
    closed = await word.record(
        conn,
        [
            word.by_provider(
                row.address_id,
                row.channel,
                connection=c,
                attempt_id=row.id,
                error=_error(report),
                marketing_only=report.marketing_only,
            )
            for report, row, c in noes.values()
        ],
        now=now,
    )
    await mark_undeliverable(conn, {row.address_id for report, row, _ in known if report.undeliverable})
    if noes:
        await conn.execute(
            update(attempts).where(attempts.c.id == bindparam("attempt")).values(error=bindparam("why")),
            [{"attempt": id_, "why": _error(noes[id_][0])} for id_ in sorted(noes)],
        )
    await _prove(conn, [(report, row) for report, row, _ in known], now)
    crash.point("report.attempt")
    await lock_deliveries(conn, {row.delivery_id for _, row, _ in known})
    for status in sorted({report.status for report, _, _ in known}):
        await _move_up(conn, status, [(report, row) for report, row, _ in known if report.status == status], now)
    crash.point("report.applied")
    return [closed if r.report.opted_out else frozenset() for r in reported]


def _error(report: Report) -> str | None:
    if report.code:
        return f"error {report.code}"
    return "opted out" if report.opted_out else None


def _key(reported: Reported) -> tuple[str, str, str]:
    """Which attempt is meant: by its tag, else by the provider's id for it; and on which connection."""
    report = reported.report
    return (report.tag, "" if report.tag else report.provider_id, reported.connection)


async def _attempts(conn: AsyncConnection, reported: Sequence[Reported]) -> dict[tuple[str, str, str], Any]:
    """The attempts meant."""
    tags = {r.report.tag for r in reported if r.report.tag}
    nameless = {r.report.provider_id for r in reported if not r.report.tag}
    found: dict[tuple[str, str, str], Any] = {}
    if tags:
        found |= {(row.id, "", row.connection): row for row in await _meant(conn, attempts.c.id.in_(sorted(tags)))}
    if nameless:
        # As ix_attempts_provider_id has it: word for word.
        theirs = (attempts.c.channel == literal_column("'whatsapp'")) & attempts.c.provider_id.in_(sorted(nameless))
        found |= {("", row.provider_id, row.connection): row for row in await _meant(conn, theirs)}
    return found


async def _meant(conn: AsyncConnection, which: ColumnElement[bool]) -> Sequence[Any]:
    rows = await conn.execute(
        select(
            attempts.c.id,
            attempts.c.tag,
            attempts.c.provider_id,
            attempts.c.delivery_id,
            attempts.c.address_id,
            attempts.c.channel,
            attempts.c.error,
            deliveries.c.connection,
            deliveries.c.status,
        )
        .join(deliveries, deliveries.c.id == attempts.c.delivery_id)
        .where(which)
    )
    return rows.all()


async def _prove(conn: AsyncConnection, known: Sequence[tuple[Report, Any]], now: datetime) -> None:
    """Settle the attempts under the tags: one of each has the provider's id, and nobody asks after the others.

    A repeat that is being sent just now is left alone: it may not have begun, and an opt-out waits for it.
    """
    rows = await conn.execute(
        select(attempts.c.id, attempts.c.tag, attempts.c.state, attempts.c.provider_id)
        .where(
            attempts.c.delivery_id.in_({row.delivery_id for _, row in known}),
            among(attempts.c.state, ["sending", "in_doubt", "accepted"]),
        )
        .order_by(attempts.c.id)
    )
    under: dict[str, dict[str, str | None]] = defaultdict(dict)  # tag → attempt → the provider's id
    in_doubt = set()
    for row in rows:
        if row.state != "sending" or row.tag is None:
            under[row.tag or row.id][row.id] = row.provider_id
        if row.state == "in_doubt":
            in_doubt.add(row.id)
    proved: dict[str, str | None] = {}
    for report, row in known:
        ids = under[row.tag or row.id]
        nameless = [id_ for id_, provider_id in ids.items() if provider_id is None]
        if nameless and report.provider_id not in ids.values():
            proved[nameless[0]] = ids[nameless[0]] = report.provider_id
        for id_ in ids.keys() & in_doubt:
            proved.setdefault(id_, ids[id_])
    if proved:
        await conn.execute(
            update(attempts)
            .where(attempts.c.id == bindparam("attempt"), among(attempts.c.state, ["sending", "in_doubt", "accepted"]))
            .values(
                state="accepted",
                provider_id=func.coalesce(attempts.c.provider_id, bindparam("provider")),
                ended_at=func.coalesce(attempts.c.ended_at, now),
                ask_at=None,
            ),
            [{"attempt": id_, "provider": proved[id_]} for id_ in sorted(proved)],
        )


async def _move_up(conn: AsyncConnection, status: str, rows: Sequence[tuple[Report, Any]], now: datetime) -> None:
    # A transactional message that was in doubt, queued again and then stopped did arrive after all, the first time.
    stopped = among(deliveries.c.status, ["skipped", "cancelled"]) & deliveries.c.broadcast_id.is_(None)
    await conn.execute(
        update(deliveries)
        .where(deliveries.c.id == bindparam("delivery"), among(deliveries.c.status, below(status)) | stopped)
        .values(
            status=status,
            reason=None,
            error=bindparam("why"),
            provider_id=func.coalesce(deliveries.c.provider_id, bindparam("provider")),
            updated_at=now,
        ),
        [
            {
                "delivery": row.delivery_id,
                "why": _error(report),
                "provider": report.provider_id,
            }
            for report, row in rows
        ],
    )
