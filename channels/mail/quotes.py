"""Where in a mail's lines a quote begins: the lines above it, or a mail's header that is repeated. Pure.

Each line is looked at once, whatever stands around it, and a long one is none that a program wrote.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from channels.mail import boilerplate
from channels.mail.boilerplate import LONGEST_LINE, Label

_LINES_OF_AN_ATTRIBUTION: Final = 4
_LINES_OF_A_HEADER: Final = 4  # of which two are needed
_LONGEST_LABEL: Final = 40
_SHORTEST_DATE: Final = 6  # and mailbox
# A year, or a date in digits; nothing is repeated without a bound, and a place without a digit is passed at once.
_DATE = re.compile(r"\d(?:\d{3}|\d?[./-] ?\d\d?[./-] ?\d\d|[年月])")
_OPENERS = ("on ", "am ", "le ", "el ", "em ", "il ", "op ", "den ", "dne ", "w dniu ", "at ", "a ", "в ")
_OPENER: Final = 7  # characters
_CLOSERS: Final = frozenset(":\uff1a-\u202c\u200e\u200f\u2069*\u2010\u2011\u2012\u2013\u2014\u2015")


class _Seen(NamedTuple):
    """A line as it is compared ("" where nothing of it is seen), and what an attribution is made of in it."""

    folded: str
    has_date: bool
    has_word: bool  # for writing
    has_mailbox: bool


class Quotes:
    """Finds them among a mail's lines, which have no white space around them."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = lines
        self._seen: dict[int, _Seen] = {}
        self._labels: dict[int, Label | None] = {}

    def attribution(self, end: int) -> tuple[int, bool] | None:
        """Where the lines begin that say who wrote what is quoted below, the last of them at `end`; None: they do not.

        And whether they say so beyond doubt: with a date, and with a mailbox at the end or a word for writing, and not
        as a person would say it ("As I wrote on 1/11/2026:"). Else they only do where something marked as a quote
        follows. The fewest lines that can say so are taken, and then one above that only begins it.
        """
        line = self._lines[end]
        if len(line) > LONGEST_LINE or not (line[-1:] in _CLOSERS or line[:_OPENER].lower().startswith(_OPENERS)):
            return None
        seen = self._see(end)
        last = seen.folded
        if not last:
            return None
        if last[-1] != ":" and not (last[-1] == last[0] == "-"):  # GMX's app leaves out the colon
            return (end, False) if seen.has_date and seen.has_word and last.startswith(_OPENERS) else None
        may_be = seen.has_date or seen.has_word or seen.has_mailbox
        if not may_be and ":" not in last[:-1] and "." not in last:  # not even a time
            return None
        return self._sure(end, seen) or ((end, False) if may_be and last[-1] == ":" else None)

    def begins_header(self, at: int) -> bool:
        """Whether a mail's header is repeated from here on, as Outlook does: from whom, and when or of what.

        Not where it says to whom alone, as people do above their words.
        """
        first = self.label(at)
        if first is None:
            return False
        labels = {first, *map(self.label, range(at + 1, at + _LINES_OF_A_HEADER))} - {None}
        if first == "from" and len(labels) == 1 and len(self._lines[at]) > _LONGEST_LABEL:
            labels = set(boilerplate.labels_within(self.folded(at)))
        return "from" in labels and not labels.isdisjoint(("date", "subject"))

    def is_above_all(self, at: int) -> bool:
        """Whether it is GroupWise's, ">>> Ann <ann@example.org> 11/23/2026 10:00 AM >>>": its quote is unmarked."""
        line = self._lines[at]
        return line.startswith(">>>") and line.endswith(">>>") and self._see(at).has_date

    def folded(self, at: int) -> str:
        return self._see(at).folded

    def label(self, at: int) -> Label | None:
        """Which line of a header it repeats; None where it does not, or where there is no such line."""
        if at not in self._labels:
            line = self._lines[at] if at < len(self._lines) else ""
            self._labels[at] = boilerplate.label(line[:_LONGEST_LABEL])
        return self._labels[at]

    def _sure(self, end: int, seen: _Seen) -> tuple[int, bool] | None:
        """The attribution with all that it is made of, in one line or in several that a program broke."""
        has_date, has_word, has_mailbox = seen.has_date, seen.has_word, seen.has_mailbox
        # As "23.11.2026, 10:00, Ann <ann@example.org>:", which Gmail and Yandex write in some languages.
        names_somebody = has_mailbox and "@" in seen.folded.rstrip(": ").rpartition(" ")[2]
        is_whole = has_word and seen.folded.find("<") > 0  # "Ann <ann@example.org> writes:" may have no date
        start = end
        while not (has_date and (names_somebody or has_word)):
            start -= 1
            if start < 0 or end - start == _LINES_OF_AN_ATTRIBUTION:
                return None
            seen = self._see(start)
            if not seen.folded or seen.folded[-1] == ":" or (is_whole and not seen.folded.startswith(_OPENERS)):
                return None
            has_date, has_word = has_date or seen.has_date, has_word or seen.has_word
            has_mailbox = has_mailbox or seen.has_mailbox
        start = self._opening(start, end)
        return start, has_mailbox or self.folded(start).startswith((*_OPENERS, "-"))

    def _opening(self, start: int, end: int) -> int:
        """The line above, where it is broken before the date: "On Monday 23" / "November 2026 Ann wrote:"."""
        above = start - 1
        if self.folded(start).startswith(_OPENERS) or above < 0 or end - above >= _LINES_OF_AN_ATTRIBUTION:
            return start
        line = self.folded(above)
        return above if line.startswith(_OPENERS) and not line.replace(" ", "").isalpha() else start

    def _see(self, at: int) -> _Seen:
        if at not in self._seen:
            line = boilerplate.fold(self._lines[at][: LONGEST_LINE + 1]).strip()
            may_say = len(line) >= _SHORTEST_DATE
            has_date = may_say and _DATE.search(line) is not None
            self._seen[at] = _Seen(line, has_date, boilerplate.says_wrote(line), may_say and "@" in line)
        return self._seen[at]
