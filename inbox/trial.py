"""A rule tried without effect: which rule wins, what would change, why the others lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from content import languages, letters
from inbox import rulebook
from inbox.reviews import has_decided, like_no
from inbox.rulebook import RuleRow
from rules import replies
from rules.keywords import Rulebook
from rules.mail import foremost, said_in_mail
from rules.values import Decision, Rule


@dataclass(frozen=True, slots=True)
class Trial:
    matched: RuleRow | None
    normalized: str
    changes: list[dict[str, Any]]
    reply: str | None
    review: bool  # no rule has decided, but it reads like a revocation
    others: list[tuple[RuleRow, str]]


async def attempt(
    conn: AsyncConnection,
    text: str,
    *,
    channel: str,
    received_on: str | None,
    organisation: str,
    contact: str,
    email_subject: str | None = None,
) -> Trial:
    """What a message with this text, as it was typed, would do; writes nothing. `email_subject`: of an e-mail."""
    rows = {row.rule.id: row for row in await rulebook.read(conn)}
    book = Rulebook(row.rule for row in rows.values())
    texts = said_in_mail(email_subject, text) if channel == "email" else (text,)
    explained = foremost(book.explain(one, channel=channel, receiver=received_on) for one in texts)
    decision = explained or Decision(None, "")
    rule = decision.rule
    return Trial(
        rows[rule.id] if rule else None,
        decision.normalized,
        _changes(rule, channel) if rule else [],
        _reply(rule, organisation, contact) if rule else None,
        not has_decided(rule) and like_no(text, email_subject) is not None,
        [(rows[other.id], why) for other, why in decision.others],
    )


def _reply(rule: Rule, organisation: str, contact: str) -> str | None:
    if _waits(rule):
        speech = languages.choose()
        points = [rule.subject_name or letters.news(speech, rule.channel)]
        return letters.question(speech, points, organisation=organisation, link="[link]")["text"]
    return replies.reply_to(rule, organisation=organisation, contact=contact) or None


def _waits(rule: Rule) -> bool:
    """Whether it takes more than the message: a yes by e-mail stands once it is confirmed."""
    return rule.channel == "email" and rule.action == "opt_in"


def _changes(rule: Rule, channel: str) -> list[dict[str, Any]]:
    """The flags that would turn, as subjects of the API."""
    if rule.action == "reply_only":
        return []
    to = {"to": "yes" if rule.action == "opt_in" else "no"} | ({"when": "confirmed"} if _waits(rule) else {})
    if rule.subject_kind == "everything":
        return [{"subject": {"kind": "everything"}, **to}]
    if rule.subject_kind == "preference":
        return [{"subject": {"kind": "preference", "name": rule.subject_name}, **to}]
    changes: list[dict[str, Any]] = [{"subject": {"kind": "channel", "channel": channel}, **to}]
    if channel in ("sms", "whatsapp"):
        changes.append({"subject": {"kind": "address", "channel": channel, "address": "the sender's"}, **to})
    return changes
