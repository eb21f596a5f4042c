"""Who is one person by now, and what each has said, as those outside know it.

Nobody says yes while anything else of theirs is under way, and nobody says no or is merged while a yes of theirs is.
Noes and a merge come to the same in any order. So what is recorded has one meaning, whatever the gateway did first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tests.torture.records import Kind, Merge, Record, State

WORDS: Mapping[Kind, State] = {"stop": "no", "start": "yes"}
FOR_EVER = 2**63
Doing = Literal["yes", "no", "merge"]


@dataclass(frozen=True)
class Word:
    """A yes or no to texts: by text, which is about the number too, or in a batch or a file."""

    number: str
    state: State
    by_text: bool
    sent_ns: int
    answered_ns: int


def words(record: Record) -> Iterator[Word]:
    for act in record.acts:
        if act.channel == "sms" and act.kind in WORDS:
            yield Word(act.number, WORDS[act.kind], True, act.sent_ns, act.answered_ns)
    for batch in record.batches:
        for item in batch.items:
            if item.to is not None:
                yield Word(item.number, item.to, False, batch.sent_ns, batch.answered_ns)
    for row in record.rows:
        yield Word(row.number, row.to, False, row.sent_ns, row.answered_ns)


class Families:
    """Which numbers are one person's."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._of: dict[str, frozenset[str]] = {}
        for pair in pairs:
            self.join(*pair)

    def of(self, number: str) -> frozenset[str]:
        return self._of.get(number, frozenset({number}))

    def join(self, one: str, other: str) -> frozenset[str]:
        """All numbers of the person that the two are now."""
        family = self.of(one) | self.of(other)
        self._of.update(dict.fromkeys(family, family))
        return family


def families(record: Record) -> Families:
    """Who may be one person: also by a merge that was not answered."""
    return Families([*record.second.items(), *(merge.numbers for merge in record.merges)])


def may(record: Record, number: str, doing: Doing) -> bool:
    """Whether this can be asked of the person now and leave no doubt about what it comes to."""
    family = families(record).of(number)
    under_way = {what for whose, what in _under_way(record) if whose in family}
    return under_way <= {"yes": set(), "no": {"no", "merge"}, "merge": {"no"}}[doing]


def _under_way(record: Record) -> Iterator[tuple[str, Doing]]:
    for word in words(record):
        if not word.answered_ns:
            yield word.number, word.state
    for merge in record.merges:
        if not merge.is_acknowledged:
            yield from ((number, "merge") for number in merge.numbers)


# --- what it comes to --------------------------------------------------------------------------


class Standing:
    """How each number's person stands to texts after all that was acknowledged, where that is beyond doubt.

    `states` are the persons', under each of their numbers; `numbers` what was said of the number itself. `closed` is
    from when to when a person's no was acknowledged and no yes of theirs was sent yet, in which no marketing may begin.
    """

    def __init__(self, record: Record) -> None:
        self.states: dict[str, State] = {}
        self.numbers: dict[str, State] = {}
        self.closed: dict[str, list[tuple[int, int]]] = defaultdict(list)
        self._since: dict[str, int] = {}
        self._families = Families(record.second.items())
        for number in record.said_no:
            self._stand(self._families.of(number), "no", 0)
        for at, what in sorted(_in_order(record), key=lambda one: one[0]):
            if isinstance(what, Merge):
                self._join(what, at)
            else:
                self._say(what, at)
        for number, since in self._since.items():
            self.closed[number].append((since, FOR_EVER))

    def _say(self, word: Word, at: int) -> None:
        self._stand(self._families.of(word.number), word.state, at)
        if word.by_text:
            self.numbers[word.number] = word.state

    def _join(self, merge: Merge, at: int) -> None:
        """Every no wins from the merge's answer on; a yes stays where both had it."""
        for number in self._families.of(merge.numbers[1]):
            if self.numbers.get(number) == "yes":
                del self.numbers[number]  # under a no of the survivor's it is not carried over
        states = {self.states.get(number) for number in merge.numbers}
        state: State | None = "no" if "no" in states else "yes" if states == {"yes"} else None
        self._stand(self._families.join(*merge.numbers), state, at)

    def _stand(self, family: Iterable[str], state: State | None, at: int) -> None:
        for number in family:
            if state is not None:
                self.states[number] = state
            else:
                self.states.pop(number, None)
            if state == "no":
                self._since.setdefault(number, at)
            elif number in self._since:
                self.closed[number].append((self._since.pop(number), at))


def _in_order(record: Record) -> Iterator[tuple[int, Word | Merge]]:
    """A yes counts from when it was sent, all else from when it was answered."""
    for word in words(record):
        at = word.sent_ns if word.state == "yes" else word.answered_ns
        if at:
            yield at, word
    for merge in record.merges:
        if merge.is_acknowledged:
            yield merge.answered_ns, merge
