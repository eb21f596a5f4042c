"""What a person's own page is made of, as it stands: who they are, their boxes, their pause."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import history, holds, questions, reading
from consent.states import CHANNELS, EVERYTHING, Flags, Subject, state_of
from content.languages import Language
from content.own_page import CHANNELS as TEXTS
from content.own_page import channel_text
from forms import boxes
from forms.boxes import Address, Box, Channel, Group
from outbox.manage_links import Opened
from profiles import records
from profiles.addresses import PHONE_CHANNELS
from profiles.links import Held
from profiles.masking import masked
from profiles.merges import merged_into
from profiles.records import Profile

MESSAGED = ("email", "sms", "whatsapp")  # channels by which somebody can be asked
_ORDER = sorted(CHANNELS, key=list(TEXTS).index)


@dataclass(frozen=True, slots=True)
class Page:
    """A person's own page."""

    profile: Profile
    channels: tuple[Channel, ...]
    groups: tuple[Group, ...]
    is_closed: bool  # they asked not to be contacted at all
    paused_until: datetime | None
    seen: int  # the last line of their history

    @property
    def is_reachable(self) -> bool:
        """Whether a channel is on, or an address of its own under one that is off."""
        own = [box for channel in self.channels for _, box in channel.addresses if box is not None and box.is_on]
        return any(channel.box.is_on for channel in self.channels) or any(box.state == "yes" for box in own)

    @property
    def is_in_vain(self) -> bool:
        """Whether there is a yes to a preference, and no way by which anything of it could come."""
        return not self.is_reachable and any(box.is_on for group in self.groups for box in group.boxes)

    @property
    def boxes(self) -> list[Box]:
        """All that can be ticked, in the order of the page."""
        found = []
        for channel in self.channels:
            found += [channel.box, *(box for _, box in channel.addresses if box is not None)]
        found += [box for group in self.groups for box in group.boxes]
        return [box for box in found if not box.needs_text]

    @property
    def mailboxes(self) -> list[Address]:
        return [one for channel in self.channels for one, _ in channel.addresses if one.channel == "email"]


async def whose(conn: AsyncConnection, opened: Opened) -> Profile | None:
    """The person whose page it is: whoever that one has become; None where nobody is there any more, or the address
    that the link was sent to is not theirs any more."""
    for profile_id in (opened.profile_id, await merged_into(conn, opened.profile_id)):
        for profile in await records.read(conn, [profile_id]) if profile_id is not None else ():
            if opened.address_id is None or any(one.address_id == opened.address_id for one in profile.addresses):
                return profile
    return None


async def read(
    conn: AsyncConnection, profile: Profile, speech: Language, contexts: Collection[str], *, now: datetime
) -> Page:
    flags = (await reading.flags_of(conn, [profile.id]))[profile.id]
    having = await _addresses(conn, profile)
    texts = {name: channel_text(speech, name) for name in TEXTS}
    return Page(
        profile,
        tuple(boxes.channels_of(having, flags, texts, _ORDER, now)),
        await _groups(conn, profile.id, flags, contexts, now),
        is_closed=state_of(flags, EVERYTHING) == "no",
        paused_until=await holds.paused_until(conn, profile.id, now=now),
        seen=await history.last_line(conn, profile.id),
    )


async def _addresses(conn: AsyncConnection, profile: Profile) -> list[Address]:
    suppressed = await reading.suppressed(conn, [one.address_id for one in profile.addresses])
    covered = await reading.covered(conn, profile.id)
    return [
        Address(
            one.address_id,
            one.channel,
            masked(one.channel, one.value),
            is_suppressed=one.address_id in suppressed,
            is_undeliverable=one.status != "ok",
            is_covered=one.address_id in covered.get(one.channel, ()),
        )
        for one in profile.addresses
    ]


async def _groups(
    conn: AsyncConnection, profile_id: str, flags: Flags, contexts: Collection[str], now: datetime
) -> tuple[Group, ...]:
    """What is active, in order; what only some pages ask once it was answered, or where the page is about it."""
    states = await questions.answers(conn, profile_id)
    sections = questions.in_centre(await questions.active(conn), states, contexts)
    return tuple(
        Group(
            one.headline,
            one.text,
            tuple(boxes.preference(asked.id, asked.text, asked.linked_channel, flags, now) for asked in one.questions),
        )
        for one in sections
    )


@dataclass(frozen=True, slots=True)
class Place:
    """An address at which something is confirmed."""

    address_id: str
    channel: str
    value: str


def unproved_by(opened: Opened, profile: Profile) -> frozenset[Subject]:
    """The person's channels and addresses that a link proves nothing of.

    It proves the address that it was sent to, also where that is a number on several channels: a number comes to
    somebody else, or is a household's, and who has it must not open another's mailbox. A mailbox speaks besides for
    what no message reaches. An account page proves all: the organisation knows who is signed in.
    """
    if opened.way == "account":
        return frozenset()
    own = [one for one in profile.addresses if one.address_id == opened.address_id]
    same = [one for one in profile.addresses if any(_is_same(one, other) for other in own)]
    besides = _unreached(profile) if any(one.channel == "email" for one in own) else []
    unproved = [one for one in profile.addresses if one not in same and one not in besides]
    channels = {one.channel for one in unproved} - {one.channel for one in same}
    return frozenset(
        {Subject("channel", one) for one in channels} | {Subject("address", one.address_id) for one in unproved}
    )


def _is_same(one: Held, other: Held) -> bool:
    """Whether who has the one has the other: it is the same, or the same number."""
    is_number = one.channel in PHONE_CHANNELS and other.channel in PHONE_CHANNELS
    return one.address_id == other.address_id or (is_number and one.value == other.value)


def _unreached(profile: Profile) -> list[Held]:
    """The addresses from where no word comes: of post, and numbers that are only called."""
    messaged = [one for one in profile.addresses if one.channel in MESSAGED]
    return [one for one in profile.addresses if not any(_is_same(one, other) for other in messaged)]


class Places:
    """Where a person can be asked whether something is so: at an address that works and that it is about."""

    def __init__(self, profile: Profile, sent_to: str | None, held: Sequence[Held]) -> None:
        self._profile, self._sent_to = profile, sent_to
        # That which the link was sent to comes first, then the primary ones.
        self._held = sorted(held, key=lambda one: (one.address_id != sent_to, not one.primary))

    def of(self, subject: Subject) -> Place | None:
        """Where it is asked; None: nowhere. What is no address's is asked where they are `at_home`."""
        if subject.kind == "preference":
            return self.at_home
        about = [one for one in self._profile.addresses if subject.key in (one.channel, one.address_id)]
        found = [one for one in self._held if any(_is_same(one, other) for other in about)]
        if about and all(one in _unreached(self._profile) for one in about):
            found = [one for one in self._held if one.channel == "email"]
        return _place(found)

    @property
    def at_home(self) -> Place | None:
        """The mailbox that the link was sent to, else their own, else the number it was sent to."""
        mails = [one for one in self._held if one.channel == "email"]
        return _place([*mails, *(one for one in self._held if one.address_id == self._sent_to)])


def _place(found: Sequence[Held]) -> Place | None:
    return Place(found[0].address_id, found[0].channel, found[0].value) if found else None


async def places(conn: AsyncConnection, profile: Profile, sent_to: str | None, carriers: Collection[str]) -> Places:
    """Of the person whose link was `sent_to` an address.

    Nobody writes to a number that has said no on any channel: from there one texts START.
    """
    numbers = {one.address_id: one.value for one in profile.addresses if one.channel in PHONE_CHANNELS}
    declined = await holds.at_no(conn, numbers, by="any") if numbers else set()
    closed = {numbers[one] for one in declined}
    works = [one for one in profile.addresses if one.status == "ok" and one.channel in MESSAGED]
    works = [one for one in works if one.channel in carriers and (one.channel == "email" or one.value not in closed)]
    return Places(profile, sent_to, works)
