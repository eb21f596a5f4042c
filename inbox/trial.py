"""A rule tried without effect: which rule wins, what would change, why the others lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from inbox import rulebook
from inbox.rulebook import RuleRow
from rules import replies
from rules.keywords import Rulebook
from rules.values import Rule


@dataclass(frozen=True, slots=True)
class Trial:
    matched: RuleRow | None
    normalized: str
    changes: list[dict[str, Any]]
    reply: str | None
    review: bool  # no rule matches, but it reads like a revocation
    others: list[tuple[RuleRow, str]]


async def attempt(
    conn: AsyncConnection, text: str, *, channel: str, received_on: str | None, organisation: str, contact: str
) -> Trial:
    """What a message with this text would do; writes nothing."""
    rows = {row.rule.id: row for row in await rulebook.read(conn)}
    decision = Rulebook(row.rule for row in rows.values()).explain(text, channel=channel, receiver=received_on)
    rule = decision.rule
    return Trial(
        rows[rule.id] if rule else None,
        decision.normalized,
        _changes(rule, channel) if rule else [],
        (replies.reply_to(rule, organisation=organisation, contact=contact) or None) if rule else None,
        False,
        [(rows[other.id], why) for other, why in decision.others],
    )


def _changes(rule: Rule, channel: str) -> list[dict[str, Any]]:
    """The flags that would turn, as subjects of the API."""
    if rule.action == "reply_only":
        return []
    to = "yes" if rule.action == "opt_in" else "no"
    if rule.subject_kind == "everything":
        return [{"subject": {"kind": "everything"}, "to": to}]
    if rule.subject_kind == "preference":
        return [{"subject": {"kind": "preference", "name": rule.subject_name}, "to": to}]
    changes: list[dict[str, Any]] = [{"subject": {"kind": "channel", "channel": channel}, "to": to}]
    if channel in ("sms", "whatsapp"):
        changes.append({"subject": {"kind": "address", "channel": channel, "address": "the sender's"}, "to": to})
    return changes
