"""How states move: pure functions from flags and a change to events, and from events to flags.

The same `apply` serves the live path, `ledger rebuild` and the checks. No clock, no database, no logger.
The rules are those of docs/consent-and-the-law.md; each sentence has a test named after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

State = Literal["yes", "no", "not_asked"]
Kind = Literal["everything", "channel", "address", "preference"]
CHANNELS = ("sms", "whatsapp", "email", "voice", "post")
STATES = ("yes", "no", "not_asked")
BASES = ("express", "implied", "soft_opt_in")

# Who or what speaks. The first line is the person's own act, by whichever door it came.
PERSONAL = frozenset({"keyword", "form", "confirmation", "preference_centre", "unsubscribe_link", "one_click",
                      "complaint", "provider"})  # fmt: skip
STAFF = frozenset({"disposition", "portal"})
RECORDED = frozenset({"api", "import"})
MACHINE = frozenset({"segment", "program", "click", "merge", "default"})
SOURCES = PERSONAL | STAFF | RECORDED | MACHINE

_RANK = {"no": 2, "not_asked": 1, "yes": 0}  # of two at one time the stricter stands: ties are no
WIDTH = {"everything": 0, "channel": 1, "address": 2, "preference": 3}


class Subject(NamedTuple):
    """What a yes or no is about. `key`: '' | the channel | the address's id | the preference's id."""

    kind: Kind
    key: str


EVERYTHING = Subject("everything", "")


@dataclass(frozen=True, slots=True)
class Wish:
    """One subject, and what it is to become."""

    subject: Subject
    to: State
    basis: str | None = None  # of a yes, express when absent; of a no by a link as the event has it
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One act about one profile: everything in it stands under one `change_id`."""

    profile_id: str
    change_id: str
    wishes: tuple[Wish, ...]
    source: str
    actor: str
    address_id: str | None = None  # the address the act came from, where it is proved to come from one
    with_address: bool = False  # a channel's wish turns that address too (STOP, START, the provider's word)
    said_at: datetime | None = None  # by somebody else's clock; never believed to be later than ours
    received_at: datetime | None = None  # by our clock, before its transaction; None: with it
    by_person: bool = False  # the person said it to whoever speaks by this door
    by_agent: bool = False  # a member of staff did, who acts by this door
    evidence: Mapping[str, object] = field(default_factory=dict)
    beside: tuple[Wish, ...] = ()  # what the same source says in other changes: no effect of this one touches it
    opens_only: frozenset[str] | None = (
        None  # channels that a linked preference may open; None: whichever it is linked to
    )
    undoes: str | None = None  # the change that its own author takes back by it: nothing follows from it

    @property
    def personal(self) -> bool:
        """Whether the person spoke, as opposed to staff or a machine."""
        return self.by_person or self.source in PERSONAL

    @property
    def by_staff(self) -> bool:
        """Whether a member of staff acts, as opposed to a system by itself."""
        return self.by_agent or self.source in STAFF


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the history, before it has its place in the chain."""

    id: str
    change_id: str
    profile_id: str
    subject: Subject
    address_id: str | None
    with_address: bool
    from_state: State
    to_state: State
    basis: str | None  # of a yes; of a no by a link those of the yes that it comes back to
    expires_at: datetime | None
    at: datetime
    provider_at: datetime | None
    source: str
    actor: str
    personal: bool  # the person's own act
    via: str | None
    superseded: bool

    @property
    def effective_at(self) -> datetime:
        return min(self.provider_at, self.at) if self.provider_at is not None else self.at

    @property
    def order_at(self) -> datetime:
        """The effective time; a no said at a coarser clock stands at the end of that clock's tick.

        So two times are compared at the coarser precision and ties are no, and yet the order is total:
        whatever the order of arrival, the same event is the last.
        """
        effective = self.effective_at
        if self.to_state != "no" or self.provider_at is None or effective != self.provider_at:
            return effective
        if effective.microsecond == 0:
            return effective + timedelta(microseconds=999_999)
        return effective + timedelta(microseconds=999) if effective.microsecond % 1000 == 0 else effective


@dataclass(frozen=True, slots=True)
class Flag:
    """The present state of one subject, and the event it comes from."""

    state: State
    basis: str | None  # as the event has it
    expires_at: datetime | None
    at: datetime
    order_at: datetime
    recorded_at: datetime
    source: str
    actor: str
    via: str | None
    change_id: str
    event_id: str
    opens: bool = False  # a yes later than the no on the next wider subject: it opens that alone
    firm: bool = False  # a no that the person said, or a file says they did, whoever has repeated it since


Flags = Mapping[Subject, Flag]


@dataclass(frozen=True, slots=True)
class Person:
    """What a change needs to know of a profile."""

    flags: Flags
    addresses: tuple[tuple[str, str], ...] = ()  # (address id, channel) it has now
    channels: Mapping[str, str] = field(default_factory=dict)  # of every address its flags name, had or have
    suppressed: Mapping[str, datetime] = field(default_factory=dict)  # address id → since when, of those that are
    obtained: Mapping[Subject, datetime] = field(default_factory=dict)  # when its yes was obtained, by its evidence


@dataclass(frozen=True, slots=True)
class Refusal:
    """A wish that must not be granted; with one refusal nothing of the change happens."""

    subject: Subject
    why: Literal["needs_evidence", "persons_no", "machine"]


@dataclass(frozen=True, slots=True)
class Moved:
    """What a change comes to: events to append, and the flags after them."""

    events: tuple[Event, ...]
    flags: Flags
    refusals: tuple[Refusal, ...] = ()


def is_declined(flags: Flags, subject: Subject) -> bool:
    """Whether it is at no by the person's own word about it, which no system takes back, nor a channel by its link."""
    flag = flags.get(subject)
    return flag is not None and flag.state == "no" and flag.firm and flag.via != "link"


def has_ended(flag: Flag | None, now: datetime) -> bool:
    """Whether it is a yes that is past its end."""
    return flag is not None and flag.state == "yes" and flag.expires_at is not None and flag.expires_at <= now


def state_of(flags: Flags, subject: Subject) -> State:
    flag = flags.get(subject)
    return flag.state if flag else "not_asked"


def wider(subject: Subject, channels: Mapping[str, str]) -> Subject | None:
    """The next wider subject, under whose no a yes to this one opens it; `channels` gives that of an address's id."""
    if subject.kind == "channel":
        return EVERYTHING
    return Subject("channel", channels.get(subject.key, "")) if subject.kind == "address" else None


def is_open_under(flags: Flags, subject: Subject, channels: Mapping[str, str]) -> bool:
    """Whether something narrower was opened by a yes under a no to the subject, which that no said again closes."""
    return any(flag.opens and wider(one, channels) == subject for one, flag in flags.items())


def upwards(subject: Subject, channels: Mapping[str, str]) -> list[Subject]:
    """The subject, and all that it stands under."""
    found = [subject]
    while (above := wider(found[-1], channels)) is not None:
        found.append(above)
    return found


def obtained_at(evidence: Mapping[str, object]) -> datetime | None:
    """When the evidence says that it was obtained; None where it does not, or not so that it can be understood."""
    obtained = evidence.get("obtained_at")
    if isinstance(obtained, str):
        try:
            obtained = datetime.fromisoformat(obtained)
        except ValueError:
            return None
    return obtained if isinstance(obtained, datetime) and obtained.tzinfo is not None else None


# --- the fold ---------------------------------------------------------------------------------


def _flag(event: Event) -> Flag:
    return Flag(
        state=event.to_state,
        basis=event.basis,
        expires_at=event.expires_at,
        at=event.effective_at,
        order_at=event.order_at,
        recorded_at=event.at,
        source=event.source,
        actor=event.actor,
        via=event.via,
        change_id=event.change_id,
        event_id=event.id,
        # A file that says no repeats what somebody was told: who else but the person would have said it?
        firm=event.to_state == "no" and (event.personal or event.source == "import"),
    )


def _order(flag: Flag) -> tuple[datetime, int, float, int]:
    """A total order over what was said about one subject; of two like answers at one time the weaker is later."""
    if flag.state != "yes":
        return (flag.order_at, _RANK[flag.state], 0.0, 0)
    expires = flag.expires_at.timestamp() if flag.expires_at else float("inf")
    return (flag.order_at, _RANK[flag.state], -expires, BASES.index(flag.basis) if flag.basis else 0)


def is_later(flag: Flag, than: Flag | None) -> bool:
    """Whether what `flag` says was said after `than`; of the very same time the one that arrives stands."""
    return than is None or _order(flag) >= _order(than)


def _opens(narrow: Flag | None, wide: Flag | None) -> bool:
    """Whether a yes opens its subject under a no on the wider one: said later, or after it in one change."""
    if narrow is None or wide is None or narrow.state != "yes" or wide.state != "no":
        return False
    return narrow.change_id == wide.change_id or narrow.order_at > wide.order_at


def apply(flags: Flags, event: Event, channels: Mapping[str, str]) -> dict[Subject, Flag]:
    """The flags after one event, whatever the order of arrival.

    `channels` gives the channel of an address's id, for the address's place under its channel.
    """
    after = dict(flags)
    flag = _flag(event)
    for subject in touched(event):
        before = after.get(subject)
        stands, other = (flag, before) if is_later(flag, before) else (before, flag)
        if other is not None and other.firm and stands is not None and stands.state == "no":
            stands = replace(stands, firm=True)
        if stands is not None:
            after[subject] = stands
    return _reopened(after, channels)


def touched(event: Event) -> tuple[Subject, ...]:
    """The subjects whose flags an event concerns: its own, and for STOP and START the address it came from."""
    if event.with_address and event.address_id is not None:
        return (event.subject, Subject("address", event.address_id))
    return (event.subject,)


def _reopened(flags: dict[Subject, Flag], channels: Mapping[str, str]) -> dict[Subject, Flag]:
    for subject, flag in flags.items():
        above = wider(subject, channels)
        if above is None:
            continue
        opens = _opens(flag, flags.get(above))
        if opens != flag.opens:
            flags[subject] = replace(flag, opens=opens)
    return flags


def fold(events: Iterable[Event], channels: Mapping[str, str]) -> dict[Subject, Flag]:
    """The flags of one profile after its history, given in the order of arrival."""
    flags: dict[Subject, Flag] = {}
    for event in events:
        flags = apply(flags, event, channels)
    return flags
