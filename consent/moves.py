"""What a change comes to: the guards, the events, and the effects on linked subjects. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from consent.states import (
    BASES,
    EVERYTHING,
    MACHINE,
    RECORDED,
    STAFF,
    WIDTH,
    Change,
    Event,
    Flag,
    Moved,
    Person,
    Refusal,
    Subject,
    Wish,
    apply,
    is_open_under,
    obtained_at,
    state_of,
    upwards,
    wider,
)


class Refused(Exception):
    """A change that must not be granted; nothing of its transaction may be kept."""

    def __init__(self, change: Change, refusals: Sequence[Refusal]) -> None:
        super().__init__(", ".join(f"{r.subject.kind} {r.subject.key}: {r.why}" for r in refusals))
        self.change = change
        self.refusals = tuple(refusals)


Links = Mapping[str, str]  # preference id → the channel it is linked to


class _Step(NamedTuple):
    """A wish as it is to be granted."""

    wish: Wish
    via: str | None = None  # link | everything: the effect of another wish
    with_address: bool = False  # it turns the address that the act came from, too


def transition(person: Person, change: Change, *, links: Links, now: datetime, new_id: Callable[[], str]) -> Moved:
    """Grant a change, or refuse all of it.

    Wider subjects first, then narrower ones, then the effects: `everything` yes is a yes on every channel the
    person has an address for, and linked preferences follow their channel. What the change names itself an
    effect never touches, and an effect of a link never sets off another.
    """
    move = _Move(person, change, now, new_id)
    steps = _expanded(person, change)
    if change.source == "provider":
        steps = [step for one in steps for step in _undoing_a_no(person, change, one, move.effective_at(one.wish))]
    refusals = tuple(r for step in steps if (r := _refused(person, change, step.wish)) is not None)
    if refusals:
        return Moved((), person.flags, refusals)
    for step in steps:
        move.grant(step)
    for wish in _linked(person, change, move.flags, links):
        if _refused(person, change, wish) is None:
            move.grant(_Step(wish, "link"))
    return Moved(tuple(move.events), move.flags)


class _Move:
    """The events of one change as they come, each seeing the flags that the ones before it left."""

    def __init__(self, person: Person, change: Change, now: datetime, new_id: Callable[[], str]) -> None:
        self.flags = dict(person.flags)
        self.events: list[Event] = []
        self._channels = person.channels
        self._change = change
        # It counts from when it came, however long its transaction took: a no that says when it was said must not lose
        # to a yes from before that. And never from before what is recorded: a clock set back, another replica's clock.
        self._came_at = change.received_at or now
        self._at = max([self._came_at, *(flag.recorded_at for flag in person.flags.values())])
        self._obtained = person.obtained
        self._says_yes = any(wish.to == "yes" for wish in change.wishes)
        self._new_id = new_id

    def said_at(self, wish: Wish) -> datetime | None:
        """When it was said, where that is not when it is recorded. A yes is never younger than its coming.

        A no is put back only where it is told when it was said: else it could be lost to a yes that came before it.
        """
        said_at = self._change.said_at
        if wish.to == "yes":
            earliest = min(said_at or self._came_at, self._came_at)
            return earliest if earliest < self._at else said_at
        if wish.to == "no" and said_at is not None and self._would_be_lost(wish, said_at):
            return None
        if wish.to == "no" and said_at is None and self._says_yes and self._is_behind_a_no(wish):
            return self._came_at  # that one stays: what this change says yes to would be opened under it
        return said_at

    def _would_be_lost(self, wish: Wish, said_at: datetime) -> bool:
        return self._beats(wish, said_at) or self._is_at_a_merged_yes(wish) or self._is_behind_a_link(wish, said_at)

    def _beats(self, wish: Wish, said_at: datetime) -> bool:
        """Whether a yes that we heard of since this no was said had been obtained before: the no is the last word."""
        return any(
            obtained <= said_at < self.flags[subject].order_at
            for subject, obtained in self._obtained.items()
            if subject in self.flags and wish.subject in upwards(subject, self._channels)
        )

    def _is_at_a_merged_yes(self, wish: Wish) -> bool:
        """Whether the yes that stands there may have been one to the channel, which is over no no to an address."""
        turned = [wish.subject]
        if self._change.with_address and wish.subject.kind == "channel" and self._change.address_id is not None:
            turned.append(Subject("address", self._change.address_id))
        flags = [flag for one in turned if (flag := self.flags.get(one)) is not None]
        return any(flag.state == "yes" and flag.source == "merge" for flag in flags)

    def _is_behind_a_link(self, wish: Wish, said_at: datetime) -> bool:
        """Whether a no by a link, said since, stands there: the preference would come back with its channel."""
        flag = self.flags.get(wish.subject)
        return flag is not None and _by_link(flag) and said_at < flag.order_at

    def _is_behind_a_no(self, wish: Wish) -> bool:
        flag = self.flags.get(wish.subject)
        return flag is not None and flag.state == "no" and self._came_at < flag.order_at

    def effective_at(self, wish: Wish) -> datetime:
        said_at = self.said_at(wish)
        return min(said_at, self._at) if said_at is not None else self._at

    def grant(self, step: _Step) -> None:
        change, wish, via = self._change, step.wish, step.via
        before = state_of(self.flags, wish.subject)
        if via == "link" and before == wish.to:
            return
        flag = self.flags.get(wish.subject)
        if before == wish.to:
            if flag is None or not self._is_worth_repeating(wish, flag):
                return
            wish = _with_terms(change, wish, flag)
        event = Event(
            id=self._new_id(),
            change_id=change.change_id,
            profile_id=change.profile_id,
            subject=wish.subject,
            address_id=change.address_id,
            with_address=step.with_address,
            from_state=before,
            to_state=wish.to,
            basis=(wish.basis or "express") if wish.to == "yes" else wish.basis if via == "link" else None,
            expires_at=wish.expires_at if wish.to == "yes" or via == "link" else None,
            at=self._at,
            # Effects come in the order of arrival, and are as old as the word they come from: a younger yes would
            # outlive a no that was said in between.
            provider_at=self.said_at(wish),
            source=change.source,
            actor=change.actor,
            personal=change.personal,
            via=via,
            superseded=False,
        )
        after = apply(self.flags, event, self._channels)
        if after[wish.subject].event_id != event.id:
            event = replace(event, superseded=True)
        self.flags = after
        self.events.append(event)

    def _is_worth_repeating(self, wish: Wish, flag: Flag) -> bool:
        if self._closes(wish) or self._stays(wish):
            return True
        return _worth_repeating(self._change, wish, flag, self.effective_at(wish))

    def _closes(self, wish: Wish) -> bool:
        """Whether a no said again closes what was opened under it since: then it is no repetition."""
        return wish.to == "no" and is_open_under(self.flags, wish.subject, self._channels)

    def _stays(self, wish: Wish) -> bool:
        """Whether a yes said again is what a no to the wider subject, in the same change, leaves open."""
        wide = wider(wish.subject, self._channels)
        return wish.to == "yes" and any(other.to == "no" and other.subject == wide for other in self._change.wishes)


def _expanded(person: Person, change: Change) -> list[_Step]:
    """The wishes from wide to narrow, with what `everything` yes brings along.

    A channel that the change itself does not say yes to keeps its addresses as they are: a yes on one of them would
    open it under the channel's no.
    """
    said = (*change.wishes, *change.beside)
    named = {wish.subject for wish in said}
    closed = {wish.subject.key for wish in said if wish.subject.kind == "channel" and wish.to != "yes"}
    steps: list[_Step] = []
    for wish in sorted(change.wishes, key=lambda w: WIDTH[w.subject.kind]):
        steps.append(_Step(wish, with_address=change.with_address and wish.subject.kind == "channel"))
        if wish.subject != EVERYTHING or wish.to != "yes":
            continue
        for channel in dict.fromkeys(channel for _, channel in person.addresses):
            subject = Subject("channel", channel)
            if subject not in named:
                steps.append(_Step(replace(wish, subject=subject), "everything"))
        for address_id, channel in person.addresses:
            subject = Subject("address", address_id)
            if subject not in named and channel not in closed and state_of(person.flags, subject) == "no":
                steps.append(_Step(replace(wish, subject=subject), "everything"))
    return steps


def _undoing_a_no(person: Person, change: Change, step: _Step, said_at: datetime) -> list[_Step]:
    """What is left of a provider's word: its own START or `resume` turns a no into yes, never a silence.

    The channel and the address are judged apart. A no that was left behind on the address is one: the word comes
    from that very address, and lifts it where it was said after it.
    """
    wish, own = step.wish, Subject("address", change.address_id or "")
    if wish.to != "yes":
        return [step]
    about_it = wish.subject in (own, Subject("channel", person.channels.get(own.key, "")))
    suppressed_at = person.suppressed.get(own.key) if step.via is None else None
    left_behind = suppressed_at is not None and suppressed_at < said_at
    turns_address = about_it and (left_behind or (step.with_address and state_of(person.flags, own) == "no"))
    if state_of(person.flags, wish.subject) == "no":
        return [step._replace(with_address=step.with_address and turns_address)]
    if turns_address and not any(other.subject == own != wish.subject for other in change.wishes):
        return [_Step(replace(wish, subject=own))]
    return []


def _linked(person: Person, change: Change, flags: Mapping[Subject, Flag], links: Links) -> list[Wish]:
    """What the links add to a change, seen from the flags before it and after it.

    No yes gains a better basis or a later end by it: a channel is yes on the terms of the preference, and a no by a
    link keeps the terms of the yes that it would come back to.
    """
    if change.undoes is not None:
        return []
    named = {wish.subject for wish in (*change.wishes, *change.beside)}
    wishes: list[Wish] = []
    opening: dict[Subject, Flag] = {}
    for preference_id, channel in sorted(links.items()):
        preference, linked = Subject("preference", preference_id), Subject("channel", channel)
        before, after = state_of(person.flags, linked), state_of(flags, linked)
        if preference not in named:
            flag = flags.get(preference)
            if before != "no" and after == "no" and flag is not None and flag.state == "yes":
                wishes.append(Wish(preference, "no", flag.basis, flag.expires_at))
            elif before != "yes" and after == "yes" and change.personal and flag is not None and _by_link(flag):
                wishes.append(Wish(preference, "yes", flag.basis, flag.expires_at))
        elif linked not in named and after != "yes" and _opens_channel(change, preference, channel, flags):
            opening[linked] = max(opening.get(linked, flags[preference]), flags[preference], key=_how_long)
    return wishes + [Wish(linked, "yes", flag.basis, flag.expires_at) for linked, flag in opening.items()]


def _how_long(flag: Flag) -> tuple[bool, float, int]:
    """The later end is the greater, and of two like ones the better basis."""
    end = flag.expires_at
    return end is None, end.timestamp() if end is not None else 0.0, -BASES.index(flag.basis or BASES[0])


def _by_link(flag: Flag) -> bool:
    return flag.state == "no" and flag.via == "link"


def _opens_channel(change: Change, preference: Subject, channel: str, flags: Mapping[Subject, Flag]) -> bool:
    """Whether a yes to a linked preference turns its channel: by the person, staff, or on evidence; by no machine."""
    if change.opens_only is not None and channel not in change.opens_only:
        return False
    said = any(wish.subject == preference and wish.to == "yes" for wish in change.wishes)
    took = (flag := flags.get(preference)) is not None and flag.change_id == change.change_id
    if not said or not took:
        return False
    return change.personal or change.source in STAFF or (change.source in RECORDED and _has_evidence(change))


def _has_evidence(change: Change) -> bool:
    """Whether something shows that it was said: when, how, or to which words. A note is none."""
    return any(change.evidence.get(name) for name in ("obtained_at", "how", "wording"))


def _worth_repeating(change: Change, wish: Wish, flag: Flag, said_at: datetime) -> bool:
    """A state said again is recorded when the person says it, or evidence comes with it; a bare sync is not.

    It is no repetition to say yes on other terms, nor to decline by itself what only a link had turned. A no counts
    from when it was said last: what staff say again, or what was said later, is kept against a yes from in between.
    """
    if wish.to == "not_asked":
        return False
    if wish.to == "yes" and _is_weaker(wish, flag):
        return True  # whoever says it: an earlier end is never ignored
    if change.source == "merge":
        return wish.to == "no"  # only what says more than the no that stands is carried over
    if change.source in MACHINE:
        return False
    if change.personal or _has_evidence(change):
        return True
    if change.source == "import" and wish.to == "no":
        return True  # it is the person's own, and said now; what a file has said already does not come as far as this
    if wish.to == "yes":
        return _has_other_terms(wish, flag)
    return _by_link(flag) or change.by_staff or (change.said_at is not None and said_at > flag.order_at)


def _with_terms(change: Change, wish: Wish, flag: Flag) -> Wish:
    """What neither the person nor evidence says anew keeps the basis and the end that it does not name."""
    if change.personal or _has_evidence(change):
        return wish
    return replace(wish, basis=wish.basis or flag.basis, expires_at=wish.expires_at or flag.expires_at)


def _has_other_terms(wish: Wish, flag: Flag) -> bool:
    """Whether a yes names another basis or another end than the one that stands."""
    other_basis = wish.basis is not None and wish.basis != flag.basis
    return other_basis or (wish.expires_at is not None and wish.expires_at != flag.expires_at)


def _is_weaker(wish: Wish, flag: Flag) -> bool:
    ends_earlier = wish.expires_at is not None and (flag.expires_at is None or wish.expires_at < flag.expires_at)
    weaker_basis = wish.basis is not None and BASES.index(wish.basis) > BASES.index(flag.basis or BASES[0])
    return ends_earlier or weaker_basis


def _refused(person: Person, change: Change, wish: Wish) -> Refusal | None:
    """No machine undoes a person's no, be it by a yes to the same or, opening it, by one to something narrower."""
    if wish.to == "no":
        return None
    for flag in _noes_over(person, wish):
        if change.undoes is not None and flag.change_id == change.undoes:
            continue
        if change.source in MACHINE:
            return Refusal(wish.subject, "machine")
        obtained = obtained_at(change.evidence)
        is_older = obtained is not None and obtained <= flag.order_at  # by its own evidence
        if not flag.firm and not (is_older and wish.to == "yes"):
            continue
        if wish.to == "not_asked":
            return Refusal(wish.subject, "persons_no")
        if change.source in RECORDED | STAFF and not _answers(change, flag):
            return Refusal(wish.subject, "needs_evidence")
    return None


def _noes_over(person: Person, wish: Wish) -> list[Flag]:
    """The noes that granting the wish would undo: on its subject, and where a yes opens, on the next wider one."""
    own = person.flags.get(wish.subject)
    above = wider(wish.subject, person.channels) if wish.to == "yes" else None
    wide = person.flags.get(above) if above is not None else None
    if own is not None and own.opens:
        wide = None
    return [flag for flag in (own, wide) if flag is not None and flag.state == "no"]


def _answers(change: Change, flag: Flag) -> bool:
    """Whether the evidence shows a yes obtained after that no, and how."""
    obtained = obtained_at(change.evidence)
    return obtained is not None and obtained > flag.order_at and bool(change.evidence.get("how"))
