"""What reads like "send me no more" in people's own words: the list beside this page (phrases.toml), and its use.

Any clear wording revokes consent (47 CFR 64.1200(a)(10)), and nobody can list them all. What is on the list is no
opt-out by itself: it is held and shown to people. A text is read sentence by sentence, as words in the normal form of
`rules.normalize`; the list is one automaton, so that the time grows with the text and not with the list.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from rules import net
from rules.normalize import CHARACTERS_READ, read

_LIST: Final = Path(__file__).with_name("phrases.toml")

MOST_READ: Final = 4 * CHARACTERS_READ  # characters looked at; of their normal form CHARACTERS_READ are read

_BREAK, _START = ".", "<"  # the ends of a sentence, and the beginning of the message, among the words
_SENTENCE_END: Final = re.compile(r"[.!?;…。؟؛]+(?=[\s\"'»”)\]]|$)")
_WORD: Final = re.compile(r"[^\W_]+")
# What English runs together stays one word (don't, I'm); what other languages elide stands apart (m'envoyez).
_CONTRACTION: Final = re.compile(r"'(?=(?:t|s|re|ve|ll|m|d)\b)")
# Letters that Arabic writers take for one another, and the stroke that only stretches a word.
_ARABIC: Final = str.maketrans({"ى": "ي", "ة": "ه", "ـ": None})


@dataclass(frozen=True, slots=True)
class Phrase:
    """A way to say it."""

    id: str
    language: str  # ISO 639-1
    says: tuple[str, ...]  # as phrases.toml explains
    why: str  # it is on the list


def phrases() -> Mapping[str, Phrase]:
    """The list by id, without what only sounds like a no."""
    return the_list().phrases


def reads_like_no(text: str) -> str | None:
    """Return the id of the phrase that a text reads like, the first in it; None where it reads like none.

    For a message that no rule matched, and that a person wrote. Takes any string, in time that its length bounds.
    """
    ready = the_list()
    for words in _readings(text):
        found = ready.first(words)
        if found is not None:
            return found
    return None


# --- the list ---------------------------------------------------------------------------------


class List:
    """The list, made ready once."""

    def __init__(self, listed: Mapping[str, Any]) -> None:
        shared = {
            language: {name: net.parse(f"({says})") for name, says in named.items()}
            for language, named in listed["words"].items()
        }
        self.phrases: Final = {row["id"]: _phrase(row) for row in listed["phrase"]}
        harmless = [_phrase(row) for row in listed["harmless"]]
        if len(self.phrases) != len(listed["phrase"]):
            raise ValueError("two phrases of the list have one id")
        patterns = (
            (phrase.id if phrase.id in self.phrases else None, net.parse(says), shared.get(phrase.language, {}))
            for phrase in (*self.phrases.values(), *harmless)
            for says in phrase.says
        )
        self.net: Final = net.Net(patterns, spell=_spelled, marks=(_BREAK, _START))

    def first(self, words: Sequence[str]) -> str | None:
        """The phrase that begins first, of those that nothing harmless overlaps; of these the longest."""
        if not self.net.stands_in(words):  # as in most texts
            return None
        found = list(self.net.find(words))
        harmless = {at for match in found if match.name is None for at in range(match.start, match.end)}
        noes = [
            (match.start, -match.end, match.name)
            for match in found
            if match.name is not None and harmless.isdisjoint(range(match.start, match.end))
        ]
        return min(noes)[2] if noes else None


def _phrase(row: Mapping[str, Any]) -> Phrase:
    return Phrase(row["id"], row["language"], tuple(row["says"]), row["why"])


@cache
def the_list() -> List:
    return List(tomllib.loads(_LIST.read_text(encoding="utf-8")))


# --- the text ---------------------------------------------------------------------------------


def _readings(text: str) -> Iterator[list[str]]:
    """The text's words: each line a sentence of its own, and as if no line were broken; so with look-alikes, too."""
    lines = text[:MOST_READ].splitlines()
    for given in (f" {_BREAK} ".join(lines), " ".join(lines)) if len(lines) > 1 else (text[:MOST_READ],):
        reading = read(given)
        for plain in (reading.plain, *reading.lookalikes[:1]):
            yield _sentences(plain)


def _sentences(plain: str) -> list[str]:
    """The words of a text in its normal form, with the marks between its sentences."""
    words = [_START, _BREAK]
    for sentence in _SENTENCE_END.split(plain):
        if of_it := _words(sentence):
            words += [*of_it, _BREAK]
    return words


def _words(plain: str) -> list[str]:
    return _WORD.findall(_CONTRACTION.sub("", plain.translate(_ARABIC)))


def _spelled(word: str) -> list[str]:
    return _words(read(word).plain)
