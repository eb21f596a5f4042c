"""The one writer: history and flags together, a chain that verifies, and every tampering found."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import chain, proof, reading
from consent.ledger import Refused
from consent.proof import Finding
from consent.states import SOURCES, Wish
from outbox import heed
from store.engine import Database
from store.ids import new_id
from store.tables import addresses, consent_chains, consent_events, consent_states, evidence
from store.types import UTCDateTime
from tests.acts import (
    NOON,
    about,
    add_person,
    address_id,
    change,
    flags,
    give_addresses,
    later,
    say,
    states,
    tampering,
    text_in,
)

MOBILE, MAILBOX, HOUSEHOLD = "sms:+14155550123", "email:ada@example.org", "sms:+14155550199"


async def findings(conn: AsyncConnection) -> list[Finding]:
    return [finding async for finding in proof.verify(conn)]


async def assert_proved(database: Database) -> None:
    """The chain verifies and the flags are its fold."""
    async with database.read() as conn:
        await proof.see_one_moment(conn)
        assert await findings(conn) == []
        assert [finding async for finding in proof.rebuild_check(conn)] == []


# --- what is recorded --------------------------------------------------------------------------


async def test_history_and_flags_are_written_together(database: Database) -> None:
    person = await add_person(database, MOBILE, MAILBOX)
    heeded = await text_in(database, MOBILE, "no", evidence={"text": "STOP"})
    number = await address_id(database, MOBILE)
    assert await states(database, person) == {"sms": "no", f"address:{number}": "no"}
    [line] = heeded.lines
    assert (line.event.subject, line.event.address_id) == (about("sms"), number)
    async with database.read() as conn:
        kept = select(evidence.c.event_id, evidence.c.body)
        assert [tuple(row) for row in await conn.execute(kept)] == [(line.event.id, {"text": "STOP"})]
    await assert_proved(database)


async def test_an_act_from_an_address_applies_to_every_profile_that_has_it(database: Database) -> None:
    people = [await add_person(database, HOUSEHOLD) for _ in range(3)]
    heeded = await text_in(database, HOUSEHOLD, "no")
    assert [line.event.profile_id for line in heeded.lines] == people
    assert len({line.event.change_id for line in heeded.lines}) == 1
    for person in people:
        assert (await states(database, person))["sms"] == "no"


async def test_an_act_on_a_profile_applies_to_that_one(database: Database) -> None:
    one, other = [await add_person(database, HOUSEHOLD) for _ in range(2)]
    await say(database, one, {"sms": "no"}, source="portal", actor="user:sadie")
    assert await states(database, one) == {"sms": "no"}
    assert await states(database, other) == {}


async def test_a_refused_change_leaves_nothing_behind(database: Database) -> None:
    person = await add_person(database, MOBILE, MAILBOX)
    await text_in(database, MOBILE, "no")
    before = await flags(database, person)
    with pytest.raises(Refused) as refused:
        await say(database, person, {"email": "yes", "sms": "yes"}, source="api", actor="key:crm")
    assert [(it.subject, it.why) for it in refused.value.refusals] == [(about("sms"), "needs_evidence")]
    assert await flags(database, person) == before
    await assert_proved(database)


async def test_several_changes_of_one_person_in_one_transaction_see_each_other(database: Database) -> None:
    person = await add_person(database, MOBILE)
    acts = [change(person, {"sms": to}) for to in ("yes", "no", "yes")]
    heeded = await database.transact(lambda conn: heed.record(conn, acts, now=NOON))
    assert [line.event.from_state for line in heeded.lines] == ["not_asked", "yes", "no"]
    assert not any(line.event.superseded for line in heeded.lines)  # one came after the other
    await assert_proved(database)


async def test_no_changes_are_no_lines(database: Database) -> None:
    heeded = await database.transact(lambda conn: heed.record(conn, [], now=NOON))
    assert heeded == heed.Heeded()


async def test_every_address_concerned_gets_the_seq_as_its_version(database: Database) -> None:
    one = await add_person(database, MOBILE, MAILBOX)
    await add_person(database, HOUSEHOLD)
    heeded = await say(database, one, {"email": "no", "sms": "no"}, source="portal", actor="user:sadie")
    async with database.read() as conn:
        rows = await conn.execute(select(addresses.c.id, addresses.c.version))
        versions = {row.id: row.version for row in rows}
    assert versions == {
        await address_id(database, MOBILE): heeded.lines[-1].seq,
        await address_id(database, MAILBOX): heeded.lines[-1].seq,
        await address_id(database, HOUSEHOLD): 0,
    }


async def test_an_act_from_an_address_that_has_left_gives_it_a_version_too(database: Database) -> None:
    person = await add_person(database, MOBILE, MAILBOX)
    mailbox = await address_id(database, MAILBOX)
    await give_addresses(database, person, MOBILE)
    heeded = await say(database, person, {"email": "no"}, source="unsubscribe_link", address_id=mailbox)
    async with database.read() as conn:
        version = (await conn.execute(select(addresses.c.version).where(addresses.c.id == mailbox))).scalar_one()
    assert version == heeded.lines[0].seq


async def test_what_is_said_of_an_address_that_has_left_folds_the_same(database: Database) -> None:
    person = await add_person(database, MOBILE, HOUSEHOLD)
    household = await address_id(database, HOUSEHOLD)
    await give_addresses(database, person, MOBILE)
    await say(database, person, {"sms": "no"})
    await say(database, person, {f"address:{household}": "yes"}, now=later())
    await assert_proved(database)


async def test_an_older_word_arriving_late_is_recorded_marked_superseded(database: Database) -> None:
    person = await add_person(database, MOBILE)
    await text_in(database, MOBILE, "no", now=NOON)
    heeded = await text_in(database, MOBILE, "yes", now=later(60), said_at=later(-60))
    assert heeded.lines[0].event.superseded
    assert set((await states(database, person)).values()) == {"no"}
    await assert_proved(database)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"obtained_at": NOON, "how": "a time as a value"},
        {"wording": "Je veux bien — 🎭", "preselected": ["a", "b"], "nested": {"b": 1, "a": [None, True]}},
        {"numbers": [1.0, 1e16, -0.0, 0.1, 1e-7, 2**70, 123456789.123456789]},
    ],
)
async def test_evidence_of_any_form_verifies(database: Database, body: dict[str, Any]) -> None:
    person = await add_person(database, MOBILE)
    await say(database, person, {"sms": "yes"}, evidence=body)
    async with database.read() as conn:
        kept = (await conn.execute(select(evidence.c.body))).scalar_one()
    assert kept == chain.plain(body)[0]
    await assert_proved(database)


# --- sequences ---------------------------------------------------------------------------------

NAMES = ["everything", "sms", "email", "mobile", "mailbox", "preference:prf_a", "preference:prf_b"]
ACTS = st.tuples(
    st.lists(
        st.tuples(
            st.sampled_from(NAMES),
            st.sampled_from(["yes", "no", "not_asked"]),
            st.one_of(st.none(), st.integers(1, 9).map(lambda days: NOON + timedelta(days=days))),
        ),
        min_size=1,
        max_size=3,
        unique_by=lambda wish: wish[0],
    ),
    st.sampled_from(sorted(SOURCES)),
    st.booleans(),
    st.one_of(st.none(), st.integers(-3000, 3000).map(lambda ms: NOON + timedelta(milliseconds=ms))),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTS, min_size=1, max_size=6))
async def test_any_sequence_of_acts_leaves_flags_equal_to_the_fold_and_a_chain_that_verifies(
    database: Database, acts: list[Any]
) -> None:
    person = await add_person(database, MOBILE, MAILBOX)
    known = {
        "mobile": f"address:{await address_id(database, MOBILE)}",
        "mailbox": f"address:{await address_id(database, MAILBOX)}",
    }
    for second, (wishes, source, with_address, said_at) in enumerate(acts):
        try:
            await say(
                database,
                person,
                [Wish(about(known.get(name, name)), to, None, expires) for name, to, expires in wishes],
                now=later(second),
                source=source,
                address_id=await address_id(database, MOBILE),
                with_address=with_address,
                said_at=said_at,
                evidence={"obtained_at": "2026-11-21T00:00:00+00:00", "how": "at the desk"},
            )
        except Refused:
            continue
    await assert_proved(database)


async def test_concurrent_changes_of_one_person_leave_a_chain_that_verifies(database: Database) -> None:
    person = await add_person(database, MOBILE, MAILBOX)
    await asyncio.gather(*(say(database, person, {"sms": "yes" if n % 2 else "no"}, now=later(n)) for n in range(30)))
    async with database.read() as conn:
        count, highest = (
            await conn.execute(select(func.count(), func.max(consent_events.c.position)).select_from(consent_events))
        ).one()
    assert (count, highest) == (30, 30)
    await assert_proved(database)


async def test_concurrent_changes_of_people_who_share_addresses_wait_for_each_other(database: Database) -> None:
    people = [await add_person(database, MOBILE, HOUSEHOLD) for _ in range(3)]
    await asyncio.gather(
        *(text_in(database, address, "no", now=later(n)) for n in range(5) for address in (MOBILE, HOUSEHOLD)),
        *(say(database, person, {"sms": "yes"}, now=later(n)) for n in range(5) for person in people),
    )
    await assert_proved(database)


# --- append-only -------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", ["UPDATE consent_events SET actor = 'nobody'", "DELETE FROM consent_events"])
async def test_the_history_refuses_update_and_delete(database: Database, statement: str) -> None:
    await say(database, await add_person(database, MOBILE), {"sms": "no"})
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.write() as conn:
            await conn.execute(text(statement))
    await assert_proved(database)


async def test_the_history_refuses_truncate(database: Database) -> None:
    if database.dialect == "sqlite":
        return  # which has no such statement
    with pytest.raises(DBAPIError, match="append-only"):
        async with database.write() as conn:
            await conn.execute(text("TRUNCATE consent_events"))


# --- tampering ---------------------------------------------------------------------------------


class Undo(Exception):
    """Planted, looked at, and taken back."""


class Archive:
    """A history of three people, to tamper with."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.people: list[str] = []
        self.lines: list[Any] = []  # rows of consent_events, by seq

    async def fill(self) -> Archive:
        for digit in range(3):
            number, mailbox = f"sms:+1415555010{digit}", f"email:person{digit}@example.org"
            person = await add_person(self.database, number, mailbox)
            self.people.append(person)
            await text_in(self.database, number, "no", evidence={"text": "STOP"}, said_at=later(-30))
            await text_in(self.database, number, "yes", now=later(60), evidence={"text": "START"})
            term = [Wish(about("email"), "yes", "implied", later(9999))]
            await say(self.database, person, term, now=later(90), source="portal", actor="user:sadie")
            await say(self.database, person, {"everything": "yes"}, now=later(120), evidence={"wording": "All of it"})
        async with self.database.read() as conn:
            self.lines = list((await conn.execute(select(consent_events).order_by(consent_events.c.seq))).all())
        return self

    def of(self, person: int) -> list[Any]:
        return [line for line in self.lines if line.profile_id == self.people[person]]

    async def found(self, *plants: Any) -> list[Finding]:
        """What the proof says of the history with this planted, which is then taken back."""
        result: list[Finding] = []
        with suppress(Undo):
            async with self.database.write() as conn:
                async with tampering(conn):
                    for plant in plants:
                        await conn.execute(plant)
                result = await findings(conn)
                raise Undo
        return result


@pytest.fixture
async def archive(database: Database) -> Archive:
    return await Archive(database).fill()


def altered(column: Any, value: Any) -> Any:
    """Another value for a column."""
    if isinstance(column.type, Boolean):
        return not value
    if isinstance(column.type, UTCDateTime):
        return (value or NOON) + timedelta(microseconds=1)
    return value + 1000 if isinstance(value, int) else f"{value or ''}x"


def where(line: Any) -> Any:
    return consent_events.c.seq == line.seq


async def test_an_archive_nobody_touched_verifies(archive: Archive) -> None:
    assert len(archive.lines) == 18
    assert await archive.found() == []
    await assert_proved(archive.database)


async def test_every_altered_field_of_every_line_is_found(archive: Archive) -> None:
    for line in archive.of(1):
        for column in consent_events.columns:
            value = altered(column, getattr(line, column.name))
            found = await archive.found(update(consent_events).where(where(line)).values({column: value}))
            assert found, (line.position, column.name)


async def test_a_field_that_was_emptied_is_found(archive: Archive) -> None:
    for line in archive.of(1):
        for column in consent_events.columns:
            if column.nullable and getattr(line, column.name) is not None:
                assert await archive.found(update(consent_events).where(where(line)).values({column: None}))


async def test_a_finding_names_the_profile_and_the_line(archive: Archive) -> None:
    line = archive.of(1)[2]
    [finding] = await archive.found(update(consent_events).where(where(line)).values(actor="user:mallory"))
    assert (finding.profile_id, finding.seq) == (archive.people[1], line.seq)
    assert str(finding) == f"line {line.seq} of {archive.people[1]} is not as it was written"


async def test_every_removed_line_is_found_the_last_one_included(archive: Archive) -> None:
    for line in archive.of(1):
        gone = delete(consent_events).where(where(line))
        proofless = delete(evidence).where(evidence.c.event_id == line.id)
        found = await archive.found(gone, proofless)
        assert archive.people[1] in {finding.profile_id for finding in found}, line.position


async def test_the_end_of_a_history_is_missed_though_its_head_was_set_back(archive: Archive) -> None:
    *_, before, last = archive.of(1)
    head = {"count": before.position, "head": before.hash}
    assert await archive.found(
        delete(consent_events).where(where(last)),
        delete(evidence).where(evidence.c.event_id == last.id),
        update(consent_chains).where(consent_chains.c.profile_id == archive.people[1]).values(head),
    )


async def test_a_whole_removed_history_is_missed_as_long_as_anything_refers_to_it(archive: Archive) -> None:
    person = archive.people[1]
    theirs = select(consent_events.c.id).where(consent_events.c.profile_id == person)
    removals = [
        delete(evidence).where(evidence.c.event_id.in_(theirs)),
        delete(consent_events).where(consent_events.c.profile_id == person),
        delete(consent_chains).where(consent_chains.c.profile_id == person),
        delete(consent_states).where(consent_states.c.profile_id == person),
    ]
    for some in (removals[1:2], removals[:2], removals[:3], removals):
        assert await archive.found(*some)


async def test_an_inserted_line_is_found(archive: Archive) -> None:
    last = archive.of(1)[-1]
    forged = dict(last._mapping) | {
        "seq": 9_000_000,
        "id": new_id("evt"),
        "position": last.position + 1,
        "previous_hash": last.hash,
    }
    hashed = chain.line_hash(
        reading.event_from(last), seq=9_000_000, position=last.position + 1, evidence="x", previous=last.hash
    )
    for values in (
        forged,
        forged | {"hash": hashed},
        forged | {"position": 0, "previous_hash": ""},
        forged | {"profile_id": "pro_nobody", "position": 1, "previous_hash": ""},
    ):
        assert await archive.found(insert(consent_events).values(values))


async def test_a_well_forged_last_line_is_found_by_the_head(archive: Archive) -> None:
    last = archive.of(1)[-1]
    values = dict(last._mapping) | {"seq": 9_000_000, "id": new_id("evt"), "position": last.position + 1}
    values |= {"previous_hash": last.hash, "evidence_hash": chain.evidence_hash("salt", {})}
    line = type("Row", (), values)
    digest = chain.line_hash(
        reading.event_from(line),  # type: ignore[arg-type]
        seq=9_000_000,
        position=values["position"],
        evidence=values["evidence_hash"],
        previous=last.hash,
    )
    [finding] = await archive.found(
        insert(consent_events).values(values | {"hash": digest}),
        insert(evidence).values(event_id=values["id"], salt="salt", body={}),
    )
    assert "head" in finding.sentence


async def test_swapped_lines_are_found(archive: Archive) -> None:
    one, other = archive.of(1)[:2]
    park = update(consent_events).where(where(one)).values(position=-1)
    assert await archive.found(
        park,
        update(consent_events).where(where(other)).values(position=one.position),
        update(consent_events).where(where(one)).values(position=other.position),
    )


async def test_an_altered_head_is_found(archive: Archive) -> None:
    of = consent_chains.c.profile_id == archive.people[1]
    assert await archive.found(update(consent_chains).where(of).values(count=consent_chains.c.count + 1))
    assert await archive.found(update(consent_chains).where(of).values(head="0" * 64))
    assert await archive.found(delete(consent_chains).where(of))
    assert await archive.found(insert(consent_chains).values(profile_id="pro_nobody", count=3, head="0" * 64))


async def test_altered_swapped_emptied_and_missing_evidence_is_found(archive: Archive) -> None:
    one, other = archive.of(1)[:2]

    def of(line: Any) -> Any:
        return evidence.c.event_id == line.id

    assert await archive.found(update(evidence).where(of(one)).values(body={"text": "START"}))
    assert await archive.found(update(evidence).where(of(one)).values(salt="0" * 32))
    assert await archive.found(delete(evidence).where(of(one)))
    assert await archive.found(update(evidence).where(of(one)).values(body=None, salt=None))
    assert await archive.found(update(evidence).where(of(one)).values(body={"text": "x"}, erased_at=NOON))
    assert await archive.found(
        update(evidence).where(of(one)).values(event_id="parked"),
        update(evidence).where(of(other)).values(event_id=one.id),
        update(evidence).where(evidence.c.event_id == "parked").values(event_id=other.id),
    )


async def test_erased_evidence_leaves_a_chain_that_verifies(archive: Archive) -> None:
    assert await archive.found(update(evidence).values(body=None, salt=None, erased_at=NOON)) == []


# --- rebuild -----------------------------------------------------------------------------------


async def test_rebuild_check_finds_every_flag_that_is_not_the_fold(archive: Archive) -> None:
    async def differences(plant: Any) -> list[Finding]:
        result: list[Finding] = []
        with suppress(Undo):
            async with archive.database.write() as conn:
                await conn.execute(plant)
                result = [finding async for finding in proof.rebuild_check(conn)]
                raise Undo
        return result

    of = (consent_states.c.profile_id == archive.people[1]) & (consent_states.c.key == "email")
    [finding] = await differences(update(consent_states).where(of).values(state="no"))
    assert finding.profile_id == archive.people[1]
    assert "channel email" in str(finding)
    assert "is no, but its history comes to yes" in str(finding)
    for plant in (
        delete(consent_states).where(of),
        update(consent_states).where(of).values(opens=True),
        update(consent_states).where(of).values(expires_at=NOON),
        update(consent_states).where(of).values(source="api"),
        update(consent_states).where(of).values(key="voice"),
        update(consent_states).where(of).values(profile_id="pro_nobody"),
    ):
        assert await differences(plant)


async def test_rebuild_makes_the_flags_the_fold_again(archive: Archive) -> None:
    before = [await flags(archive.database, person) for person in archive.people]
    async with archive.database.write() as conn:
        await conn.execute(delete(consent_states).where(consent_states.c.profile_id == archive.people[0]))
        await conn.execute(update(consent_states).where(consent_states.c.kind == "channel").values(state="no"))
        await conn.execute(update(consent_states).where(consent_states.c.key == "email").values(key="voice"))
    async with archive.database.write() as conn:
        assert await proof.rebuild(conn) > 0
    assert [await flags(archive.database, person) for person in archive.people] == before
    async with archive.database.write() as conn:
        assert await proof.rebuild(conn) == 0


async def test_the_proof_reads_in_pages(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proof, "PAGE", 2)
    await assert_proved(archive.database)
    last = archive.of(2)[-1]
    assert await archive.found(delete(consent_events).where(where(last)))
