"""The database: whether it can be reached, read and written, and where it is."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.checks.findings import Finding, ok, problem, warn
from gateway.mishaps import shown, sqlite_file
from store.engine import Database
from store.tables import settings as settings_table

ABOUT = "database"
LOW_BYTES, TIGHT_BYTES = 200 * 1024**2, 2 * 1024**3
# File systems over a network, whose locks SQLite cannot rely on: https://www.sqlite.org/faq.html#q5
_NETWORKS = ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs", "ceph", "glusterfs")


class _Undone(Exception):
    """It could be written, and is not to be."""


async def findings(database: Database) -> list[Finding]:
    """What is to be said of a database that is there and up to date; raises what keeps us from it."""
    found = [ok(ABOUT, f"{shown(database.url)} can be read, and is up to date")]
    await _write(database)
    found.append(ok(ABOUT, "it can be written"))
    async with database.read() as conn:
        file = sqlite_file(database.url)
        found += await _postgresql(conn) if file is None else await _sqlite(conn, file)
    return found


async def _write(database: Database) -> None:
    """Write a row as it is, beside whoever writes, and undo it."""
    try:
        async with database.write() as conn:
            await conn.execute(update(settings_table).values(updated_at=settings_table.c.updated_at))
            raise _Undone
    except _Undone:
        pass


# --- SQLite ------------------------------------------------------------------------------------


async def _sqlite(conn: AsyncConnection, file: Path) -> list[Finding]:
    version, mode = await _one(conn, "SELECT sqlite_version()"), await _one(conn, "PRAGMA journal_mode")
    found = [ok(ABOUT, f"SQLite {version}, with a write-ahead log")]
    if mode != "wal":
        found = [problem(ABOUT, f"SQLite {version} without a write-ahead log ({mode}): its disk cannot share memory")]
    return [*found, *_disk(file)]


def _disk(file: Path) -> list[Finding]:
    size, free = file.stat().st_size, shutil.disk_usage(file.absolute().parent).free
    mount = _mount(file)
    sentence = f"{file.name} has {_spelled(size)}, on the disk at {mount}, with {_spelled(free)} free"
    if free < LOW_BYTES:
        found = [problem(ABOUT, f"{sentence}: when it is full nothing is taken in any more")]
    elif free < TIGHT_BYTES:
        found = [warn(ABOUT, sentence)]
    else:
        found = [ok(ABOUT, sentence)]
    kind = _kind(mount)
    if kind in _NETWORKS:
        found.append(
            problem(ABOUT, f"the disk at {mount} is over a network ({kind}): SQLite's locks do not hold there")
        )
    return found


def _mount(file: Path) -> Path:
    """Where the disk is mounted that holds the file."""
    folder = Path(os.path.realpath(file)).parent
    while not os.path.ismount(folder):
        folder = folder.parent
    return folder


def _kind(mount: Path) -> str | None:
    """The file system's name, where the system tells."""
    try:
        lines = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return None
    return next((parts[2] for parts in reversed(lines) if parts[1] == str(mount)), None)


def _spelled(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1000:.0f} kB"


# --- PostgreSQL --------------------------------------------------------------------------------


async def _postgresql(conn: AsyncConnection) -> list[Finding]:
    found = [ok(ABOUT, f"PostgreSQL {await _one(conn, 'SHOW server_version')}")]
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        if await _one(conn, f"SHOW {setting}") == "off":
            found.append(warn(ABOUT, f"PostgreSQL's {setting} is off: a STOP that was answered could be lost"))
    return found


async def _one(conn: AsyncConnection, statement: str) -> Any:
    return (await conn.execute(text(statement))).scalar_one()
