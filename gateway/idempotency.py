"""Idempotency-Key: the same request again gets the first answer, and has no second effect.

A key is claimed in the transaction of the effect and keeps its answer there, so either both are on disk or neither
is. In one process those who come with the same key take turns; between replicas the claimed row is what they wait for.
What was answered with an error that had no effect is kept by itself, but for what may go better next time.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.problems import Problem
from store.tables import idempotency_keys as table
from store.upsert import insert_for

KEPT_FOR = timedelta(hours=24)
WAIT_SECONDS = 10.0  # for the first of them, while it is still running
MOST_CHARACTERS = 255
_NOT_KEPT = (401, 413, 422, 429)  # 413: nobody has read what it was


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer as it was given first, and what had to be settled before."""

    status: int
    content_type: str
    body: bytes
    closed: frozenset[str] = frozenset()


class Once:
    """One request that is to have one effect; raises Problem for what is no Idempotency-Key."""

    def __init__(self, api_key_id: str, path: str, name: str, body: bytes, *, now: datetime) -> None:
        if not (name.isascii() and name.isprintable() and 1 <= len(name) <= MOST_CHARACTERS):
            words = f"use 1 to {MOST_CHARACTERS} printable ASCII characters, such as a random UUID"
            raise Problem(400, "idempotency-key", "This is no Idempotency-Key", words)
        self.place = (api_key_id, path, name)
        self.is_answered = False  # its answer is on disk, together with its effect
        self._fingerprint = hashlib.sha256(body).hexdigest()
        self._now = now

    def part(self, number: int) -> Once:
        """One of several effects that are committed one by one: under the same key it is done once, too."""
        made = copy(self)
        api_key_id, path, name = self.place
        made.place = (api_key_id, f"{path}#{number}", name)
        return made

    async def recall(self, conn: AsyncConnection) -> Kept | None:
        """The first answer; raises Problem where the key was used for something else."""
        row = (
            await conn.execute(select(table).where(*self._here(), table.c.created_at > self._now - KEPT_FOR))
        ).one_or_none()
        if row is None or row.body is None:
            return None
        if row.fingerprint != self._fingerprint:
            words = "another body was sent with it before: use a new key for a new request"
            raise Problem(409, "idempotency-key-reused", "The Idempotency-Key was used before", words)
        return Kept(row.status, row.content_type, row.body, frozenset(json.loads(row.closed)))

    async def claim(self, conn: AsyncConnection) -> Kept | None:
        """Take the key for this transaction; the first answer where somebody had it. Raises Problem."""
        if conn.dialect.name == "postgresql":
            await conn.execute(text(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'"))
        await conn.execute(delete(table).where(*self._here(), table.c.created_at <= self._now - KEPT_FOR))
        api_key_id, path, name = self.place
        row = {"api_key_id": api_key_id, "path": path, "name": name, "fingerprint": self._fingerprint}
        claim = insert_for(conn, table).values(row | {"created_at": self._now}).on_conflict_do_nothing()
        try:
            claimed = (await conn.execute(claim)).rowcount == 1
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) == "55P03":  # lock_not_available
                raise still_running() from error
            raise
        if conn.dialect.name == "postgresql":
            await conn.execute(text("SET LOCAL lock_timeout = DEFAULT"))
        return None if claimed else await self.recall(conn)

    async def keep(self, conn: AsyncConnection, kept: Kept) -> None:
        """Keep the answer with the key, which this transaction has claimed."""
        closed = json.dumps(sorted(kept.closed))
        values = {"status": kept.status, "content_type": kept.content_type, "body": kept.body, "closed": closed}
        await conn.execute(update(table).where(*self._here()).values(**values))

    async def keep_alone(self, conn: AsyncConnection, kept: Kept) -> Kept | None:
        """Keep an answer that came with no effect; the first one instead, where somebody was before us."""
        first = await self.claim(conn)
        if first is None:
            await self.keep(conn, kept)
        return first

    def _here(self) -> tuple[ColumnElement[bool], ...]:
        api_key_id, path, name = self.place
        return (table.c.api_key_id == api_key_id, table.c.path == path, table.c.name == name)


def is_kept(status: int) -> bool:
    """Whether an answer is the last word: a refusal that the caller can mend, or that passes, is none."""
    return status < 500 and status not in _NOT_KEPT


def still_running() -> Problem:
    words = f"the first request with this key has not been answered after {WAIT_SECONDS:.0f} s; ask again"
    return Problem(409, "idempotency-key-in-use", "The first is still running", words, headers={"Retry-After": "5"})


async def forget_old(conn: AsyncConnection, *, now: datetime) -> int:
    """Remove the keys that are no longer kept; returns how many."""
    return int((await conn.execute(delete(table).where(table.c.created_at <= now - KEPT_FOR))).rowcount)


async def kept_once(
    conn: AsyncConnection, once: Once | None, work: Callable[[AsyncConnection], Awaitable[Kept]]
) -> tuple[Kept, bool]:
    """Do the work in this transaction and keep its answer with the key, if there is one; or the first answer.

    Returns the answer, and whether it is the first one's.
    """
    if once is None:
        return await work(conn), False
    first = await once.claim(conn)
    if first is not None:
        return first, True
    kept = await work(conn)
    await once.keep(conn, kept)
    return kept, False


class Turns:
    """Those who come with the same key, one after another: a second one holds no connection while it waits."""

    def __init__(self) -> None:
        self._locks: dict[tuple[str, str, str], asyncio.Lock] = {}
        self._here: Counter[tuple[str, str, str]] = Counter()

    @asynccontextmanager
    async def turn(self, place: tuple[str, str, str]) -> AsyncIterator[None]:
        """Raises Problem when the one before takes too long."""
        lock = self._locks.setdefault(place, asyncio.Lock())
        self._here[place] += 1
        try:
            await self._acquire(lock)
            try:
                yield
            finally:
                lock.release()
        finally:
            self._here[place] -= 1
            if not self._here[place]:
                del self._here[place], self._locks[place]

    async def _acquire(self, lock: asyncio.Lock) -> None:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await lock.acquire()
        except TimeoutError:
            raise still_running() from None
