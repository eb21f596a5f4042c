"""What takes an act back: the wishes that restore what it turned, and no more. Pure.

Only what nothing has been said about since is restored, and never so that more may be sent than before the act: a yes
said again now is younger than the one it restores, and must not open what that one did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile

from consent.states import EVERYTHING, Event, Flag, Flags, Subject, Wish, fold, state_of


@dataclass(frozen=True, slots=True)
class Having:
    """That the person has an address."""

    address_id: str
    channel: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Restored:
    """A wish, and the yes that it says again; None: it is none."""

    wish: Wish
    was: Flag | None = None


@dataclass(frozen=True, slots=True)
class _Act:
    """The act, and what was so before it and is so now."""

    ids: frozenset[str]  # of its lines
    before: Flags
    now: Flags
    addresses: Sequence[Having]
    made_at: datetime  # the profile

    def stands(self, subject: Subject) -> bool:
        """Whether the act was the last word on it."""
        flag = self.now.get(subject)
        return flag is not None and flag.event_id in self.ids

    def is_as_before(self, subject: Subject) -> bool:
        return _line(self.now.get(subject)) == _line(self.before.get(subject))


def wishes(
    change_id: str,
    history: Sequence[Event],
    *,
    now: Flags,
    addresses: Sequence[Having],
    made_at: datetime,
    channels: Mapping[str, str],
    links: Mapping[str, str],
) -> tuple[Restored, ...]:
    """What takes the change back.

    `history`: all lines of the person, as they came; `now`: the flags after them; `made_at`: when the profile was;
    `channels`: of every address that they name; `links`: preference id → the channel it is linked to.
    """
    lines = [event for event in history if event.change_id == change_id]
    before = fold(takewhile(lambda event: event.change_id != change_id, history), channels)
    act = _Act(frozenset(event.id for event in lines), before, now, addresses, made_at)
    found: dict[Subject, Restored] = {}
    turned: set[str] = set()  # channels that are restored
    for event in lines:
        subject = event.subject
        if not act.stands(subject) or (event.via == "link" and links.get(subject.key) not in turned):
            continue
        wished = _of_channel(act, subject) if subject.kind == "channel" else _of_itself(act, subject)
        found |= {one.wish.subject: one for one in wished}
        if wished and subject.kind == "channel":
            turned.add(subject.key)
    return tuple(found.values())


def _of_itself(act: _Act, subject: Subject) -> list[Restored]:
    was = act.before.get(subject)
    if was is None or was.state == "not_asked":
        return [Restored(Wish(subject, "not_asked"))]
    return [_again(subject, was)] if was.state == "yes" else []


def _of_channel(act: _Act, subject: Subject) -> list[Restored]:
    was = act.before.get(subject)
    if was is None or was.state != "yes":
        return _of_itself(act, subject) or _opened(act, subject)
    if state_of(act.now, EVERYTHING) == "no" and not (was.opens and act.is_as_before(EVERYTHING)):
        return []  # it would open the channel under that
    theirs = [one for one in act.addresses if one.channel == subject.key]
    if all(one.since <= was.at or one.since <= act.made_at for one in theirs):
        return [_again(subject, was)]
    # It would cover what came to the person since that yes: so each that it covered is opened by itself.
    return [
        _again(own, flag if flag is not None and flag.state == "yes" else was)
        for one in theirs
        for own in [Subject("address", one.address_id)]
        for flag in [act.before.get(own)]
        if state_of(act.now, own) != "no" and act.is_as_before(own)
        if (flag is not None and flag.state == "yes") or one.since <= was.at or one.since <= act.made_at
    ]


def _opened(act: _Act, subject: Subject) -> list[Restored]:
    """The addresses that were open under a channel's no, which was said again and closed them."""
    theirs = [Subject("address", one.address_id) for one in act.addresses if one.channel == subject.key]
    return [_again(own, act.before[own]) for own in theirs if own in act.before and act.before[own].opens
            if act.is_as_before(own)]  # fmt: skip


def _again(subject: Subject, was: Flag) -> Restored:
    return Restored(Wish(subject, "yes", basis=was.basis, expires_at=was.expires_at), was)


def _line(flag: Flag | None) -> str | None:
    return flag.event_id if flag is not None else None
