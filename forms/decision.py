"""What a form that was sent in comes to: what stands at once, what waits for a word from the address. Pure.

One rule for an address that is known: what was not asked yet follows the form's `confirm`, as for a new one; whatever
would change an answer that is there, or a name, waits for a confirmation (`existing: update`) or is dropped (`ignore`).
For anybody can type anybody's address: nothing of a person's is changed by that, and nobody who has said no is
subscribed by it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from consent.moves import Links, transition
from consent.states import Change, Event, Person, Subject, Wish, state_of, wider
from forms.catalogue import Shown
from forms.submission import Submission
from outbox.confirmations import BY_TEXT, Details

Comes = Literal["nothing", "new", "change"]


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who has the address."""

    profile_id: str
    person: Person
    is_covered: bool  # their yes to the form's channel, if there is one, is good for this address now
    names: Mapping[str, str | None] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of the address."""

    address_id: str
    holders: tuple[Holder, ...] = ()
    at_no: bool = False  # somebody who has it has said no to what comes there, or a no was left at it
    links: Links = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done; nothing, where all is empty."""

    make: tuple[Wish, ...] | None = None  # of somebody new, with the details; None: nobody is made
    now: Mapping[str, tuple[Wish, ...]] = field(default_factory=dict)  # by profile: what stands at once
    tag: tuple[str, ...] = ()  # of those who are there already
    ask: tuple[Wish, ...] | None = None  # what the address is asked about, with the details; None: nothing
    details: Details = field(default_factory=Details)


NOTHING = Plan()


def decide(form: Shown, sent: Submission, known: Known, *, preselected_counts: bool, now: datetime) -> Plan:
    """What a submission comes to. No wish of the plan's `now` or `make` changes an answer that is there."""
    wishes = wishes_of(form, sent, preselected_counts=preselected_counts)
    details = Details(dict(sent.names), dict(sent.attributes), form.tags, sent.language)
    waits = form.confirm == "double" or not sent.is_proved or known.at_no
    ignores = form.existing == "ignore"
    comes = {holder.profile_id: _comes(holder, wishes, known, form.channel, now) for holder in known.holders}
    declined = _declined(sent, known, wishes)
    if sent.noes_alone:
        return Plan(now=declined)
    if known.at_no and (ignores or form.channel in BY_TEXT):
        return Plan(now=declined)  # by text nobody is asked in spite of a no: the form tells them to text START
    if not known.holders:
        return Plan(ask=wishes, details=details) if waits else Plan(make=wishes, details=details)
    for profile_id, refused in declined.items():
        comes[profile_id] |= dict.fromkeys(refused, "nothing")
    changing = {wish for of in comes.values() for wish, what in of.items() if what == "change"}
    if ignores:
        details = Details(tags=details.tags)
    # A question by text names what it asks a yes to, and no answer that a YES to it would take back.
    unasked = {wish for wish in changing if ignores or (wish.to == "no" and form.channel in BY_TEXT)}
    wishes = tuple(wish for wish in wishes if wish not in unasked)
    changing -= unasked
    new = {
        profile_id: found
        for profile_id, of in comes.items()
        if (found := tuple(wish for wish in wishes if of[wish] == "new"))
    }
    tags = () if all(holder.tags.issuperset(form.tags) for holder in known.holders) else form.tags
    is_changed = bool(changing) or _differs(known.holders, details)
    if waits:
        asks = bool(new or tags or is_changed)
        return Plan(now=declined, ask=wishes, details=details) if asks else Plan(now=declined)
    stands = {one: (*declined.get(one, ()), *new.get(one, ())) for one in {**declined, **new}}
    return Plan(now=stands, tag=tags, ask=wishes if is_changed else None, details=details)


def _declined(sent: Submission, known: Known, wishes: Sequence[Wish]) -> dict[str, tuple[Wish, ...]]:
    """What whoever came by a link of their own says no to: it waits for nothing, as on their own page.

    Said again it is a newer one, which what was said between the two does not open.
    """
    refused = tuple(one for one in wishes if one.to == "no")
    return {one.profile_id: refused for one in known.holders if refused and one.profile_id == sent.profile_id}


def wishes_of(form: Shown, sent: Submission, *, preselected_counts: bool) -> tuple[Wish, ...]:
    """What was asked for: the channel, and an answer to each box that was shown.

    A box that was preselected and left so is no answer, unless `preselected_counts`: who did nothing has said nothing.
    """
    wishes = [Wish(Subject("channel", form.channel), "yes")]
    for box in form.preferences:
        answer = sent.answers.get(box.id)
        is_silence = answer and box.id in sent.untouched and not preselected_counts
        if answer is not None and not is_silence:
            wishes.append(Wish(Subject("preference", box.id), "yes" if answer else "no"))
    return tuple(wishes)


def _comes(holder: Holder, wishes: Sequence[Wish], known: Known, channel: str, now: datetime) -> dict[Wish, Comes]:
    """What each wish would come to for a person, if it stood at once, with all that it brings along."""
    return {wish: _of_one(holder, wish, wishes, known, channel, now) for wish in wishes}


def _of_one(holder: Holder, wish: Wish, wishes: Sequence[Wish], known: Known, channel: str, now: datetime) -> Comes:
    change = Change(
        profile_id=holder.profile_id,
        change_id="",
        wishes=(wish,),
        source="form",
        actor="customer",
        address_id=known.address_id,
        beside=tuple(other for other in wishes if other is not wish),
        opens_only=frozenset({channel}),
    )
    moved = transition(holder.person, change, links=known.links, now=now, new_id=lambda: "tried")
    events = [event for event in moved.events if not _is_so(holder, wish, event)]
    if not events:
        return "nothing"
    if known.at_no and wish.subject.kind == "channel":
        return "change"
    return "change" if any(_changes_an_answer(holder, event) for event in events) else "new"


def _is_so(holder: Holder, wish: Wish, event: Event) -> bool:
    """Whether it is so already, for good: then a form that anybody may have sent in renews nothing."""
    flag = holder.person.flags.get(event.subject)
    if flag is None or event.from_state != event.to_state:
        return False
    if event.to_state == "yes" and (flag.basis != "express" or flag.expires_at is not None):
        return False
    return event.subject != wish.subject or wish.subject.kind != "channel" or holder.is_covered


def _changes_an_answer(holder: Holder, event: Event) -> bool:
    """Whether a person's answer becomes another, be it that a wider no is opened by a yes below it."""
    above = wider(event.subject, holder.person.channels) if event.to_state == "yes" else None
    return event.from_state != "not_asked" or (above is not None and state_of(holder.person.flags, above) == "no")


def _differs(holders: Sequence[Holder], details: Details) -> bool:
    """Whether the one person who has the address is known otherwise; of several nobody can say whose name it is."""
    if len(holders) != 1:
        return False
    [one] = holders
    names = any(one.names.get(name) != given for name, given in details.names.items())
    return names or any(one.attributes.get(name) != given for name, given in details.attributes.items())
