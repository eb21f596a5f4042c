"""The rules as rows: read, changed, refreshed from the built-in packs, and at hand for the next message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from rules.builtin import builtin_rules
from rules.keywords import Rulebook
from rules.values import Rule
from store import bulk
from store.ids import new_id
from store.tables import preferences, rules, settings
from store.upsert import insert_missing, upsert

_VERSION = "rules_version"  # in settings: changes with every change of a rule

_CURRENT = select(settings.c.value).where(settings.c.key == _VERSION)


class Builtin(Exception):
    """A built-in rule can be edited and switched off, not deleted."""


@dataclass(frozen=True, slots=True)
class RuleRow:
    """A rule with what only its row knows."""

    rule: Rule
    preference_id: str | None
    created_at: datetime
    updated_at: datetime


async def read(
    conn: AsyncConnection, *, rule_id: str | None = None, after: str | None = None, limit: int | None = None
) -> list[RuleRow]:
    """Rules in the order of their ids: one, a page, or all."""
    statement = (
        select(rules, preferences.c.name.label("preference"))
        .outerjoin(preferences, preferences.c.id == rules.c.preference_id)
        .order_by(rules.c.id)
    )
    if rule_id is not None:
        statement = statement.where(rules.c.id == rule_id)
    if after is not None:
        statement = statement.where(rules.c.id > after)
    if limit is not None:
        statement = statement.limit(limit)
    return [_row(row) for row in (await conn.execute(statement)).mappings()]


def _row(row: RowMapping) -> RuleRow:
    rule = Rule(
        id=row["id"],
        channel=row["channel"],
        keyword=row["keyword"],
        match=row["match"],
        action=row["action"],
        received_on=row["received_on"],
        subject_kind=row["subject_kind"],
        subject_name=row["preference"],
        reply=row["reply"],
        active=row["active"],
        builtin=row["builtin"],
    )
    return RuleRow(rule, row["preference_id"], row["created_at"], row["updated_at"])


async def create(conn: AsyncConnection, values: Mapping[str, Any], *, now: datetime) -> str:
    """A new rule of these columns; returns its id. It holds for the next message."""
    rule_id = new_id("rul")
    await conn.execute(insert(rules), [{**values, "id": rule_id, "created_at": now, "updated_at": now}])
    await _changed(conn, now)
    return rule_id


async def change(conn: AsyncConnection, rule_id: str, values: Mapping[str, Any], *, now: datetime) -> None:
    await conn.execute(update(rules).where(rules.c.id == rule_id).values(**values, updated_at=now))
    await _changed(conn, now)


async def remove(conn: AsyncConnection, rule_id: str, *, now: datetime) -> None:
    """Delete an operator's own rule; raises Builtin."""
    [found] = await read(conn, rule_id=rule_id)
    if found.rule.builtin is not None:
        raise Builtin(rule_id)
    await conn.execute(delete(rules).where(rules.c.id == rule_id))
    await _changed(conn, now)


async def refresh_builtin(conn: AsyncConnection, packs: Sequence[str], *, now: datetime) -> None:
    """Let the built-in rows be those of the packs; rows that are there keep what an operator made of them."""
    wanted = builtin_rules(packs)
    present = {row.rule.id for row in await read(conn) if row.rule.builtin is not None}
    missing = [rule for rule in wanted if rule.id not in present]
    surplus = sorted(present - {rule.id for rule in wanted})
    if not missing and not surplus:
        return
    await conn.execute(delete(rules).where(rules.c.id.in_(surplus)))
    await insert_missing(
        conn,
        rules,
        [
            {
                "id": rule.id,
                "channel": rule.channel,
                "received_on": None,
                "keyword": rule.keyword,
                "match": rule.match,
                "action": rule.action,
                "subject_kind": rule.subject_kind,
                "preference_id": None,
                "reply": rule.reply,
                "active": rule.active,
                "builtin": rule.builtin,
                "created_at": now,
                "updated_at": now,
            }
            for rule in sorted(missing, key=lambda rule: rule.id)
        ],
    )
    await _changed(conn, now)


async def _changed(conn: AsyncConnection, now: datetime) -> None:
    await upsert(conn, settings, [{"key": _VERSION, "value": new_id("ver"), "updated_at": now}])


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules at one version, indexed."""

    version: str | None
    book: Rulebook
    preference_ids: Mapping[str, str]  # by rule id


class RuleCache:
    """The rules, indexed once per version; a change in any process holds for the next message."""

    def __init__(self) -> None:
        self._rules: Rules | None = None

    async def current(self, conn: AsyncConnection) -> Rules:
        found = await bulk.rows(conn, _CURRENT)
        version = found[0].value if found else None
        if self._rules is None or self._rules.version != version:
            rows = await read(conn)
            self._rules = Rules(
                version,
                Rulebook(row.rule for row in rows),
                {row.rule.id: row.preference_id for row in rows if row.preference_id is not None},
            )
        return self._rules
