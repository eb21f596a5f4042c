"""Why a rule did not win, in words for the person who wrote it."""

from __future__ import annotations

from dataclasses import replace

from rules.normalize import Reading, ends_word, skeleton
from rules.terms import Term, meets


def why_it_lost(loser: Term, winner: Term) -> str:
    """Return the first point of the selection order in which the winner is ahead."""
    by_action, by_receiver, by_length, by_match, by_origin, _ = (
        ahead != behind for ahead, behind in zip(winner.rank, loser.rank, strict=True)
    )
    if by_action:
        return "an opt-out rule wins"
    if by_receiver:
        return f"a rule for this {_receiver(winner)} wins"
    if by_length:
        return "shorter keyword"
    if by_match:
        return "exact wins"
    if by_origin:
        return "a rule of your own wins over a built-in one"
    return "another rule for the same keyword comes first"


def why_it_misses(term: Term, reading: Reading, receiver: str | None) -> str | None:
    """Return why a rule that does not take part comes near to matching, None for one that does not."""
    if meets(term, reading):
        if not term.rule.active:
            return "inactive"
        return f"for another {_receiver(term)}" if term.receiver not in (None, receiver) else None
    if not term.plain or not term.rule.active or term.receiver not in (None, receiver):
        return None
    if meets(term, reading, "starts_with"):
        return "the message goes on after the keyword, and the rule is exact"
    if term.rule.action != "opt_out" and meets(_with_lookalikes(term), reading):
        return "look-alike letters count for opt-out words only"
    if reading.plain.startswith(term.plain):
        return "the keyword is only the beginning of a word"
    if _stands_later(term.plain, reading.plain):
        return "the message does not begin with the keyword"
    return None


def _receiver(term: Term) -> str:
    return "mailbox" if term.rule.channel == "email" else "number"


def _with_lookalikes(term: Term) -> Term:
    return replace(term, lookalike=skeleton(term.rule.keyword))


def _stands_later(keyword: str, text: str) -> bool:
    """Say whether the keyword stands as a word of its own behind the text's beginning."""
    end = text.find(f" {keyword}", 1) + 1 + len(keyword)
    return end > len(keyword) and (end == len(text) or ends_word(text, end))
