"""A submission carried out: what is known of the address, what that comes to, and the doing of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

import structlog
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds, preferences, reading
from consent.states import Change, Flags, Subject, Wish, has_ended
from content import languages
from forms.catalogue import Shown
from forms.decision import Holder, Known, Plan, decide, wishes_of
from forms.submission import Submission
from outbox import confirmations, heed, people, questions
from outbox.confirmations import BY_TEXT, Details, Wanted
from outbox.heed import Heeded
from outbox.questions import Asking
from profiles import links, merges, records
from profiles.addresses import Address, AddressBook
from store.engine import Raced
from store.ids import new_id
from store.locks import Links, lock_people, lock_profiles
from store.tables import form_versions, profile_addresses, profiles

log = structlog.get_logger("forms")

# What came of it. opted_out: a no was kept, and no yes; asked_before: nothing was sent, since the mailbox was asked
# lately; gone: the form is. Earlier rows say opted_in for opted_out as well.
Outcome = Literal[
    "opted_in", "opted_in_and_asked", "opted_out", "opted_out_and_asked", "asked", "asked_before", "nothing", "gone"
]


@dataclass(frozen=True, slots=True)
class Office:
    """What the carrying out needs of the house."""

    book: AddressBook
    organisation: str
    connections: Mapping[str, str]  # by channel: what questions go by, where the form names none
    confirm_link: Callable[[str], str]
    preselected_counts: bool = False


@dataclass(frozen=True, slots=True)
class Done:
    outcome: Outcome
    heeded: Heeded = field(default_factory=Heeded)
    asked: bool = False  # something waits to be sent


@dataclass(frozen=True, slots=True)
class _Case:
    """A submission with all that it is carried out by."""

    sent: Submission
    form: Shown
    address: Address
    known: Known
    held: Links  # who has the address, and all that they have; locked
    office: Office
    now: datetime

    def changes(self, of: Mapping[str, tuple[Wish, ...]], said: Sequence[Wish] = ()) -> list[Change]:
        """One change for each person, all of one act; what was `said` besides no effect of it touches.

        It opens no other channel by a link: somebody typed one address, and speaks for no other.
        """
        change_id, evidence = new_id("chg"), evidence_of(self.form, self.sent)
        return [
            Change(
                profile_id=profile_id,
                change_id=change_id,
                wishes=wishes,
                source="form",
                actor="customer",
                address_id=self.known.address_id,
                received_at=self.sent.at,
                evidence=evidence,
                beside=tuple(wish for wish in said if wish not in wishes),
                opens_only=frozenset({self.form.channel}),
            )
            for profile_id, wishes in sorted(of.items())
        ]


async def carry_out(conn: AsyncConnection, sent: Submission, office: Office, *, now: datetime) -> Done:
    """Do what a submission comes to, in the caller's transaction. Raises store.engine.Raced."""
    form = await _form(conn, sent)
    if form is None:
        return Done("gone")
    there = await preferences.still_there(conn, sent.answers)
    address = office.book.proved(sent.channel, sent.address)
    known, held = await _look(conn, office.book, address, form, now=now)
    if sent.profile_id is not None:  # who has become another since it was sent in
        sent = replace(sent, profile_id=await merges.merged_into(conn, sent.profile_id) or sent.profile_id)
    case = _Case(sent, form, address, known, held, office, now)
    # What is gone since it was shown nobody can say yes to; the proof still says what was ticked.
    left = form.model_copy(update={"preferences": tuple(box for box in form.preferences if box.id in there)})
    plan = decide(left, sent, known, preselected_counts=office.preselected_counts, now=now)
    await _take_back(conn, wishes_of(left, sent, preselected_counts=office.preselected_counts), case)
    heeded = await _let_stand(conn, plan, case)
    asked = plan.ask is not None and await _ask(conn, plan.ask, plan.details, case)
    if not asked and not known.holders and plan.make is None:
        await confirmations.forget_unasked(conn, [known.address_id])  # anybody may have typed it
    return Done(_outcome(plan, asked), heeded, asked)


def evidence_of(form: Shown, sent: Submission) -> dict[str, Any]:
    """What was shown, in its words, and what was done with it; where, and by whom, as far as that is known."""
    return {
        "wording": form.confirmation_message,
        "button": form.button_text,
        "language": sent.language,
        "preferences": [
            {
                "id": box.id,
                "text": box.text,
                "as": box.shown_as,
                "answer": sent.answers[box.id],
                "preselected": box.selected and not sent.is_filled_in,
                "untouched": box.id in sent.untouched,
            }
            for box in form.preferences
            if box.id in sent.answers
        ],
        "terms": form.terms_version,
        **sent.evidence,
        "form_id": sent.form_id,
        "version": sent.version,
    }


async def _form(conn: AsyncConnection, sent: Submission) -> Shown | None:
    """The version that was shown; None where the form is deleted since."""
    found = select(form_versions.c.body).where(
        form_versions.c.form_id == sent.form_id, form_versions.c.version == sent.version
    )
    body = (await conn.execute(found)).scalar_one_or_none()
    return Shown.model_validate(body) if body is not None else None


# --- what is known ----------------------------------------------------------------------------


async def _look(
    conn: AsyncConnection, book: AddressBook, address: Address, form: Shown, *, now: datetime
) -> tuple[Known, Links]:
    """What is known of the address; whoever has it is locked, and so is the address itself.

    A no that was said at the plain spelling of the mailbox counts: else it would be passed by with ever other ones. So
    does one at the same number on the other channel that questions go by, where no yes here says otherwise.
    """
    found = await links.find_addresses(conn, [address.hash])
    ids = (await links.holders(conn, found.values())).get(found.get(address.hash, ""), [])
    await lock_profiles(conn, ids)
    address_id = (await links.ensure_addresses(conn, [address], now=now, lock=False))[address.hash]
    held = await lock_people(conn, ids, also=[address_id])
    if (await links.holders(conn, [address_id])).get(address_id, []) != ids:
        raise Raced("the address was given to somebody, or taken, before it was locked")
    await links.restore_values(conn, [address])
    holders = await _holders(conn, address_id, form.channel, held, now=now)
    same = list(book.plainly(address))
    if not any(holder.is_covered for holder in holders):
        same += [one for one in book.elsewhere(address) if one.channel in BY_TEXT]
    reached = {address_id, *(await links.find_addresses(conn, [one.hash for one in same])).values()}
    return (
        Known(
            address_id,
            holders,
            at_no=bool(await holds.at_no(conn, reached, by="any")),
            links=await reading.linked_preferences(conn),
        ),
        held,
    )


async def _holders(
    conn: AsyncConnection, address_id: str, channel: str, held: Links, *, now: datetime
) -> tuple[Holder, ...]:
    if not held:
        return ()
    suppressed = await reading.suppressed(conn, [address_id])
    found = await reading.people(conn, held, named=[address_id], suppressed=suppressed)
    has = profile_addresses.c
    times = await conn.execute(
        select(has.profile_id, has.since, profiles.c.created_at)
        .join(profiles, profiles.c.id == has.profile_id)
        .where(has.address_id == address_id)
    )
    since = {row.profile_id: (row.since, row.created_at) for row in times}
    return tuple(
        Holder(
            one.id,
            found[one.id],
            _is_covered(found[one.id].flags, channel, *since[one.id], now=now),
            {"first_name": one.first_name, "last_name": one.last_name},
            one.attributes,
            frozenset(one.tags),
        )
        for one in await records.read(conn, sorted(held))
    )


def _is_covered(flags: Flags, channel: str, since: datetime, made_at: datetime, *, now: datetime) -> bool:
    """As rows 10 and 11 of the verdict have it."""
    flag = flags.get(Subject("channel", channel))
    if flag is None or flag.state != "yes":
        return False
    return (since <= flag.at or since <= made_at) and not has_ended(flag, now)


# --- what is done -----------------------------------------------------------------------------


async def _take_back(conn: AsyncConnection, wishes: Sequence[Wish], case: _Case) -> None:
    """What whoever came by a link of their own says no to is asked no more, also where it stands already."""
    owner = case.sent.profile_id
    if owner in case.held:
        refused = {wish.subject for wish in wishes if wish.to == "no"}
        await confirmations.take_back(conn, owner, refused, now=case.now)


async def _let_stand(conn: AsyncConnection, plan: Plan, case: _Case) -> Heeded:
    """What needs no confirmation."""
    if plan.make is not None:
        profile_id = await _make(conn, plan.details, case)
        return await heed.record(conn, case.changes({profile_id: plan.make}), now=case.now)
    if plan.tag:
        await records.add_tags(conn, dict.fromkeys(sorted(case.held), plan.tag))
    if not plan.now:
        return Heeded()
    return await heed.record(conn, case.changes(plan.now, plan.ask or ()), now=case.now, held=case.held)


async def _make(conn: AsyncConnection, details: Details, case: _Case) -> str:
    draft = people.Draft(
        names=dict(details.names) | {"locale": details.locale},
        attributes=details.attributes,
        tags=details.tags,
        addresses=[people.Wanted(case.address, primary=True)],
    )
    return await people.create(conn, draft, now=case.now)


async def _ask(conn: AsyncConnection, wishes: tuple[Wish, ...], details: Details, case: _Case) -> bool:
    """Ask the address about what waits; returns whether a question goes out."""
    form, known, office = case.form, case.known, case.office
    connection = form.connection or office.connections.get(form.channel)
    if connection is None:
        log.error("question.no_connection", why=form.channel)
        return False
    wanted = Wanted(
        address_id=known.address_id,
        channel=form.channel,
        wishes=wishes,
        evidence=evidence_of(form, case.sent),
        at=case.sent.at or case.now,
        details=details,
        form_id=case.sent.form_id,
        same_as=office.book.same_as(case.address),
        at_no=known.at_no,
    )
    asking = Asking(connection, office.organisation, office.confirm_link, languages.choose(case.sent.language))
    to = known.holders[0].profile_id if known.holders else None
    return await questions.ask(conn, wanted, asking, to=to, now=case.now) is not None


def _outcome(plan: Plan, asked: bool) -> Outcome:
    kept = [wish.to for wishes in (plan.make or (), *plan.now.values()) for wish in wishes]
    if kept and "yes" not in kept:
        return "opted_out_and_asked" if asked else "opted_out"
    if kept or plan.tag:
        return "opted_in_and_asked" if asked else "opted_in"
    if plan.ask is None:
        return "nothing"
    return "asked" if asked else "asked_before"
