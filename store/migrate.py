"""Bring the database up to date, from inside the program: no alembic.ini, safe when replicas start at once."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from store.engine import Database
from store.tables import consent_events

# Any number will do, as long as every replica asks for the same one.
_ADVISORY_LOCK = 7_367_832_001


Standing = Literal["empty", "foreign", "older", "current", "newer"]


class NewerDatabase(Exception):
    """The database was migrated by a newer Optgate than this one."""


class ForeignDatabase(Exception):
    """The database is another program's, and none of ours."""


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


@cache
def _scripts() -> ScriptDirectory:
    """Every migration of this version; read once, for each readiness check asks for them."""
    return ScriptDirectory.from_config(_config())


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # Python's part may take long
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
    found = _standing(connection)
    if found == "newer":
        current = MigrationContext.configure(connection).get_current_revision()
        raise NewerDatabase(f"the database is at migration {current}, which this version of Optgate does not know")
    if found != "current":
        command.upgrade(_config(connection), "head")


async def migrate(database: Database) -> None:
    """Run every migration that is missing, in one transaction; raises NewerDatabase, ForeignDatabase."""
    if await standing(database) == "foreign":  # asked by a reader: a writer would turn the file to WAL first
        raise ForeignDatabase
    async with database.write() as connection:
        await connection.run_sync(_upgrade)


def _standing(connection: Connection) -> Standing:
    current = MigrationContext.configure(connection).get_current_revision()
    if _is_foreign(connection, current):
        return "foreign"
    if current is None:
        return "empty"
    if current not in {script.revision for script in _scripts().walk_revisions()}:
        return "newer"
    return "current" if current == _scripts().get_current_head() else "older"


def _is_foreign(connection: Connection, revision: str | None) -> bool:
    """Whether others keep their tables here, and we none of ours.

    A file is one program's; in PostgreSQL's schema an extension may have put tables of its own. Whoever migrates with
    Alembic, too, has its own revision there.
    """
    tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
    is_shared = connection.dialect.name == "postgresql" and revision is None
    return bool(tables or revision) and consent_events.name not in tables and not is_shared


async def standing(database: Database) -> Standing:
    """How far the database was migrated, against this version of Optgate."""
    async with database.read() as connection:
        return await connection.run_sync(_standing)


async def is_current(database: Database) -> bool:
    """Whether the database stands at the newest migration."""
    return await standing(database) == "current"
