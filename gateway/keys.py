"""API keys: made once, stored as a hash, with the scopes that say what they open."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import audit
from gateway.scopes import SCOPES
from store.ids import new_id
from store.tables import api_keys


class KeyNameTaken(Exception):
    """A live key has this name."""


class UnknownKey(Exception):
    """No live key has this name."""


@dataclass(frozen=True, slots=True)
class Key:
    id: str
    name: str
    scopes: frozenset[str]
    created_at: datetime

    def may(self, scope: str) -> bool:
        """Whether the key opens this; `admin` includes every scope."""
        return scope in self.scopes or "admin" in self.scopes


def is_name(name: str) -> bool:
    """Whether a key may be called so: it stands in lists and logs, and ` for ` says who spoke for whom."""
    return bool(name.strip()) and len(name) <= 100 and name.isprintable() and " for " not in name


def _hash(token: str) -> str:
    # A key has 256 random bits: a slow hash would protect nothing more.
    return hashlib.sha256(token.encode()).hexdigest()


async def create(
    conn: AsyncConnection, name: str, scopes: Iterable[str] = (), *, now: datetime, actor: str = "system"
) -> str:
    """A new key, returned in clear this once; without scopes it has all but `admin`. Raises KeyNameTaken."""
    if not is_name(name):
        raise ValueError("a key's name is 1 to 100 printable characters, without ` for ` in it")
    if await _live(conn, name) is not None:
        raise KeyNameTaken(name)
    token = "og_" + secrets.token_urlsafe(32)
    granted = sorted(set(scopes) or set(SCOPES) - {"admin"})
    key_id = new_id("key")
    row = {"id": key_id, "name": name, "hash": _hash(token), "scopes": granted, "created_at": now}
    await conn.execute(insert(api_keys), [row])
    await audit.note(conn, actor, "key.created", key_id, {"name": name, "scopes": granted}, now=now)
    return token


async def revoke(conn: AsyncConnection, name: str, *, now: datetime, actor: str = "system") -> None:
    """Close a key at once; raises UnknownKey."""
    is_text = not any("\ud800" <= character <= "\udfff" for character in name)  # as the database keeps it
    key_id = await _live(conn, name) if is_text else None
    if key_id is None:
        raise UnknownKey(name)
    await conn.execute(update(api_keys).where(api_keys.c.id == key_id).values(revoked_at=now))
    await audit.note(conn, actor, "key.revoked", key_id, {"name": name}, now=now)


async def listed(conn: AsyncConnection) -> Sequence[Key]:
    """The live keys, in the order of their making."""
    rows = await conn.execute(select(api_keys).where(api_keys.c.revoked_at.is_(None)).order_by(api_keys.c.id))
    return [Key(row.id, row.name, frozenset(row.scopes), row.created_at) for row in rows]


async def find(conn: AsyncConnection, token: str) -> Key | None:
    """The live key with this secret."""
    statement = select(api_keys).where(api_keys.c.hash == _hash(token), api_keys.c.revoked_at.is_(None))
    row = (await conn.execute(statement)).one_or_none()
    return Key(row.id, row.name, frozenset(row.scopes), row.created_at) if row else None


async def _live(conn: AsyncConnection, name: str) -> str | None:
    statement = select(api_keys.c.id).where(api_keys.c.name == name, api_keys.c.revoked_at.is_(None))
    return (await conn.execute(statement)).scalar_one_or_none()
