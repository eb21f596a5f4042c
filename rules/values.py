"""A rule, and what the rules say of a message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Match = Literal["starts_with", "exact"]
Action = Literal["opt_in", "opt_out", "reply_only"]
SubjectKind = Literal["channel", "everything", "preference"]


@dataclass(frozen=True, slots=True)
class Rule:
    id: str
    channel: str  # sms | whatsapp | email
    keyword: str  # as the operator wrote it
    match: Match
    action: Action
    received_on: str | None = None  # the receiving number or mailbox; None is any
    subject_kind: SubjectKind = "channel"
    subject_name: str | None = None  # of the preference
    reply: str | None = None  # None: the default reply of the action; "": silence
    active: bool = True
    builtin: str | None = None  # the pack it comes from; None for an operator's own


@dataclass(frozen=True, slots=True)
class Decision:
    """Which rule wins, what the text became, and why the others lost."""

    rule: Rule | None
    normalized: str
    others: tuple[tuple[Rule, str], ...] = ()  # filled by `explain` only
