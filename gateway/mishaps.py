"""What keeps us from the database, in an operator's words: what is wrong, and what to do. Never a password."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from gateway.errors import NotReady
from store.engine import is_away
from store.migrate import ForeignDatabase, NewerDatabase


def shown(url: URL) -> str:
    """The URL as it is written in a configuration, without password and options."""
    plain = URL.create(
        url.get_backend_name(), username=url.username, host=url.host, port=url.port, database=url.database
    )
    return plain.render_as_string()


def sqlite_file(url: URL) -> Path | None:
    """The file of a SQLite database."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def why(error: BaseException, url: URL) -> str | None:
    """What happened, in a sentence; None for what no operator could foresee or mend."""
    if isinstance(error, NewerDatabase):
        return f"{error}: use the newer one, or restore the database from a backup"
    if isinstance(error, ForeignDatabase):
        return foreign(url)
    if isinstance(error, ModuleNotFoundError) and error.name == "asyncpg":
        return "PostgreSQL needs a driver that is not installed: pip install 'optgate[postgres]'"
    file = sqlite_file(url)
    for cause in _causes(error):
        found = _of_sqlite(cause, file) if file is not None else _of_postgresql(cause, url)
        if found is not None:
            return found
    if is_away(error):
        return f"the database {shown(url)} cannot be reached ({type(error).__name__}); see [database] url"
    return None


def foreign(url: URL) -> str:
    """What is said of a database that another program keeps."""
    return f"the database at {shown(url)} is another program's, not Optgate's: let [database] url name one of its own"


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


# --- PostgreSQL --------------------------------------------------------------------------------

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_REFUSED = {
    "3D000": "there is no database {name} on the server: create it with `createdb`, or correct [database] url",
    "28P01": "the server refuses the password of {user}: correct it in [database] url or OPTGATE_DATABASE__URL",
    "28000": "the server does not let {user} in: correct [database] url, or the server's roles and pg_hba.conf",
    "42501": "{user} may not do that in the database: make it the owner of the database, or of its schema",
    "25006": "the database is read-only, a standby perhaps: let [database] url name the primary",
    "53300": "the server has no connection left: raise its max_connections, or run fewer gateways",
    "57P03": "the server is starting or shutting down: try again in a moment",
}


def _of_postgresql(error: BaseException, url: URL) -> str | None:
    at = f"the database {shown(url)} cannot be reached"
    if isinstance(error, DBAPIError):
        state = str(getattr(error.orig, "sqlstate", None) or "")
        words = _REFUSED.get(state)
        return f"{at}: {words.format(name=url.database, user=url.username)}" if words else None
    if isinstance(error, socket.gaierror):
        return f"{at}: there is no host named {url.host}; see [database] url"
    if isinstance(error, ConnectionRefusedError):
        return f"{at}: no server listens there; start it, or correct [database] url"
    if isinstance(error, TimeoutError | PoolTimeoutError):
        return f"{at}: the server does not answer; see [database] url and the firewalls between"
    if isinstance(error, OSError):
        return f"{at}: {error.strerror or type(error).__name__}; see [database] url"
    return None


# --- SQLite ------------------------------------------------------------------------------------

_SAID = {  # SQLite's own words → ours
    "not a database": "is not an SQLite database: correct [database] url, or move the file away",
    "malformed": "is damaged: restore it from a backup",
    "is locked": "is being written by another program: try again, or stop that program",
    "is full": "cannot grow: the disk is full",
    "disk i/o": "cannot be read or written: the disk reports an error",
}


def _of_sqlite(error: BaseException, file: Path) -> str | None:
    if not isinstance(error, DBAPIError):
        return None
    said = str(error.orig).lower()
    for theirs, ours in _SAID.items():
        if theirs in said:
            return f"{file} {ours}"
    if "unable to open" in said or "readonly" in said:
        return blocked(file) or f"{file}: {said}"
    return None


def must_be_usable(url: URL) -> None:
    """Say what is wrong with a SQLite file before the driver tries it, whose own words are few; raises NotReady."""
    file = sqlite_file(url)
    if file is not None and (trouble := blocked(file)) is not None:
        raise NotReady(trouble)


def _looks_like_sqlite(file: Path) -> bool:
    with file.open("rb") as opened:
        return opened.read(16) in (b"", b"SQLite format 3\x00")  # https://www.sqlite.org/fileformat.html


def blocked(file: Path) -> str | None:
    """Why a database file cannot be used, as far as the folders, the rights and its first bytes tell."""
    folder = file.absolute().parent
    try:
        if not folder.is_dir():
            what = "is not a folder" if folder.exists() else "does not exist"
            return f"{file} cannot be made: the folder {folder} {what}; create it, or correct [database] url"
        if file.is_dir():
            return f"{file} is a folder: let [database] url name a file"
        if file.exists() and not os.access(file, os.R_OK | os.W_OK):
            return f"{file} cannot be read and written by this user: correct the file's owner or rights"
        if file.exists() and not _looks_like_sqlite(file):
            return f"{file} {_SAID['not a database']}"
        if not os.access(folder, os.W_OK | os.X_OK):
            return (
                f"{folder} cannot be written by this user, and SQLite keeps files beside {file.name}: "
                "correct the folder's owner or rights"
            )
    except PermissionError:
        return f"{file} cannot be looked for by this user: correct the owner or rights of {folder}"
    return None
