"""Two profiles become one: what the survivor's flags become. Pure.

Every no wins. A channel's yes stays only where both had it; else it moves down to the addresses it came with. What is
carried over keeps its time and its terms, so that a no that is told late still finds it as old as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from consent.states import EVERYTHING, Flag, Flags, Subject, Wish, is_open_under, state_of, upwards


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two."""

    flags: Flags
    covered: Mapping[str, Collection[str]]  # channel → the addresses that its yes covers


@dataclass(frozen=True, slots=True)
class Said:
    """Wishes of one time, as they are to be recorded of the survivor."""

    wishes: tuple[Wish, ...]
    at: datetime | None = None  # None: now
    by_person: bool = False
    event_id: str | None = None  # of what is carried over: its evidence goes with it


def merged(survivor: Side, other: Side, channels: Mapping[str, str]) -> list[Said]:
    """What is to be recorded of the survivor, in this order. `channels` gives the channel of an address's id."""
    noes = [subject for subject in other.flags if _is_new_no(subject, survivor.flags, other.flags, channels)]
    said = [
        Said(tuple(Wish(subject, "no") for subject in some), by_person=by_person)
        for by_person in (True, False)
        if (some := sorted(s for s in noes if other.flags[s].firm is by_person))
    ]
    closed = {s for side in (survivor, other) for s, flag in side.flags.items() if flag.state == "no"}
    yeses = dict(_carried(survivor, other))
    said += [
        Said((Wish(subject, "yes", flag.basis, flag.expires_at),), flag.at, event_id=flag.event_id)
        for subject, flag in sorted(yeses.items(), key=lambda item: item[0])
        if state_of(survivor.flags, subject) != "yes" and closed.isdisjoint(upwards(subject, channels))
        if subject.kind != "address" or subject.key in channels  # neither has it any more: nothing to send to
    ]
    alone = [s for s in survivor.flags if s.kind == "channel" and _is_alone(s, survivor.flags, other.flags)]
    if alone:
        said.append(Said(tuple(Wish(subject, "not_asked") for subject in sorted(alone))))
    return said


def _is_new_no(subject: Subject, flags: Flags, others: Flags, channels: Mapping[str, str]) -> bool:
    """Whether the other's no says more than what the survivor has: it is one, or the person's own word, or a later one.

    So it does where the survivor's would come to an end that the other's knows nothing of: what was opened under it,
    and a preference's no that only follows its channel's.
    """
    flag, held = others[subject], flags.get(subject)
    if flag.state != "no":
        return False
    if held is None or held.state != "no" or flag.order_at > held.order_at:
        return True
    if (flag.firm and not held.firm) or (flag.via != "link" and held.via == "link"):
        return True
    return is_open_under(flags, subject, channels)


def _is_alone(channel: Subject, flags: Flags, others: Flags) -> bool:
    return state_of(flags, channel) == "yes" and state_of(others, channel) == "not_asked"


def _carried(survivor: Side, other: Side) -> Iterable[tuple[Subject, Flag]]:
    """Each yes that is to be found with the survivor: those said of channels on the addresses they covered."""
    for side, against in ((survivor, other), (other, survivor)):
        for subject, flag in side.flags.items():
            if flag.state != "yes" or subject == EVERYTHING:
                continue
            if subject.kind != "channel":
                yield subject, flag
            elif side is other or _is_alone(subject, side.flags, against.flags):
                for address_id in side.covered.get(subject.key, ()):
                    if (own := side.flags.get(Subject("address", address_id))) is None or own.state != "yes":
                        yield Subject("address", address_id), flag
