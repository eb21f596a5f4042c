"""`optgate verify`: nothing to say of a healthy database, and a word for every violation that is planted."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update

from audience import lists
from audience.lists import Members
from audience.select import Audience
from broadcasts import plan, records
from broadcasts.records import Draft
from channels.sandbox import Sandbox
from channels.values import Accepted, Inbound, InDoubt, NotSent, Rejected
from consent import defaults, preferences
from consent.states import Wish
from gateway.verify import CHECKED, MOST, verify
from inbox import rulebook
from inbox.receive import Desk, receive
from outbox import claims, endings
from outbox.outcomes import Abandoned
from outbox.policy import Manner, Policy
from rules.builtin import PACKS
from store.engine import Database, DatabaseAway
from store.ids import new_id
from store.tables import (
    addresses,
    attempts,
    broadcasts,
    consent_chains,
    consent_events,
    consent_states,
    deliveries,
    evidence,
    messages,
    profile_addresses,
    profiles,
    receipts,
)
from tests.acts import (
    BOOK,
    NOON,
    about,
    add_person,
    address_id,
    give_addresses,
    later,
    remove_person,
    say,
    tampering,
    text_in,
)

MORNING = NOON - timedelta(hours=4)

POLICY = Policy(lambda address_id, *_: f"https://gw.example.org/u/{address_id}", {"main": Manner(rate=10_000)})


async def _kept(_: Any) -> None:
    return None


@dataclass
class House:
    """A gateway's day: people who text, broadcasts that were planned and sent."""

    database: Database
    at: datetime = NOON
    people: dict[str, str] = field(default_factory=dict)
    broadcasts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        adapter = Sandbox(name="main", channel="sms", keep=_kept)
        self.desk = Desk(book=BOOK, adapters={"main": adapter}, organisation="The Theatre")  # type: ignore[dict-item]
        self._ids = itertools.count()

    async def text(self, number: str, words: str, *, times: int = 1) -> None:
        message = Inbound(
            connection="main",
            channel="sms",
            account="sandbox:main",
            provider_id=f"SM{next(self._ids)}",
            sender=number,
            receiver="+12025550100",
            text=words,
        )
        self.at += timedelta(seconds=1)
        for _ in range(times):
            await self.database.transact(lambda conn: receive(conn, [message], desk=self.desk, now=self.at))

    async def plan(
        self, audience: Audience, members: Members | None = None, *, preference_id: str | None = None, size: int = 3
    ) -> str:
        parts = await lists.cut(members or {})
        self.at += timedelta(minutes=10)
        async with self.database.write() as conn:
            broadcast_id = await records.create(
                conn,
                Draft(
                    name="News",
                    routes=[{"channel": "sms", "connection": "main"}],
                    content={"body": "Hello"},
                    audience=audience,
                    preference_id=preference_id,
                ),
                parts=parts,
                created_by="key:test",
                now=self.at,
            )
        while await self.database.transact(lambda conn: plan.plan_chunk(conn, broadcast_id, now=self.at, size=size)):
            self.at += timedelta(seconds=1)
        self.broadcasts.append(broadcast_id)
        return broadcast_id

    async def claim(self) -> list[claims.Claim]:
        for _ in range(10):  # a claim on a machine that is busy may run out of its half second
            with suppress(DatabaseAway):
                found = await self.database.transact(
                    lambda conn: claims.claim(
                        conn, "main", limit=100, bulk=100, owner="dsp_1", policy=POLICY, now=self.at
                    )
                )
                return found.claims
        raise AssertionError("no claim in half a second")

    async def send(self, *outcomes: Any) -> None:
        """Claim what is due, and let each end as told, over and over."""
        ends = itertools.cycle(outcomes or [Accepted("SM1")])
        ended = [endings.Ending(claim, next(ends), "main") for claim in await self.claim()]
        self.at += timedelta(seconds=1)
        await self.database.transact(lambda conn: endings.record(conn, ended, now=self.at))

    async def finish(self) -> None:
        async with self.database.write() as conn:
            await records.finish(conn, now=self.at)

    async def plant(self, *statements: Any) -> list[str]:
        """What verify says once these statements were run behind our back."""
        async with self.database.write() as conn, tampering(conn):
            for statement in statements:
                await conn.execute(statement)
        return [str(violation) for violation in await verify(self.database)]

    async def one(self, statement: Any) -> Any:
        async with self.database.read() as conn:
            return (await conn.execute(statement.limit(1))).one()


def everyone(house: House) -> tuple[Audience, Members]:
    members = dict.fromkeys(house.people.values())
    return Audience.listed("profiles", members), members


@pytest.fixture
async def house(database: Database) -> House:
    house = House(database)
    async with database.write() as conn:
        await rulebook.refresh_builtin(conn, PACKS, now=MORNING)
        await defaults.change(conn, {"sms": "no"}, actor="system", now=MORNING)
    for n, name in enumerate(["ada", "bob", "cyd", "dee", "eve", "fay"]):
        house.people[name] = await add_person(database, f"sms:+1415555010{n}", f"email:{name}@example.org", now=MORNING)
    for n in range(5):
        await house.text(f"+1415555010{n}", "START", times=n % 3 + 1)
    await house.text("+14155550103", "Stop please", times=2)
    await house.text("+14155550177", "STOP")  # somebody new
    await house.text("60600", "STOP")  # no person
    await house.text("+14155550101", "What time does it begin?")
    return house


@pytest.fixture
async def day(house: House) -> House:
    """All of a day, well ended."""
    theatre = await preferences_of(house)
    await house.plan(Audience("all"))
    await house.send(Accepted("SM1"), InDoubt("time-out"), NotSent("refused"), Abandoned())
    house.at += timedelta(minutes=1)
    await house.send(Rejected("21610", "opted out", opted_out=True), Accepted("SM2"))
    await house.plan(*everyone(house), preference_id=theatre)
    await house.send()
    asked = [BOOK.parse("sms", number) for number in ("+14155550100", "+14155550102", "+14155550188")]
    members = {address.hash: address.value for address in asked}
    await house.plan(Audience.listed("addresses", members), members)
    await house.send(Accepted("SM3"))
    await house.finish()
    return house


async def preferences_of(house: House) -> str:
    async with house.database.write() as conn:
        theatre = (await preferences.create(conn, name="theatre", now=MORNING)).id
    await say(house.database, house.people["ada"], {f"preference:{theatre}": "yes"}, now=house.at, source="form")
    return theatre


# --- health ------------------------------------------------------------------------------------


async def test_of_a_healthy_database_there_is_nothing_to_say(day: House) -> None:
    assert [str(violation) for violation in await verify(day.database)] == []
    async with day.database.read() as conn:
        counts = await conn.execute(select(attempts.c.state, func.count()).group_by(attempts.c.state))
        states = {row[0]: row[1] for row in counts}
        done = (await conn.execute(select(func.count()).where(broadcasts.c.status == "done"))).scalar_one()
    assert states.keys() == {"accepted", "in_doubt", "not_sent", "abandoned", "rejected"}  # it has seen something
    assert done == 3


async def test_of_a_day_under_way_there_is_nothing_to_say(house: House) -> None:
    await house.plan(Audience("all"))
    await house.claim()
    await house.text("+14155550100", "STOP")  # what was begun before the word is no violation
    await house.text("+14155550101", "STOP")
    assert await verify(house.database) == []


async def test_what_was_claimed_before_an_opt_out_stays_right_after_it(day: House) -> None:
    for n in range(6):
        await day.text(f"+1415555010{n}", "STOP")
    for name in ("ada", "bob"):
        await remove_person(day.database, day.people[name], now=day.at)
    await give_addresses(day.database, day.people["cyd"], "sms:+14155550166", now=day.at)
    await say(day.database, day.people["cyd"], {"everything": "no"}, now=later(60, than=day.at))
    assert [str(violation) for violation in await verify(day.database)] == []


async def test_a_new_database_is_healthy(database: Database) -> None:
    assert await verify(database) == []


async def test_every_claim_is_in_plain_words() -> None:
    assert list(CHECKED) == ["I1", "I3", "I4", "I6", "I10", "I11"]
    assert all(CHECKED.values())


# --- I1 ----------------------------------------------------------------------------------------


async def attempt_of(house: House, name: str, **values: Any) -> Any:
    """An attempt to send marketing to somebody, as if the verdict had not been asked."""
    link = await house.one(
        select(profile_addresses).where(
            profile_addresses.c.profile_id == house.people[name], profile_addresses.c.channel == "sms"
        )
    )
    async with house.database.read() as conn:
        version = (await conn.execute(select(func.max(consent_events.c.seq)))).scalar_one()
    return insert(attempts).values(
        {
            "id": new_id("att"),
            "delivery_id": "msg_planted",
            "profile_id": link.profile_id,
            "address_id": link.address_id,
            "channel": "sms",
            "class": "marketing",
            "consent_version": version,
            "state": "accepted",
            "owner": "dsp_1",
            "at": house.at,
        }
        | values
    )


@pytest.mark.parametrize(
    ("wishes", "says"),
    [
        ({"everything": "no"}, "said no to everything"),
        ({"sms": "no"}, "said no to channel sms"),
        ({"address": "no"}, "said no to the address"),
        ({"sms": "not_asked"}, "nobody had said yes"),
    ],
)
async def test_an_attempt_after_an_opt_out_is_a_violation_of_i1(
    house: House, wishes: dict[str, Any], says: str
) -> None:
    ada, number = house.people["ada"], await address_id(house.database, "sms:+14155550100")
    wishes = {name.replace("address", f"address:{number}"): to for name, to in wishes.items()}
    await say(house.database, ada, wishes, now=house.at, source="preference_centre")
    if "sms" in wishes:  # and what START had said of the address
        await say(house.database, ada, {f"address:{number}": "not_asked"}, now=house.at, source="preference_centre")
    before = await house.one(
        select(func.min(consent_events.c.seq).label("seq")).where(consent_events.c.profile_id == ada)
    )
    assert await house.plant(await attempt_of(house, "ada", consent_version=before.seq)) == []
    [violation] = await house.plant(await attempt_of(house, "ada"))
    assert violation.startswith("I1: attempt att_")
    assert says in violation
    assert ada in violation


async def test_what_was_abandoned_or_transactional_is_none(house: House) -> None:
    await say(house.database, house.people["ada"], {"everything": "no"}, now=house.at)
    assert await house.plant(await attempt_of(house, "ada", state="abandoned")) == []
    assert await house.plant(await attempt_of(house, "ada", **{"class": "transactional"})) == []


async def test_an_attempt_to_an_address_that_another_of_its_people_had_closed_is_a_violation_of_i1(
    house: House,
) -> None:
    other = await add_person(house.database, "sms:+14155550100", now=MORNING)
    await say(house.database, other, {"sms": "no"}, now=house.at, source="portal", actor="user:sadie")
    [violation] = await house.plant(await attempt_of(house, "ada"))
    assert f"{other}, who has the address too, had said no to channel sms" in violation


async def test_an_attempt_without_the_preference_it_names_is_a_violation_of_i1(house: House) -> None:
    theatre = await preferences_of(house)
    assert await house.plant(await attempt_of(house, "ada", preference_id=theatre)) == []
    [violation] = await house.plant(await attempt_of(house, "bob", preference_id=theatre))
    assert f"preference {theatre} was not_asked" in violation


async def test_an_attempt_on_an_expired_yes_to_the_preference_it_names_is_a_violation_of_i1(house: House) -> None:
    theatre = await preferences_of(house)
    yes = [Wish(about(f"preference:{theatre}"), "yes", "implied", later(60, than=house.at))]
    await say(house.database, house.people["ada"], yes, now=house.at, source="form")
    assert await house.plant(await attempt_of(house, "ada", preference_id=theatre)) == []
    late = await attempt_of(house, "ada", preference_id=theatre, at=later(60, than=house.at))
    [violation] = await house.plant(late)
    assert f"the yes to preference {theatre} had ended" in violation


async def test_an_attempt_on_an_expired_yes_is_a_violation_of_i1(house: House) -> None:
    yes = [Wish(about("sms"), "yes", "implied", later(60, than=house.at))]
    await say(house.database, house.people["fay"], yes, now=house.at)
    assert await house.plant(await attempt_of(house, "fay")) == []
    [violation] = await house.plant(await attempt_of(house, "fay", at=later(60, than=house.at)))
    assert "nobody had said yes" in violation


async def test_an_attempt_to_an_address_that_a_channels_yes_did_not_cover_is_a_violation_of_i1(house: House) -> None:
    mine = profile_addresses.c.profile_id == house.people["fay"]
    await say(house.database, house.people["fay"], {"sms": "yes"}, now=house.at)
    assert await house.plant(await attempt_of(house, "fay")) == []
    late = update(profile_addresses).where(mine).values(since=later(1, than=house.at))
    house.at = later(60, than=house.at)
    [violation] = await house.plant(late, await attempt_of(house, "fay"))
    assert "nobody had said yes" in violation


async def test_an_attempt_on_a_default_is_right_where_the_person_was_made_with_it(house: House) -> None:
    async with house.database.write() as conn:
        await defaults.change(conn, {"sms": "yes"}, actor="system", now=house.at)
    house.people["gus"] = await add_person(house.database, "sms:+14155550155", now=house.at)
    assert await house.plant(await attempt_of(house, "gus")) == []
    [violation] = await house.plant(await attempt_of(house, "fay"))
    assert "nobody had said yes" in violation


# --- I3 ----------------------------------------------------------------------------------------


async def test_two_live_attempts_to_one_address_are_a_violation_of_i3(day: House) -> None:
    sent = attempts.c.state == "accepted", attempts.c.broadcast_id.is_not(None)
    accepted = await day.one(select(attempts).where(*sent))
    again = insert(attempts).values(dict(accepted._mapping) | {"id": new_id("att"), "state": "sending"})
    found = await day.plant(text("DROP INDEX uq_attempts_once"), again)
    assert f"I3: broadcast {accepted.broadcast_id} has 2 live attempts to address {accepted.address_id}" in found


# --- I4 ----------------------------------------------------------------------------------------


WRONG_STATES: list[tuple[str, dict[str, Any], str]] = [
    ("skipped", {"status": "lost"}, "is in no known status: lost"),
    ("skipped", {"reason": None}, "is skipped with the reason None"),
    ("skipped", {"reason": "opted_in"}, "is skipped with the reason opted_in"),
    ("skipped", {"reason": "because"}, "is skipped with the reason because"),
    ("skipped", {"status": "failed"}, "is failed with the reason"),
    ("accepted", {"reason": "too_late"}, "is accepted with the reason too_late"),
    ("in_doubt", {"status": "sending"}, "is sending, but no attempt of it is"),
    ("in_doubt", {"status": "accepted"}, "is accepted, but no attempt of it is"),
    ("failed", {"status": "in_doubt"}, "is in_doubt, but no attempt of it is"),
    ("failed", {"status": "queued"}, "is done with 1 deliveries queued or sending"),
]


async def test_a_delivery_in_a_wrong_state_is_a_violation_of_i4(day: House) -> None:
    for status, values, says in WRONG_STATES:
        planned = deliveries.c.broadcast_id.is_not(None)
        one = await day.one(select(deliveries).where(deliveries.c.status == status, planned))
        found = await day.plant(update(deliveries).where(deliveries.c.id == one.id).values(values))
        assert any(violation.startswith("I4: ") and says in violation for violation in found), (values, found)
        right = {"status": one.status, "reason": one.reason}
        assert await day.plant(update(deliveries).where(deliveries.c.id == one.id).values(right)) == []


async def test_a_person_planned_twice_is_a_violation_of_i4(day: House) -> None:
    for number in (0, 1):
        of = deliveries.c.broadcast_id == day.broadcasts[number]
        one = await day.one(select(deliveries).where(of, deliveries.c.status == "skipped"))
        found = await day.plant(insert(deliveries).values(dict(one._mapping) | {"id": new_id("msg")}))
        assert f"I4: {one.profile_id} stands 2 times in the plan of broadcast {one.broadcast_id}" in found


async def test_somebody_left_out_is_a_violation_of_i4(day: House) -> None:
    for number in (0, 1):
        of = deliveries.c.broadcast_id == day.broadcasts[number]
        one = await day.one(select(deliveries).where(of, deliveries.c.status == "skipped"))
        found = await day.plant(delete(deliveries).where(deliveries.c.id == one.id))
        assert f"I4: {one.profile_id} has no row in the plan of broadcast {one.broadcast_id}" in found


async def test_an_address_left_out_is_a_violation_of_i4(day: House) -> None:
    of = deliveries.c.broadcast_id == day.broadcasts[2]
    one = await day.one(select(deliveries).where(of, deliveries.c.status == "skipped"))
    found = await day.plant(delete(deliveries).where(deliveries.c.id == one.id))
    assert found == [f"I4: broadcast {day.broadcasts[2]} was for 3 addresses, and its plan has 2 rows"]


# --- I6 ----------------------------------------------------------------------------------------


async def test_a_message_without_its_receipt_is_a_violation_of_i6(day: House) -> None:
    one = await day.one(select(receipts))
    found = await day.plant(delete(receipts).where(receipts.c.message_id == one.message_id))
    assert found == [f"I6: message {one.message_id} has no receipt of its own: its event was kept twice, or not"]


async def test_a_receipt_without_its_message_is_a_violation_of_i6(day: House) -> None:
    one = await day.one(select(messages))
    found = await day.plant(delete(messages).where(messages.c.id == one.id))
    assert found == [f"I6: the event {one.provider_id} of {one.account} has a receipt, but no message"]


async def test_a_receipt_without_its_answer_is_a_violation_of_i6(day: House) -> None:
    one = await day.one(select(receipts))
    of = receipts.c.provider_id == one.provider_id
    found = await day.plant(update(receipts).where(of).values(answer=None))
    assert found == [f"I6: the event {one.provider_id} of {one.account} has a receipt, but no answer"]


async def test_an_event_kept_twice_is_a_violation_of_i6(day: House) -> None:
    one = await day.one(select(messages))
    twice = new_id("msg")
    found = await day.plant(insert(messages).values(dict(one._mapping) | {"id": twice}))
    assert found == [f"I6: message {twice} has no receipt of its own: its event was kept twice, or not"]


async def test_a_change_applied_twice_is_a_violation_of_i6(day: House) -> None:
    ada = day.people["ada"]
    one = await day.one(select(consent_events).where(consent_events.c.profile_id == ada))
    await say(day.database, ada, {"sms": "yes"}, change_id=one.change_id, now=day.at)
    assert [str(violation) for violation in await verify(day.database)] == [
        f"I6: change {one.change_id} moved channel sms of {ada} 2 times"
    ]


# --- I10 ---------------------------------------------------------------------------------------


async def test_an_opt_out_that_did_not_survive_deletion_is_a_violation_of_i10(day: House) -> None:
    dee = day.people["dee"]
    number = await address_id(day.database, "sms:+14155550103")
    mailbox = await address_id(day.database, "email:dee@example.org")
    await say(day.database, dee, {"email": "no"}, source="one_click", address_id=mailbox, now=day.at)
    await remove_person(day.database, dee, now=day.at)
    assert await verify(day.database) == []
    forgotten = update(addresses).where(addresses.c.id.in_([number, mailbox])).values(suppressed_at=None)
    found = await day.plant(forgotten)
    assert f"I10: address {number} was no, left {dee}, and is not suppressed" in found
    assert f"I10: address {mailbox} said no, left {dee}, and is not suppressed" in found


async def test_a_later_yes_from_the_address_lifts_what_was_left_behind(day: House) -> None:
    await remove_person(day.database, day.people["dee"], now=day.at)
    await day.text("+14155550103", "START")
    kept = await day.one(select(addresses.c.suppressed_at).where(addresses.c.value == "+14155550103"))
    assert kept.suppressed_at is None
    assert await verify(day.database) == []


# --- I11 ---------------------------------------------------------------------------------------


async def test_an_altered_history_is_a_violation_of_i11(day: House) -> None:
    last = await day.one(select(consent_events).order_by(consent_events.c.seq.desc()))
    found = await day.plant(update(consent_events).where(consent_events.c.seq == last.seq).values(actor="user:mallory"))
    assert f"I11: line {last.seq} of {last.profile_id} is not as it was written" in found


async def test_a_history_cut_short_is_a_violation_of_i11(day: House) -> None:
    ada = day.people["ada"]
    of = consent_events.c.profile_id == ada
    last = await day.one(select(consent_events).where(of).order_by(consent_events.c.position.desc()))
    found = await day.plant(
        delete(evidence).where(evidence.c.event_id == last.id),
        delete(consent_events).where(consent_events.c.seq == last.seq),
    )
    assert any(violation.startswith("I11: ") and ada in violation for violation in found)


async def test_a_history_that_is_gone_is_a_violation_of_i11(day: House) -> None:
    ada = day.people["ada"]
    found = await day.plant(
        delete(evidence),
        delete(consent_events).where(consent_events.c.profile_id == ada),
        delete(consent_chains).where(consent_chains.c.profile_id == ada),
    )
    assert any(violation.startswith("I11: channel sms of " + ada) for violation in found)


async def test_a_flag_that_is_not_the_fold_is_a_violation_of_i11(day: House) -> None:
    of = (consent_states.c.profile_id == day.people["dee"]) & (consent_states.c.key == "sms")
    found = await day.plant(update(consent_states).where(of).values(state="yes"))
    [violation] = [violation for violation in found if violation.startswith("I11")]
    assert f"channel sms of {day.people['dee']} is yes, but its history comes to no" in violation


async def test_a_missing_trigger_is_a_violation_of_i11(database: Database) -> None:
    if database.dialect == "sqlite":
        names, drop = ["consent_events_no_update", "consent_events_no_delete"], "DROP TRIGGER {}"
    else:
        names = ["consent_events_no_change", "consent_events_no_truncate"]
        drop = "ALTER TABLE consent_events DISABLE TRIGGER {}"
    for name in names:
        async with database.write() as conn:
            await conn.execute(text(drop.format(name)))
        [*_, violation] = [str(violation) for violation in await verify(database)]
        assert violation.startswith("I11: nothing refuses ")
    assert len(await verify(database)) == 2


# --- at large ----------------------------------------------------------------------------------


async def test_of_very_many_violations_the_first_are_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.verify.MOST", 2)
    lost = [
        {
            "id": new_id("msg"),
            "channel": "sms",
            "connection": "main",
            "class": "marketing",
            "priority": 2,
            "status": "lost",
            "due_at": NOON,
            "created_at": NOON,
            "updated_at": NOON,
        }
        for _ in range(5)
    ]
    found = await house.plant(insert(deliveries).values(lost))
    assert len(found) == 3
    assert found[-1] == "I4: and more of the kind"
    assert MOST > 2


async def test_profiles_and_people_are_read_in_pages(day: House, monkeypatch: pytest.MonkeyPatch) -> None:
    for place in ("consent.proof.PAGE", "gateway.verify_claims.PAGE", "gateway.verify_plans.PAGE"):
        monkeypatch.setattr(place, 2)
    assert await verify(day.database) == []
    async with day.database.read() as conn:
        assert (await conn.execute(select(func.count()).select_from(profiles))).scalar_one() == 7
    await text_in(day.database, "sms:+14155550100", "no", now=day.at)
    [violation] = await day.plant(await attempt_of(day, "ada"))
    assert violation.startswith("I1: ")
