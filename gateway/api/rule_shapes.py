"""What the API answers about rules, as the reference shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from gateway.api.shapes import Listing, Shape


class RuleSubject(Shape):
    kind: Literal["channel", "everything", "preference"]
    name: str | None = None


class Rule(Shape):
    id: str
    channel: Literal["sms", "whatsapp", "email"]
    received_on: str | None = Field(description="The number or mailbox of ours; null: any.")
    keyword: str
    match: Literal["starts_with", "exact"]
    action: Literal["opt_in", "opt_out", "reply_only"]
    subject: RuleSubject
    reply: str | None = Field(description="Null: the action's own reply; empty: silence.")
    active: bool
    builtin: bool
    pack: str | None
    created_at: datetime
    updated_at: datetime
    warning: str | None = None


class Rules(Listing[Rule]):
    """The rules, in the order of their making."""


class Beaten(Shape):
    rule: Rule
    why: str


class Trial(Shape):
    """What a message would do, and why."""

    matched: Rule | None
    normalized: str
    changes: list[dict[str, Any]]
    reply: str | None
    review: bool = Field(description="No rule matches, but it reads like a revocation.")
    others: list[Beaten]
