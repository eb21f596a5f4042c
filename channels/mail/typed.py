"""What a person typed in a mail: their own words, without quotes, signatures, disclaimers and footers. Pure.

In doubt words are the person's: what is kept too much costs little, a STOP that is dropped cannot be made good.
No more than the beginning of a mail is read, in at most 20 steps for each character, whatever it holds; a step is a
line of this code, or a look at a character.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from channels.mail import boilerplate, markup
from channels.mail.markup import Line
from channels.mail.quotes import Quotes

TEXT_READ: Final = 64 * 1024  # characters; what comes behind them is not looked at
HTML_READ: Final = 256 * 1024  # of which Outlook fills fifty thousand with styles before the first word
_QUOTED: Final = (">", "\uff1e")
_SHORT: Final = 6  # characters: no program writes so short a line, but for the end of one that is broken
_SHORTEST_END: Final = 4  # כתב:
_RULE: Final = 10  # underscores, at least
_SHORTEST_DISCLAIMER: Final = 60  # characters of the paragraph
_SOFT_BREAK: Final = 60  # a shorter line that ends in a space was not broken by a program (RFC 3676 §4.1)


def what_was_typed(text: str | None, html: str | None) -> str:
    """The person's own words, "" where there are none; from the HTML where there is no text, or no words in it.

    Those above, between and below quotes, line by line as they came. Where the same words are found in both, but in one
    of them more goes on below, this more is a quote that only the other marks as such.
    """
    plain = _own_words(_plain(text)) if text else ""
    rich = _own_words(markup.read(html[:HTML_READ])) if html else ""
    if not plain or not rich:
        return plain or rich
    if "html" in plain.casefold() and "html" not in rich.casefold():
        return rich
    words = rich.split()
    return rich if plain.split()[: len(words)] == words else plain


def _plain(text: str) -> list[Line]:
    """The lines of plain text; nothing else ends one than a line feed or, in a text without any, a carriage return."""
    text = text[text.startswith("\ufeff") : TEXT_READ]
    if "\n" not in text:
        text = text.replace("\r", "\n")
    if "&nbsp;" in text:  # QQ Mail has it in plain text
        text = text.replace("&nbsp;", " ")
    return [("own", line) for line in text.split("\n")]


def _own_words(lines: Sequence[Line]) -> str:
    reading = _Reading(lines)
    reading.read()
    words = reading.joined(reading.own or reading.signed)  # people write in the signature, as happens in Outlook
    return words.strip() if words[:1].isspace() or words[-1:].isspace() else words


class _Reading:
    """One walk down the lines; each is taken for one thing, and none is come back to but for those above a quote."""

    def __init__(self, lines: Sequence[Line]) -> None:
        self._lines = lines
        self._bare = [line.strip() for _, line in lines]
        self._quotes = Quotes(self._bare)
        self.own: list[int] = []
        self.signed: list[int] = []
        self._into = self.own

    def read(self) -> None:
        """Find the lines with the person's own words in them, `own`, and those of a signature, `signed`."""
        at, count = 0, len(self._lines)
        while at < count:
            line, mark = self._bare[at], self._lines[at][0]
            if mark == "own" and not line.startswith(_QUOTED):
                if len(line) >= _SHORT or (line[-1:] == ":" and len(line) >= _SHORTEST_END) or line == "--":
                    at = self._words(line, at)
                    continue
                if line and (line.isascii() or self._quotes.folded(at)):  # and not of invisible signs alone
                    self._into.append(at)
            elif mark == "signature":
                self.signed.append(at)
            elif line and self._quotes.is_above_all(at):
                return
            else:
                self._into = self.own  # a signature ends where a quote begins
            at += 1

    def _words(self, line: str, at: int) -> int:
        """The place after what is at this one; behind the last where all the rest is quoted."""
        if line[0] in "-_" and self._is_rule(line):
            self._into = self.signed
            return at + 1
        if said := self._quotes.attribution(at):
            start, is_sure = said
            is_marked = self._is_quoted_below(at)
            if is_sure or is_marked:
                self._take_back(start)
                return at + 1 if is_marked else len(self._lines)
        kind = boilerplate.kind(line) if len(line) >= _SHORT else None
        if kind == "separator" or (kind is None and said is None and self._quotes.begins_header(at)):
            self._take_back(at)
            return len(self._lines)
        if kind == "disclaimer":
            return self._disclaimer(at)
        if kind != "footer" and (line.isascii() or self._quotes.folded(at)):
            (self.signed if kind == "perhaps_footer" and self.own else self._into).append(at)
        return at + 1

    def _disclaimer(self, at: int) -> int:
        """The place after the paragraph that begins here, which is the person's own where it is short."""
        end = at
        while end < len(self._lines) and self._lines[end][0] == "own" and self._quotes.folded(end):
            end += 1
        if sum(len(line) for _, line in self._lines[at:end]) < _SHORTEST_DISCLAIMER:
            self._into.extend(range(at, end))
        return end

    def _is_rule(self, line: str) -> bool:
        """Whether a signature begins here, or what a list or a provider puts below everything."""
        return line == "--" or (len(line) >= _RULE and not line.strip("_") and bool(self.own))

    def _is_quoted_below(self, at: int) -> bool:
        """Whether the next line with words in it is quoted."""
        for place in range(at + 1, min(at + 4, len(self._lines))):
            if self._lines[place][0] == "quote" or self._bare[place].startswith(_QUOTED):
                return True
            if self._quotes.folded(place):
                return False
        return False

    def _take_back(self, start: int) -> None:
        """What was taken for words from there on, what of a header stands right above, and a line drawn there."""
        for taken in (self.own, self.signed):
            while taken and taken[-1] >= start:
                taken.pop()
        own = self.own
        while own and self._quotes.label(own[-1]):
            own.pop()
        while own and not self._quotes.folded(own[-1]).strip("-_=# "):
            own.pop()

    def joined(self, places: Sequence[int]) -> str:
        """The lines as text: a blank one between where there were some, and whole again where a program broke them."""
        parts: list[str] = []
        between = ""
        for at in places:
            line = self._bare[at]
            parts.append(between if not parts or self._bare[at - 1] else "\n\n")
            parts.append(line)
            is_soft = len(line) >= _SOFT_BREAK and self._lines[at][1].endswith((" ", " \r"))
            between = " " if is_soft else "\n"
        return "".join(parts)
