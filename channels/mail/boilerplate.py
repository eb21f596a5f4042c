"""What mail programs write by themselves, and how it is recognised. Pure.

The words are in `boilerplate.toml`, by kind; each is looked up, never searched for, so that their number costs nothing.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Literal

Label = Literal["from", "date", "to", "subject"]
# A separator stands above a whole mail that is quoted, a footer below what somebody wrote; what is perhaps a footer, of
# an unknown program or device, may be their own words as well. A disclaimer goes on to the end of its paragraph.
Kind = Literal["separator", "footer", "perhaps_footer", "disclaimer"]

LONGEST_LINE: Final = 400  # no line that a program writes is longer
_PATTERN_LENGTH: Final = 60
_OF_SENTENCES: Final = frozenset(",;:!?")
_KEY: Final = 3  # characters by which a beginning is looked up

_INVISIBLE = (
    "*\xad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
_SPACES = "\t\x0b\x0c\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
_DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"


def _table() -> dict[int, str]:
    """Letters without their accents, one sign for its kin; a line break stays, and nothing becomes one."""
    table = dict.fromkeys(map(ord, _INVISIBLE), "") | dict.fromkeys(range(0x300, 0x370), "")
    table |= dict.fromkeys(map(ord, _SPACES), " ") | dict.fromkeys(map(ord, _DASHES), "-")
    table |= {0xFF1A: ":", 0x2019: "'", 0x2018: "'", 0x2BC: "'", 0x1FC: "Æ", 0x1FD: "æ"}
    for code in (*range(0xC0, 0x250), *range(0x1E00, 0x1F00)):
        base = unicodedata.normalize("NFD", chr(code))[0]
        if base.isascii():
            table[code] = base
    return table


_FOLD: Final = _table()


def fold(text: str) -> str:
    """The text as it is compared; with the same number of lines. (QQ Mail has character references in plain text.)"""
    return text.translate(_FOLD).casefold()


def _read() -> dict[str, dict[str, list[str]]]:
    table: dict[str, dict[str, list[str]]] = tomllib.loads(
        Path(__file__).with_name("boilerplate.toml").read_text("utf-8")
    )
    return table


def _by_beginning(beginnings: Iterable[str]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for beginning in beginnings:
        key = beginning[:_KEY]
        found[key] = (*found.get(key, ()), beginning)
    return found


_RAW: Final = _read()
_WORDS: Final = {kind: {name: list(map(fold, many)) for name, many in of.items()} for kind, of in _RAW.items()}
_WROTE: Final = frozenset(word + end for word in _WORDS["attribution"]["words"] for end in ("", ":", ","))
_WROTE_AT_THE_END: Final = tuple(_WORDS["attribution"]["endings"])
_LABELS: Final[dict[str, Label]] = {
    name: label for label in ("subject", "to", "date", "from") for name in _WORDS["header"][label]
}
_SEPARATORS: Final = frozenset(_WORDS["separator"]["lines"])
_FOOTERS: Final = frozenset(_WORDS["footer"]["lines"])
_PATTERNS: Final = _by_beginning(one[:-1] for one in _WORDS["footer"]["patterns"] if one.endswith("…"))
_BOTH_ENDS: Final = {
    start: end for start, _, end in (one.partition("…") for one in _WORDS["footer"]["patterns"]) if start and end
}
_PATTERN_ENDINGS: Final = tuple(one[1:] for one in _RAW["footer"]["patterns"] if one.startswith("…"))
_DISCLAIMERS: Final = _by_beginning(_WORDS["disclaimer"]["beginnings"])
_SUBJECTS: Final = _by_beginning(_WORDS["automatic"]["beginnings"])
_WHOLE_SUBJECTS: Final = frozenset(_WORDS["automatic"]["lines"])
_BEGINNINGS = {one[:_KEY] for one in (*_SEPARATORS, *_FOOTERS)} | _PATTERNS.keys() | _DISCLAIMERS.keys()
_BEGINNINGS |= {start[:_KEY] for start in _BOTH_ENDS}
_DRAWN: Final = "-_=~#<[\u2010\u2012\u2013\u2014\u2015"


def kind(line: str) -> Kind | None:
    """What a line is that a program wrote by itself; None where it is a person's. It has no white space around it."""
    key = fold(line[: 2 * _KEY])[:_KEY]
    if key not in _BEGINNINGS and line[0] not in _DRAWN and not line.endswith(_PATTERN_ENDINGS):
        return None
    folded = fold(line[:LONGEST_LINE])
    bare = folded.partition("http")[0].strip("-_=~# >:.!<[]()")
    if bare in _FOOTERS:
        return "footer"
    if bare in _SEPARATORS and (line[0] in _DRAWN or line[-1] in ":\uff1a"):
        return "separator"
    if folded.startswith(_DISCLAIMERS.get(key, ())):
        return "disclaimer"
    is_sentence = len(line) > _PATTERN_LENGTH or not _OF_SENTENCES.isdisjoint(bare)
    return "perhaps_footer" if not is_sentence and _fits(line, bare, key) else None


def _fits(line: str, bare: str, key: str) -> bool:
    return (
        bare.startswith(_PATTERNS.get(key, ()))
        or line.endswith(_PATTERN_ENDINGS)
        or any(bare.startswith(start) and bare.endswith(end) for start, end in _BOTH_ENDS.items())
    )


def says_wrote(folded: str) -> bool:
    """Whether there is a word for writing in a line, as in "Ann wrote:"."""
    return not _WROTE.isdisjoint(folded.split()) or folded.endswith(_WROTE_AT_THE_END)


def label(line: str) -> Label | None:
    """Which line of a mail's header is repeated, as "Gesendet: Montag" does the date."""
    name, colon, _ = line.partition(":")
    if not colon:
        name, colon, _ = line.partition("\uff1a")
    return _LABELS.get(fold(name).strip()) if colon else None


def labels_within(folded: str) -> set[Label]:
    """All header lines that are repeated in one line."""
    names = [piece.split()[-1] for piece in folded[:LONGEST_LINE].split(":")[:-1] if piece.split()]
    return {_LABELS[name] for name in names if name in _LABELS}


def is_automatic_subject(subject: str) -> bool:
    """Whether only a machine writes such a subject, of which the person's own replies begin with "Re:"."""
    line = " ".join(fold(subject[:LONGEST_LINE]).split())
    return line.startswith(_SUBJECTS.get(line[:_KEY], ())) or line.strip(" .!:-") in _WHOLE_SUBJECTS
