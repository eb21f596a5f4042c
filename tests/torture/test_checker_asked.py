"""The test of the checker, on merges and batches: each violation is planted and must be found."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import delete, update

from gateway import audit
from outbox import merges
from store.engine import Database
from store.tables import evidence, profile_merges, profiles
from tests.acts import NOON, add_person, text_in
from tests.standins.twilio import Request
from tests.torture import checker, checker_asked
from tests.torture.checker_asked import Profiles
from tests.torture.persons import Doing, Standing, may
from tests.torture.records import Act, Batch, Item, Merge, Record, Send

ANA, BEN, CLEO = "+14155550123", "+14155550124", "+14155550125"


def act(number: str, kind: Any, sent_ns: int, answered_ns: int) -> Act:
    return Act(number, kind, kind, f"SM{sent_ns}", sent_ns=sent_ns, answered_ns=answered_ns)


def merge(sent_ns: int, answered_ns: int, *, numbers: tuple[str, str] = (ANA, BEN)) -> Merge:
    return Merge("merge-0", "pro_ana", "pro_ben", numbers, sent_ns=sent_ns, answered_ns=answered_ns)


def batch(sent_ns: int, answered_ns: int, to: Any = "no", *, status: int = 201) -> Batch:
    told = {"index": 0, "status": status, "profile": {"id": "pro_cleo"}, "problem": None}
    answer = json.dumps({"items": [told]}).encode() if answered_ns else b""
    item = Item(CLEO, "batch-0#0", to, {})
    return Batch("batch-0", [item], sent_ns=sent_ns, answered_ns=answered_ns, answer=answer)


# --- what was said, merges and batches included ------------------------------------------------


def begun(record: Record, at_ns: int, to: str, *, kind: str = "broadcast") -> list[str]:
    """What is found where a request begins then."""
    record.sends = [Send("Autumn", kind)]
    return list(checker.begun_after_a_no(record, [Request(at_ns, to, "+1", "Autumn", "att_1", {}, "SM1", "accepted")]))


@pytest.mark.parametrize("who_said_no", [ANA, BEN])
def test_i2_from_a_merges_answer_on_a_no_of_the_one_closes_the_others_number_for_marketing(who_said_no: str) -> None:
    other = BEN if who_said_no == ANA else ANA
    record = Record(acts=[act(who_said_no, "stop", 10, 20), act(other, "start", 10, 20)], merges=[merge(30, 40)])
    [found] = begun(record, 41, other)
    assert found.startswith(f"I2: 'Autumn' to {other} began")
    assert begun(record, 39, other) == begun(record, 41, other, kind="transactional") == []
    record.acts.append(act(other, "start", 50, 60))
    assert begun(record, 55, other) == []
    assert begun(record, 55, who_said_no) != [], "its own number is closed by its own STOP"


def test_i2_a_merge_that_was_not_answered_closes_nothing_and_a_stop_after_one_closes_both() -> None:
    record = Record(acts=[act(ANA, "stop", 10, 20)], merges=[merge(30, 0)])
    assert begun(record, 50, BEN) == []
    record = Record(acts=[act(ANA, "stop", 50, 60)], merges=[merge(30, 40)])
    assert begun(record, 55, BEN) == []
    assert begun(record, 65, BEN) != []


def test_i2_who_said_no_before_the_story_or_in_a_batch_is_not_sent_to() -> None:
    assert begun(Record(said_no=frozenset({ANA})), 1, ANA) != []
    record = Record(batches=[batch(10, 20)])
    assert begun(record, 15, CLEO) == []
    assert begun(record, 25, CLEO) != []
    record.batches.append(batch(30, 0, "yes"))
    assert begun(record, 35, CLEO) == []


@pytest.mark.parametrize(
    ("ana", "ben", "both"),
    [("stop", "start", "no"), ("start", "stop", "no"), ("start", "start", "yes"), ("start", "plain", None)],
)
def test_i8_of_two_who_are_one_every_no_wins_and_a_yes_stays_where_both_had_it(ana: Any, ben: Any, both: Any) -> None:
    record = Record(acts=[act(ANA, ana, 10, 20), act(BEN, ben, 10, 20)], merges=[merge(30, 40)])
    standing = Standing(record)
    assert [standing.states.get(number) for number in (ANA, BEN)] == [both, both]
    if both is not None:
        other = {"yes": "no", "no": "yes"}[both]
        holders, flags = {("sms", number): [("pro_ana", number)] for number in (ANA, BEN)}, {}
        for number, state in standing.numbers.items():
            flags["pro_ana", "address", number] = str(state)
        good, bad = ({**flags, ("pro_ana", "channel", "sms"): state} for state in (both, other))
        assert list(checker.unlike_what_was_said(record, holders, good)) == []
        assert len(list(checker.unlike_what_was_said(record, holders, bad))) == 2


def test_nobody_says_what_would_leave_a_doubt() -> None:
    def can(record: Record, number: str) -> set[Doing]:
        every: tuple[Doing, ...] = ("yes", "no", "merge")
        return {doing for doing in every if may(record, number, doing)}

    assert can(Record(acts=[act(ANA, "stop", 1, 2)], merges=[merge(3, 4)]), BEN) == {"yes", "no", "merge"}
    assert can(Record(acts=[act(ANA, "stop", 1, 0)]), ANA) == {"no", "merge"}
    assert can(Record(acts=[act(ANA, "start", 1, 0)]), BEN) == {"yes", "no", "merge"}
    assert can(Record(acts=[act(ANA, "start", 1, 0)], merges=[merge(3, 4)]), BEN) == set()
    assert can(Record(merges=[merge(3, 0)]), BEN) == {"no"}
    assert can(Record(batches=[batch(3, 0, "yes")]), CLEO) == set()


# --- what the books must hold ------------------------------------------------------------------

DONE = Profiles(
    there=frozenset({"pro_ana", "pro_cleo"}),
    became={"pro_ben": "pro_ana"},
    noted=Counter({("pro_ana", "pro_ben"): 1}),
    marked={"batch-0#0": ["pro_cleo"]},
    said=Counter({"batch-0#0": 1}),
)
BEFORE = Profiles(frozenset({"pro_ana", "pro_ben"}), {}, Counter(), {}, Counter())


def test_of_what_was_done_or_neither_answered_nor_done_nothing_is_said() -> None:
    for answered, books in ((40, DONE), (0, DONE), (0, BEFORE)):
        assert list(checker_asked.unlike_merges([merge(30, answered)], books)) == []
        assert list(checker_asked.unlike_batches([batch(10, answered)], books)) == []


def test_i5_a_merge_that_was_acknowledged_and_is_gone_or_half_done_is_found() -> None:
    [found] = checker_asked.unlike_merges([merge(30, 40)], BEFORE)
    assert found.endswith("was acknowledged and is gone")
    for half in (
        replace(DONE, became={}),
        replace(DONE, there=DONE.there | {"pro_ben"}),
        replace(DONE, noted=Counter()),
    ):
        [found] = checker_asked.unlike_merges([merge(30, 0)], half)
        assert found.endswith("is half done")


def test_i5_a_merged_profile_that_leads_to_somebody_else_or_to_one_who_is_one_with_another_is_found() -> None:
    elsewhere = replace(DONE, became={"pro_ben": "pro_cleo"})
    stopped_halfway = replace(DONE, became={"pro_ben": "pro_ana", "pro_ana": "pro_cleo"}, there=frozenset({"pro_cleo"}))
    for books in (elsewhere, stopped_halfway):
        [found] = checker_asked.unlike_merges([merge(30, 40)], books)
        assert found.endswith("who is not the survivor")


def test_i6_a_merge_that_was_done_twice_is_found() -> None:
    [found] = checker_asked.unlike_merges([merge(30, 0)], replace(DONE, noted=Counter({("pro_ana", "pro_ben"): 2})))
    assert found.startswith("I6: merge-0")


def test_i5_an_item_that_was_acknowledged_and_is_gone_refused_or_half_done_is_found() -> None:
    [found] = checker_asked.unlike_batches([batch(10, 20)], BEFORE)
    assert found == "I5: batch-0#0 of pro_cleo was acknowledged and is gone"
    [found] = checker_asked.unlike_batches([batch(10, 20, status=409)], DONE)
    assert found.startswith("I5: batch-0#0 was answered 409")
    [found] = checker_asked.unlike_batches([batch(10, 0)], replace(DONE, marked={}))
    assert found == "I5: batch-0#0 is half done"


def test_i5_an_item_is_looked_for_where_its_profile_is_now() -> None:
    moved = replace(DONE, marked={"batch-0#0": ["pro_ana"]})
    assert len(list(checker_asked.unlike_batches([batch(10, 20)], moved))) == 1
    assert list(checker_asked.unlike_batches([batch(10, 20)], replace(moved, became={"pro_cleo": "pro_ana"}))) == []


def test_i6_an_item_that_was_done_to_two_or_said_twice_is_found() -> None:
    for twice in (
        replace(DONE, marked={"batch-0#0": ["pro_cleo", "pro_ana"]}),
        replace(DONE, said=Counter({"batch-0#0": 2})),
    ):
        [found] = checker_asked.unlike_batches([batch(10, 0)], twice)
        assert found.startswith("I6: batch-0#0 was done to")


# --- planted into real books --------------------------------------------------------------------


async def books(database: Database) -> Record:
    """Ben, who has said no, has become Ana; Cleo was sent in a batch."""
    ana, ben, cleo = [await add_person(database, f"sms:{number}") for number in (ANA, BEN, CLEO)]
    await text_in(database, f"sms:{BEN}", "no")
    heeded = await text_in(database, f"sms:{CLEO}", "no")
    async with database.write() as conn:
        await merges.merge(conn, ana, ben, actor="key:crm", now=NOON)
        await audit.note(conn, "key:crm", "profile.merged", ana, {"from": ben}, now=NOON)
        await conn.execute(update(profiles).where(profiles.c.id == cleo).values(attributes={"batch-0#0": "kept"}))
        of_cleo = evidence.c.event_id == heeded.lines[0].event.id
        await conn.execute(update(evidence).where(of_cleo).values(body={"item": "batch-0#0"}))
    told = batch(10, 20)
    told.answer = told.answer.replace(b"pro_cleo", cleo.encode())
    return Record(merges=[replace(merge(30, 40), into=ana, gone=ben)], batches=[told])


async def test_what_is_gone_of_a_merge_or_an_item_is_found_in_the_books(database: Database) -> None:
    record = await books(database)
    async with database.write() as conn:
        assert await checker_asked.of_asked(conn, record) == []
        await conn.execute(delete(profile_merges))
        await conn.execute(update(profiles).values(attributes={}))
        found = await checker_asked.of_asked(conn, record)
    assert [sentence.rpartition(" ")[2] for sentence in found] == ["done", "done", "gone"]
    assert {sentence[:3] for sentence in found} == {"I5:"}


async def test_a_second_change_by_one_item_is_found_in_the_books(database: Database) -> None:
    record = await books(database)
    heeded = await text_in(database, f"sms:{CLEO}", "yes")
    async with database.write() as conn:
        of_it = evidence.c.event_id == heeded.lines[0].event.id
        await conn.execute(update(evidence).where(of_it).values(body={"item": "batch-0#0"}))
        [found] = await checker_asked.of_asked(conn, record)
    assert found.startswith("I6: batch-0#0")
