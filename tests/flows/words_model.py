"""What people have said, and what may be sent on it: written from the domain's rules alone, naive, and too lenient.

It keeps every word and reads all of them each time. What it lets through may still be wrong; what it forbids is.
It knows nothing of the gateway: people are sets of ids, for two may become one; addresses are `sms:+14155550123`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

Subject = str  # everything | sms | sms:+14155550123 | #Drama
BY_NUMBER = ("sms", "whatsapp")
FORM, BARE, FIRM = 0, 1, 2  # how much a yes is worth: over nothing, over a no that a system wrote, over any no


def channel_of(address: str) -> str:
    return address.partition(":")[0]


def same(address: str) -> set[str]:
    """What stands and falls with an address: a number is the same on each channel that takes one."""
    channel, _, value = address.partition(":")
    return {f"{one}:{value}" for one in BY_NUMBER} if channel in BY_NUMBER else {address}


@dataclass(frozen=True)
class Word:
    """One thing that was said about one subject, of one person as they were then."""

    at: datetime  # when it was said, which may be earlier than when it was heard
    act: int
    whose: frozenset[str]
    about: Subject
    to: Literal["yes", "no", "not_asked"]
    worth: int  # of a no: FIRM where it is the person's own word
    covers: frozenset[str] = frozenset()  # by a yes to a channel: the addresses there were
    proof: str | None = None  # the address that it is proved to come from
    until: datetime | None = None  # of a yes: when it ends

    def opens(self, no: Word) -> bool:
        """Whether it counts over that no, if it is about the right thing: a yes, or one's own no set back."""
        # What was heard before it, and said after it, was no yes over it: nobody knew of any.
        is_worth_it = self.worth == FIRM or (self.worth == BARE and no.worth != FIRM) or self.act < no.act
        is_later = self.at > no.at or (self.act == no.act and self.about != no.about)  # of one act the narrower
        return self.to != "no" and is_later and is_worth_it and bool(self.whose & no.whose)


@dataclass(frozen=True)
class Left:
    """A no that stays at an address: whoever said it has it no more, or nobody had it."""

    at: datetime
    act: int
    address: str


@dataclass
class Question:
    """What was asked for and waits for a word from the address."""

    act: int
    at: datetime
    address: str
    yes: frozenset[Subject]
    no: frozenset[Subject] = frozenset()
    asked_by: frozenset[str] | None = None  # whose own page; None: everybody's who has the address
    is_over: bool = False


@dataclass
class Model:
    """All words, in the order in which they were heard. `linked`: preference → channel."""

    linked: Mapping[Subject, str]
    words: list[Word] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    questions: dict[str, Question] = field(default_factory=dict)
    having: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)  # people → their addresses

    # --- what is heard ---------------------------------------------------------------------------

    def holders(self, address: str) -> list[frozenset[str]]:
        return [one for one, addresses in self.having.items() if address in addresses]

    def hear(self, word: Word) -> None:
        self.words.append(word)
        if word.to != "no" or word.worth != FIRM:
            return
        for one in self.questions.values():
            about = {*one.yes, one.address, channel_of(one.address), "everything"}
            theirs = [one.asked_by] if one.asked_by else self.holders(one.address)
            if word.act != one.act and word.about in about and any(word.whose & whose for whose in theirs):
                one.is_over = True

    def ask_again(self, who: frozenset[str], wanted: Collection[Subject], *, act: int) -> None:
        """By an act of their own page, which asks once a day alone: what it leaves off beside it is no no to it."""
        for one in self.questions.values():
            if one.asked_by and one.asked_by & who and one.yes <= set(wanted) and not one.is_over:
                one.act = act

    def leave(self, left: Left) -> None:
        self.left.append(left)
        for one in self.questions.values():
            one.is_over |= one.address == left.address

    def take_back(self, act: int) -> None:
        """As if the noes of that act had never been said."""
        self.words = [one for one in self.words if one.act != act or one.to != "no"]
        self.left = [one for one in self.left if one.act != act]

    def become(self, people: Mapping[frozenset[str], frozenset[str]], *, act: int) -> None:
        """Who there is, and what they have: a no stays at each address that its person has no more."""
        for was, addresses in self.having.items():
            now: frozenset[str] = next((people[one] for one in people if was <= one), frozenset())
            for address in addresses - now:
                if (no := self.no_at(was, address)) is not None:
                    self.left.append(Left(no.at, act, address))
        self.having = dict(people)

    # --- what may be sent ------------------------------------------------------------------------

    def of(self, who: frozenset[str]) -> Iterator[Word]:
        return (word for word in self.words if word.whose & who)

    def no_at(self, who: frozenset[str], address: str, *, about: Collection[Subject] = ()) -> Word | None:
        """The no of theirs by which nothing may go to an address of theirs; `about`: to one of these alone."""
        channel = channel_of(address)
        opened_by: dict[Subject, Collection[Subject]] = {
            "everything": {"everything", channel},
            channel: {channel, address},
            address: {address},
        }
        for no in self.of(who):
            if no.to != "no" or no.about not in (about or opened_by):
                continue
            if not any(one.about in opened_by[no.about] and one.opens(no) for one in self.of(who)):
                return no
        return None

    def forbids(self, who: frozenset[str], address: str, preference: Subject | None, *, now: datetime) -> str | None:
        """Why nothing marketing may go there; None where it may, as far as we know."""
        for holder in self.holders(address):
            if (no := self.no_at(holder, address)) is not None:
                return f"a no stands: {no}"
        if (left := self._left_at(address)) is not None:
            return f"a no was left there: {left}"
        if not any(self._covers(one, address) for one in self.of(who) if self._stands(one, now)):
            return "nobody has said yes to it"
        return self._forbids_preference(who, preference, now) if preference is not None else None

    def forbids_tickets(self, who: frozenset[str], address: str) -> str | None:
        """Why not even what they have ordered may go there."""
        about = [self.no_at(who, address, about=["everything"])]
        about += [self.no_at(holder, address, about=[address]) for holder in self.holders(address)]
        noes = [no for no in (*about, self._left_at(address)) if no is not None]
        return f"a no stands to tickets too: {noes[0]}" if noes else None

    def _left_at(self, address: str) -> Left | None:
        """The no that was left there, and no word from there has lifted."""
        for left in self.left:
            back = (one for one in self.words if one.to == "yes" and one.proof == address and one.at > left.at)
            if left.address == address and not any(one.about in (channel_of(address), address) for one in back):
                return left
        return None

    def _forbids_preference(self, who: frozenset[str], preference: Subject, now: datetime) -> str | None:
        about = [one for one in self.of(who) if one.about == preference]
        for no in about:
            if no.to == "no" and not any(one.opens(no) for one in about):
                return f"a no to {preference} stands: {no}"
        if not any(one.to == "yes" and self._stands(one, now) for one in about):
            return f"nobody has said yes to {preference}"
        return None

    def _covers(self, word: Word, address: str) -> bool:
        return word.to == "yes" and (
            word.about == address or (word.about == channel_of(address) and address in word.covers)
        )

    def _stands(self, word: Word, now: datetime) -> bool:
        """Whether it has not ended, and staff have not set it back to not asked since."""
        if word.until is not None and word.until <= now:
            return False
        since = (one for one in self.words if one.to == "not_asked" and one.about == word.about)
        return not any(one.whose == word.whose and one.act >= word.act for one in since)
