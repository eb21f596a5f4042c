"""What a person's own page is made of, as it stands: who they are, their boxes, their pause."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import history, holds, questions, reading
from consent.states import CHANNELS, EVERYTHING, Flags, state_of
from content.languages import Language
from content.own_page import CHANNELS as TEXTS
from content.own_page import channel_text
from forms import boxes
from forms.boxes import Address, Box, Channel, Group
from outbox.manage_links import Opened
from profiles import records
from profiles.masking import masked
from profiles.merges import merged_into
from profiles.records import Profile

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
    return [
        Address(
            one.address_id,
            one.channel,
            masked(one.channel, one.value),
            is_suppressed=one.address_id in suppressed,
            is_undeliverable=one.status != "ok",
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


def unproved_by(opened: Opened, profile: Profile) -> frozenset[str]:
    """The channels of which a link proves nothing: one that went to a phone, of mailboxes.

    A number comes to somebody else, or is a household's; who has it now must not open another's mailbox.
    """
    sent_to = [one.channel for one in profile.addresses if one.address_id == opened.address_id]
    return frozenset({"email"}) if opened.way != "account" and sent_to != ["email"] else frozenset()


async def confirmed_at(
    conn: AsyncConnection, profile: Profile, link_sent_to: str | None, carriers: Collection[str]
) -> Place | None:
    """Where a person is asked: the mailbox that the link was sent to, else their own, else the number it was sent to.

    None where there is none that works, and for a number that has said no: from there one texts START.
    """
    those = [one for one in profile.addresses if one.status == "ok" and one.channel in carriers]
    own = [one for one in those if one.address_id == link_sent_to]
    mails = sorted((one for one in those if one.channel == "email"), key=lambda one: not one.primary)
    numbers = [one for one in own if one.channel in ("sms", "whatsapp")]
    closed = await holds.at_no(conn, [one.address_id for one in numbers], by="any") if numbers else set()
    for one in (*(one for one in own if one.channel == "email"), *mails, *numbers):
        if one.address_id not in closed:
            return Place(one.address_id, one.channel, one.value)
    return None
