"""Who did what that is no change of consent: keys, rules, settings, broadcasts, deletions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store.ids import new_id
from store.tables import audit


async def note(
    conn: AsyncConnection, actor: str, action: str, target: str | None, detail: Mapping[str, Any], *, now: datetime
) -> None:
    """Add a line, in the transaction of the act. `detail` must hold no personal data."""
    row = {"id": new_id("aud"), "at": now, "actor": actor, "action": action, "target": target, "detail": dict(detail)}
    await conn.execute(insert(audit), [row])


@dataclass(frozen=True, slots=True)
class Act:
    """One line of the audit."""

    id: str
    at: datetime
    actor: str
    action: str
    target: str | None
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which lines; everything given must hold."""

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def listed(conn: AsyncConnection, chosen: Chosen, *, before: str | None, limit: int) -> list[Act]:
    """The lines that match, the newest first, from before `before`."""
    statement = select(audit).order_by(audit.c.id.desc()).limit(limit)
    for name in ("actor", "action", "target"):
        if (wanted := getattr(chosen, name)) is not None:
            statement = statement.where(audit.c[name] == wanted)
    if chosen.since is not None:
        statement = statement.where(audit.c.at >= chosen.since)
    if chosen.until is not None:
        statement = statement.where(audit.c.at < chosen.until)
    if before is not None:
        statement = statement.where(audit.c.id < before)
    return [Act(**row) for row in (await conn.execute(statement)).mappings()]
