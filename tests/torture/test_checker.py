"""The test of the checker: a violation of each promise is planted and must be found; a healthy record has none."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from store.engine import Database
from store.tables import attempts, consent_states, deliveries, messages, receipts
from tests.acts import NOON, add_person, address_id, text_in
from tests.standins.twilio import Request
from tests.torture import checker
from tests.torture.records import Act, Control, Record, Replay, Send

ANA = "+14155550123"
TEXT = "Autumn: tonight at eight"


def request(at_ns: int, *, to: str = ANA, text: str = TEXT, tag: str = "att_1", sid: str | None = "SM1") -> Request:
    return Request(at_ns, to, "+14155550100", text, tag, {}, sid, "accepted")


def act(kind: Any, sent_ns: int, answered_ns: int, **more: Any) -> Act:
    return Act(ANA, kind, kind, f"SM{sent_ns}", sent_ns=sent_ns, answered_ns=answered_ns, **more)


def healthy() -> tuple[Record, list[Request]]:
    """Sent to, STOP, START, sent to again, a broadcast paused and resumed; all as it should be."""
    record = Record(
        acts=[act("start", 1, 2), act("stop", 10, 20), act("start", 30, 40)],
        replays=[Replay("SM1", b"<Response/>", b"<Response/>")],
        sends=[
            Send(TEXT, "broadcast", "brd_1", controls=[Control("pause", 50, 60), Control("resume", 70, 80)]),
            Send("Winter", "broadcast", "brd_2"),
            Send("Your ticket", "transactional", "msg_1"),
        ],
    )
    journal = [
        request(19),  # after the STOP was sent, before it was answered
        request(35, text="Winter", tag="att_2"),
        request(90, text=TEXT, to="+14155550124", tag="att_3"),
        request(91, text="Your ticket", tag="att_4"),
        request(95, text="Your ticket", tag="att_4", sid="SM2"),
    ]
    return record, journal


def test_of_a_healthy_record_nothing_is_said() -> None:
    assert list(checker.of_logs(*healthy())) == []


def test_i2_a_request_after_the_stop_was_answered_is_found() -> None:
    record, journal = healthy()
    [found] = checker.of_logs(record, [*journal, request(25, text="Spring", sid=None)])
    assert found.startswith(f"I2: 'Spring' to {ANA} began")


def test_i2_the_same_after_the_next_start_was_sent_is_none() -> None:
    record, journal = healthy()
    assert list(checker.of_logs(record, [*journal, request(31, text="Spring")])) == []


def test_i2_a_request_for_the_other_number_of_who_stopped_is_found_unless_it_is_a_ticket() -> None:
    record, journal = healthy()
    record.second = {ANA: "+14155550129"}
    [found] = checker.of_logs(record, [*journal, request(25, to="+14155550129", text="Spring")])
    assert found.startswith("I2: 'Spring' to +14155550129 began")
    assert (
        list(checker.of_logs(record, [*journal, request(25, to="+14155550129", text="Your ticket", tag="att_4")])) == []
    )


def test_i2_a_request_of_a_paused_broadcast_is_found() -> None:
    record, journal = healthy()
    [found] = checker.of_logs(record, [*journal, request(65, to="+14155550125")])
    assert found.startswith("I2: 'Autumn: tonight at eight'")
    assert found.endswith("after its pause")


def test_i2_a_request_of_a_cancelled_broadcast_is_found_also_after_a_resume() -> None:
    record, journal = healthy()
    record.sends[1].controls = [Control("cancel", 40, 45), Control("resume", 46, 0)]
    [found] = checker.of_logs(record, [*journal, request(65, text="Winter", to="+14155550125")])
    assert found.endswith("after its cancel")


def test_i3_a_second_acceptance_is_found() -> None:
    record, journal = healthy()
    [found] = checker.of_logs(record, [*journal, request(95, tag="att_9")])
    assert found.startswith("I3: 'Autumn: tonight at eight' was accepted 2 times")


def test_i3_what_was_refused_may_be_tried_again() -> None:
    record, journal = healthy()
    assert list(checker.of_logs(record, [*journal, request(95, tag="att_9", sid=None)])) == []


def test_i3_a_transactional_message_four_times_or_under_another_tag_is_found() -> None:
    record, journal = healthy()
    more = [request(at, text="Your ticket", tag="att_4", sid=f"SM{at}") for at in (96, 97)]
    [found] = checker.of_logs(record, journal + more)
    assert found.startswith("I3: 'Your ticket' was accepted 4 times")
    [found] = checker.of_logs(record, [*journal[:-1], replace(journal[-1], tag="att_5")])
    assert found.startswith("I3: 'Your ticket' to +14155550123 was repeated under other tags")


def test_i6_another_answer_to_a_replay_is_found() -> None:
    record, journal = healthy()
    record.replays.append(Replay("SM10", b"<Response/>", b"<Response><Message>Hello"))
    [found] = checker.of_logs(record, journal)
    assert found.startswith("I6: SM10 was answered")


def test_i5_what_was_acknowledged_and_is_gone_is_found() -> None:
    record, _ = healthy()
    kept: dict[str, tuple[int, str | None]] = {"SM1": (1, "chg_1"), "SM10": (1, "chg_2"), "SM30": (1, "chg_3")}
    changes, known = {"chg_1", "chg_2", "chg_3"}, {"brd_1", "brd_2", "msg_1"}
    assert list(checker.not_kept(record, kept, changes, known)) == []
    [lost] = checker.not_kept(record, {k: v for k, v in kept.items() if k != "SM10"}, changes, known)
    assert lost == f"I5: stop from {ANA} (SM10) was acknowledged and is gone"
    [lost] = checker.not_kept(record, kept, changes - {"chg_2"}, known)
    assert lost == f"I5: stop from {ANA} (SM10) was acknowledged and is not in the history"
    [lost] = checker.not_kept(record, kept, changes, known - {"brd_2"})
    assert lost == "I5: broadcast brd_2 was acknowledged and is gone"
    [twice] = checker.not_kept(record, kept | {"SM1": (2, "chg_1")}, changes, known)
    assert twice == "I6: SM1 was kept 2 times"


def test_i4_what_the_provider_took_and_the_books_deny_is_found() -> None:
    _, journal = healthy()
    books = {f"att_{n}": ("accepted", "delivered", "marketing") for n in (1, 2, 3, 4)}
    assert list(checker.not_owned_up_to(journal, books)) == list(checker.unlike_what_was_taken(journal, books)) == []
    [denied] = checker.not_owned_up_to(journal, books | {"att_2": ("not_sent", "queued", "marketing")})
    assert denied.endswith("its attempt att_2 is not_sent")
    [denied] = checker.unlike_what_was_taken(journal, books | {"att_2": ("in_doubt", "skipped", "marketing")})
    assert denied == "I4: the provider took att_2, but its delivery is skipped"
    [made_up] = checker.unlike_what_was_taken(journal, books | {"att_7": ("accepted", "sent", "marketing")})
    assert made_up == "I4: att_7 is accepted in the books, but the provider never took it"


def test_i4_who_is_not_sent_to_for_a_reason_that_nobody_knows_is_found() -> None:
    record, journal = healthy()
    record.silent = frozenset({ANA})
    record.sends[1].controls = [Control("cancel", 40, 45)]

    def end(
        status: str, reason: str | None = None, *, to: str = ANA, tag: str = "att_8", of: str = "brd_1"
    ) -> list[str]:
        last = [checker.End("msg_1", of, to, status, reason, frozenset({tag}))]
        return [*checker.unexplained(last, record, journal), *checker.in_doubt_still(last, journal)]

    assert end("accepted") == end("cancelled", of="brd_2") == end("in_doubt") == []
    assert end("skipped", "opted_out_channel", to="+14155550124") == []
    assert end("skipped", "frequency_capped", to="+14155550124")[0].endswith(
        "frequency_capped, of which there is none here"
    )
    assert end("skipped", "not_opted_in")[0].endswith("who said yes and never no, was skipped as not_opted_in")
    assert end("cancelled")[0].endswith("nobody had asked for it")
    assert end("failed")[0].endswith("the provider never refused it")
    assert end("in_doubt", tag="att_4") == [f"msg_1 to {ANA} is in_doubt, and the provider has it"]
    journal.append(replace(request(99, tag="att_8", sid=None), answered="error 21211"))
    assert end("failed") == end("skipped", "undeliverable") == []


def test_i8_flags_unlike_the_last_word_are_found() -> None:
    record, _ = healthy()
    holders = {("sms", ANA): [("pro_1", "adr_1")]}
    flags = {("pro_1", "channel", "sms"): "yes", ("pro_1", "address", "adr_1"): "yes"}
    assert list(checker.unlike_what_was_said(record, holders, flags)) == []
    found = list(checker.unlike_what_was_said(record, holders, flags | {("pro_1", "address", "adr_1"): "no"}))
    assert found == [f"I8: {ANA} said yes, but address sms of pro_1 is no"]
    assert list(checker.unlike_what_was_said(record, {}, flags)) == [f"I5: nobody has {ANA}, which said yes to sms"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_i8_by_the_providers_times_the_last_word_is_the_same_in_every_order_and_a_tie_is_no(order: Any) -> None:
    said = [
        act("start", 1, 2, channel="whatsapp", said_at=NOON),
        act("stop", 3, 4, channel="whatsapp", said_at=NOON),
        act("start", 5, 6, channel="whatsapp", said_at=NOON - timedelta(seconds=1)),
    ]
    assert checker.said_last([said[n] for n in order]) == {("whatsapp", ANA): "no"}


# --- planted into real books --------------------------------------------------------------------


async def books(database: Database) -> Record:
    """Ana has said START and then STOP, and both were kept as messages."""
    ana = await add_person(database, f"sms:{ANA}")
    changes = []
    for kind, to, at in (("start", "yes", NOON), ("stop", "no", NOON + timedelta(minutes=1))):
        heeded = await text_in(database, f"sms:{ANA}", to, now=at)  # type: ignore[arg-type]
        changes.append((kind, heeded.lines[0].event.change_id))
    record = Record()
    async with database.write() as conn:
        for place, (kind, change_id) in enumerate(changes, 1):
            record.acts.append(act(kind, place * 10, place * 10 + 5))
            common = {"account": "AC1", "provider_id": f"SM{place * 10}"}
            told = {"connection": "sms", "channel": "sms", "sender": ANA, "receiver": "+1", "body": kind, "fields": {}}
            row = common | told | {"id": f"msg_{place}", "profile_id": ana, "change_id": change_id, "created_at": NOON}
            await conn.execute(insert(messages), [row])
            receipt = {"message_id": f"msg_{place}", "content_type": "text/xml", "answer": b"", "received_at": NOON}
            await conn.execute(insert(receipts), [common | receipt])
    return record


async def test_of_healthy_books_nothing_is_said(database: Database) -> None:
    record = await books(database)
    assert await checker.of_books(database, record, []) == []
    assert await checker.of_the_end(database, record, []) == []


async def test_a_message_that_is_gone_is_found_in_the_books(database: Database) -> None:
    record = await books(database)
    async with database.write() as conn:
        await conn.execute(delete(messages).where(messages.c.id == "msg_2"))
    found = await checker.of_books(database, record, [])
    assert f"I5: stop from {ANA} (SM20) was acknowledged and is gone" in found


async def test_a_flag_that_was_turned_is_found_in_the_books(database: Database) -> None:
    record = await books(database)
    async with database.write() as conn:
        await conn.execute(update(consent_states).where(consent_states.c.kind == "channel").values(state="yes"))
    found = await checker.of_books(database, record, [])
    assert {sentence[:4] for sentence in found} == {"I11:", "I8: "}
    [last] = await checker.of_the_end(database, record, [])
    assert last.startswith(f"I8: {ANA} said no, but channel sms")


async def test_a_claim_after_an_opt_out_is_found_in_the_books(database: Database) -> None:
    record = await books(database)
    async with database.write() as conn:
        profile_id = (await conn.execute(select(func.max(consent_states.c.profile_id)))).scalar_one()
        whom = {"profile_id": profile_id, "address_id": await address_id(database, f"sms:{ANA}"), "channel": "sms"}
        await conn.execute(
            insert(deliveries),
            [whom | {"id": "dlv_1", "connection": "sms", "class": "marketing", "priority": 1, "status": "accepted",
                     "due_at": NOON, "created_at": NOON, "updated_at": NOON}],
        )  # fmt: skip
        await conn.execute(
            insert(attempts),
            [whom | {"id": "att_1", "delivery_id": "dlv_1", "class": "marketing", "consent_version": 1_000,
                     "state": "accepted", "owner": "dsp_1", "at": NOON}],
        )  # fmt: skip
    found = await checker.of_books(database, record, [request(25)])
    assert [sentence[:3] for sentence in found] == ["I1:"]
