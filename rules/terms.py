"""One rule made ready for comparison, and the comparison itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rules.normalize import Reading, ends_word, read, skeleton
from rules.values import Match, Rule

Rank = tuple[bool, bool, int, bool, bool, str]


@dataclass(frozen=True, slots=True)
class Term:
    """A rule with its keyword as it is compared; of two that match, the one with the lower rank wins."""

    rule: Rule
    plain: str  # "" for a keyword that can never match
    lookalike: str | None  # None where look-alikes do not count
    receiver: str | None
    rank: Rank


def prepare(rule: Rule) -> Term:
    """Return the rule made ready. A keyword that says nothing is no error here: its rule never matches."""
    reading = read(rule.keyword)
    plain = reading.plain if reading.whole else ""
    receiver = bare(rule.received_on)
    rank = (
        rule.action != "opt_out",
        receiver is None,
        -len(plain),
        rule.match != "exact",
        rule.builtin is not None,
        rule.id,
    )
    return Term(rule, plain, _lookalike(rule, plain), receiver, rank)


def bare(receiver: str | None) -> str | None:
    """Return a number or mailbox for comparison: no `whatsapp:` before it, no white space; None if nothing is left."""
    compared = "".join((receiver or "").split()).casefold().removeprefix("whatsapp:")
    return compared or None


def meets(term: Term, reading: Reading, match: Match | None = None) -> bool:
    """Say whether the text fits the keyword, by its own way of matching or by the one given."""
    if not term.plain:
        return False
    return any(fits(keyword, text, reading.whole, match or term.rule.match) for keyword, text in _pairs(term, reading))


def fits(keyword: str, text: str, whole: bool, match: Match) -> bool:
    """Say whether the keyword is the text (`exact`), or the text begins with it at a word's end (`starts_with`)."""
    if not text.startswith(keyword):
        return False
    if len(text) == len(keyword):
        return whole
    return match == "starts_with" and ends_word(text, len(keyword))


def _pairs(term: Term, reading: Reading) -> Iterator[tuple[str, str]]:
    yield term.plain, reading.plain
    if term.lookalike is not None:
        for text in (reading.plain, *reading.lookalikes):
            yield term.lookalike, text


def _lookalike(rule: Rule, plain: str) -> str | None:
    """Return the keyword's skeleton for an opt-out word; one letter is no word, or "I ..." would be taken for 1."""
    if rule.action != "opt_out" or sum(map(str.isalpha, plain)) < 2:
        return None
    return plain if rule.keyword.isascii() else skeleton(rule.keyword)
