"""What is sent in from a person's own page, and what it comes to: one change, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import history, holds, preferences, reading, terms
from consent.states import CHANNELS, Change, Subject, Wish, is_declined
from content import letters, own_page
from content.languages import Language
from forms import boxes, budgets, centre_state
from forms.boxes import Answers, Box, Sheet
from forms.desk import Desk
from forms.posted import Posted
from outbox import confirmations, heed, people, questions, queue
from outbox.confirmations import BY_TEXT, GOOD_FOR, Details, StillAsked, Wanted
from outbox.manage_links import Opened
from outbox.people import Draft
from outbox.queue import Notice
from profiles import links
from profiles.addresses import Address, BadAddress
from profiles.masking import masked
from profiles.records import AttributesTooLarge, Profile
from store.ids import new_id
from store.locks import lock_people

MOST_IN_AN_HOUR = 60  # times that one person's page is sent in; beyond that what stands is not said again
_AN_HOUR = timedelta(hours=1)
MOST_OF_A_DETAIL = 200  # characters
_MOVES_A_DAY = 5  # new mailboxes that are written to for one person
_ATTRIBUTE = "attributes."


@dataclass(frozen=True, slots=True)
class Came:
    """Who sends it in, and how they came."""

    desk: Desk
    opened: Opened
    speech: Language
    who: Mapping[str, Any]  # their network address and browser
    now: datetime

    is_often: bool = False  # it was done all too often in a while: then nothing is said again

    @property
    def is_fresh(self) -> bool:
        return self.has_seen and not self.is_often

    @property
    def has_seen(self) -> bool:
        """Whether the page shows them what is known of them."""
        return self.opened.is_fresh(self.now)


@dataclass(frozen=True, slots=True)
class Saved:
    """What became of a page that was sent in."""

    overtaken: tuple[Box, ...] = ()  # not turned on: somebody has said no since the page was shown
    reworded: tuple[Box, ...] = ()  # not turned on: it says something else by now
    is_stale: bool = False  # something was said since the page was shown
    asked: tuple[str, ...] = ()  # the addresses, masked, at which the rest is to be confirmed
    asked_lately: tuple[str, ...] = ()  # what is not asked for, a line each: there something was within the day
    unasked: tuple[str, ...] = ()  # what is not asked for, a line each: there is no address for it
    by_start: frozenset[str] = frozenset()  # channels that a START from the number switches on
    is_too_long: bool = False  # the details


async def save(
    conn: AsyncConnection, came: Came, profile: Profile, given: Posted, contexts: Collection[str]
) -> tuple[Saved, heed.Heeded]:
    """Take the boxes and the details; the caller holds the profile."""
    came = await _counted(conn, came, profile)
    page = await centre_state.read(conn, profile, came.speech, contexts, now=came.now)
    seen = _number(given.one("seen"))
    newer = await history.declined_since(conn, profile.id, seen)
    unproved = centre_state.unproved_by(came.opened, profile)
    sheet = _sheet(given)
    answers = boxes.decide(
        page.channels,
        page.groups,
        sheet,
        is_fresh=came.is_fresh,
        is_often=came.is_often,
        newer=newer,
        unproved=unproved,
    )
    gone, stands = await _declined_besides(conn, came, page, sheet)
    evidence = await _evidence(conn, came, answers, gone, given)
    names, attributes = _corrected(came, profile, given)
    is_too_long, waiting_details = False, None
    if names or attributes:
        if came.is_fresh:
            is_too_long = not await _correct(conn, came, profile, names, attributes)
        else:
            waiting_details = Details(names, attributes)
    wanted = {wish.subject for wish in answers.waiting}
    await confirmations.take_back(conn, profile.id, answers.repeated | stands, wanted=wanted, now=came.now)
    change_id = new_id("chg")
    still = await confirmations.ask_again(conn, profile.id, wanted, change_id, now=came.now)
    saved = await _ask(conn, came, profile, answers.waiting, waiting_details, evidence, change_id, still)
    heeded = heed.Heeded()
    if wishes := [*answers.wishes, *(Wish(one, "no") for one in gone)]:
        heeded = await record(conn, came, profile, wishes, evidence, change_id=change_id)
    is_stale = seen < page.seen
    return replace(
        saved, overtaken=answers.overtaken, reworded=answers.reworded, is_stale=is_stale, is_too_long=is_too_long
    ), heeded


async def _declined_besides(
    conn: AsyncConnection, came: Came, page: centre_state.Page, sheet: Sheet
) -> tuple[list[Subject], frozenset[Subject]]:
    """What was left unticked and has no box any more: what was retired, has no address, or was closed by a system, may
    come back. Not of an address that came after its channel's yes: nothing comes there. And of these what stands, and
    is not written down again."""
    left = sheet.unticked - {box.key for box in page.boxes}
    if not left:
        return [], frozenset()
    known = {f"channel:{name}": Subject("channel", name) for name in CHANNELS}
    known |= {f"preference:{one.id}": Subject("preference", one.id) for one in await preferences.listed(conn)}
    flags = (await reading.flags_of(conn, [page.profile.id]))[page.profile.id]
    theirs = [one.id for channel in page.channels if not channel.box.is_apart for one, _ in channel.addresses]
    known |= {f"address:{one}": Subject("address", one) for one in theirs}
    noes = [known[key] for key in sorted(left & known.keys())]
    stands = frozenset(one for one in noes if came.is_often and is_declined(flags, one))
    return [one for one in noes if one not in stands], stands


async def _evidence(
    conn: AsyncConnection, came: Came, answers: Answers, gone: Sequence[Subject], given: Posted
) -> dict[str, Any]:
    """What was shown, and was done with it: no words, and no terms, that were others when the page was shown."""
    shown_terms = await terms.current(conn, came.speech.code)
    changed = [{"box": box.key, "ticked": said} for box, said in answers.changed]
    changed += [{"box": f"{one.kind}:{one.key}", "ticked": False} for one in gone]
    return {
        "wording": [{"text": box.text, "ticked": said, "new": box.is_new} for box, said in answers.answered],
        **({"reworded": changed} if changed else {}),
        "language": came.speech.code,
        **(
            {"terms_version": shown_terms.version}
            if shown_terms is not None and given.one("terms") == str(shown_terms.version)
            else {}
        ),
    }


async def _correct(
    conn: AsyncConnection, came: Came, profile: Profile, names: Mapping[str, str | None], attributes: Mapping[str, Any]
) -> bool:
    """Returns whether the details are so; not where they are too long."""
    try:
        await people.change(conn, profile.id, Draft(names=names, attributes=attributes or None), now=came.now)
    except AttributesTooLarge:
        return False
    return True


async def _counted(conn: AsyncConnection, came: Came, profile: Profile) -> Came:
    within = await budgets.spend(conn, f"own:{profile.id}", most=MOST_IN_AN_HOUR, within=_AN_HOUR, now=came.now)
    return came if within else replace(came, is_often=True)


async def decline(
    conn: AsyncConnection, came: Came, profile: Profile, wishes: Sequence[Wish], evidence: Mapping[str, Any]
) -> heed.Heeded:
    """Let it all be no; said all too often, only what is not so yet, or what would be closed by it."""
    came = await _counted(conn, came, profile)
    if came.is_often:
        flags = (await reading.flags_of(conn, [profile.id]))[profile.id]
        if not any(flag.opens for flag in flags.values()):
            stand = {wish.subject for wish in wishes if is_declined(flags, wish.subject)}
            await confirmations.take_back(conn, profile.id, stand, now=came.now)
            wishes = [wish for wish in wishes if wish.subject not in stand]
    return await record(conn, came, profile, wishes, evidence)


async def record(
    conn: AsyncConnection,
    came: Came,
    profile: Profile,
    wishes: Sequence[Wish],
    evidence: Mapping[str, Any],
    *,
    change_id: str | None = None,
) -> heed.Heeded:
    """Let it be so, on the person's word; where a fresh link proves that, as a word from the address it was sent to."""
    opened = came.opened
    proved = opened.address_id if came.is_fresh and opened.way == "asked" else None
    change = Change(
        profile_id=profile.id,
        change_id=change_id or new_id("chg"),
        wishes=tuple(wishes),
        source="preference_centre",
        actor="customer",
        address_id=proved,
        opens_only=frozenset(),  # each channel has its own box
        evidence={"link": opened.way, "link_sent_to": opened.address_id, **evidence, **came.who},
    )
    return await heed.record(conn, [change], now=came.now)


def _sheet(given: Posted) -> Sheet:
    shown = {}
    for one in given.all("shown"):
        key, _, mark = one.rpartition("~")
        shown[key] = mark
    return Sheet(shown, frozenset(given.all("yes")))


def _number(text: str) -> int:
    """Of what is no number of a line, none was seen."""
    return int(text) if text.isdecimal() and text.isascii() and len(text) <= 18 else 0


# --- details ----------------------------------------------------------------------------------


def detail_of(profile: Profile, name: str) -> str | None:
    """What is known of it, empty for nothing; None for what is no text, which nobody can correct here."""
    value = profile.attributes.get(name.removeprefix(_ATTRIBUTE)) if name.startswith(_ATTRIBUTE) else None
    if name.startswith(_ATTRIBUTE):
        return value or "" if isinstance(value, str | None) else None
    return getattr(profile, name) or ""


def _corrected(came: Came, profile: Profile, given: Posted) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Names and attributes that are to be others. Where the page showed none, an empty field says nothing."""
    names: dict[str, str | None] = {}
    attributes: dict[str, str | None] = {}
    for name in came.desk.details:
        if not given.has(f"detail.{name}"):
            continue
        value = " ".join(given.one(f"detail.{name}").split())[:MOST_OF_A_DETAIL]
        if detail_of(profile, name) in (value, None) or (not value and not came.has_seen):
            continue
        if name.startswith(_ATTRIBUTE):
            attributes[name.removeprefix(_ATTRIBUTE)] = value or None
        else:
            names[name] = value or None
    return names, attributes


# --- what has to be confirmed -----------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Asking:
    """What is asked for at an address."""

    place: centre_state.Place
    wishes: tuple[Wish, ...]
    points: tuple[str, ...]  # a line for each
    details: Details | None

    def lines(self, came: Came) -> tuple[str, ...]:
        return _lines(came, self.points, self.details)

    def is_in(self, before: StillAsked) -> bool:
        """Whether all of it was asked there before, and waits."""
        is_all = all(wish.subject in before.subjects for wish in self.wishes)
        return before.address_id == self.place.address_id and is_all and self.details in (None, before.details)


async def _ask(
    conn: AsyncConnection,
    came: Came,
    profile: Profile,
    wishes: Sequence[Wish],
    details: Details | None,
    evidence: Mapping[str, Any],
    change_id: str,
    still: Sequence[StillAsked],
) -> Saved:
    """Ask whether it is so at each address that it is about, once a day; returns what was asked, and what was not.

    `still`: what was asked before, and waits.
    """
    if not wishes and details is None:
        return Saved()
    await lock_people(conn, [profile.id])
    places = await centre_state.places(conn, profile, came.opened.address_id, came.desk.carriers)
    waiting: dict[centre_state.Place | None, list[Wish]] = {}
    if details is not None:
        waiting[places.at_home] = []
    for wish in wishes:
        waiting.setdefault(places.of(wish.subject), []).append(wish)
    points = {place: await _points(conn, came, profile, of) for place, of in waiting.items()}
    asking = [
        _Asking(place, tuple(of), tuple(points[place]), details if place == places.at_home else None)
        for place, of in waiting.items()
        if place is not None
    ]
    ids = await confirmations.ask(conn, await _wanted(conn, came, profile, asking, evidence, change_id), now=came.now)
    for one, id_ in zip(asking, ids, strict=True):
        if id_ is not None:
            await _send(conn, came, profile, one, id_)
    is_asked = {
        one: id_ is not None or any(one.is_in(before) for before in still) for one, id_ in zip(asking, ids, strict=True)
    }
    return Saved(
        asked=tuple(masked(one.place.channel, one.place.value) for one in asking if is_asked[one]),
        asked_lately=tuple(line for one in asking if not is_asked[one] for line in one.lines(came)),
        unasked=_lines(came, points.get(None, ()), details if places.at_home is None else None),
        by_start=frozenset(wish.subject.key for wish in waiting.get(None, ())) & frozenset(BY_TEXT),
    )


def _lines(came: Came, points: Sequence[str], details: Details | None) -> tuple[str, ...]:
    """What is asked for, a line each; of details never what they are."""
    return (*points, *(own_page.corrections(came.speech) if details is not None else ()))


async def _wanted(
    conn: AsyncConnection,
    came: Came,
    profile: Profile,
    asking: Sequence[_Asking],
    evidence: Mapping[str, Any],
    change_id: str,
) -> list[Wanted]:
    book, said = came.desk.book, {"link": came.opened.way, **evidence, **came.who}
    at_no = await holds.at_no(conn, [one.place.address_id for one in asking], by="any")
    return [
        Wanted(
            one.place.address_id,
            one.place.channel,
            one.wishes,
            {"preference_centre": True, "asked_for": list(one.points), **said},
            came.now,
            profile_id=profile.id,
            details=one.details or Details(),
            same_as=book.same_as(book.proved(one.place.channel, one.place.value)),
            at_no=one.place.address_id in at_no,
            change_id=change_id,
        )
        for one in asking
    ]


async def _send(conn: AsyncConnection, came: Came, profile: Profile, asked: _Asking, id_: str) -> None:
    link, organisation = came.desk.confirm_links(id_), came.desk.organisation
    if asked.place.channel == "email":
        content = letters.question(came.speech, asked.lines(came), organisation=organisation, link=link)
    else:
        content = own_page.confirm_by_text(came.speech, link, organisation=organisation)
    await _tell(conn, came, asked.place.channel, profile.id, asked.place.address_id, content)


async def _points(conn: AsyncConnection, came: Came, profile: Profile, wishes: Sequence[Wish]) -> list[str]:
    """What is asked for, a line each."""
    having = {one.address_id: masked(one.channel, one.value) for one in profile.addresses}
    named = [having[wish.subject.key] for wish in wishes if wish.to == "yes" and wish.subject.key in having]
    points = await questions.in_words(conn, wishes, came.speech)
    return points + [own_page.at_address(came.speech, address) for address in named]


async def _tell(
    conn: AsyncConnection, came: Came, channel: str, profile_id: str | None, address_id: str, content: Mapping[str, str]
) -> None:
    carrier = came.desk.carriers[channel]
    notice = Notice(profile_id, address_id, channel, carrier.connection, content, not_after=came.now + GOOD_FOR)
    await queue.add_notices(conn, [notice], now=came.now)


def mailbox(desk: Desk, text: str) -> Address | None:
    """The mailbox that was typed, if it is one."""
    try:
        return desk.book.parse("email", text)
    except BadAddress:
        return None


async def ask_to_move(conn: AsyncConnection, came: Came, profile: Profile, old: str, new: Address) -> None:
    """Ask at `new` whether it is to take the place of the address `old`, and tell that one.

    Whoever lives at `new` is asked once a day, and not all too many are for one person; what is answered tells of none.
    """
    desk, day = came.desk, timedelta(days=1)
    if "email" not in desk.carriers:
        return
    if not await budgets.spend(conn, f"move:{profile.id}", most=_MOVES_A_DAY, within=day, now=came.now):
        return
    ids = await links.ensure_addresses(conn, [new], now=came.now, lock=False)
    address_id = ids[new.hash]
    await lock_people(conn, [profile.id], also=[address_id])
    if address_id in {one.address_id for one in profile.addresses}:
        return
    await links.restore_values(conn, [new])
    wanted = Wanted(
        address_id,
        "email",
        (),
        {"preference_centre": True, "link": came.opened.way, "replaces": old, **came.who},
        came.now,
        profile_id=profile.id,
        details=Details(replaces=old),
        same_as=desk.book.same_as(new),
        at_no=bool(await holds.at_no(conn, [address_id], by="any")),
    )
    [id_] = await confirmations.ask(conn, [wanted], now=came.now)
    if id_ is None:
        await confirmations.forget_unasked(conn, [address_id])  # anybody may have typed it
        return
    points = own_page.this_address(came.speech)
    asked = letters.question(came.speech, points, organisation=desk.organisation, link=desk.confirm_links(id_))
    told = own_page.moving(came.speech, organisation=desk.organisation, contact=desk.controller.contact)
    await _tell(conn, came, "email", None, address_id, asked)
    await _tell(conn, came, "email", profile.id, old, told)
