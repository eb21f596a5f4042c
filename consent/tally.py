"""What the history gained, counted: for whoever watches over the gateway."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.tables import consent_events

# Lines get their number before their commit: of two, the later may be seen first. After so long both are.
SETTLED_AFTER = timedelta(seconds=15)
MOST = 50_000  # lines counted at once; the rest next time


@dataclass(frozen=True, slots=True)
class Gain:
    """So many lines of one kind."""

    to: str  # yes | no | not_asked
    subject: str  # a channel | everything | address | preference: never whose, or which
    source: str
    count: int


async def last(conn: AsyncConnection) -> int:
    """The number of the newest line; 0 where there is none."""
    return int((await conn.execute(select(func.max(consent_events.c.seq)))).scalar() or 0)


async def gained(conn: AsyncConnection, *, behind: int, now: datetime) -> tuple[int, list[Gain]]:
    """What was said behind that line and is settled by now, and the line to go on behind.

    Each line is counted once, a quarter of a minute late. What follows from it (`via`) is not counted beside it.
    """
    seq = consent_events.c.seq
    ahead = select(seq, consent_events.c.at).where(seq > behind).order_by(seq).limit(MOST).subquery("ahead")
    settled = select(func.max(ahead.c.seq)).where(ahead.c.at < now - SETTLED_AFTER)
    until = (await conn.execute(settled)).scalar()
    if until is None:
        return behind, []
    said = (consent_events.c.to_state, consent_events.c.subject_kind, consent_events.c.subject_key)
    grouped = (
        select(*said, consent_events.c.source, func.count())
        .where(seq > behind, seq <= until, consent_events.c.via.is_(None))
        .group_by(*said, consent_events.c.source)
    )
    counts: dict[tuple[str, str, str], int] = {}
    for to, kind, key, source, count in await conn.execute(grouped):
        name = (to, key if kind == "channel" else kind, source)
        counts[name] = counts.get(name, 0) + count
    return int(until), [Gain(*name, count) for name, count in sorted(counts.items())]
