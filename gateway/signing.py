"""The secrets that sign links: the newest signs, all that ever did are believed, for a link works years later.

Whoever sets another `[server] secret` has changed it; the one before is remembered, whether it stood in the
configuration or was made here.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.settings import Server
from store.tables import settings as settings_table
from store.upsert import insert_missing


async def keep(conn: AsyncConnection, server: Server, *, now: datetime) -> None:
    """Let the configured secret sign from now on, or one that is made where there is none. Safe to repeat, to race."""
    given = server.secret.get_secret_value() if server.secret else None
    rows = [
        {"key": "old_secrets", "value": [], "updated_at": now},
        {"key": "secret", "value": given or secrets.token_hex(32), "updated_at": now},
    ]
    await insert_missing(conn, settings_table, rows)
    signing, *old = await _stored(conn, lock=True)
    if given is not None and given != signing:
        kept = {"secret": given, "old_secrets": list(dict.fromkeys(one for one in (signing, *old) if one != given))}
        for key, value in kept.items():
            await conn.execute(
                update(settings_table).where(settings_table.c.key == key).values(value=value, updated_at=now)
            )


async def believed(conn: AsyncConnection, server: Server) -> list[str]:
    """The secret that signs, and all whose links are believed beside."""
    configured = [secret.get_secret_value() for secret in server.old_secrets]
    return list(dict.fromkeys([*await _stored(conn), *configured]))


async def _stored(conn: AsyncConnection, *, lock: bool = False) -> Sequence[str]:
    """The secret that signs, and those before it, the last one first."""
    rows = select(settings_table.c.key, settings_table.c.value).where(
        settings_table.c.key.in_(["old_secrets", "secret"])
    )
    if lock:  # of two gateways that start at once the second sees what the first has made of it
        rows = rows.order_by(settings_table.c.key).with_for_update()
    found = {row.key: row.value for row in await conn.execute(rows)}
    return [str(found["secret"]), *map(str, found.get("old_secrets", []))]
