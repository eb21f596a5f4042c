"""Terms and conditions, by language. Never changed: a new version is added, so that what was shown stays provable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from store import order
from store.tables import terms

FALLBACK = "en"
_NONE = ""  # the language of a version without texts: they were taken away


@dataclass(frozen=True, slots=True)
class Wording:
    text: str
    link: str | None


@dataclass(frozen=True, slots=True)
class Version:
    """All languages of one version; of version 0 there is none."""

    version: int
    texts: Mapping[str, Wording]
    set_at: datetime | None
    set_by: str | None


@dataclass(frozen=True, slots=True)
class Terms:
    """What is shown to somebody, and goes into the evidence."""

    version: int
    language: str
    text: str
    link: str | None


async def newest(conn: AsyncConnection) -> Version:
    """The version that holds."""
    last = select(func.max(terms.c.version)).scalar_subquery()
    rows = (await conn.execute(select(terms).where(terms.c.version == last).order_by(terms.c.language))).all()
    return _version(rows)


def _version(rows: Sequence[Row[Any]]) -> Version:
    if not rows:
        return Version(0, {}, None, None)
    texts = {row.language: Wording(row.text, row.link) for row in rows if row.language != _NONE}
    return Version(rows[0].version, texts, rows[0].set_at, rows[0].set_by)


async def at(conn: AsyncConnection, version: int) -> Version:
    """An earlier version, as it was."""
    rows = (await conn.execute(select(terms).where(terms.c.version == version).order_by(terms.c.language))).all()
    return _version(rows)


async def current(conn: AsyncConnection, language: str | None) -> Terms | None:
    """The terms that hold, in this language, else in English, else in any; None where there are none."""
    return chosen(await newest(conn), language)


def chosen(version: Version, language: str | None) -> Terms | None:
    """As `current`, of a version: `pt-BR` finds `pt-BR` before `pt`, and `pt` before what is only like it."""
    by_tag = {tag.casefold(): tag for tag in version.texts}
    wanted = (language or FALLBACK).casefold().replace("_", "-")
    asked = (wanted, wanted.partition("-")[0])
    like = [tag for tag in by_tag if tag.partition("-")[0] == asked[1]]
    for tag in (*asked, *like, FALLBACK, *by_tag):
        if tag in by_tag:
            wording = version.texts[by_tag[tag]]
            return Terms(version.version, by_tag[tag], wording.text, wording.link)
    return None


async def hold(conn: AsyncConnection) -> None:
    """Let nobody else put any until the transaction ends: two at once, in other languages, would be one version."""
    await order.alone(conn, terms)


async def put(conn: AsyncConnection, texts: Mapping[str, Wording], *, actor: str, now: datetime) -> Version:
    """Let these hold, as a new version where they are not what holds already; none takes them away.

    The caller holds them (`hold`).
    """
    before = await newest(conn)
    if dict(before.texts) == dict(texts):
        return before
    version = before.version + 1
    given = dict(texts) or {_NONE: Wording("", None)}
    await conn.execute(
        insert(terms),
        [
            {
                "version": version,
                "language": language,
                "text": wording.text,
                "link": wording.link,
                "set_at": now,
                "set_by": actor,
            }
            for language, wording in sorted(given.items())
        ],
    )
    return Version(version, dict(texts), now, actor)
