"""The last look in a claim: what waits, what goes, and that it costs the same for one as for many."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, event, insert, select, update

from outbox import claims, lastlook
from outbox.claims import Claimed
from outbox.jurisdictions import read_law
from outbox.lastlook import Asked, Broken, Go, Look, Skip, Wait
from outbox.pace import Room
from outbox.policy import Cap, Manner, Policy
from store.engine import Database
from store.tables import addresses, broadcasts, deliveries, messages, profiles
from tests.acts import add_person
from tests.outbox.conftest import POLICY, Planned

LAW = replace(POLICY, law=read_law(), cap=Cap(1, timedelta(days=7)))
NIGHT = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # midnight in California
OPENS = NIGHT + timedelta(hours=8)
DAY = NIGHT + timedelta(hours=12)
CALIFORNIA = [f"sms:+1415555{place:04d}" for place in range(40)]


async def asked(database: Database, tagged: str = CALIFORNIA[0], **more: Any) -> Asked:
    """A delivery to a new person."""
    profile_id = await add_person(database, tagged)
    channel, _, address = tagged.partition(":")
    async with database.read() as conn:
        found = select(addresses.c.id).where(addresses.c.value == address, addresses.c.channel == channel)
        address_id = (await conn.execute(found)).scalar_one()
    given: dict[str, Any] = {"id": f"msg_{profile_id}", "profile_id": profile_id, "address_id": address_id}
    given |= {"address": address, "channel": channel, "connection": channel, "class_": "marketing"}
    return Asked(**(given | {"content": {"body": "On sale."}} | more))


async def look(database: Database, *rows: Asked, policy: Policy = LAW, now: datetime = NIGHT) -> list[Look]:
    async with database.write() as conn:
        found = await lastlook.look(conn, rows, policy=policy, room=Room([]), now=now)
    return [found[row.id] for row in rows]


async def claim(database: Database, now: datetime, policy: Policy = LAW) -> tuple[Claimed, int]:
    """A claim, and how many statements it took."""
    count = 0

    def note(*_: Any) -> None:
        nonlocal count
        count += 1

    async with database.write() as conn:
        event.listen(conn.sync_connection, "before_cursor_execute", note)
        found = await claims.claim(conn, "sms", limit=64, bulk=64, owner="dsp_test", policy=policy, now=now)
        event.remove(conn.sync_connection, "before_cursor_execute", note)
    return found, count


async def test_only_marketing_keeps_the_hours(database: Database) -> None:
    for class_, goes in (("marketing", False), ("transactional", True), ("service", True)):
        row = await asked(database, class_=class_)
        [found] = await look(database, row)
        assert isinstance(found, Go) == goes, class_
    [wait] = await look(database, row := await asked(database))
    assert wait == Wait(OPENS)
    sandbox = replace(LAW, manners={"sms": Manner(sandbox=True)})
    assert isinstance((await look(database, row, policy=sandbox))[0], Go)


async def test_who_has_had_enough_by_night_is_asked_again_in_the_morning(database: Database) -> None:
    first = await asked(database)
    second = replace(first, id="msg_second")
    assert [type(one) for one in await look(database, first, second, now=DAY)] == [Go, Skip]
    assert await look(database, first, second) == [Wait(OPENS), Wait(OPENS)]


async def test_a_zone_that_this_machine_does_not_know_is_passed_over(database: Database) -> None:
    row = await asked(database)
    async with database.write() as conn:
        await conn.execute(update(profiles).values(timezone="Mars/Olympus_Mons"))
    assert isinstance((await look(database, row))[0], Wait), "its number's zone serves"


async def test_hours_that_never_come_let_nothing_through(database: Database) -> None:
    never = replace(LAW, law=replace(read_law(), rows={}, default=replace(read_law().default, days=((),) * 7)))
    [found] = await look(database, await asked(database), policy=never)
    assert found == Wait(NIGHT + timedelta(days=1))


async def test_what_cannot_be_filled_in_uses_up_no_cap(database: Database) -> None:
    broken = await asked(database, content={"body": "{{ 1 | divided_by: 0 }}"})
    good = replace(broken, id="msg_good", content={"body": "On sale."})
    third = replace(good, id="msg_third")
    found = await look(database, broken, good, third, now=DAY)
    assert [type(one) for one in found] == [Broken, Go, Skip]
    assert found[2] == Skip("frequency_capped")


async def test_a_text_with_the_unsubscribe_link_needs_no_other_notice(database: Database) -> None:
    told = replace(POLICY, manners={"sms": Manner(stop_notice="always")})
    plain = await asked(database)
    linked = await asked(database, CALIFORNIA[1], content={"body": "On sale. {{ links.unsubscribe }}"})
    one, other = await look(database, plain, linked, policy=told, now=DAY)
    assert isinstance(one, Go)
    assert isinstance(other, Go)
    assert one.content["body"].endswith("Reply STOP to opt out.")
    assert "STOP" not in other.content["body"]


async def test_a_claim_takes_as_many_statements_for_one_as_for_many(database: Database, planned: Planned) -> None:
    """With everything there is to know of people: names, tags, answers, hours, cap, notice."""
    policy = replace(LAW, manners={"sms": Manner(rate=1000.0, stop_notice="first")})
    body = "{{ first_name }}{{ attributes.x }}{% if tags contains 'vip' %}VIP{% endif %}{{ preferences['Drama'] }}"
    counts = []
    for people in (CALIFORNIA[:2], CALIFORNIA[2:]):
        await planned(*people)
        async with database.write() as conn:
            await conn.execute(update(broadcasts).values(content={"body": body + "!"}))
        found, count = await claim(database, DAY, policy)
        assert len(found.claims) == len(people)
        assert {one.content["body"] for one in found.claims} == {"!\nReply STOP to opt out."}
        counts.append(count)
    assert counts[0] == counts[1] < 40


@pytest.mark.parametrize(("rate", "texts"), [(20.0, 3), (1.0, 1), (40.0, 5)])
async def test_a_claim_begins_no_more_segments_than_fit_and_what_is_left_keeps_its_place(
    database: Database, planned: Planned, rate: float, texts: int
) -> None:
    """Half a second's worth: of texts of four segments the last one may go over, and is paid for by a longer wait."""
    await planned(*CALIFORNIA)
    async with database.write() as conn:
        await conn.execute(update(broadcasts).values(content={"body": "x" * 600}))
        before = {row.id: row.due_at for row in await conn.execute(select(deliveries.c.id, deliveries.c.due_at))}
    slow = replace(POLICY, manners={"sms": Manner(rate=rate)})
    found, _ = await claim(database, DAY, slow)
    assert [one.weight for one in found.claims] == [4] * texts
    assert {one.delivery_id for one in found.claims} == set(sorted(before)[:texts]), "the first in line"
    async with database.read() as conn:
        queued = select(deliveries.c.id, deliveries.c.due_at).where(deliveries.c.status == "queued")
        left = {row.id: row.due_at for row in await conn.execute(queued)}
    assert left == {id_: at for id_, at in before.items() if id_ in left}
    assert len(left) == len(CALIFORNIA) - texts
    found, _ = await claim(database, DAY, slow)
    assert found.claims == []
    assert found.wait_seconds > 0
    found, _ = await claim(database, DAY + timedelta(seconds=4 * texts / rate), slow)
    assert len(found.claims) == texts


async def test_a_broadcasts_own_rate_counts_segments_too(database: Database, planned: Planned) -> None:
    await planned(*CALIFORNIA[:10])
    async with database.write() as conn:
        await conn.execute(update(broadcasts).values(content={"body": "x" * 600}, rate=16.0))
    found, _ = await claim(database, DAY, replace(POLICY, manners={"sms": Manner(rate=1000.0)}))
    assert [one.weight for one in found.claims] == [4, 4]


async def test_what_waits_is_looked_at_once_and_goes_when_it_opens(database: Database, planned: Planned) -> None:
    await planned(*CALIFORNIA[:3])
    async with database.write() as conn:
        await conn.execute(update(deliveries).values(due_at=NIGHT))
    found, _ = await claim(database, NIGHT)
    assert (found.claims, found.looked_at) == ([], 3)
    found, _ = await claim(database, OPENS - timedelta(seconds=1))
    assert found.looked_at == 0
    async with database.read() as conn:
        rows = (await conn.execute(select(deliveries.c.status, deliveries.c.tries, deliveries.c.due_at))).all()
    assert {(row.status, row.tries, row.due_at) for row in rows} == {("queued", 0, OPENS)}
    found, _ = await claim(database, OPENS)
    assert len(found.claims) == 3


async def test_a_person_opens_the_window_and_whatsapp_by_itself_does_not(database: Database) -> None:
    row = await asked(database, f"whatsapp:{CALIFORNIA[0].removeprefix('sms:')}", class_="transactional")
    for automatic, found in ((None, Go), ("system", Skip)):
        async with database.write() as conn:
            await conn.execute(delete(messages))
            await conn.execute(
                insert(messages).values(
                    id="msg_1", connection="cloud", channel="whatsapp", account="meta:1", provider_id="wamid.1",
                    address_id=row.address_id, sender=row.address, receiver="", body="", fields={},
                    automatic=automatic, created_at=DAY - timedelta(hours=1),
                )
            )  # fmt: skip
        assert [type(one) for one in await look(database, row, now=DAY)] == [found], automatic
