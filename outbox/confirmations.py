"""What was asked for and waits for a word from the address itself: asked about once a day at most, good for a week.

It stands apart from the states: until the link in the question is confirmed, by a POST, or the question by text is
answered with a YES, nothing has changed. The token in the link names the question and nothing else; where the question
has expired, it is asked for again. A no that was said since it was asked for takes it back, for good: whoever, or
whatever, comes upon the old link opens nothing with it. `confirmed` does what was asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

from sqlalchemy import and_, delete, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import reading
from consent.states import CHANNELS, EVERYTHING, Event, Subject, Wish, upwards
from content.letters import DAYS
from outbox.signed import Signed
from profiles import links
from profiles.links import holders
from profiles.merges import family, merged_into
from store import bulk
from store.ids import new_id
from store.locks import lock_addresses, lock_names, lock_people
from store.parts import among
from store.tables import addresses, confirmations, consent_events

GOOD_FOR = timedelta(days=DAYS)
ONCE_IN = timedelta(hours=24)  # at most one question to a mailbox
ONCE_IN_AT_NO = timedelta(days=30)  # to whom has said no
BY_TEXT = ("sms", "whatsapp")  # where a question may be answered by a YES, so that one can be open at a time
ASKED = "question"  # in its evidence: the text that asks for the YES
_ASKED_AGAIN = "asked_again_at"  # in its evidence: when their own page asked for it last
HEARD = "heard"  # in its evidence: the last line of the noes said beside it by the acts that had asked before
FORGOTTEN_AFTER = ONCE_IN_AT_NO + GOOD_FOR
_AT_ONCE = 500
_TICK = timedelta(seconds=1)  # of the coarsest clock: a no of the same second stands at its end

_PENDING = (
    select(confirmations.c.id, confirmations.c.address_id, confirmations.c.asked_at)
    .where(among(confirmations.c.address_id), confirmations.c.confirmed_at.is_(None))
    .order_by(confirmations.c.asked_at, confirmations.c.id)
)


class ConfirmLinks:
    """Makes the links and reads their tokens. `secrets`: the newest signs, all are believed."""

    def __init__(self, public_url: str, secrets: Sequence[str]) -> None:
        self._base = f"{public_url.rstrip('/')}/confirm/"
        self._signed = Signed(secrets, "optgate.confirm")

    def __call__(self, confirmation_id: str) -> str:
        return self._base + quote(self._signed.sign(confirmation_id), safe="")

    def read(self, token: str) -> str | None:
        """The confirmation's id; None for what we have not signed."""
        return self._signed.read(token)


@dataclass(frozen=True, slots=True)
class Details:
    """What else is to be kept with a yes. Names and attributes are one person's: where several have the address, or
    nobody can say whose it is, they are left."""

    names: Mapping[str, str | None] = field(default_factory=dict)  # first_name, last_name
    attributes: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()  # had as well, from then on
    locale: str | None = None  # where none is known
    replaces: str | None = None  # the person's address, by id, whose place the one that confirms takes

    def spelled(self) -> dict[str, Any]:
        return {
            "names": dict(self.names),
            "attributes": dict(self.attributes),
            "tags": list(self.tags),
            "locale": self.locale,
            "replaces": self.replaces,
        }


def _details(body: Mapping[str, Any] | None) -> Details:
    body = body or {}
    return Details(
        body.get("names") or {},
        body.get("attributes") or {},
        tuple(body.get("tags") or ()),
        body.get("locale"),
        body.get("replaces"),
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody asked for, and who they are is not proved."""

    address_id: str
    channel: str
    wishes: tuple[Wish, ...]
    evidence: Mapping[str, Any]  # what was asked for, where and in which words
    at: datetime  # when it was
    profile_id: str | None = None  # whose; None: everyone's who has the address then, or somebody's new
    details: Details | None = None
    form_id: str | None = None
    same_as: str | None = None  # profiles.addresses.AddressBook.same_as
    at_no: bool = False  # whoever has the address has said no
    change_id: str | None = None  # of the act that asks: what that act itself says no to takes nothing back


class StillAsked(NamedTuple):
    """What a person's own page has asked for before, and waits."""

    address_id: str
    subjects: frozenset[Subject]
    details: Details


@dataclass(frozen=True, slots=True)
class Question:
    """What waits, as it is found."""

    id: str
    address_id: str
    channel: str
    wishes: tuple[Wish, ...]
    details: Details
    evidence: Mapping[str, Any]
    profile_id: str | None
    form_id: str | None
    asked_at: datetime
    is_expired: bool  # or taken back
    is_confirmed: bool

    @property
    def is_open(self) -> bool:
        return not (self.is_expired or self.is_confirmed)

    @property
    def is_by_yes(self) -> bool:
        """Whether it is answered by a YES: it was asked in words that ask for one, and not by a link in a text."""
        return ASKED in self.evidence


# --- asked ------------------------------------------------------------------------------------


async def ask(conn: AsyncConnection, wanted: Sequence[Wanted], *, now: datetime) -> list[str | None]:
    """Keep what was asked for; returns an id for each that the person is to be asked about, None for the others.

    Who was asked within ONCE_IN is not asked again, at whichever spelling of the mailbox; who has said no by then not
    within ONCE_IN_AT_NO of the last time that this was so. By text a question takes the place of the one before. The
    caller holds the address rows.
    """
    if not wanted:
        return []
    await lock_names(conn, {one.same_as for one in wanted if one.same_as is not None})
    asked = await _asked_lately(conn, wanted, now)
    ids: list[str | None] = []
    rows: list[dict[str, Any]] = []
    for one in wanted:
        if asked.have(one):
            ids.append(None)
            continue
        asked.note(one)
        ids.append(new_id("cnf"))
        rows.append(
            {
                "id": ids[-1],
                "address_id": one.address_id,
                "channel": one.channel,
                "wishes": [{"kind": wish.subject.kind, "key": wish.subject.key, "to": wish.to} for wish in one.wishes],
                "profile_id": one.profile_id,
                "details": one.details.spelled() if one.details is not None else None,
                "form_id": one.form_id,
                "same_as": one.same_as,
                "at_no": one.at_no,
                "evidence": {**one.evidence, **({"change_id": one.change_id} if one.change_id is not None else {})},
                "asked_at": one.at,
                "expires_at": now + GOOD_FOR,
            }
        )
    await _end_open(conn, {row["address_id"] for row in rows if row["channel"] in BY_TEXT}, now=now)
    if rows:
        await conn.execute(insert(confirmations), rows)
    return ids


class _Asked:
    """Whom we have asked lately: by address, and by what mostly is the same mailbox."""

    def __init__(self) -> None:
        self._lately: set[str] = set()
        self._at_no: set[str] = set()

    def have(self, one: Wanted) -> bool:
        return any(name in self._lately or (one.at_no and name in self._at_no) for name in _names(one))

    def note(self, one: Any, *, lately: bool = True) -> None:
        """That a question was asked, as it is kept or wanted."""
        if lately:
            self._lately.update(_names(one))
        if one.at_no:
            self._at_no.update(_names(one))


def _names(one: Any) -> list[str]:
    return [one.address_id, *([one.same_as] if one.same_as is not None else [])]


async def _asked_lately(conn: AsyncConnection, wanted: Sequence[Wanted], now: datetime) -> _Asked:
    columns = confirmations.c
    to_any = or_(
        columns.address_id.in_(sorted({one.address_id for one in wanted})),
        columns.same_as.in_(sorted({one.same_as for one in wanted if one.same_as is not None})),
    )
    rows = await conn.execute(
        select(columns.address_id, columns.same_as, columns.at_no, columns.asked_at).where(
            to_any, columns.asked_at > now - ONCE_IN_AT_NO
        )
    )
    asked = _Asked()
    for row in rows:
        asked.note(row, lately=row.asked_at > now - ONCE_IN)
    return asked


async def _end_open(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> None:
    if address_ids:
        await conn.execute(
            update(confirmations)
            .where(confirmations.c.address_id.in_(sorted(address_ids)), confirmations.c.expires_at > now)
            .values(expires_at=now)
        )


async def take_back(
    conn: AsyncConnection,
    profile_id: str,
    refused: Collection[Subject],
    *,
    wanted: Collection[Subject] = (),
    now: datetime,
) -> None:
    """End what is asked at a person's addresses and would open any of this, which they have said no to once more.

    A no that stands already may make no line of the history, by which `find` would see it; it takes a question back as
    any other, but one of their own page's that asks for nothing but what the very act that says no asks for again
    (`wanted`). Locks the person.
    """
    if not refused:
        return
    no = set(refused)
    ended = [
        row.id
        for row in await _open(conn, profile_id, now=now)
        if not no.isdisjoint(await _opened_by(conn, row)) and not _asks_for(row, wanted)
    ]
    if ended:
        await conn.execute(update(confirmations).where(confirmations.c.id.in_(ended)).values(expires_at=now))


async def ask_again(
    conn: AsyncConnection, profile_id: str, wanted: Collection[Subject], change_id: str, *, now: datetime
) -> list[StillAsked]:
    """Let what an own page asks for again be as if it were asked for by this act: what that says no to beside it takes
    no open question back that asks for nothing else, nor one that corrects a detail and opens nothing. What was taken
    back stays so, be it by a no of before that is told only afterwards. Returns what stays asked. Locks the person."""
    found = []
    for row in await _open(conn, profile_id, now=now):
        if row.profile_id != profile_id or not (_asks_for(row, wanted) or _is_of_details_alone(row)):
            continue
        noes = await _noes_since(conn, row)
        if not _is_anothers(noes, row):
            heard = max(noes, default=row.evidence.get(HEARD, 0))
            evidence = {**row.evidence, "change_id": change_id, _ASKED_AGAIN: now.isoformat(), HEARD: heard}
            await conn.execute(update(confirmations).where(confirmations.c.id == row.id).values(evidence=evidence))
            found.append(
                StillAsked(row.address_id, frozenset(wish.subject for wish in _wishes(row)), _details(row.details))
            )
    return found


async def _open(conn: AsyncConnection, profile_id: str, *, now: datetime) -> Sequence[Any]:
    """The rows of what is asked at a person's addresses; locks the person."""
    held = await lock_people(conn, [profile_id])
    theirs = [address_id for address_id, _ in held[profile_id]]
    is_open = and_(confirmations.c.confirmed_at.is_(None), confirmations.c.expires_at > now)
    return (await conn.execute(select(confirmations).where(confirmations.c.address_id.in_(theirs), is_open))).all()


async def end_left(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> None:
    """Take back what was asked at these addresses before a no was left there, which no history here may hold.

    The caller holds the address rows.
    """
    left_at = select(addresses.c.suppressed_at).where(addresses.c.id == confirmations.c.address_id).scalar_subquery()
    await conn.execute(
        update(confirmations)
        .where(confirmations.c.address_id.in_(sorted(address_ids)), confirmations.c.expires_at > now)
        .where(confirmations.c.asked_at <= left_at)
        .values(expires_at=now)
    )


async def pending(conn: AsyncConnection, address_ids: Collection[str], *, now: datetime) -> dict[str, Question]:
    """The open question of each address that has one; of several the latest."""
    found: dict[str, Question] = {}
    for row in await bulk.rows(conn, _PENDING, ids=sorted(address_ids)):
        question = await find(conn, row.id, now=now)
        if question is not None and question.is_open:
            found[row.address_id] = question
    return found


async def find(conn: AsyncConnection, confirmation_id: str, *, now: datetime) -> Question | None:
    """The question with this id."""
    row = (await conn.execute(select(confirmations).where(confirmations.c.id == confirmation_id))).one_or_none()
    if row is None:
        return None
    return Question(
        row.id,
        row.address_id,
        row.channel,
        _wishes(row),
        _details(row.details),
        row.evidence,
        row.profile_id,
        row.form_id,
        row.asked_at,
        is_expired=row.expires_at <= now or await _is_taken_back(conn, row),
        is_confirmed=row.confirmed_at is not None,
    )


def _asks_for(row: Any, wanted: Collection[Subject]) -> bool:
    """Whether that is all that is asked for; of a page on which each channel has its own box, so that none opens
    another."""
    asked = {wish.subject for wish in _wishes(row) if wish.to == "yes"}
    return "preference_centre" in row.evidence and bool(asked) and asked.issubset(wanted)


def _is_of_details_alone(row: Any) -> bool:
    """Whether it asks for no yes, and moves none from one address to another."""
    return not row.wishes and _details(row.details).replaces is None


def _wishes(row: Any) -> tuple[Wish, ...]:
    return tuple(Wish(Subject(one["kind"], one["key"]), one["to"]) for one in row.wishes)


async def _is_taken_back(conn: AsyncConnection, row: Any) -> bool:
    """Whether anybody it concerns has said no since, to any of this or to more, whatever was said after that."""
    return _is_anothers(await _noes_since(conn, row), row)


def _is_anothers(noes: Mapping[int, Event], row: Any) -> bool:
    """Whether one of these is another act's than the one that asked."""
    return any(no.change_id != row.evidence.get("change_id") for no in noes.values())


async def _noes_since(conn: AsyncConnection, row: Any) -> dict[int, Event]:
    """What was said no to since it was asked, of those lines that no act had before it that asked again."""
    event = consent_events.c
    said = select(consent_events).where(
        or_(event.profile_id.in_(await _concerned(conn, row)), event.address_id == row.address_id),
        tuple_(event.subject_kind, event.subject_key).in_(await _of_it(conn, row)),
        event.to_state == "no",
        event.at >= row.asked_at - _TICK,
    )
    noes = {one.seq: reading.event_from(one) for one in await conn.execute(said)}
    heard = row.evidence.get(HEARD, 0)
    return {seq: no for seq, no in noes.items() if seq > heard and no.order_at >= row.asked_at}


async def _concerned(conn: AsyncConnection, row: Any) -> set[str]:
    """Whoever has the address and whoever asked, with all whom they have become, or who have become them."""
    those = set((await holders(conn, [row.address_id])).get(row.address_id, []))
    if row.profile_id is not None:
        those |= {row.profile_id, await merged_into(conn, row.profile_id) or row.profile_id}
    return {one for each in those for one in await family(conn, each)}


async def _of_it(conn: AsyncConnection, row: Any) -> list[Subject]:
    """What it would open, and the address it is asked at, from where a no is a no to what was asked there."""
    channel, address = Subject("channel", row.channel), Subject("address", row.address_id)
    return sorted({channel, address, *await _opened_by(conn, row)})


async def _opened_by(conn: AsyncConnection, row: Any) -> set[Subject]:
    """What is asked for, what that brings along, and all that those stand under.

    A preference brings its channel along by its link; everything does all channels, and their addresses.
    """
    asked = {wish.subject for wish in _wishes(row) if wish.to == "yes"}
    if EVERYTHING in asked:
        having = await links.held_by(conn, await _concerned(conn, row))
        asked |= {Subject("address", one.address_id) for theirs in having.values() for one in theirs}
        asked |= {Subject("channel", name) for name in CHANNELS}
    linked = await reading.linked_preferences(conn) if any(one.kind == "preference" for one in asked) else {}
    asked |= {Subject("channel", linked[one.key]) for one in asked if one.key in linked}
    channels = await reading.channels_of(conn, {one.key for one in asked if one.kind == "address"})
    return {EVERYTHING, *(subject for one in asked for subject in upwards(one, channels))}


# --- forgotten --------------------------------------------------------------------------------


async def forget_old(conn: AsyncConnection, *, now: datetime) -> None:
    """Forget what nobody has confirmed, once it limits no other question, and the addresses that came by it alone."""
    old = (
        select(confirmations.c.id, confirmations.c.address_id)
        .where(confirmations.c.confirmed_at.is_(None), confirmations.c.asked_at < now - FORGOTTEN_AFTER)
        .order_by(confirmations.c.asked_at)
        .limit(_AT_ONCE)
    )
    rows = (await conn.execute(old)).all()
    if not rows:
        return
    await conn.execute(delete(confirmations).where(confirmations.c.id.in_([row.id for row in rows])))
    await forget_unasked(conn, {row.address_id for row in rows})


async def forget_unasked(conn: AsyncConnection, address_ids: Collection[str]) -> None:
    """Forget the values of those addresses that nobody has and no question is about. Locks their rows."""
    asked_still = select(confirmations.c.address_id).where(confirmations.c.address_id.in_(sorted(address_ids)))
    ids = set(address_ids) - set((await conn.execute(asked_still)).scalars())
    await lock_addresses(conn, ids)
    await links.forget_unheld(conn, ids)
