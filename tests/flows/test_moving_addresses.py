"""Texts from addresses that change hands meanwhile: each is kept and answered, and nobody waits for nobody."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import text

from gateway.verify import verify
from outbox import people
from outbox.people import Draft, Wanted
from store import engine
from tests.flows.running import ANA, OPTED_OUT, Gateway, Got, eventually, said

NUMBERS = [f"+1415555{number:04d}" for number in range(200, 212)]
TEXTS = ["STOP", "START", "hello", "When do you open?", "HELP"]


async def deadlocks(gateway: Gateway) -> int:
    """How many PostgreSQL has broken so far; a session reports its own when it ends, at the latest."""
    if gateway.house.database.dialect == "sqlite":
        return 0
    async with gateway.house.database.read() as conn:
        of_ours = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int((await conn.execute(of_ours)).scalar_one())


@pytest.mark.timeout(240)
async def test_texts_and_changes_of_addresses_at_once_are_all_carried_out(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """360 texts and 240 changes over 12 numbers, which move between 12 people all the while."""
    monkeypatch.setattr(engine, "_RACING_SECONDS", 30.0)  # two are few where the tests of others have the processor
    seed = random.randrange(10**6)
    print("seed", seed)
    dice = random.Random(seed)
    persons = [(await gateway.person(f"sms:{number}"))["id"] for number in NUMBERS]
    before = await deadlocks(gateway)
    at_once = asyncio.Semaphore(40)

    async def texts(number: str, body: str) -> Got:
        async with at_once:
            return await gateway.text_in(body, number)

    async def moves(person: str, numbers: list[str]) -> Got:
        addresses = [{"channel": "sms", "value": number} for number in numbers]
        async with at_once:
            return await gateway.ask("PATCH", f"/v1/profiles/{person}", json={"addresses": addresses})

    acts = [texts(number, dice.choice(TEXTS)) for number in NUMBERS for _ in range(30)]
    acts += [moves(dice.choice(persons), dice.sample(NUMBERS, dice.randint(0, 3))) for _ in range(240)]
    dice.shuffle(acts)
    answers = await asyncio.gather(*acts)

    assert Counter(got.status for got in answers) == {200: 600}
    assert len(await gateway.rows("messages")) == 360
    assert [str(violation) for violation in await verify(gateway.house.database)] == []
    await gateway.restart()
    assert await deadlocks(gateway) == before


# --- one text that waits, on PostgreSQL; on SQLite one writes at a time ------------------------


class Change:
    """A change of somebody's addresses that holds its locks until it is let go."""

    def __init__(self, gateway: Gateway, person: str, *addresses: str) -> None:
        self._gateway = gateway
        self._person = person
        self._addresses = [Wanted(gateway.house.book.parse("sms", address)) for address in addresses]
        self._made = asyncio.Event()
        self._go_on = asyncio.Event()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        database = self._gateway.house.database
        async with database.write() as conn:
            if database.dialect == "postgresql":  # it takes its time, and does not stand still
                await conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
            await people.change(conn, self._person, Draft(addresses=self._addresses), now=self._gateway.clock())
            self._made.set()
            await self._go_on.wait()

    async def made(self) -> None:
        await asyncio.wait_for(self._made.wait(), 60)

    async def commit(self) -> None:
        self._go_on.set()
        await self._task


def waiting(gateway: Gateway, count: int) -> Callable[[], object]:
    """Whether so many transactions wait for a lock."""

    async def ask() -> bool:
        async with gateway.house.database.read() as conn:
            of_ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            found = await conn.execute(text(f"{of_ours} AND wait_event_type = 'Lock'"))
            return bool(found.scalar_one() == count)

    return ask


async def test_a_stop_whose_address_is_given_to_others_again_and_again_waits_and_counts_for_all(
    gateway: Gateway, dialect: str
) -> None:
    """Five times the address has one owner more when the text has waited for it."""
    if dialect == "sqlite":
        return
    owners = [(await gateway.person(f"sms:{ANA}"))["id"]] + [(await gateway.person())["id"] for _ in range(5)]
    gifts = [Change(gateway, owner, ANA) for owner in owners[1:]]
    gifts[0].start()
    await gifts[0].made()
    stop = asyncio.create_task(gateway.text_in("STOP", ANA))
    for gift, following in zip(gifts, [*gifts[1:], None], strict=True):
        await eventually(waiting(gateway, 1))
        if following is not None:
            following.start()
            await eventually(waiting(gateway, 2))
        await gift.commit()
        if following is not None:
            await following.made()
    got = await stop
    assert (got.status, got.body) == (200, said(OPTED_OUT))
    assert [await gateway.verdict(owner) for owner in owners] == ["opted_out_channel"] * 6


async def test_a_stop_whose_address_is_taken_from_its_owner_meanwhile_makes_somebody_new(
    gateway: Gateway, dialect: str
) -> None:
    if dialect == "sqlite":
        return
    ana = (await gateway.person(f"sms:{ANA}"))["id"]
    taken = Change(gateway, ana)
    taken.start()
    await taken.made()
    stop = asyncio.create_task(gateway.text_in("STOP", ANA))
    await eventually(waiting(gateway, 1))
    await taken.commit()
    assert (await stop).body == said(OPTED_OUT)
    [owner] = await gateway.whose(f"sms:{ANA}")
    assert owner["id"] != ana
    assert await gateway.verdict(owner["id"]) == "opted_out_channel"
    assert await gateway.history(ana) == []
