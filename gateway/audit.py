"""Who did what that is no change of consent: keys, rules, settings, broadcasts, deletions."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from store.ids import new_id
from store.tables import audit


async def note(
    conn: AsyncConnection, actor: str, action: str, target: str | None, detail: Mapping[str, Any], *, now: datetime
) -> None:
    """Add a line, in the transaction of the act. `detail` must hold no personal data."""
    row = {"id": new_id("aud"), "at": now, "actor": actor, "action": action, "target": target, "detail": dict(detail)}
    await conn.execute(insert(audit), [row])
