"""How a text is read before it is compared with keywords.

Three readings: `normalize` for every rule, `unaccented` for the second comparison, `skeleton` for opt-out words only.
All take any string (NUL, lone surrogates, a megabyte of anything) in linear time and raise nothing.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rules import lookalikes

# Characters read of a text, counted when invisible ones are gone, white space is collapsed and the ends are trimmed.
# A keyword is shorter by far, so only `exact` could be deceived by a cut, and never is: see `Reading.whole`. The limit
# also bounds the sorting of combining marks in Unicode normalisation, whose time grows with the square of their run.
CHARACTERS_READ: Final = 1600

# Everything of category Cf, controls that are no white space, lone surrogates, variation selectors, the combining
# grapheme joiner, fillers: Default_Ignorable_Code_Point of Unicode, and what else is never seen on a phone.
_INVISIBLE: Final = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160"
    "\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0"
    "\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3\U0001d173-\U0001d17a"
    "\U000e0000-\U000e0fff]+"
)
_APOSTROPHE: Final = re.compile("[\u2018\u2019\u201b\u02bc]")
_HYPHEN: Final = re.compile("[\u2010\u2212]")  # U+2011 becomes U+2010 under NFKC
_COMMON_MARK: Final = re.compile("[\u0300-\u036f]+")  # by itself, because it is quick
_NEITHER_ASCII_NOR_LETTER: Final = re.compile(r"[^\w\x00-\x7f]")
_ASCII_WITHOUT_LETTERS: Final = "".join(c for c in map(chr, range(128)) if not c.isalnum())


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as the rules read it."""

    normalized: str  # what people are shown
    plain: str  # without accents: what is compared
    lookalikes: tuple[str, ...]  # the same with look-alikes replaced, where that makes a difference
    whole: bool  # False: the text goes on, so the end of the readings is no end, and no `exact` keyword matches


def normalize(text: str) -> str:
    """Return the text as it is compared: the same words give the same result, however they were typed.

    NFKC, case folding, invisible characters removed, one apostrophe and one hyphen for their typographic kin, white
    space collapsed, everything but letters, digits and their marks trimmed at both ends. Doing it twice changes
    nothing. A text of emoji and punctuation alone becomes "". No more than CHARACTERS_READ characters come back.
    """
    return _trim(_fold(_visible(text)[0])[:CHARACTERS_READ])


def unaccented(text: str) -> str:
    """Return the text without accents and other non-spacing or enclosing marks: `arrêt` becomes `arret`."""
    if text.isascii():
        return text
    apart = _COMMON_MARK.sub("", unicodedata.normalize("NFD", text))
    return unicodedata.normalize("NFC", _NEITHER_ASCII_NOR_LETTER.sub(_without_mark, apart))


def skeleton(text: str) -> str:
    """Return the normalised, unaccented text with look-alike letters replaced by Latin ones (UTS 39's idea).

    For comparing opt-out words only. Digits stay: in a text they pass for letters as well (`Reading.lookalikes`), in
    a keyword never, or "stop i ..." would be taken for STOP 1.
    """
    return _trim(_skeleton(_visible(text)[0]))


def read(text: str) -> Reading:
    """Return all readings of the text."""
    visible, whole = _visible(text)
    folded = _fold(visible)
    whole = whole and len(folded) <= CHARACTERS_READ
    trim = _trim if whole else _trim_start
    plain = trim(unaccented(folded))
    lookalike = trim(_skeleton(visible)) if _has_lookalikes(visible) else plain
    return Reading(_trim(folded[:CHARACTERS_READ]), plain, tuple(_other_readings(plain, lookalike)), whole)


def ends_word(text: str, at: int) -> bool:
    """Say whether a word of a `plain` text may end before position `at`, which is inside the text.

    White space and punctuation end it; letters, digits and marks go on with it, and so do `-` and `'` with one of
    these behind them: STOP is in "stop,now" and "'stop' please", not in "stopped", "stop-start" or "stop's".
    """
    if text[at] in "-'":
        at += 1
    return at == len(text) or not _in_word(text[at])


def _in_word(character: str) -> bool:
    return character.isalnum() or (not character.isascii() and unicodedata.category(character)[0] == "M")


def _visible(text: str) -> tuple[str, bool]:
    """Return the start of the text in NFKC without what is not seen, and whether that is the whole of it."""
    if text.isascii() and text.isprintable():
        seen = visible = " ".join(text.split()).strip(_ASCII_WITHOUT_LETTERS)
    else:
        seen = " ".join(_INVISIBLE.sub("", text).split()).strip(_ASCII_WITHOUT_LETTERS)
        visible = unicodedata.normalize("NFKC", seen[:CHARACTERS_READ].replace("\u00b4", "'"))
    return visible[:CHARACTERS_READ], len(seen) <= CHARACTERS_READ and len(visible) <= CHARACTERS_READ


def _fold(visible: str) -> str:
    if visible.isascii():
        return visible.lower()
    folded = unicodedata.normalize("NFKC", visible.casefold())
    folded = _HYPHEN.sub("-", _APOSTROPHE.sub("'", folded))
    return " ".join(folded.split())


def _skeleton(visible: str) -> str:
    if not _has_lookalikes(visible):
        return unaccented(_fold(visible))
    return unaccented(_fold(unaccented(visible).translate(lookalikes.TABLE)))


def _has_lookalikes(visible: str) -> bool:
    return not visible.isascii() and not lookalikes.ALL.isdisjoint(unicodedata.normalize("NFD", visible))


def _other_readings(plain: str, lookalike: str) -> Iterator[str]:
    if lookalike != plain:
        yield lookalike
    if "0" in lookalike or "1" in lookalike:
        yield lookalike.translate(lookalikes.ONE_FOR_L)
    if "1" in lookalike:
        yield lookalike.translate(lookalikes.ONE_FOR_I)


def _trim(folded: str) -> str:
    """Drop what is no letter, digit or mark of one, at both ends."""
    trimmed = _trim_start(folded).rstrip(_ASCII_WITHOUT_LETTERS)
    end = len(trimmed)
    while end and not trimmed[end - 1].isalnum():
        end -= 1
    while 0 < end < len(trimmed) and _in_word(trimmed[end]):
        end += 1
    return trimmed[:end]


def _trim_start(folded: str) -> str:
    start = 0
    while start < len(folded) and not folded[start].isalnum():
        start += 1
    return folded[start:]


def _without_mark(match: re.Match[str]) -> str:
    return "" if unicodedata.category(match[0]) in ("Mn", "Me") else match[0]
