"""The STOP storm: 500 first messages at once from 50 new numbers, each webhook delivered one to five times."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from sqlalchemy import func, select

from store.engine import Database
from store.tables import consent_events, consent_states, messages, profile_addresses, profiles, receipts
from tests.campaign import checks
from tests.campaign.clients import Answered, Provider, Text, open_clients, told
from tests.campaign.gateways import house, opened

pytestmark = pytest.mark.timeout(240)

SAID = [
    "STOP",
    "stop please",
    "Start",
    "hello",
    "When do you open?",
    "HELP",
    "ＳＴＯＰ",
    "UNSTOP",
    "Cancel my booking",
    "❤️",
]
ACTS = {"STOP", "stop please", "Start", "ＳＴＯＰ", "UNSTOP"}
NOBODY = "http://127.0.0.1:9"  # the discard port: in a storm nothing is sent out


def the_messages(dice: random.Random) -> list[Text]:
    """Ten different ones from each of fifty numbers."""
    texts = [Text(f"+1415555{number:04d}", body) for number in range(50) for body in SAID]
    dice.shuffle(texts)
    return texts


def delivered_repeatedly(texts: Sequence[Text], dice: random.Random) -> list[Text]:
    """Each one to five times, shuffled."""
    deliveries = [text for text in texts for _ in range(dice.randint(1, 5))]
    dice.shuffle(deliveries)
    return deliveries


def answered_alike(answers: Sequence[Answered]) -> dict[str, bytes]:
    """The answer that each message got; every delivery of one message got the same bytes."""
    got: dict[str, set[bytes]] = defaultdict(set)
    for answer in answers:
        if answer.status == 200:
            got[answer.text.sid].add(answer.body)
    assert all(len(bodies) == 1 for bodies in got.values())
    return {sid: bodies.pop() for sid, bodies in got.items()}


async def kept(database: Database) -> set[str]:
    """The messages on disk with their receipts, as another connection sees it."""
    async with database.read() as conn:
        rows = await conn.execute(select(receipts.c.provider_id).join(messages, messages.c.id == receipts.c.message_id))
        return set(rows.scalars())


async def assert_all_took_effect_once(database: Database, texts: Sequence[Text]) -> None:
    """One profile per number, one message and one receipt per MessageSid, one line of history per act."""
    async with database.read() as conn:

        async def count(of: object) -> int:
            return int((await conn.execute(select(func.count()).select_from(of))).scalar_one())  # type: ignore[arg-type]

        assert await count(profiles) == await count(profile_addresses) == len({text.sender for text in texts})
        assert await count(messages) == await count(receipts) == len(texts)
        lines = await conn.execute(
            select(messages.c.provider_id, func.count())
            .join(consent_events, consent_events.c.change_id == messages.c.change_id)
            .group_by(messages.c.provider_id)
        )
        acts = {text.sid: 1 for text in texts if text.body in ACTS}
        assert {line[0]: line[1] for line in lines} == acts
        assert await count(consent_events) == len(acts)
        # A channel and an address each, for everyone: STOP and START are one line and two flags.
        assert await count(consent_states) == 2 * len({text.sender for text in texts})
    assert await kept(database) == {text.sid for text in texts}


async def post_and_look(database: Database, provider: Provider, url: str, texts: Sequence[Text]) -> list[Answered]:
    """Post all at once; whenever an answer is there, its message is visible to everybody else."""

    async def one(text: Text) -> Answered:
        answer = await provider.post(url, text)
        async with database.read() as conn:
            found = await conn.execute(select(receipts.c.message_id).where(receipts.c.provider_id == text.sid))
            assert found.scalar_one_or_none() is not None, "answered before its commit"
        return answer

    return list(await asyncio.gather(*(one(text) for text in texts)))


def a_storm() -> tuple[random.Random, list[Text], list[Text]]:
    """The messages, and each as often as it is delivered; by a seed that is printed."""
    seed = random.randrange(10**6)
    print("seed", seed)
    dice = random.Random(seed)
    texts = the_messages(dice)
    return dice, texts, delivered_repeatedly(texts, dice)


async def test_every_message_of_a_storm_takes_effect_once_and_is_answered_after_its_commit(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    _, texts, deliveries = a_storm()
    async with house(tmp_path, new_database_url(), NOBODY) as home, opened(home) as database, open_clients() as session:
        gateway = await home.serve()
        provider = Provider(session)
        answers = await post_and_look(database, provider, gateway.url, deliveries)
        print(told(answers))
        assert {answer.status for answer in answers} == {200}
        first = answered_alike(answers)

        await assert_all_took_effect_once(database, texts)
        again = await provider.post_all(gateway.url, texts)
        assert answered_alike(again) == first
        await assert_all_took_effect_once(database, texts)
        assert await gateway.stop() == 0
        await checks.the_gateways_own_checks_find_nothing(database)
        assert home.complaints() == []


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_a_storm_over_two_replicas_takes_effect_once_and_every_delivery_gets_the_same_answer(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    """Each webhook one to five times, to one replica or the other: the second to have it waits for the first."""
    dice, texts, deliveries = a_storm()
    async with house(tmp_path, new_database_url(), NOBODY) as home, opened(home) as database, open_clients() as session:
        replicas = [await home.serve(), await home.serve()]
        provider = Provider(session)
        posts = (provider.post(dice.choice(replicas).url, text) for text in deliveries)
        answers = await asyncio.gather(*posts)
        print(told(answers))
        assert {answer.status for answer in answers} == {200}
        assert answered_alike(answers).keys() == {text.sid for text in texts}
        await assert_all_took_effect_once(database, texts)
        assert [await replica.stop() for replica in replicas] == [0, 0]
        await checks.the_gateways_own_checks_find_nothing(database)
        assert home.complaints() == []


async def test_what_was_answered_before_a_kill_is_there_after_it_and_the_rest_can_be_sent_again(
    new_database_url: Callable[[], str], tmp_path: Path
) -> None:
    _, texts, deliveries = a_storm()
    async with house(tmp_path, new_database_url(), NOBODY) as home, opened(home) as database, open_clients() as session:
        gateway = await home.serve()
        provider = Provider(session)
        storm = asyncio.create_task(provider.post_all(gateway.url, deliveries))
        while len(provider.log) < len(deliveries) // 3:
            await asyncio.sleep(0.005)
        await gateway.kill()
        before = await storm
        answered = answered_alike(before)
        lost = sum(answer.status is None for answer in before)
        print(f"killed after {len(before) - lost} of {len(before)} answers, {len(answered)} messages")
        assert {answer.status for answer in before} == {200, None}

        gateway = await home.serve()
        assert answered.keys() <= await kept(database)
        after = await provider.post_all(gateway.url, deliveries)
        assert {answer.status for answer in after} == {200}
        now_answered = answered_alike(after)
        assert answered.items() <= now_answered.items()
        assert now_answered.keys() == {text.sid for text in texts}
        await assert_all_took_effect_once(database, texts)
        assert await gateway.stop() == 0
        await checks.the_gateways_own_checks_find_nothing(database)
        assert home.complaints() == []
