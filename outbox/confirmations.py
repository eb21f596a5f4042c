"""What was asked for and waits for a word from the address itself: asked about once a day at most, good for a week.

It stands apart from the states: until the link in the question is confirmed, by a POST, or the question by text is
answered with a YES, nothing has changed. The token in the link names the question and nothing else; where the question
has expired, it is asked for again. A no that was said since it was asked for takes it back: whoever, or whatever, comes
upon the old link opens nothing with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from sqlalchemy import delete, insert, or_, select, tuple_, update
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import reading
from consent.states import EVERYTHING, Change, Flags, Subject, Wish, state_of
from content.letters import DAYS
from outbox import heed, people
from outbox.signed import Signed
from profiles import links, records
from profiles.addresses import Address
from profiles.links import holders
from profiles.merges import merged_into
from store import bulk
from store.engine import Raced
from store.ids import new_id
from store.locks import lock_addresses, lock_names, lock_people
from store.parts import among
from store.tables import addresses, confirmations, consent_states, profile_addresses

GOOD_FOR = timedelta(days=DAYS)
ONCE_IN = timedelta(hours=24)  # at most one question to a mailbox
ONCE_IN_AT_NO = timedelta(days=30)  # to whom has said no
BY_TEXT = ("sms", "whatsapp")  # where a question is answered by a YES, so that one can be open at a time
FORGOTTEN_AFTER = ONCE_IN_AT_NO + GOOD_FOR
_AT_ONCE = 500

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
                "evidence": dict(one.evidence),
                "asked_at": one.at,
                "expires_at": now + GOOD_FOR,
            }
        )
    await _end_open(conn, {row["address_id"] for row in rows if row["channel"] in BY_TEXT}, now)
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


async def _end_open(conn: AsyncConnection, address_ids: Collection[str], now: datetime) -> None:
    if address_ids:
        await conn.execute(
            update(confirmations)
            .where(confirmations.c.address_id.in_(sorted(address_ids)), confirmations.c.expires_at > now)
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
    wishes = tuple(Wish(Subject(one["kind"], one["key"]), one["to"]) for one in row.wishes)
    return Question(
        row.id,
        row.address_id,
        row.channel,
        wishes,
        _details(row.details),
        row.evidence,
        row.profile_id,
        row.form_id,
        row.asked_at,
        is_expired=row.expires_at <= now or await _is_taken_back(conn, row, wishes),
        is_confirmed=row.confirmed_at is not None,
    )


async def _is_taken_back(conn: AsyncConnection, row: Any, wishes: Sequence[Wish]) -> bool:
    """Whether anybody it concerns has said no since, to any of this, to what it would bring along by a link, or to
    more, or has left a no at the address."""
    state = consent_states.c
    of_it = {EVERYTHING, Subject("channel", row.channel), Subject("address", row.address_id)}
    of_it |= (asked := {wish.subject for wish in wishes if wish.to == "yes"})
    if any(one.kind == "preference" for one in asked):
        linked = await reading.linked_preferences(conn)
        of_it |= {Subject("channel", linked[one.key]) for one in asked if one.key in linked}
    have_it = select(profile_addresses.c.profile_id).where(profile_addresses.c.address_id == row.address_id)
    said = select(state.profile_id).where(
        or_(state.profile_id.in_(have_it), state.profile_id == row.profile_id),
        tuple_(state.kind, state.key).in_([(one.kind, one.key) for one in of_it]),
        state.state == "no",
        state.order_at >= row.asked_at,
    )
    left = select(addresses.c.id).where(addresses.c.id == row.address_id, addresses.c.suppressed_at >= row.asked_at)
    return any([(await conn.execute(one.limit(1))).first() is not None for one in (said, left)])


# --- answered ---------------------------------------------------------------------------------


async def confirm(
    conn: AsyncConnection, confirmation_id: str, how: Mapping[str, Any], *, now: datetime
) -> tuple[Question | None, heed.Heeded]:
    """Let what was asked for be so, unless the question is expired or it is so already; returns the question as it was.

    It is so for everyone who has the address; nobody has it: somebody new gets it. `how`: what is known of whoever
    confirms. Raises store.engine.Raced.
    """
    found = await find(conn, confirmation_id, now=now)
    if found is None or not found.is_open:
        return found, heed.Heeded()
    people_ = await _whose(conn, found)
    held = await lock_people(conn, people_, also=[found.address_id])
    if await _whose(conn, found) != people_:
        raise Raced("the address was given to somebody, or taken, before it was locked")
    found = await find(conn, confirmation_id, now=now)  # a no may have come first
    if found is None or found.is_expired:
        return found, heed.Heeded()
    address = None if people_ else await _nobodys(conn, found)
    if (not people_ and address is None) or (found.details.replaces is not None and not await _is_known(conn, found)):
        return None, heed.Heeded()
    change_id = new_id("chg")
    taken = await conn.execute(
        update(confirmations)
        .where(confirmations.c.id == found.id, confirmations.c.confirmed_at.is_(None))
        .values(confirmed_at=now, change_id=change_id)
    )
    if taken.rowcount == 0:
        raise Raced("it was confirmed meanwhile")
    if address is not None:
        people_ = [await _make(conn, address, found.details, now)]
        changes = await _changes(conn, found, people_, how, change_id)
        return found, await heed.record(conn, changes, now=now)
    await _complete(conn, people_, found.details, now)
    if found.details.replaces is not None:
        return await _move(conn, found, people_[0], how, change_id, now)
    changes = await _changes(conn, found, people_, how, change_id)
    return found, await heed.record(conn, changes, now=now, held=held)


async def _move(
    conn: AsyncConnection, found: Question, profile_id: str, how: Mapping[str, Any], change_id: str, now: datetime
) -> tuple[Question, heed.Heeded]:
    """Let the address take the place of another of the person's; what they got there, they get here."""
    old = found.details.replaces or ""
    flags = (await reading.flags_of(conn, [profile_id]))[profile_id]
    said = _carried(flags, old, found)
    moved = await people.replace_address(conn, profile_id, old, found.address_id, now=now)
    changes = await _changes(conn, replace(found, wishes=said), [profile_id], how, change_id)
    heeded = await heed.record(conn, changes, now=now)
    return found, heed.Heeded(heeded.lines, heeded.closed | moved.closed)


def _carried(flags: Flags, old: str, found: Question) -> tuple[Wish, ...]:
    """The yes that held at the old address, on the same terms, said anew from the new one: that is not covered yet."""
    channel, everything = flags.get(Subject("channel", found.channel)), flags.get(EVERYTHING)
    is_closed = everything is not None and everything.state == "no"
    if channel is not None and channel.state == "yes" and (channel.opens or not is_closed):
        return (Wish(Subject("channel", found.channel), "yes", channel.basis, channel.expires_at),)
    own = flags.get(Subject("address", old))
    is_shut = is_closed or (channel is not None and channel.state == "no")
    if own is not None and own.state == "yes" and (own.opens or not is_shut):
        return (Wish(Subject("address", found.address_id), "yes", own.basis, own.expires_at),)
    return ()


async def _whose(conn: AsyncConnection, found: Question) -> list[str]:
    """Those it is about: everyone who has the address, or the one who asked, whoever that one has become."""
    having = (await holders(conn, [found.address_id])).get(found.address_id, [])
    if found.profile_id is None:
        return having
    for one in (found.profile_id, await merged_into(conn, found.profile_id)):
        # Who has lost the address since is not who reads what goes there.
        if one is not None and (one in having or (found.details.replaces and await records.exists(conn, one))):
            return [one]
    return []


async def _changes(
    conn: AsyncConnection, found: Question, ids: Sequence[str], how: Mapping[str, Any], change_id: str
) -> list[Change]:
    """One change for each person. A no to the very address would outlive the yes: this word comes from it."""
    own = Subject("address", found.address_id)
    opens = Wish(Subject("channel", found.channel), "yes") in found.wishes
    flags = await reading.flags_of(conn, ids)
    evidence = {**found.evidence, "confirmation_id": found.id, "asked_at": found.asked_at.isoformat()}
    unsaid = await _unsaid(conn, found)
    return [
        Change(
            profile_id=id_,
            change_id=change_id,
            wishes=(*found.wishes, *([Wish(own, "yes")] if opens and state_of(flags[id_], own) == "no" else [])),
            source="confirmation",
            actor="customer",
            address_id=found.address_id,
            evidence=evidence | {"confirmed": dict(how)},
            beside=unsaid,
        )
        for id_ in ids
    ]


async def _unsaid(conn: AsyncConnection, found: Question) -> tuple[Wish, ...]:
    """Other channels that a link would open: a question by text speaks of its own alone, and a YES opens no more."""
    if found.channel not in BY_TEXT or found.form_id is None:
        return ()
    linked = await reading.linked_preferences(conn)
    opened = {linked[one.subject.key] for one in found.wishes if one.to == "yes" and one.subject.key in linked}
    return tuple(Wish(Subject("channel", one), "yes") for one in sorted(opened - {found.channel}))


async def _nobodys(conn: AsyncConnection, found: Question) -> Address | None:
    """The address that nobody has; None where it was forgotten with whoever had it, or the one it is about is gone."""
    row = (await conn.execute(select(addresses).where(addresses.c.id == found.address_id))).one()
    if row.value is None or found.profile_id is not None:
        return None
    return Address(row.channel, row.value, row.hash)


async def _is_known(conn: AsyncConnection, found: Question) -> bool:
    """Whether the address was not forgotten meanwhile, with somebody else who had it."""
    return found.address_id in await links.by_ids(conn, [found.address_id])


async def _make(conn: AsyncConnection, address: Address, kept: Details, now: datetime) -> str:
    """A profile for somebody new."""
    draft = people.Draft(
        names=dict(kept.names) | {"locale": kept.locale},
        attributes=kept.attributes,
        tags=kept.tags,
        addresses=[people.Wanted(address, primary=True)],
    )
    return await people.create(conn, draft, now=now)


async def _complete(conn: AsyncConnection, ids: Sequence[str], kept: Details, now: datetime) -> None:
    """Keep the details of people who are there already; the caller has locked them."""
    await records.add_tags(conn, dict.fromkeys(ids, kept.tags))
    for one in await records.read(conn, ids):
        values: dict[str, Any] = {"locale": kept.locale} if kept.locale is not None and one.locale is None else {}
        if len(ids) == 1:
            values |= kept.names
            # What is too large is left: it must not keep the answer itself from being kept.
            with suppress(records.AttributesTooLarge):
                values |= {"attributes": records.merged(one.attributes, kept.attributes)} if kept.attributes else {}
        if values:
            await records.change(conn, one.id, values, now=now)


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
