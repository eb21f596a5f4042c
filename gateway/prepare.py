"""What every command does before anything else: bring the database up to date, and fill what a first start fills."""

from __future__ import annotations

import secrets
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import defaults
from gateway.settings import Settings
from inbox import rulebook
from profiles.addresses import AddressBook
from store.engine import Database
from store.migrate import migrate
from store.tables import settings as settings_table
from store.upsert import insert_missing


async def prepare(database: Database, settings: Settings, *, now: datetime) -> AddressBook:
    """Migrate, and fill what a first start fills: keys, defaults, built-in rules. Safe to repeat, and to race."""
    await migrate(database)

    async def fill(conn: AsyncConnection) -> str:
        given = settings.server.secret.get_secret_value() if settings.server.secret else secrets.token_hex(32)
        await insert_missing(
            conn,
            settings_table,
            [
                # The key of the addresses' hashes never rotates: suppressions are found by it.
                {"key": "address_key", "value": secrets.token_hex(32), "updated_at": now},
                {"key": "secret", "value": given, "updated_at": now},
            ],
        )
        await defaults.ensure(conn, settings.defaults.states, now=now)
        await rulebook.refresh_builtin(conn, settings.rules.packs, now=now)
        return str(await setting(conn, "address_key"))

    return AddressBook(bytes.fromhex(await database.transact(fill)), settings.defaults.region)


async def setting(conn: AsyncConnection, key: str) -> Any:
    """A value of the settings table."""
    return (await conn.execute(select(settings_table.c.value).where(settings_table.c.key == key))).scalar_one()
