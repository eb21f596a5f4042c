"""Whether the time of an answer to a form tells who is known: known against unknown, in turns, one at a time.

Beside the ratio of the medians, how often one would be right who guesses by a single time which of the two it was: 0.5
is chance. `bare` is the same without the slot of time at whose end an answer is given.
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections.abc import Iterator, Sequence
from itertools import chain
from math import sqrt
from time import monotonic

from aiohttp import web
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.databases import KINDS, databases
from bench.figures import Figure, figure, median, ratio, show
from consent.states import Change, Subject, Wish
from forms import intake, slots
from forms.catalogue import Shown
from forms.desk import DESK, Desk
from forms.submission import Submission
from gateway.app import build
from gateway.settings import Settings
from outbox import heed, people
from store.ids import new_id
from store.tables import form_versions
from store.tables import forms as forms_table

KNOWN = ("not asked", "in", "out")  # what people have said who are known
RATIO_TARGET, GUESS_TARGET, FIRST_SLOT_TARGET = "<= 1.05", "<= 0.6", ">= 0.99"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--on", nargs="+", choices=KINDS, default=KINDS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--each", type=int, default=40, help="forms of each kind in a round")


async def main(chosen: argparse.Namespace) -> None:
    for on in chosen.on:
        with databases(on) as made:
            for confirm in ("none", "double"):
                seen = await _measure(made.new(), confirm, chosen.rounds, chosen.each)
                title = f"forms, confirm {confirm}, {on}, {chosen.rounds} rounds of {chosen.each} of each kind"
                show(title, list(_figures(seen)), chosen.json)


Seen = dict[tuple[str, bool], list[list[float]]]  # by kind and whether bare: rounds of seconds


async def _measure(url: str, confirm: str, rounds: int, each: int) -> Seen:
    connections = {"mail": {"provider": "sandbox", "channel": "email"}}
    app = build(Settings.model_validate({"database": {"url": url}, "connections": connections}))
    runner = web.AppRunner(app)
    await runner.setup()
    slot, uneven = intake.SLOT_SECONDS, slots.UNEVEN_SECONDS
    try:
        form_id = await _form(app[DESK], confirm)
        await _round(app[DESK], form_id, 3)  # what is made once is made
        seen: Seen = {(kind, bare): [] for kind in ("unknown", *KNOWN) for bare in (False, True)}
        for _ in range(rounds):
            for bare in (False, True):
                intake.SLOT_SECONDS, slots.UNEVEN_SECONDS = (1e-9, 0.0) if bare else (slot, uneven)
                for kind, seconds in (await _round(app[DESK], form_id, each)).items():
                    seen[kind, bare].append(seconds)
        return seen
    finally:
        intake.SLOT_SECONDS, slots.UNEVEN_SECONDS = slot, uneven
        await runner.cleanup()


async def _round(desk: Desk, form_id: str, each: int) -> dict[str, list[float]]:
    """Seconds by kind."""
    turns = [(kind, f"{new_id('a')}@example.org") for kind in ("unknown", *KNOWN) for _ in range(each)]
    for kind, address in turns:
        await _meet(desk, kind, address)
    random.shuffle(turns)
    found: dict[str, list[float]] = {kind: [] for kind, _ in turns}
    for kind, address in turns:
        await asyncio.sleep(random.uniform(0, 0.02))
        began = monotonic()
        await intake.receive(desk, Submission(form_id, 1, "email", address, {}))
        found[kind].append(monotonic() - began)
    return found


async def _meet(desk: Desk, kind: str, address: str) -> None:
    """Let an address be known as one of this kind."""
    if kind == "unknown":
        return
    draft = people.Draft(addresses=[people.Wanted(desk.book.parse("email", address))])

    async def work(conn: AsyncConnection) -> None:
        profile_id = await people.create(conn, draft, now=desk.clock())
        if kind != "not asked":
            wish = Wish(Subject("channel", "email"), "yes" if kind == "in" else "no")
            change = Change(profile_id, new_id("chg"), (wish,), "form", "customer")
            await heed.record(conn, [change], now=desk.clock())

    await desk.database.transact(work)


async def _form(desk: Desk, confirm: str) -> str:
    given = {"channel": "email", "confirmation_message": "News", "button_text": "Yes", "entry": "typed"}
    body = Shown.model_validate(given | {"confirm": confirm}).model_dump(mode="json")
    form_id, now = new_id("frm"), desk.clock()
    row = {"id": form_id, "description": "a form", "channel": "email", "version": 1}
    version = {"form_id": form_id, "version": 1, "body": body, "created_by": "key:bench", "created_at": now}
    async with desk.database.write() as conn:
        await conn.execute(insert(forms_table), [row | {"created_at": now, "updated_at": now}])
        await conn.execute(insert(form_versions), [version])
    return form_id


# --- figures ----------------------------------------------------------------------------------


def _figures(seen: Seen) -> Iterator[Figure]:
    for kind in KNOWN:
        for bare in (False, True):
            known, unknown = seen[kind, bare], seen["unknown", bare]
            mine, theirs = [median(one) for one in known], [median(one) for one in unknown]
            name = f"{kind}, bare" if bare else kind
            note = f"{median(mine) * 1e3:.1f} ms, unknown {median(theirs) * 1e3:.1f} ms"
            yield ratio(f"{name}: time of unknown", mine, theirs, "" if bare else RATIO_TARGET, note)
            # Of all rounds together; chance is the deviation of that share where both kinds take equally long.
            ones, others = list(chain(*known)), list(chain(*unknown))
            chance = sqrt((len(ones) + len(others) + 1) / (12 * len(ones) * len(others)))
            note = f"chance alone makes 0.50 to {0.5 + 2 * chance:.2f}"
            yield figure(f"{name}: right guesses", [_guess(ones, others)], "" if bare else GUESS_TARGET, note)
    for kind in ("unknown", *KNOWN):
        shares = [_share(one, 2 * intake.SLOT_SECONDS) for one in seen[kind, False]]
        slowest = max(max(one) for one in seen[kind, True])
        note = f"the slowest without it {slowest * 1e3:.0f} ms"
        yield figure(f"{kind}: at the end of the first slot", shares, FIRST_SLOT_TARGET, note)


def _guess(one: Sequence[float], other: Sequence[float]) -> float:
    """How often the longer of two times, one of each, is of the kind that mostly takes longer."""
    longer = sum((a > b) + (a == b) / 2 for a in one for b in other) / (len(one) * len(other))
    return max(longer, 1 - longer)


def _share(seconds: Sequence[float], below: float) -> float:
    return sum(one < below for one in seconds) / len(seconds)
