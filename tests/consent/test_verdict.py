"""May we send this, to this address, now? Every row of the table, in its order, by the one SQL expression."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, literal, select, union_all, update

from consent import defaults, holds, preferences, proof, verdict
from consent.states import Wish
from outbox import heed
from store.engine import Database
from store.ids import new_id
from store.tables import addresses, profile_addresses, profiles
from store.types import Key
from tests.acts import (
    NOON,
    about,
    add_person,
    address_id,
    change,
    give_addresses,
    later,
    remove_person,
    say,
    states,
    text_in,
)

MOBILE, SECOND, MAILBOX = "sms:+14155550123", "sms:+14155550124", "email:ada@example.org"
CLASSES = ("marketing", "transactional", "service")
STAFF = {"source": "portal", "actor": "user:sadie"}
EVENING = later(3600 * 6)  # when the questions are asked, unless said otherwise


@dataclass(frozen=True)
class Question:
    profile_id: str
    address_id: str | None
    channel: str = "sms"
    preference_id: str | None = None
    kind: str = "marketing"


async def answers(database: Database, questions: Sequence[Question], *, now: datetime = EVENING) -> list[str]:
    """The reason for each."""
    rows = [
        select(
            literal(place).label("place"),
            literal(it.profile_id, Key()).label("profile_id"),
            literal(it.address_id, Key()).label("address_id"),
            literal(it.channel, Key()).label("channel"),
            literal(it.preference_id, Key()).label("preference_id"),
            literal(it.kind, Key()).label("class"),
        )
        for place, it in enumerate(questions)
    ]
    asked = union_all(*rows).subquery("asked")
    async with database.read() as conn:
        found = {row.place: row.reason for row in await conn.execute(verdict.over(asked, now=now))}
    return [found[place] for place in range(len(questions))]


class World:
    """Ada, who has a mobile number, and what is done to her."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.at = NOON
        self.ada = self.mobile = self.preference = ""
        self.has_address = True

    @classmethod
    async def of(cls, database: Database, number: str = MOBILE) -> World:
        world = cls(database)
        world.ada = await add_person(database, number, now=NOON)
        world.mobile = await address_id(database, number)
        async with database.write() as conn:
            world.preference = (await preferences.create(conn, name=new_id("name"), now=NOON)).id
        return world

    async def say(self, wishes: Any, **fields: Any) -> None:
        self.at += timedelta(minutes=1)
        await say(self.database, self.ada, wishes, now=self.at, **({"source": "preference_centre"} | fields))

    async def change(self, statement: Any) -> None:
        async with self.database.write() as conn:
            await conn.execute(statement)

    def question(self, kind: str = "marketing", *, preference: bool = True) -> Question:
        named = self.preference if preference else None
        return Question(self.ada, self.mobile if self.has_address else None, "sms", named, kind)

    async def reason(self, kind: str = "marketing", *, preference: bool = False, now: datetime = EVENING) -> str:
        [reason] = await answers(self.database, [self.question(kind, preference=preference)], now=now)
        return reason


# --- the table ---------------------------------------------------------------------------------


async def no_address(world: World) -> None:
    world.has_address = False


async def undeliverable(world: World) -> None:
    await world.change(update(addresses).where(addresses.c.id == world.mobile).values(status="undeliverable"))


async def everything_no(world: World) -> None:
    await world.say({"everything": "no"})


async def channel_no(world: World) -> None:
    await world.say({"sms": "no"})


async def address_no(world: World) -> None:
    await world.say({f"address:{world.mobile}": "no"})


async def held(world: World) -> None:
    async with world.database.write() as conn:
        await holds.hold(conn, [world.mobile], message_id="msg_1", now=NOON)


async def paused(world: World) -> None:
    async with world.database.write() as conn:
        await holds.pause(conn, world.ada, channel="sms", until=EVENING + timedelta(seconds=1))


async def preference_no(world: World) -> None:
    await world.say({f"preference:{world.preference}": "no"})


async def preference_not_asked(world: World) -> None:
    await world.say({f"preference:{world.preference}": "not_asked"}, **STAFF)


async def channel_yes(world: World) -> None:
    await world.say({"sms": "yes"})
    await world.say({f"preference:{world.preference}": "yes"})


async def address_yes_expired(world: World) -> None:
    await world.say([Wish(about(f"address:{world.mobile}"), "yes", None, EVENING)])
    await world.say({f"preference:{world.preference}": "yes"})


async def default_yes(world: World) -> None:
    async with world.database.write() as conn:
        await defaults.change(conn, {"sms": "yes"}, actor="system", now=NOON)
        version = await defaults.current_version(conn)
    await world.change(update(profiles).where(profiles.c.id == world.ada).values(defaults_version=version))
    await world.say({f"preference:{world.preference}": "yes"})


async def nothing(world: World) -> None:
    await world.say({f"preference:{world.preference}": "yes"})


Row = tuple[int, Callable[[World], Awaitable[None]], str, str, str]
TABLE: list[Row] = [  # the situation; marketing, transactional, service
    (1, no_address, "no_address", "no_address", "no_address"),
    (2, undeliverable, "undeliverable", "undeliverable", "undeliverable"),
    (3, everything_no, "opted_out_everything", "opted_out_everything", "service"),
    (4, channel_no, "opted_out_channel", "transactional", "service"),
    (5, address_no, "opted_out_address", "opted_out_address", "service"),
    (6, held, "under_review", "transactional", "service"),
    (7, paused, "paused", "transactional", "service"),
    (8, preference_no, "preference_no", "transactional", "service"),
    (9, preference_not_asked, "preference_not_asked", "transactional", "service"),
    (10, channel_yes, "opted_in", "transactional", "service"),
    (11, address_yes_expired, "consent_expired", "transactional", "service"),
    (12, default_yes, "opted_in_by_default", "transactional", "service"),
    (13, nothing, "not_opted_in", "transactional", "service"),
]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"row-{row[0]}-{row[2]}")
async def test_every_row_of_the_table(database: Database, row: Row) -> None:
    _, situation, *expected = row
    world = await World.of(database)
    await situation(world)
    assert [await world.reason(kind, preference=True) for kind in CLASSES] == expected


async def test_each_row_goes_before_every_later_one(database: Database) -> None:
    worlds, expected, names = [], [], []
    for place, (number, situation, reason, *_) in enumerate(TABLE):
        for other, other_situation, *_rest in TABLE[place + 1 :]:
            if (number, other) == (10, 12):
                continue  # a channel at yes was asked; the address's yes has its own test
            world = await World.of(database, f"sms:+1415555{number:02}{other:02}")
            await other_situation(world)
            await situation(world)
            worlds.append(world)
            expected.append(reason)
            names.append((number, other))
    found = await answers(database, [world.question() for world in worlds])
    assert dict(zip(names, found, strict=True)) == dict(zip(names, expected, strict=True))


async def test_the_answer_is_the_same_one_by_one_and_in_bulk(database: Database) -> None:
    questions = []
    for number, situation, *_ in TABLE:
        world = await World.of(database, f"sms:+14155551{number:03}")
        await situation(world)
        questions += [world.question(kind, preference=named) for kind in CLASSES for named in (True, False)]
    together = await answers(database, questions)
    assert together == [reason for one in questions for reason in await answers(database, [one])]


def test_what_is_allowed_is_a_closed_list() -> None:
    sends = {reason for _, _, *reasons in TABLE for reason in reasons if verdict.is_allowed(reason)}
    assert sends == {"opted_in", "opted_in_by_default", "transactional", "service"}
    assert {reason for _, _, *reasons in TABLE for reason in reasons} <= set(verdict.REASONS)


# --- rows 1 and 2 ------------------------------------------------------------------------------


async def test_an_address_the_profile_has_no_more_is_no_address(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await give_addresses(database, world.ada, SECOND)
    assert await world.reason() == "no_address"


@pytest.mark.parametrize("status", ["undeliverable", "invalid"])
async def test_undeliverable_or_invalid(database: Database, status: str) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await world.change(update(addresses).values(status=status))
    assert {await world.reason(kind) for kind in CLASSES} == {"undeliverable"}


# --- rows 3 to 5 -------------------------------------------------------------------------------


async def test_a_later_yes_on_the_channel_opens_it_alone_under_everything_no(database: Database) -> None:
    world = await World.of(database)
    await give_addresses(database, world.ada, MOBILE, MAILBOX)
    await world.say({"sms": "yes", "email": "yes"})
    await everything_no(world)
    await world.say({"sms": "yes"})
    assert await world.reason() == "opted_in"
    mailbox = Question(world.ada, await address_id(database, MAILBOX), "email")
    assert await answers(database, [mailbox]) == ["opted_out_everything"]


async def test_a_later_yes_on_an_address_opens_it_alone_under_its_channels_no(database: Database) -> None:
    world = await World.of(database)
    await give_addresses(database, world.ada, MOBILE, SECOND)
    second = await address_id(database, SECOND)
    await world.say({"sms": "yes", f"address:{second}": "yes"})
    await channel_no(world)
    await world.say({f"address:{world.mobile}": "yes"})
    found = await answers(database, [world.question(preference=False), Question(world.ada, second)])
    assert found == ["opted_in", "opted_out_channel"]


async def test_a_later_yes_on_an_address_opens_nothing_under_everything_no(database: Database) -> None:
    world = await World.of(database)
    await everything_no(world)
    await world.say({f"address:{world.mobile}": "yes"})
    assert await world.reason() == "opted_out_everything"


async def test_everything_no_stops_what_is_added_later(database: Database) -> None:
    world = await World.of(database)
    await everything_no(world)
    await give_addresses(database, world.ada, MOBILE, MAILBOX, now=later(600))
    mailbox = Question(world.ada, await address_id(database, MAILBOX), "email")
    assert await answers(database, [mailbox]) == ["opted_out_everything"]


async def test_a_no_on_the_address_wins_over_a_later_yes_on_its_channel(database: Database) -> None:
    world = await World.of(database)
    await address_no(world)
    await channel_yes(world)
    assert await world.reason() == "opted_out_address"


@pytest.mark.parametrize(
    ("other_says", "marketing", "transactional"),
    [
        ({"everything": "no"}, "opted_out_address", "transactional"),
        ({"sms": "no"}, "opted_out_address", "transactional"),
        ({"address": "no"}, "opted_out_address", "opted_out_address"),
        ({"email": "no"}, "opted_in", "transactional"),
        ({"sms": "not_asked"}, "opted_in", "transactional"),
    ],
)
async def test_any_other_profile_with_this_address_that_is_stopped_stops_it(
    database: Database, other_says: dict[str, Any], marketing: str, transactional: str
) -> None:
    world = await World.of(database)
    await channel_yes(world)
    other = await add_person(database, MOBILE)
    wishes = {name.replace("address", f"address:{world.mobile}"): to for name, to in other_says.items()}
    await say(database, other, wishes, now=later(600))
    assert [await world.reason(kind) for kind in CLASSES] == [marketing, transactional, "service"]


async def test_what_another_profile_opened_again_for_itself_stops_nobody(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    other = await add_person(database, MOBILE)
    await say(database, other, {"sms": "no"}, now=later(600))
    await say(database, other, {f"address:{world.mobile}": "yes"}, now=later(660))
    assert await world.reason() == "opted_in"


async def test_a_stop_stops_every_text_to_that_number_and_an_unsubscribe_no_ticket(database: Database) -> None:
    world = await World.of(database)
    await text_in(database, MOBILE, "no")
    assert await world.reason("transactional") == "opted_out_address"
    await give_addresses(database, world.ada, MOBILE, MAILBOX)
    mailbox = await address_id(database, MAILBOX)
    await say(database, world.ada, {"email": "no"}, source="unsubscribe_link", address_id=mailbox)
    ticket = Question(world.ada, mailbox, "email", None, "transactional")
    assert await answers(database, [ticket]) == ["transactional"]


# --- suppression -------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", ["everything", "sms", "address"])
async def test_a_no_survives_deletion_and_another_spelling_of_the_number(database: Database, subject: str) -> None:
    world = await World.of(database)
    await world.say({subject.replace("address", f"address:{world.mobile}"): "no"})
    await remove_person(database, world.ada, now=later(600))
    world.ada = await add_person(database, "sms:(415) 555-0123", now=later(660))
    assert await world.reason() == "opted_out_address"
    await say(database, world.ada, {"sms": "yes", "everything": "yes"}, now=later(700), **STAFF)
    await say(database, world.ada, {f"address:{world.mobile}": "yes"}, now=later(701), **STAFF)
    assert await world.reason() == "opted_out_address"


async def test_what_said_no_to_nothing_leaves_nothing_behind(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await world.say({"email": "no"})
    await remove_person(database, world.ada, now=later(600))
    world.ada = await add_person(database, MOBILE, now=later(660))
    assert await world.reason() == "not_opted_in"


async def test_an_address_that_leaves_a_profile_leaves_its_no_behind(database: Database) -> None:
    world = await World.of(database)
    await channel_no(world)
    await give_addresses(database, world.ada, SECOND, now=later(600))
    other = await add_person(database, MOBILE, now=later(660))
    await say(database, other, {"sms": "yes"}, now=later(700))
    assert await answers(database, [Question(other, world.mobile)]) == ["opted_out_address"]


@pytest.mark.parametrize(
    ("wishes", "fields", "lifts"),
    [
        ({"sms": "yes"}, {"from": MOBILE}, True),
        ({"everything": "yes"}, {"from": MOBILE}, True),
        ({"address": "yes"}, {"from": MOBILE}, True),
        ({"sms": "yes"}, {"from": SECOND}, False),
        ({"sms": "yes"}, {}, False),
        ({"sms": "yes"}, {"from": MOBILE, "source": "portal", "actor": "user:sadie"}, False),
        ({"email": "yes"}, {"from": MOBILE}, False),
        ({"preference:prf_1": "yes"}, {"from": MOBILE}, False),
        ({"sms": "no"}, {"from": MOBILE}, False),
        ({"sms": "yes"}, {"from": MOBILE, "said_at": later(300)}, False),  # said before the number left
    ],
)
async def test_only_a_word_from_that_very_address_lifts_a_suppression(
    database: Database, wishes: dict[str, Any], fields: dict[str, Any], lifts: bool
) -> None:
    world = await World.of(database)
    await address_no(world)
    await remove_person(database, world.ada, now=later(600))
    world.ada = await add_person(database, MOBILE, SECOND, now=later(660))
    fields = dict(fields)
    if came_from := fields.pop("from", None):
        fields["address_id"] = await address_id(database, came_from)
    wishes = {name.replace("address", f"address:{world.mobile}"): to for name, to in wishes.items()}
    await say(database, world.ada, wishes, now=later(700), **fields)
    async with database.read() as conn:
        of = select(addresses.c.suppressed_at).where(addresses.c.id == world.mobile)
        assert ((await conn.execute(of)).scalar_one() is None) == lifts


@pytest.mark.parametrize("subject", ["everything", "sms", "address"])
async def test_a_providers_start_brings_the_address_back_and_that_alone(database: Database, subject: str) -> None:
    world = await World.of(database)
    await world.say({subject.replace("address", f"address:{world.mobile}"): "no"})
    await remove_person(database, world.ada, now=later(600))
    ada = await add_person(database, MOBILE, SECOND, now=later(660))
    ben = await add_person(database, MOBILE, now=later(661))
    second = await address_id(database, SECOND)
    await text_in(database, MOBILE, "yes", source="provider", said_at=later(300), now=later(700))
    asked = [Question(ada, world.mobile), Question(ben, world.mobile), Question(ada, second)]
    assert await answers(database, asked) == ["opted_out_address", "opted_out_address", "not_opted_in"]
    assert await states(database, ada) == {}
    heeded = await text_in(database, MOBILE, "yes", source="provider", now=later(701))
    assert [line.event.subject for line in heeded.lines] == [about(f"address:{world.mobile}")] * 2
    assert await answers(database, asked) == ["opted_in", "opted_in", "not_opted_in"]
    assert await states(database, ada) == {f"address:{world.mobile}": "yes"}
    async with database.read() as conn:
        assert [str(it) async for it in proof.verify(conn)] + [str(it) async for it in proof.rebuild_check(conn)] == []


# --- what a channel's yes covers ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "given", "recorded", "covered"),
    [
        (None, 100, 200, True),
        (None, 200, 100, False),
        (50, 100, 200, False),  # said before it was given, and heard of after
        (150, 100, 200, True),
        (100, 100, 200, True),
    ],
)
async def test_a_channels_yes_covers_what_the_person_had_when_it_was_said(
    database: Database, said: float | None, given: float, recorded: float, covered: bool
) -> None:
    ada = await add_person(database, MOBILE)
    second = f"email:{new_id('ada')}@example.org"
    wishes: dict[str, Any] = {"sms": "yes", "email": "yes"}
    said_at = later(said) if said is not None else None
    if given < recorded:
        await give_addresses(database, ada, MOBILE, second, now=later(given))
    await say(database, ada, wishes, said_at=said_at, now=later(recorded))
    if given > recorded:
        await give_addresses(database, ada, MOBILE, second, now=later(given))
    asked = [
        Question(ada, await address_id(database, MOBILE)),
        Question(ada, await address_id(database, second), "email"),
    ]
    assert await answers(database, asked) == ["opted_in", "opted_in" if covered else "not_opted_in"]


async def test_a_yes_older_than_the_profile_covers_what_that_was_made_with(database: Database) -> None:
    ada = await add_person(database, MOBILE)
    await give_addresses(database, ada, MOBILE, SECOND, now=later(60))
    await say(database, ada, {"sms": "yes"}, said_at=NOON - timedelta(days=900), now=later(120))
    asked = [Question(ada, await address_id(database, number)) for number in (MOBILE, SECOND)]
    assert await answers(database, asked) == ["opted_in", "not_opted_in"]


# --- rows 6 and 7 ------------------------------------------------------------------------------


async def test_a_hold_ends_when_it_is_released(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await held(world)
    async with database.write() as conn:
        await holds.release(conn, [world.mobile])
    assert await world.reason() == "opted_in"


@pytest.mark.parametrize(
    ("channel", "until", "reason"),
    [
        ("sms", later(1, than=EVENING), "paused"),
        (None, later(1, than=EVENING), "paused"),
        ("email", later(1, than=EVENING), "opted_in"),
        ("sms", EVENING, "opted_in"),
    ],
)
async def test_a_pause_of_the_channel_or_of_all_until_a_later_time(
    database: Database, channel: str | None, until: datetime, reason: str
) -> None:
    world = await World.of(database)
    await channel_yes(world)
    async with database.write() as conn:
        await holds.pause(conn, world.ada, channel=channel, until=until)
    assert await world.reason() == reason


async def test_a_pause_can_be_taken_back(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await paused(world)
    async with database.write() as conn:
        await holds.unpause(conn, world.ada, channel="sms")
    assert await world.reason() == "opted_in"


# --- rows 8 to 13 ------------------------------------------------------------------------------


async def test_a_preference_counts_only_where_it_is_named(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await preference_no(world)
    assert await world.reason(preference=False) == "opted_in"
    assert await world.reason(preference=True) == "preference_no"


async def test_a_preference_alone_opens_nothing(database: Database) -> None:
    world = await World.of(database)
    await world.say({f"preference:{world.preference}": "yes"})
    assert await world.reason(preference=True) == "not_opted_in"


async def test_an_address_added_later_is_not_covered_by_a_channels_yes(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await give_addresses(database, world.ada, MOBILE, SECOND, now=later(600))
    second = Question(world.ada, await address_id(database, SECOND))
    assert await answers(database, [world.question(preference=False), second]) == ["opted_in", "not_opted_in"]


@pytest.mark.parametrize("wishes", [{"sms": "yes"}, {"everything": "yes"}, {"address": "yes"}])
async def test_an_address_added_later_is_covered_by_its_own_yes_or_a_renewed_one(
    database: Database, wishes: dict[str, Any]
) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await give_addresses(database, world.ada, MOBILE, SECOND, now=later(600))
    second = await address_id(database, SECOND)
    wishes = {name.replace("address", f"address:{second}"): to for name, to in wishes.items()}
    await say(database, world.ada, wishes, now=later(660))
    assert await answers(database, [Question(world.ada, second)]) == ["opted_in"]


async def test_an_address_that_left_and_came_back_needs_its_own_yes(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await give_addresses(database, world.ada, SECOND, now=later(600))
    await give_addresses(database, world.ada, MOBILE, SECOND, now=later(660))
    assert await world.reason() == "not_opted_in"


async def test_an_address_put_in_another_place_keeps_its_consent(database: Database) -> None:
    world = await World.of(database)
    await channel_yes(world)
    await give_addresses(database, world.ada, SECOND, MOBILE, now=later(600))
    assert await world.reason() == "opted_in"


@pytest.mark.parametrize("subject", ["sms", "address"])
async def test_a_yes_expires(database: Database, subject: str) -> None:
    world = await World.of(database)
    name = subject.replace("address", f"address:{world.mobile}")
    await world.say([Wish(about(name), "yes", "implied", EVENING)])
    assert await world.reason(now=EVENING - timedelta(microseconds=1)) == "opted_in"
    assert await world.reason(now=EVENING) == "consent_expired"
    await world.say({name: "yes"})
    assert await world.reason(now=EVENING) == "opted_in"


@pytest.mark.parametrize("situation", [channel_yes, default_yes], ids=lambda one: one.__name__)
async def test_a_yes_to_the_preference_that_is_named_expires(
    database: Database, situation: Callable[[World], Awaitable[None]]
) -> None:
    world = await World.of(database)
    await situation(world)
    before = await world.reason()
    await world.say([Wish(about(f"preference:{world.preference}"), "yes", "implied", EVENING)])
    assert await world.reason(preference=True, now=EVENING - timedelta(microseconds=1)) == before
    assert await world.reason(preference=True, now=EVENING) == "consent_expired"
    assert await world.reason(now=EVENING) == before


async def test_an_expired_yes_does_not_fall_back_to_the_default(database: Database) -> None:
    world = await World.of(database)
    await default_yes(world)
    await address_yes_expired(world)
    assert await world.reason() == "consent_expired"


async def test_the_addresss_own_yes_is_an_opt_in_before_any_default(database: Database) -> None:
    world = await World.of(database)
    await default_yes(world)
    await world.say({f"address:{world.mobile}": "yes"})
    assert await world.reason() == "opted_in"


async def test_changing_a_default_changes_nobody_already_known(database: Database) -> None:
    known = await World.of(database)
    async with database.write() as conn:
        assert await defaults.change(conn, {"sms": "yes"}, actor="user:sadie", now=later()) == {
            "sms": "yes",
            "whatsapp": "no",
            "email": "no",
            "voice": "no",
            "post": "no",
        }
    new = await World.of(database, SECOND)
    assert (await known.reason(), await new.reason()) == ("not_opted_in", "opted_in_by_default")
    async with database.write() as conn:
        await defaults.change(conn, {"sms": "no"}, actor="user:sadie", now=later(2))
    newest = await World.of(database, "sms:+14155550125")
    assert (await new.reason(), await newest.reason()) == ("opted_in_by_default", "not_opted_in")


async def test_a_default_is_for_those_never_asked_and_never_over_a_no(database: Database) -> None:
    world = await World.of(database)
    await default_yes(world)
    await channel_no(world)
    assert await world.reason() == "opted_out_channel"


async def test_defaults_of_the_configuration_count_at_the_first_start_only(database: Database) -> None:
    async with database.write() as conn:
        await defaults.ensure(conn, {"email": "yes"}, now=NOON)
        await defaults.ensure(conn, {"email": "no"}, now=later())
        assert (await defaults.current(conn))["email"] == "yes"


# --- against a reference -----------------------------------------------------------------------


@dataclass
class Someone:
    """One profile of a household, as the reference sees it: what was said last about each subject, and when."""

    id: str
    said: dict[str, tuple[str, int, bool]] = field(default_factory=dict)  # subject → state, second, expired
    since: dict[str, bool] = field(default_factory=dict)  # address → had it when the channel was asked
    paused: bool = False
    default: bool = False


def expected(house: list[Someone], who: Someone, address: str, row: dict[str, Any], kind: str, named: bool) -> str:
    """The table, read aloud."""

    def is_no(person: Someone, subject: str) -> bool:
        return person.said.get(subject, ("not_asked", 0, False))[0] == "no"

    def yes_after(person: Someone, subject: str, wider: str) -> bool:
        state, second, _ = person.said.get(subject, ("not_asked", 0, False))
        return state == "yes" and second > person.said[wider][1]

    def stopped(person: Someone) -> str | None:
        if is_no(person, "everything") and not yes_after(person, "sms", "everything"):
            return "opted_out_everything"
        if is_no(person, "sms") and not yes_after(person, address, "sms"):
            return "opted_out_channel"
        return "opted_out_address" if is_no(person, address) else None

    holders = [person for person in house if address in person.since]
    if who not in holders:
        return "no_address"
    if row["status"] != "ok":
        return "undeliverable"
    if kind == "service":
        return "service"
    suppressed = row["suppressed"] or any(is_no(person, address) for person in holders)
    if kind == "transactional":
        if stopped(who) == "opted_out_everything":
            return "opted_out_everything"
        return "opted_out_address" if suppressed else "transactional"
    own = stopped(who)
    if own in ("opted_out_everything", "opted_out_channel"):
        return own
    if suppressed or any(stopped(person) for person in holders):
        return "opted_out_address"
    if row["held"]:
        return "under_review"
    if who.paused:
        return "paused"
    preference = who.said.get("preference", ("not_asked", 0, False))[0]
    if named and preference != "yes":
        return f"preference_{preference}"
    if named and who.said["preference"][2]:
        return "consent_expired"
    yeses = [
        who.said[subject] for subject in (["sms"] if who.since[address] else []) + [address] if subject in who.said
    ]
    yeses = [said for said in yeses if said[0] == "yes"]
    if yeses:
        return "opted_in" if any(not expired for _, _, expired in yeses) else "consent_expired"
    asked = who.said.get("sms", ("not_asked", 0, False))[0] != "not_asked"
    return "opted_in_by_default" if who.default and not asked else "not_opted_in"


@st.composite
def households(draw: st.DrawFn) -> tuple[list[Someone], dict[str, dict[str, Any]]]:
    """One to three people who share some of two numbers, and what was said."""
    rarely = st.sampled_from([False, False, False, True])
    rows = {
        address: {
            "status": draw(st.sampled_from(["ok", "ok", "ok", "invalid"])),
            "suppressed": draw(rarely),
            "held": draw(rarely),
        }
        for address in ("a", "b")
    }
    house = []
    for n in range(draw(st.integers(1, 3))):
        person = Someone(str(n), paused=draw(rarely), default=draw(st.booleans()))
        person.since = draw(st.dictionaries(st.sampled_from(["a", "b"]), st.booleans(), min_size=1))
        subjects = draw(st.permutations(["everything", "sms", "a", "b", "preference"]))
        for second, subject in enumerate(subjects[: draw(st.integers(0, 5))]):
            state = draw(st.sampled_from(["yes", "yes", "no", "not_asked"]))
            person.said[subject] = (state, second, state == "yes" and draw(rarely))
        if person.said.get("everything", ("", 0, False))[0] == "yes":
            del person.said["everything"]  # which says more than itself
        house.append(person)
    return house, rows


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(households())
async def test_the_verdict_is_the_table_read_aloud(
    database: Database, situation: tuple[list[Someone], dict[str, dict[str, Any]]]
) -> None:
    house, rows = situation
    keys = {name: new_id("adr") for name in rows} | {"preference": new_id("prf")}
    people = {person.id: new_id("pro") for person in house}
    spoken = {"everything": "everything", "sms": "sms", "preference": f"preference:{keys['preference']}"}
    spoken |= {name: f"address:{keys[name]}" for name in rows}
    async with database.write() as conn:
        if await defaults.current_version(conn) == 0:
            await defaults.change(conn, {"sms": "yes"}, actor="system", now=NOON)
        made = [
            {
                "id": people[it.id],
                "attributes": {},
                "defaults_version": int(it.default),
                "created_at": NOON,
                "updated_at": NOON,
            }
            for it in house
        ]
        await conn.execute(insert(profiles), made)
        kept = [
            {
                "id": keys[name],
                "channel": "sms",
                "hash": keys[name],
                "status": row["status"],
                "suppressed_at": NOON if row["suppressed"] else None,
                "held_at": NOON if row["held"] else None,
                "created_at": NOON,
            }
            for name, row in rows.items()
        ]
        await conn.execute(insert(addresses), kept)
        links = [
            {
                "profile_id": people[it.id],
                "address_id": keys[name],
                "channel": "sms",
                "is_primary": True,
                "position": 0,
                "since": NOON if before else later(1800),  # after it was said, before it was recorded
            }
            for it in house
            for name, before in it.since.items()
        ]
        await conn.execute(insert(profile_addresses), links)
        acts = [
            change(
                people[it.id],
                [Wish(about(spoken[subject]), state, None, later(7200) if expired else None)],  # type: ignore[arg-type]
                said_at=later(second),
            )
            for it in house
            for subject, (state, second, expired) in it.said.items()
        ]
        await heed.record(conn, acts, now=later(3600))
        for it in house:
            if it.paused:
                await holds.pause(conn, people[it.id], channel=None, until=later(9, than=EVENING))
    asked = [
        (person, name, kind, named) for person in house for name in rows for kind in CLASSES for named in (True, False)
    ]
    questions = [
        Question(people[person.id], keys[name], "sms", keys["preference"] if named else None, kind)
        for person, name, kind, named in asked
    ]
    found = await answers(database, questions)
    assert found == [expected(house, person, name, rows[name], kind, named) for person, name, kind, named in asked]
