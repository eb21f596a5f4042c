"""Which words of a mail a rule may read: the first line that the person typed, and a subject of their own. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from rules.values import Decision

# What mail programs put before the subject of what is answered or passed on, in the languages they speak. Such a
# subject is what somebody else wrote: a newsletter called "Stop the clock" is answered with "Re: Stop the clock".
_ANSWERED: Final = re.compile(
    r"\s*(?:re|aw|antw|antwort|sv|vs|vl|rv|res|rif|r|i|tr|ref|réf|rép|rp|enc|odp|pd|ynt|ilt|bls|atb|vá|továbbítás|fw|fwd|wg|wtr|doorst"
    r"|rv|απ|σχετ|προθ|הועבר|השב|رد|إعادة توجيه|回复|回覆|答复|答覆|转发|轉寄|返信|転送|ตอบ)"
    r"\s*(?:\[\d{1,3}\]|\(\d{1,3}\)|\^\d{1,3})?\s*[:：]",
    re.IGNORECASE,
)
_MOST_CHARS: Final = 998  # of a line, RFC 5322 §2.1.1; of a text without breaks as much is read


def said_in_mail(subject: str | None, typed: str) -> tuple[str, ...]:
    """The texts that a rule is asked for, what was typed first; none where the person wrote nothing."""
    first = next((line for raw in typed[: 8 * _MOST_CHARS].splitlines() if (line := raw.strip())), "")
    return tuple(text for text in (first[:_MOST_CHARS], own_subject(subject)) if text)


def own_subject(subject: str | None) -> str:
    """The subject where it is the person's own; "" where they answer or pass on somebody else's."""
    return "" if subject is None or _ANSWERED.match(subject) else subject.strip()[:_MOST_CHARS]


def foremost(decisions: Iterable[Decision]) -> Decision | None:
    """The decision that counts of those on each text, in order: an opt-out before all else; None of none."""
    return min(decisions, key=_rank, default=None)


def _rank(decision: Decision) -> int:
    return 2 if decision.rule is None else int(decision.rule.action != "opt_out")
