"""What is to be done about some rows, and which are refused, before anything of them is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from audience import statements
from audience.columns import TOO_LARGE, Answer, Row
from audience.naming import Target
from audience.statements import Source
from consent import reading
from consent.states import Person, Refusal, Subject
from outbox.people import Draft, Wanted
from profiles import records
from profiles.addresses import AddressBook
from profiles.records import AttributesTooLarge, Profile
from store.engine import Raced

Aim = tuple[Row, Target]  # a row, and whom it means
Outcome = Literal["created", "updated", "unchanged", "refused"]
OUTCOMES: tuple[Outcome, ...] = ("created", "updated", "unchanged", "refused")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a row."""

    line: int
    outcome: Outcome
    profile_id: str | None = None
    code: str | None = None  # of a refusal, in one word
    reason: str | None = None

    @classmethod
    def failed(cls, row: Row, error: Exception) -> Result:
        """A row that the database does not take; the kind of error only, whose words may quote the row."""
        return cls(row.line, "refused", None, "failed", f"the database would not take it ({type(error).__name__})")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done about a row."""

    row: Row
    target: Target
    draft: Draft | None = None  # what is new of the person; None: nothing
    answers: Mapping[str, Sequence[Answer]] = field(default_factory=dict)  # by profile; "" is one to be made
    refused: Result | None = None


async def planned(
    conn: AsyncConnection,
    aims: Sequence[Aim],
    address_ids: Mapping[str, str],
    source: Source,
    book: AddressBook,
    *,
    gone: Mapping[str, str],
    now: datetime,
) -> list[Plan]:
    """A plan for each row; the caller holds the profiles that they mean. `address_ids` are those known, by hash.

    `gone`: preferences that were deleted since the first row was read, id → name.
    """
    known = sorted({one for _, target in aims for one in target.profile_ids})
    found = {profile.id: profile for profile in await records.read(conn, known)}
    if len(found) != len(known):
        raise Raced("somebody was deleted before they were locked")
    held = {one: [(a.address_id, a.channel) for a in profile.addresses] for one, profile in found.items()}
    persons = await reading.people(conn, held, suppressed={}, obtained=True)
    before = await statements.earlier(conn, known)
    preference_links = await reading.linked_preferences(conn)
    plans: list[Plan] = []
    for given, target in aims:
        row, missing = _without_gone(with_address_ids(given, address_ids), gone)
        if target.is_ambiguous:
            row = replace(row, answers=tuple(answer for answer in row.answers if answer.to == "no"))
        answers = {
            one: statements.new_answers(row, persons.get(one, Person({})), before.get(one, ()), source)
            for one in target.profile_ids or ("",)
        }
        if target.is_ambiguous:
            plans.append(Plan(row, target, None, answers, _of_several(row, target)))
            continue
        [(profile_id, new)] = answers.items()
        profile = found.get(profile_id)
        person = _as_it_will_be(persons.get(profile_id, Person({})), row, address_ids)
        changes = statements.changes(profile_id, row, new, source)
        refusal = statements.refused(person, changes, links=preference_links, now=now)
        if refusal is not None:
            plans.append(_without_its_yes(row, target, profile, new, refusal.why, _why(refusal)))
        elif any(answer.to == "yes" and not answer.is_shown for answer in new):
            plans.append(_without_its_yes(row, target, profile, new, "needs_evidence", _UNSHOWN))
        elif missing:
            why = f"consent.preference.{missing[0]}: the preference was deleted meanwhile"
            plans.append(_without_its_yes(row, target, profile, new, "preference_gone", why))
        else:
            try:
                draft = _new(row) if profile is None else _changed(row, profile, book)
            except AttributesTooLarge:
                plans.append(_without_its_yes(row, target, profile, new, "too_large", f"attributes: {TOO_LARGE}"))
            else:
                plans.append(Plan(row, target, draft, answers))
    return plans


def with_address_ids(row: Row, ids: Mapping[str, str]) -> Row:
    """A row whose answers name addresses by their ids, where they have one yet."""
    return replace(row, answers=tuple(with_address_id(answer, ids) for answer in row.answers))


def with_address_id(answer: Answer, ids: Mapping[str, str]) -> Answer:
    """An answer about an address by the address's id, where it has one yet."""
    if answer.subject.kind != "address" or answer.subject.key not in ids:
        return answer
    return replace(answer, subject=Subject("address", ids[answer.subject.key]))


def _as_it_will_be(person: Person, row: Row, ids: Mapping[str, str]) -> Person:
    """The person with the addresses of the row, as what is said of them will find it."""
    own = {ids.get(address.hash, address.hash): address.channel for address in row.addresses}
    addresses = dict(person.addresses) | own
    return replace(person, addresses=tuple(addresses.items()), channels={**person.channels, **addresses})


def _without_gone(row: Row, gone: Mapping[str, str]) -> tuple[Row, list[str]]:
    """The row without what it says of preferences that are gone, and their names."""
    is_gone = [answer for answer in row.answers if answer.subject.kind == "preference" and answer.subject.key in gone]
    left = tuple(answer for answer in row.answers if answer not in is_gone)
    return replace(row, answers=left), [gone[answer.subject.key] for answer in is_gone]


# --- who is refused ----------------------------------------------------------------------------


def _of_several(row: Row, target: Target) -> Result:
    why = "several people have these addresses: tell them apart by external_id"
    if row.profile_id in target.profile_ids:
        why = "its profile_id and its external_id are two people's"
    if row.answers:
        why += "; its no was taken for each of them"
    return Result(row.line, "refused", "|".join(target.profile_ids), "several_people", why)


_UNSHOWN = "a yes needs something that shows it: obtained_at, how or wording"


def _why(refusal: Refusal) -> str:
    subject = refusal.subject
    name = subject.key if subject.kind == "channel" else subject.kind
    if refusal.why == "needs_evidence":
        return f"{name}: the person said no; a yes needs obtained_at, later than that, and how"
    return f"{name}: the person said no, which cannot be set to not_asked"


def _without_its_yes(
    row: Row, target: Target, profile: Profile | None, answers: Sequence[Answer], code: str, why: str
) -> Plan:
    """A row that is refused: of somebody known its no is taken all the same, and nothing else of it."""
    noes = tuple(answer for answer in answers if answer.to == "no") if profile is not None else ()
    taken = "its no was taken, and nothing else" if noes else "nothing of the row was taken"
    profile_id = profile.id if profile is not None else None
    result = Result(row.line, "refused", profile_id, code, f"{why}; {taken}")
    return Plan(row, target, None, {profile_id: noes} if profile_id is not None and noes else {}, result)


# --- what is new of a person -------------------------------------------------------------------


def _new(row: Row) -> Draft:
    return Draft(row.names, row.attributes, row.tags, [Wanted(address) for address in row.addresses])


def _changed(row: Row, profile: Profile, book: AddressBook) -> Draft | None:
    """What the row adds to a profile or changes of it, attributes as they will be; None where that is nothing."""
    names = {name: value for name, value in row.names.items() if getattr(profile, name) != value}
    merged = records.merged(profile.attributes, row.attributes)
    attributes = merged if merged != profile.attributes else None
    tags = tuple(dict.fromkeys((*profile.tags, *row.tags))) if set(row.tags) - set(profile.tags) else None
    addresses = _rearranged(row, profile, book)
    if not names and attributes is None and tags is None and addresses is None:
        return None
    return Draft(names, attributes, tags, addresses)


def _rearranged(row: Row, profile: Profile, book: AddressBook) -> list[Wanted] | None:
    """The profile's addresses and the row's; its first of a channel, if new, is the primary one. None: no news."""
    held: dict[str, Wanted] = {}
    for one in profile.addresses:
        address = book.proved(one.channel, one.value)
        held[address.hash] = Wanted(address, one.primary)
    first: dict[str, str] = {}
    for address in row.addresses:
        first.setdefault(address.channel, address.hash)
    wanted = held | {a.hash: Wanted(a) for a in row.addresses if a.hash not in held}
    for digest, want in wanted.items():
        if first.get(want.address.channel, digest) not in held:
            wanted[digest] = Wanted(want.address, first[want.address.channel] == digest)
    return list(wanted.values()) if wanted != held else None
