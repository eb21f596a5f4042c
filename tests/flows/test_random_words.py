"""Random walks through all doors by which a word comes in: none is lost, none is made up, and nothing fails.

The model (`words_model`) is written from the domain's rules and is no code of the gateway's. A walk that finds a
difference is told by its seed and the acts that it takes. OPTGATE_WALKS=1000 walks further, OPTGATE_WALK=SEED again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from random import Random, randrange

import pytest

from gateway.providers.sandbox import Sandbox
from gateway.settings import Settings
from gateway.verify import verify
from tests.flows.running import Gateway
from tests.flows.words_acts import ACTS
from tests.flows.words_walk import Difference, Scene, Walk, set_up

SEEDS = (82180901, 336259031, 591121978, 615962128)  # each found something once
LENGTH = 25
WALKS = int(os.environ.get("OPTGATE_WALKS", "1"))
Step = tuple[str, int]  # an act, and the seed of its dice


@pytest.fixture
def settings(settings: Settings) -> Settings:
    box = Sandbox.model_validate({"provider": "sandbox", "channel": "email", "from": "news@example.com"})
    return settings.model_copy(update={"connections": settings.connections | {"mail": box}})


def steps_of(seed: int) -> list[Step]:
    dice = Random(seed)
    often = [often for often, _ in ACTS.values()]
    return [(name, dice.randrange(10**9)) for name in dice.choices(list(ACTS), often, k=LENGTH)]


async def walk(gateway: Gateway, scene: Scene, folder: Path, seed: int, steps: Sequence[Step]) -> str | None:
    """Take the steps, each after some time; returns what was wrong."""
    taken = Walk(gateway, scene, folder)
    await taken.begin(Random(seed))
    for name, chance in steps:
        dice = Random(chance)
        gateway.clock.advance(minutes=dice.choice((1, 2, 2, 5, 5, 30, 150, 26 * 60, 8 * 24 * 60)))
        taken.act += 1
        try:
            await ACTS[name][1](taken, dice)
            await taken.check()
        except Difference as wrong:
            return f"after {name}: {wrong}"
    return None


async def shrunk(gateway: Gateway, scene: Scene, folder: Path, seed: int, steps: list[Step]) -> tuple[list[Step], str]:
    """The fewest steps that still go wrong, and how."""
    wrong = await walk(gateway, scene, folder, seed, steps) or "not again"
    place = len(steps)
    while (place := place - 1) >= 0:
        fewer = steps[:place] + steps[place + 1 :]
        if (still := await walk(gateway, scene, folder, seed, fewer)) is not None:
            steps, wrong = fewer, still
    return steps, wrong


@pytest.mark.timeout(240 + 5 * WALKS)
async def test_no_word_is_lost_and_none_is_made_up(
    gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log_lines: list[str]
) -> None:
    monkeypatch.setattr("forms.intake.SLOT_SECONDS", 0.02)  # how long an answer takes tells of nobody, nor concerns us
    gateway.clock.hold()
    scene = await set_up(gateway)
    if again := os.environ.get("OPTGATE_WALK"):
        seeds = [int(again)]
    else:
        fresh = randrange(10**9)
        seeds = [*SEEDS, *range(fresh, fresh + WALKS)]
    for seed in seeds:
        if await walk(gateway, scene, tmp_path, seed, steps_of(seed)) is not None:
            steps, wrong = await shrunk(gateway, scene, tmp_path, seed, steps_of(seed))
            raise AssertionError(f"seed {seed}, {steps}: {wrong}")
        # A 500 is no answer that a walk may believe, and what fails behind an answer is seen in none.
        assert [line for line in log_lines if '.failed"' in line] == [], f"seed {seed}"
    assert await verify(gateway.house.database) == []
