"""What the clients do in one round, by seed: people say things, the marketer sends, another system tells of people.

What was not acknowledged comes again.
"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.torture.clients import Clients
from tests.torture.crm import Crm
from tests.torture.persons import WORDS, may
from tests.torture.records import Act, Batch, Kind, Merge, Record, Send

BODIES: dict[Kind, tuple[str, ...]] = {
    "stop": ("STOP", "stop please", "Unsubscribe"),
    "start": ("START", "Unstop"),
    "plain": ("Is the matinee sold out?", "HELP", "thanks"),
}
NEWCOMERS = [f"+1415556{n:04d}" for n in range(100, 160) if n % 100 != 90]
LOST = "(lost)"  # in a text: the provider takes it, says nothing, and reports nothing
LATER = timedelta(hours=1)  # most stories last less: a broadcast then is still to be cancelled, or is the last one's
LOOK_SECONDS = 0.05
MOST_OWED = 6  # batches and merges that go unanswered at the same time, or one or two more
ON_THE_BOX = [f"+1646556{n:04d}" for n in range(100, 112)]  # whose provider tells when they wrote


@dataclass
class Script:
    """The story of one database. `people` may text, `audience` may be sent to; what is owed is repeated first.

    `silent` people have said yes and say nothing more.
    """

    chance: random.Random
    name: str  # stands in every text and id, so that each is of this story alone
    people: Sequence[str]
    audience: Sequence[str]
    silent: Sequence[str]
    record: Record
    crm: Crm

    def __post_init__(self) -> None:
        self._count = itertools.count(1)
        self._started = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)

    def round(self, clients: Clients, *, everything: bool = False) -> list[Coroutine[Any, Any, object]]:
        """Acts to be done at once; with `everything`, one of each kind at least."""
        chance = self.chance
        jobs: list[Coroutine[Any, Any, object]] = [
            self._say(clients, act, times=1 + (chance.random() < 0.2)) for act in self._next_acts()
        ]
        jobs += [clients.ask(act) for act in self._said_before(chance.randrange(3))]
        jobs += [clients.ask(act) for act in self._next_on_box(chance.randrange(3) + everything)]
        jobs += [
            self._say(clients, one, times=1 + (chance.random() < 0.2)) for one in self._next_of_crm(clients, everything)
        ]
        for _ in range(max(chance.randrange(3), everything)):
            jobs.append(
                clients.message(self._text(), chance.choice(self._known()), transactional=chance.random() < 0.4)
            )
        if everything or chance.random() < 0.4:
            later = LATER if chance.random() < 0.15 else None
            jobs.append(self._broadcast(clients, self._audience(), then_cancel=chance.random() < 0.25, later=later))
        if everything:
            jobs.append(self._broadcast(clients, self._audience(), then_cancel=True, later=LATER))
            jobs.append(clients.message(f"{self._text()} {LOST}", chance.choice(self.silent), transactional=False))
        under_way = [send for send in self.record.sends[-6:] if send.kind == "broadcast" and send.id]
        if under_way and (everything or chance.random() < 0.3):
            verb = chance.choice(("pause", "resume", "pause and resume", "cancel"))
            jobs.append(self._control(clients, chance.choice(under_way), verb.split(" and ")))
        chance.shuffle(jobs)
        return jobs

    def going_on(self, clients: Clients) -> list[Coroutine[Any, Any, object]]:
        """Every broadcast that may be paused is set going again."""
        return [clients.control(send, "resume") for send in self.record.sends if send.id and send.controls]

    # --- people -----------------------------------------------------------------------------------

    def _next_acts(self) -> list[Act]:
        """Who says something now: those who were not heard say it again, others say something new."""
        some = self.chance.sample(list(self.people), self.chance.randint(2, 6))
        owed = {act.number: act for act in self._owed_acts() if act.channel == "sms"}
        heard = [owed.get(number) or self._act(number) for number in some]
        again = [act for number, act in owed.items() if number not in some]
        return heard + again[:4]

    def _owed_acts(self) -> list[Act]:
        return [act for act in self.record.acts if not act.is_acknowledged]

    def _act(self, number: str) -> Act:
        kind: Kind = self.chance.choices(("stop", "start", "plain"), (4, 4, 2))[0]
        if kind in WORDS and not may(self.record, number, WORDS[kind]):
            kind = "plain"
        act = Act(number, kind, self.chance.choice(BODIES[kind]), self._sid())
        self.record.acts.append(act)
        return act

    async def _say(self, clients: Clients, what: Act | Merge | Batch, times: int) -> None:
        await asyncio.gather(*(clients.ask(what) for _ in range(times)))

    def _said_before(self, count: int) -> list[Act | Merge | Batch]:
        asked = (*self.record.acts[-200:], *self.record.merges[-20:], *self.record.batches[-20:])
        said = [one for one in asked if one.is_acknowledged]
        return self.chance.sample(said, min(count, len(said)))

    def _next_on_box(self, count: int) -> list[Act]:
        acts = [act for act in self._owed_acts() if act.channel == "whatsapp"][:6]
        for _ in range(count):
            kind: Kind = self.chance.choice(("stop", "start"))
            at = self._started + timedelta(seconds=self.chance.randrange(40))  # of so few that many are the same
            act = Act(self.chance.choice(ON_THE_BOX), kind, BODIES[kind][0], self._sid(), "whatsapp", at)
            self.record.acts.append(act)
            acts.append(act)
        return acts

    # --- the other system -------------------------------------------------------------------------

    def _next_of_crm(self, clients: Clients, everything: bool) -> list[Merge | Batch]:
        """What was not answered, under the same keys, and something new unless that is much already."""
        asked: list[Merge | Batch] = [one for one in self.record.owed() if not isinstance(one, Act)]
        if len(asked) >= MOST_OWED:
            return asked
        if everything or self.chance.random() < 0.4:
            asked.append(self.crm.batch(clients.gateway_clock()))
        if (everything or self.chance.random() < 0.3) and (merge := self.crm.merge()) is not None:
            asked.append(merge)
        return asked

    # --- the marketer -----------------------------------------------------------------------------

    def _known(self) -> list[str]:
        """Who may be sent to, those who were merged more often than others.

        Of a batch or a file nobody before it was told: a message would make others of them.
        """
        merged = [number for merge in self.record.merges for number in merge.numbers]
        told = [row.number for row in self.record.rows if row.answered_ns]
        return [*self.audience, *self.crm.known, *told, *merged, *merged]

    def _audience(self) -> dict[str, Any]:
        some = self.chance.sample(self._known(), self.chance.choice((3, 6, 12)))
        return {"all": True} if self.chance.random() < 0.05 else {"addresses": list(dict.fromkeys(some))}

    async def _broadcast(
        self, clients: Clients, audience: dict[str, Any], *, then_cancel: bool, later: timedelta | None
    ) -> None:
        send = await clients.broadcast(self._text(), audience, later=later)
        if not (then_cancel and send.id):
            return
        if later is not None:  # there is something to be cancelled when it is planned
            while (found := await clients.look(f"/v1/broadcasts/{send.id}")) and found["status"] == "planning":
                await asyncio.sleep(LOOK_SECONDS)
        await clients.control(send, "cancel")

    async def _control(self, clients: Clients, send: Send, verbs: Sequence[str]) -> None:
        for verb in verbs:
            await clients.control(send, verb)

    def _text(self) -> str:
        return f"{self.name}-{next(self._count)}: tonight at eight"

    def _sid(self) -> str:
        return f"SM{self.chance.getrandbits(128):032x}"
