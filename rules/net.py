"""Many patterns of words as one automaton: what of them stands in a text is found in one walk through its words.

How a pattern is written stands in phrases.toml. There is no going back: a walk keeps the places it may have come to,
no more of them than the patterns have at once, so its time grows with the text alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SIGN: Final = re.compile(r"[()|?]|\*[1-9]|\{\w+\}|[^\s()|?{}*]+")
_SPACE: Final = re.compile(r"\s+")

Spell = Callable[[str], Sequence[str]]  # a word as it is written → as texts are compared


class BadPattern(ValueError):
    """A pattern that cannot be read; says which."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a pattern; exactly one of the first four says what it is."""

    word: str | None = None
    name: str | None = None  # of a pattern that several share
    any: int = 0  # up to so many words of any kind
    options: tuple[Pattern, ...] = ()
    may_be_absent: bool = False


Pattern = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """A pattern that stands in a text, from the word at `start` to before that at `end`."""

    name: str | None
    start: int
    end: int


def parse(text: str) -> Pattern:
    """The pattern that is written so; raises BadPattern."""
    left = _SPACE.sub("", _SIGN.sub("", text))
    if left:
        raise BadPattern(f"{text!r}: what is {left!r}?")
    signs = _SIGN.findall(text)
    options, end = _options(signs, 0, text)
    if end != len(signs) or len(options) != 1:
        raise BadPattern(f"{text!r}: the brackets do not fit")
    return options[0]


def _options(signs: Sequence[str], at: int, text: str) -> tuple[tuple[Pattern, ...], int]:
    """What stands between `|`, up to the bracket that closes it, and where that is."""
    options: list[Pattern] = []
    parts: list[Part] = []
    while at < len(signs) and signs[at] != ")":
        if signs[at] == "|":
            options.append(tuple(parts))
            parts = []
            at += 1
            continue
        part, at = _part(signs, at, text)
        parts.append(part)
    options.append(tuple(parts))
    if any(not option for option in options):
        raise BadPattern(f"{text!r}: there is nothing beside a bar, or in brackets")
    return tuple(options), at


def _part(signs: Sequence[str], at: int, text: str) -> tuple[Part, int]:
    sign = signs[at]
    options: tuple[Pattern, ...] = ()
    if sign == "?":
        raise BadPattern(f"{text!r}: nothing stands before `?`")
    if sign == "(":
        options, at = _options(signs, at + 1, text)
        if at == len(signs):
            raise BadPattern(f"{text!r}: a bracket is not closed")
    at += 1
    may_be_absent = at < len(signs) and signs[at] == "?"
    at += may_be_absent
    if options:
        return Part(options=options, may_be_absent=may_be_absent), at
    if sign.startswith("*"):
        return Part(any=int(sign[1:]), may_be_absent=True), at
    if sign.startswith("{"):
        return Part(name=sign[1:-1], may_be_absent=may_be_absent), at
    return Part(word=sign, may_be_absent=may_be_absent), at


_MOST_HELD: Final = 200_000  # places that are remembered, some 20 MB of them


class Net:
    """The patterns, made ready once."""

    def __init__(
        self,
        patterns: Iterable[tuple[str | None, Pattern, Mapping[str, Pattern]]],
        *,
        spell: Spell,
        marks: Collection[str] = (),
    ) -> None:
        """Each pattern with its name in matches, and what its `{names}` stand for; raises BadPattern.

        `marks` are what no `*` passes over, and is spelled as it stands.
        """
        self._marks: Final = frozenset(marks)
        made = _Making(spell, self._marks)
        start = made.place()
        self._names: Final[list[str | None]] = []
        ends: dict[int, int] = {}
        for name, pattern, shared in patterns:
            end = made.place()
            made.add(pattern, start, end, shared)
            ends[end] = len(self._names)
            self._names.append(name)
        self._start: Final = start
        reach = [made.reach(place) for place in range(len(made.words))]
        self._words: Final = [made.onward(reached) for reached in reach]
        self._any: Final = [made.onward_by_any(reached) for reached in reach]
        self._ends: Final = [tuple(ends[place] for place in reached if place in ends) for reached in reach]
        self._named: Final = [any(self._names[pattern] is not None for pattern in at_end) for at_end in self._ends]
        self._known: Final = self._marks.union(*self._words)
        self._steps: Final[dict[tuple[frozenset[int], str], tuple[frozenset[int], bool]]] = {}
        self._held = 0
        if self._ends[start]:
            raise BadPattern(f"{self._names[self._ends[start][0]]}: every part of it may be absent")

    def stands_in(self, words: Iterable[str]) -> bool:
        """Whether `find` would find a pattern with a name: far quicker, since what a word leads to is remembered."""
        places: frozenset[int] = frozenset()
        for word in words:
            step = (places, word if word in self._known else "")  # words of no pattern all lead to the same
            if (led := self._steps.get(step)) is None:
                led = self._lead(*step)
            places, is_end = led
            if is_end:
                return True
        return False

    def _lead(self, places: frozenset[int], word: str) -> tuple[frozenset[int], bool]:
        """Where the word leads from all these places and the start, and whether a pattern with a name ends there."""
        from_here = places | {self._start}
        after = {to for place in from_here for to in self._words[place].get(word, ())}
        if word not in self._marks:
            after.update(to for place in from_here for to in self._any[place])
        led = (frozenset(after), any(self._named[place] for place in after))
        if self._held > _MOST_HELD:  # hostile texts lead to ever other places
            self._steps.clear()
            self._held = 0
        self._held += 1 + len(places)
        self._steps[places, word] = led
        return led

    def walk(self, words: Sequence[str]) -> Iterator[set[tuple[int, int]]]:
        """After each word: the places that may have been come to, each with the word it began at."""
        places: set[tuple[int, int]] = set()
        for at, word in enumerate(words):
            places.add((self._start, at))
            is_mark = word in self._marks
            after: set[tuple[int, int]] = set()
            for place, began in places:
                onward = self._words[place].get(word, ())
                for to in onward if is_mark else (*onward, *self._any[place]):
                    after.add((to, began))
            places = after
            yield places

    def find(self, words: Sequence[str]) -> Iterator[Match]:
        """Every pattern that stands in the text, wherever it does."""
        for at, places in enumerate(self.walk(words)):
            for place, began in places:
                for pattern in self._ends[place]:
                    yield Match(self._names[pattern], began, at + 1)


class _Making:
    """Places and the ways between them: by a word, by any word, by none."""

    def __init__(self, spell: Spell, marks: frozenset[str]) -> None:
        self._spell = spell
        self._marks = marks
        self.words: list[dict[str, list[int]]] = []
        self._any: list[list[int]] = []
        self._free: list[list[int]] = []

    def place(self) -> int:
        self.words.append({})
        self._any.append([])
        self._free.append([])
        return len(self.words) - 1

    def add(self, pattern: Pattern, start: int, end: int, shared: Mapping[str, Pattern]) -> None:
        """A way from `start` to `end` by what the pattern says."""
        for part in pattern[:-1]:
            place = self.place()
            self._way(part, start, place, shared)
            start = place
        self._way(pattern[-1], start, end, shared)

    def _way(self, part: Part, start: int, end: int, shared: Mapping[str, Pattern]) -> None:
        if part.may_be_absent:
            self._free[start].append(end)
        if part.name is not None:
            if part.name not in shared:
                raise BadPattern(f"nothing is named {{{part.name}}}")
            self.add(shared[part.name], start, end, {})
        for option in part.options:
            self.add(option, start, end, shared)
        for _ in range(part.any):
            place = self.place()
            self._any[start].append(place)
            self._free[place].append(end)
            start = place
        if part.word is not None:
            self._by_words(part.word, start, end)

    def _by_words(self, written: str, start: int, end: int) -> None:
        words = [written] if written in self._marks else self._spell(written)
        if not words:
            raise BadPattern(f"{written!r} is no word")
        for word in words[:-1]:
            place = self.place()
            self.words[start].setdefault(word, []).append(place)
            start = place
        self.words[start].setdefault(words[-1], []).append(end)

    def reach(self, place: int) -> frozenset[int]:
        """Where one is in this place: here, and wherever a way by nothing leads."""
        found = {place}
        ahead = [place]
        while ahead:
            for to in self._free[ahead.pop()]:
                if to not in found:
                    found.add(to)
                    ahead.append(to)
        return frozenset(found)

    def onward(self, reached: Collection[int]) -> dict[str, tuple[int, ...]]:
        """Where each word leads from there; a place stands for all that it reaches."""
        onward: dict[str, set[int]] = {}
        for place in reached:
            for word, to in self.words[place].items():
                onward.setdefault(word, set()).update(to)
        return {word: tuple(sorted(to)) for word, to in onward.items()}

    def onward_by_any(self, reached: Collection[int]) -> tuple[int, ...]:
        return tuple(sorted({to for place in reached for to in self._any[place]}))
