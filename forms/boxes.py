"""The boxes of a person's own page, and what it means that some are ticked. Pure.

Every box that was shown is answered: ticked is yes, unticked is no. So nothing on the page opens a channel but its own
box: a linked preference that is ticked beside one left unticked does not. An address follows its channel, so that its
box says only whether it is switched off by itself, or has come since the channel's yes, which is not for it: that one
is asked, and nothing is said of it where it is left unticked. A no counts at once, whoever holds the link; a yes needs
a fresh link, no newer no, and where it opens a channel or an address, a link that proves it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from consent.states import EVERYTHING, Flag, Flags, State, Subject, Wish, has_ended, is_declined, state_of


@dataclass(frozen=True, slots=True)
class Address:
    """An address that a person has."""

    id: str
    channel: str
    shown: str  # masked
    is_suppressed: bool = False  # somebody who had it said no to it
    is_undeliverable: bool = False
    is_covered: bool = True  # by its channel's yes, where there is one: it came no later than that


@dataclass(frozen=True, slots=True)
class Box:
    subject: Subject
    text: str  # as it is shown
    state: State  # of its own
    is_on: bool  # as it is shown
    channel: str | None = None  # of a channel or an address
    linked: str | None = None  # the channel to which a preference is linked
    is_ended: bool = False  # its yes has expired
    is_by_link: bool = False  # its no came with the channel's
    is_declined: bool = False  # its no is the person's own word about it
    needs_text: bool = False  # nothing but START, from there, brings it back: then there is no box
    is_followed: bool = False  # an address that says nothing of its own
    is_apart: bool = False  # the channel's yes is not for this address, or for none that there is

    @property
    def key(self) -> str:
        return f"{self.subject.kind}:{self.subject.key}"

    @property
    def is_new(self) -> bool:
        return self.is_apart or (self.state == "not_asked" and self.subject.kind != "address")

    @property
    def mark(self) -> str:
        """By which an answer to another text than this is told."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel and its addresses."""

    box: Box
    addresses: tuple[tuple[Address, Box | None], ...]  # None: it has no box of its own
    only_is_off: bool = False  # of one address: it is at no by itself


@dataclass(frozen=True, slots=True)
class Group:
    """Preferences under a headline."""

    headline: str | None
    text: str | None
    boxes: tuple[Box, ...]


# --- what is shown ----------------------------------------------------------------------------


def channels_of(
    addresses: Sequence[Address], flags: Flags, texts: Mapping[str, str], order: Iterable[str], now: datetime
) -> list[Channel]:
    """A channel for each on which the person has an address; `texts`: what stands beside the box, by channel."""
    found = []
    for name in order:
        having = [one for one in addresses if one.channel == name]
        if having:
            found.append(_channel(name, having, flags, texts[name], now))
    return found


def _channel(name: str, having: Sequence[Address], flags: Flags, text: str, now: datetime) -> Channel:
    subject = Subject("channel", name)
    flag, everything = flags.get(subject), flags.get(EVERYTHING)
    is_ended = has_ended(flag, now)
    is_closed = everything is not None and everything.state == "no" and not (flag is not None and flag.opens)
    is_yes = flag is not None and flag.state == "yes" and not is_ended and not is_closed
    is_on = is_yes and any(one.is_covered for one in having)
    boxes = [_address(one, flags, now, is_apart=is_on and not one.is_covered) for one in having]
    several = len(having) > 1
    if not several:  # it is shown by the channel's box alone: what stands is what comes there
        is_on = (is_on or (not is_closed and _is_open_below(flags.get(boxes[0].subject), flag, now))) and boxes[0].is_on
    needs_text = not is_on and all(box.needs_text for box in boxes)
    box = Box(
        subject,
        text,
        state_of(flags, subject),
        is_on,
        name,
        is_ended=is_ended,
        is_declined=is_declined(flags, subject),
        needs_text=needs_text,
        is_apart=is_yes and not is_on and all(not one.is_covered for one in having),
    )
    return Channel(
        box,
        tuple((one, own if several and not needs_text else None) for one, own in zip(having, boxes, strict=True)),
        only_is_off=not several and boxes[0].state == "no",
    )


def _address(one: Address, flags: Flags, now: datetime, *, is_apart: bool) -> Box:
    subject = Subject("address", one.id)
    flag = flags.get(subject)
    is_off = one.is_suppressed or (flag is not None and flag.state == "no")
    needs_text = is_off and one.channel in ("sms", "whatsapp")
    is_apart = is_apart and not is_off and not _is_open_below(flag, None, now)
    return Box(
        subject,
        one.shown,
        state_of(flags, subject),
        not is_off and not is_apart,
        one.channel,
        needs_text=needs_text,
        is_followed=flag is None or flag.state == "not_asked",
        is_ended=has_ended(flag, now),
        is_declined=is_declined(flags, subject),
        is_apart=is_apart,
    )


def _is_open_below(own: Flag | None, channel: Flag | None, now: datetime) -> bool:
    """Whether an address is at yes by itself, beside or over what its channel is."""
    if own is None or own.state != "yes" or has_ended(own, now):
        return False
    return own.opens or channel is None or channel.state != "no"


def preference(id_: str, text: str, linked: str | None, flags: Flags, now: datetime) -> Box:
    subject = Subject("preference", id_)
    flag = flags.get(subject)
    is_ended = has_ended(flag, now)
    is_on = flag is not None and flag.state == "yes" and not is_ended
    is_by_link = flag is not None and flag.state == "no" and flag.via == "link"
    is_own = is_declined(flags, subject)
    return Box(subject, text, state_of(flags, subject), is_on, None, linked, is_ended, is_by_link, is_own)


# --- what was answered ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answers:
    """What the boxes come to."""

    wishes: tuple[Wish, ...] = ()  # count at once
    repeated: frozenset[Subject] = frozenset()  # noes that stand already and are not written down again
    waiting: tuple[Wish, ...] = ()  # yeses that need a word from the address
    overtaken: tuple[Box, ...] = ()  # yeses over a no that is newer than the page
    reworded: tuple[Box, ...] = ()  # yeses to what says something else by now
    answered: tuple[tuple[Box, bool], ...] = ()  # in the words that were shown
    changed: tuple[tuple[Box, bool], ...] = ()  # in words that we do not know any more


@dataclass(frozen=True, slots=True)
class Sheet:
    """A page as it was sent in."""

    shown: Mapping[str, str]  # key → mark, of every box that was on it
    ticked: frozenset[str]  # keys

    @property
    def unticked(self) -> frozenset[str]:
        return frozenset(self.shown.keys() - self.ticked)


def decide(
    channels: Sequence[Channel],
    groups: Sequence[Group],
    sheet: Sheet,
    *,
    is_fresh: bool,
    is_often: bool = False,
    newer: Collection[Subject] = frozenset(),
    unproved: Collection[Subject] = frozenset(),
) -> Answers:
    """What a sheet comes to, seen from the boxes as they are now.

    `is_often`: too many were sent in lately for what stands to be said again. `newer`: what was declined since this one
    was shown. `unproved`: channels and addresses of which the link proves nothing,
    fresh or not.
    """
    boxes = [box for box in _all(channels, groups) if box.key in sheet.shown and not box.needs_text]
    said = {box.subject: box.key in sheet.ticked for box in boxes}
    parted = _parted(channels)
    decision = _Decision(said, is_fresh, is_often, frozenset(newer), sheet, frozenset(unproved), parted)
    for box in boxes:
        decision.take(box)
    return decision.answers(boxes, channels)


def _all(channels: Sequence[Channel], groups: Sequence[Group]) -> Iterable[Box]:
    for channel in channels:
        yield channel.box
        yield from (box for _, box in channel.addresses if box is not None)
    for group in groups:
        yield from group.boxes


class _Decision:
    """The answers, one after the other."""

    def __init__(
        self,
        said: Mapping[Subject, bool],
        is_fresh: bool,
        is_often: bool,
        newer: frozenset[Subject],
        sheet: Sheet,
        unproved: frozenset[Subject],
        parted: frozenset[Subject],
    ) -> None:
        self._said, self._is_fresh, self._is_often, self._newer = said, is_fresh, is_often, newer
        self._marks, self._unticked = sheet.shown, sheet.unticked
        self._unproved, self._parted = unproved, parted
        self._now: dict[Subject, Wish] = {}
        self._waiting: dict[Subject, Wish] = {}
        self._overtaken: list[Box] = []
        self._reworded: list[Box] = []
        self._repeated: set[Subject] = set()
        self._closed: set[str] = set()  # channels that were on, and are declined

    def take(self, box: Box) -> None:
        wishes_it = self._said[box.subject]
        if box.subject.kind == "channel" and box.is_on and not wishes_it:
            self._closed.add(box.subject.key)
        if not wishes_it and box.is_apart and box.subject.kind == "address":
            return  # nothing comes there, and a no would keep tickets from it as well
        if not wishes_it:
            self._decline(box)
        elif not box.is_on:
            self._turn_on(box)
        elif self._is_proved(box) and self._is_said_again(box):
            self._now[box.subject] = Wish(box.subject, "yes")

    def _decline(self, box: Box) -> None:
        """A no; said again it is a newer one, which what was said between the two does not open."""
        if box.is_on or not box.is_declined or not self._is_often:
            self._now[box.subject] = Wish(box.subject, "no")
        else:
            self._repeated.add(box.subject)

    def _turn_on(self, box: Box) -> None:
        if self._is_overtaken(box):
            self._overtaken.append(box)
        elif self._marks[box.key] != box.mark:
            self._reworded.append(box)
        else:
            into = self._now if self._is_proved(box) else self._waiting
            into[box.subject] = Wish(box.subject, "yes")

    def _is_proved(self, box: Box) -> bool:
        return self._is_fresh and box.subject not in self._unproved

    def _is_overtaken(self, box: Box) -> bool:
        above = [Subject("channel", name) for name in (box.channel, box.linked) if name is not None]
        return not self._newer.isdisjoint({box.subject, EVERYTHING, *above})

    def _is_said_again(self, box: Box) -> bool:
        """Whether a yes that stands is to be said again; of an address not where it would open what is closed."""
        if self._marks[box.key] != box.mark or (box.linked in self._closed):
            return False  # what a channel turns by its link, it may bring back by it
        if box.subject in self._parted:
            return False  # said anew it would cover what has come since
        if box.subject.kind != "address":
            return True
        return box.state == "yes" and self._said.get(Subject("channel", box.channel or ""), False)

    def answers(self, boxes: Sequence[Box], channels: Sequence[Channel]) -> Answers:
        for channel in channels:
            self._finish(channel)
            if self._is_turned_on(channel.box):
                for box in boxes:  # what was left unticked does not come back with the channel
                    if box.linked == channel.box.channel and box.is_by_link and not self._said[box.subject]:
                        self._now[box.subject] = Wish(box.subject, "no")
        return Answers(
            tuple(self._now.values()),
            frozenset(self._repeated),
            tuple(self._waiting.values()),
            tuple(self._overtaken),
            tuple(self._reworded),
            tuple((box, self._said[box.subject]) for box in boxes if self._marks[box.key] == box.mark),
            tuple((box, self._said[box.subject]) for box in boxes if self._marks[box.key] != box.mark),
        )

    def _finish(self, channel: Channel) -> None:
        """What channel, addresses and links mean together."""
        subject = channel.box.subject
        said_no = self._now.get(subject) == Wish(subject, "no")
        if not channel.box.is_on and self._is_kept_open(channel):  # unticked as before: an address stays
            self._repeated.discard(subject)
            if said_no:
                del self._now[subject]
        for into in (self._now, self._waiting):
            if into.get(subject) == Wish(subject, "yes"):
                for address in _switched_off(channel):
                    if f"{address.kind}:{address.key}" not in self._unticked:  # it had a box of its own beside another
                        into[address] = Wish(address, "yes")

    def _is_turned_on(self, box: Box) -> bool:
        return not box.is_on and Wish(box.subject, "yes") in (*self._now.values(), *self._waiting.values())

    def _is_kept_open(self, channel: Channel) -> bool:
        """Whether an address is open under the channel's no: that no, said again, would close it."""
        return any(
            box is not None and box.state == "yes" and self._said.get(box.subject, False)
            for _, box in channel.addresses
        )


def _parted(channels: Iterable[Channel]) -> frozenset[Subject]:
    """The channels with an address that their yes is not for, whether or not its box was on the sheet."""
    return frozenset(one.box.subject for one in channels if any(box and box.is_apart for _, box in one.addresses))


def _switched_off(channel: Channel) -> list[Subject]:
    """The one address of a channel, where it is at no by itself: a yes to the channel means it too."""
    return [Subject("address", channel.addresses[0][0].id)] if channel.only_is_off else []
