"""Before a command begins: a database that is brought up to date and filled, or one that is there and left as it is."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import defaults
from gateway import mishaps, signing
from gateway.errors import NotReady
from gateway.settings import Settings
from inbox import rulebook
from profiles.addresses import AddressBook
from store.engine import Database
from store.migrate import migrate, standing
from store.tables import settings as settings_table
from store.upsert import insert_missing


async def prepare(database: Database, settings: Settings, *, now: datetime) -> AddressBook:
    """Migrate, and fill what a first start fills: keys, defaults, built-in rules. Safe to repeat, and to race.

    Raises NotReady where a SQLite file cannot be made or used.
    """
    mishaps.must_be_usable(database.url)
    await migrate(database)

    async def fill(conn: AsyncConnection) -> str:
        # The key of the addresses' hashes never rotates: suppressions are found by it.
        made = {"key": "address_key", "value": secrets.token_hex(32), "updated_at": now}
        await insert_missing(conn, settings_table, [made])
        await signing.keep(conn, settings.server, now=now)
        await defaults.ensure(conn, settings.defaults.states, now=now)
        await rulebook.refresh_builtin(conn, settings.rules.packs, now=now)
        return str(await setting(conn, "address_key"))

    return AddressBook(bytes.fromhex(await database.transact(fill)), settings.defaults.region)


@asynccontextmanager
async def prepared(settings: Settings, *, now: datetime) -> AsyncIterator[tuple[Database, str]]:
    """The database, made where there is none, and brought up to date; and what to say where it was made."""
    database = Database(settings.database.url)
    try:
        mishaps.must_be_usable(database.url)
        is_new = not exists(database) or await standing(database) == "empty"
        await prepare(database, settings, now=now)
        yield database, f"A new database was made at {_place(database)}.\n{_ELSEWHERE}." if is_new else ""
    finally:
        await database.dispose()


@asynccontextmanager
async def as_it_is(settings: Settings) -> AsyncIterator[Database]:
    """The database that is there. Nothing is created or migrated; raises NotReady."""
    database = Database(settings.database.url)
    try:
        await _must_be_current(database)
        yield database
    finally:
        await database.dispose()


_ELSEWHERE = "If yours is elsewhere, name its configuration with --config FILE or OPTGATE_CONFIG"


async def _must_be_current(database: Database) -> None:
    at = mishaps.shown(database.url)
    if not exists(database):
        words = "`optgate migrate` or `optgate serve` makes a new one"
        raise NotReady(f"there is no database at {_place(database)}.\n{_ELSEWHERE}; {words}.")
    mishaps.must_be_usable(database.url)
    found = await standing(database)
    if found == "empty":
        words = "`optgate migrate` or `optgate serve` fills it"
        raise NotReady(f"the database at {at} holds nothing of Optgate's.\n{_ELSEWHERE}; {words}.")
    if found == "foreign":
        raise NotReady(mishaps.foreign(database.url))
    if found == "older":
        raise NotReady(f"the database at {at} is of an older Optgate: run `optgate migrate` first")
    if found == "newer":
        raise NotReady(f"the database at {at} is of a newer Optgate than this one: use that one")


def _place(database: Database) -> str:
    """Where it is; of a file that is named by its folder, which folder that is."""
    is_relative = mishaps.sqlite_file(database.url) is not None and not os.path.isabs(str(database.url.database))
    return mishaps.shown(database.url) + (f" in {os.getcwd()}" if is_relative else "")


def exists(database: Database) -> bool:
    """Whether there is a database to ask. A SQLite file would appear with the question."""
    file = mishaps.sqlite_file(database.url)
    try:
        return file is None or file.exists()
    except PermissionError:
        return True  # the database will say it better


async def book_of(database: Database, settings: Settings) -> AddressBook:
    """How addresses are read by the gateway that this database is of."""
    async with database.read() as conn:
        return AddressBook(bytes.fromhex(str(await setting(conn, "address_key"))), settings.defaults.region)


async def setting(conn: AsyncConnection, key: str) -> Any:
    """A value of the settings table."""
    return (await conn.execute(select(settings_table.c.value).where(settings_table.c.key == key))).scalar_one()
