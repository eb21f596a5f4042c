"""Which rule a message meets.

Among the rules that match: `opt_out` before any other action; then a rule for this receiver before one for any; then
the longest keyword; then `exact`; then an operator's own rule before a built-in one; then the id. No order to keep.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rules.normalize import Reading, ends_word, normalize, read
from rules.reasons import why_it_lost, why_it_misses
from rules.terms import Term, bare, meets, prepare
from rules.values import Decision, Match, Rule

LONGEST_KEYWORD: Final = 160


def check_keyword(keyword: str) -> str:
    """Return the keyword as it is compared; raise ValueError, naming it, for one that could never match."""
    normalized = normalize(keyword)
    if not normalized:
        raise ValueError(f"the keyword {keyword!r} has no letter or digit, so no message can match it")
    if len(normalized) > LONGEST_KEYWORD:
        raise ValueError(f"the keyword {keyword!r} is longer than {LONGEST_KEYWORD} characters")
    return normalized


class Rulebook:
    """A set of rules made ready once; it never changes. A rule whose keyword says nothing never matches."""

    __slots__ = ("_lookalike", "_plain", "_terms")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self._terms: Final = sorted(map(prepare, rules), key=lambda term: term.rank)
        playing = [(place, term) for place, term in enumerate(self._terms) if term.rule.active and term.plain]
        self._plain: Final = _Index((term, form, place) for place, term in playing for form in _forms(term))
        self._lookalike: Final = _Index((term, term.lookalike, place) for place, term in playing if term.lookalike)

    def decide(self, text: str, *, channel: str, receiver: str | None, payload: str | None = None) -> Decision:
        """Return the rule that wins, if any, and the text as it was compared.

        A button's payload is tried when no rule matches its text; if one matches the payload, that is what comes back
        as the normalised text. A text without letters or digits (emoji, say) is "" and meets no rule, unless its
        signs pass for the letters of an opt-out word.
        """
        place, reading = self._find(text, channel, bare(receiver), payload)
        return Decision(self._terms[place].rule if place is not None else None, reading.normalized)

    def explain(self, text: str, *, channel: str, receiver: str | None, payload: str | None = None) -> Decision:
        """Return what `decide` does, and every other rule of the channel that matched or nearly did, with why it lost.

        Those that matched come first, each kind in the order in which they would win. Looks at every rule: for a
        person's question, not for every message.
        """
        number = bare(receiver)
        place, reading = self._find(text, channel, number, payload)
        winner = None if place is None else self._terms[place]
        lost: list[tuple[Rule, str]] = []
        missed: list[tuple[Rule, str]] = []
        for term in self._terms:
            if term is winner or term.rule.channel != channel:
                continue
            if winner and term.rule.active and term.receiver in (None, number) and meets(term, reading):
                lost.append((term.rule, why_it_lost(term, winner)))
            elif why := why_it_misses(term, reading, number):
                missed.append((term.rule, why))
        return Decision(winner.rule if winner else None, reading.normalized, (*lost, *missed))

    def _find(self, text: str, channel: str, number: str | None, payload: str | None) -> tuple[int | None, Reading]:
        """Return the winner's place and the reading it matched, or None and the text's reading."""
        reading = read(text)
        place = self._best(reading, channel, number)
        if place is None and payload:
            of_payload = read(payload)
            place = self._best(of_payload, channel, number)
            reading = reading if place is None else of_payload
        return place, reading

    def _best(self, reading: Reading, channel: str, number: str | None) -> int | None:
        receivers = (None,) if number is None else (number, None)
        places = [
            *self._plain.find(reading.plain, reading.whole, channel, receivers),
            *(
                place
                for text in reading.lookalikes
                for place in self._lookalike.find(text, reading.whole, channel, receivers)
            ),
        ]
        return min(places, default=None)


def _forms(term: Term) -> set[str]:
    """Return the forms of a keyword that a text meets without any look-alike in it."""
    return {term.plain, term.lookalike or term.plain}


class _Index:
    """Two dictionaries, keyed by (channel, receiver or None, keyword), hold the best place of each key."""

    __slots__ = ("_exact", "_lengths", "_starts_with")

    def __init__(self, entries: Iterable[tuple[Term, str, int]]) -> None:
        self._exact: Final[dict[tuple[str, str | None, str], int]] = {}
        self._starts_with: Final[dict[tuple[str, str | None, str], int]] = {}
        tables: dict[Match, dict[tuple[str, str | None, str], int]]
        tables = {"exact": self._exact, "starts_with": self._starts_with}
        for term, form, place in entries:  # in order of rank: the first to come keeps the place
            tables[term.rule.match].setdefault((term.rule.channel, term.receiver, form), place)
        self._lengths: Final = sorted({len(keyword) for _, _, keyword in self._starts_with}, reverse=True)

    def find(self, text: str, whole: bool, channel: str, receivers: Iterable[str | None]) -> Iterator[int]:
        """Yield the place of the best rule of each key that the text meets."""
        if not text:
            return
        beginnings = self._beginnings(text, whole)
        for receiver in receivers:
            if whole and (place := self._exact.get((channel, receiver, text))) is not None:
                yield place
            for beginning in beginnings:
                if (place := self._starts_with.get((channel, receiver, beginning))) is not None:
                    yield place

    def _beginnings(self, text: str, whole: bool) -> list[str]:
        """Return the text's beginnings up to a word's end, the longest first, of the lengths that keywords have."""
        size = len(text)
        return [
            text[:length]
            for length in self._lengths
            if (length < size and ends_word(text, length)) or (length == size and whole)
        ]
