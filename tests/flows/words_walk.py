"""A walk: the people, what they have before them and have said, and what is seen of it on the real gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

from sqlalchemy import Select, bindparam, literal, null, select, union_all

from consent import verdict
from outbox.manage_links import Opened
from store.tables import (
    addresses,
    confirmations,
    consent_states,
    deliveries,
    preferences,
    profile_addresses,
    submissions,
)
from tests.flows.filling import make, preference
from tests.flows.running import Gateway, eventually
from tests.flows.words_model import BY_NUMBER, FIRM, Left, Model, Question, Subject, Word, channel_of, same

LINKED = {"#Drama": "email", "#Texts": "sms"}
TOPICS = ("#Drama", "#Texts", "#Opera")
TICKETS = "tickets"  # where a topic stands: what they have ordered
_numbers = count()

Who = frozenset[str]


class Difference(AssertionError):
    """What the gateway allows and the model forbids, or what an act was not to do."""


@dataclass(frozen=True)
class Scene:
    """What an operator has set up: ids by name."""

    topics: Mapping[str, str]
    forms: Sequence[tuple[str, str, bool]]  # id, channel, is confirmed always


async def set_up(gateway: Gateway) -> Scene:
    topics = {}
    for name in TOPICS:
        made = await preference(gateway, name[1:], linked_channel=LINKED.get(name))
        topics[name] = str(made["id"])
    for keyword, action in (("TEXTS", "opt_in"), ("NOTEXTS", "opt_out")):
        rule = {"channel": "sms", "keyword": keyword, "match": "exact", "action": action}
        await gateway.api("POST", "/v1/rules", json=rule | {"subject": {"kind": "preference", "name": "Texts"}})
    for name, changes in DISPOSITIONS.items():
        await gateway.api("POST", "/v1/dispositions", json={"name": name, "changes": changes})
    boxes = [{"name": "Drama"}, {"name": "Opera"}]
    forms = [
        await make(gateway, confirm="none", preferences=boxes),
        await make(gateway, confirm="none", preferences=[{"name": "Drama", "selected": True}], existing="ignore"),
        await make(gateway, confirm="double", preferences=[*boxes, {"name": "Texts"}]),
        await make(gateway, confirm="double", preferences=[{"name": "Opera", "selected": True}], existing="ignore"),
        await make(gateway, confirm="double", preferences=[{"name": "Drama", "as": "statement"}]),
        await make(
            gateway, channel="sms", connection="box", entry="typed", preferences=[{"name": "Texts"}, {"name": "Opera"}]
        ),
        await make(gateway, channel="whatsapp", connection="whatsapp", entry="typed", preferences=[{"name": "Opera"}]),
    ]
    return Scene(topics, [(one["id"], one["channel"], one["confirm"] == "double") for one in forms])


DISPOSITIONS: dict[str, list[dict[str, str]]] = {
    "No texts": [{"kind": "channel", "channel": "sms", "to": "no"}],
    "No mail": [{"kind": "channel", "channel": "email", "to": "no"}],
    "Not here": [{"kind": "address", "to": "no"}],
    "Nothing": [{"kind": "everything", "to": "no"}],
    "Wants mail": [{"kind": "channel", "channel": "email", "to": "yes"}],
    "Wants it here": [{"kind": "address", "to": "yes"}],
    "Wants drama": [{"kind": "preference", "name": "Drama", "to": "yes"}],
}


def _verdicts() -> Select[Any]:
    """Of marketing on each person, address and preference, and on none; and of tickets."""
    has = profile_addresses.c
    every = select(preferences.c.id, literal("marketing").label("class"))
    none = [select(null().label("id"), literal(one).label("class")) for one in ("marketing", "transactional")]
    about = union_all(*none, every).subquery("about")
    asked = select(has.profile_id, has.address_id, has.channel, about.c.id.label("preference_id"), about.c["class"])
    theirs = has.profile_id.in_(bindparam("theirs", expanding=True))
    return verdict.over(asked.join_from(profile_addresses, about, literal(True)).where(theirs).subquery("asked"))


VERDICTS = _verdicts()


@dataclass
class Page:
    """An own page that somebody has before them."""

    opened: Opened
    act: int
    whose: Who
    fields: list[tuple[str, str]]
    boxes: dict[Subject, tuple[str, bool]]  # what it is about → its key, and whether it is ticked


@dataclass
class Offer:
    """What the page after an unsubscribing offers."""

    acts: list[int]
    address: str
    topic: Subject | None
    tokens: Mapping[str, str]  # topic | everything | undo → what its button posts


@dataclass
class Walk:
    """Some people, what they have before them, and what they have said."""

    gateway: Gateway
    scene: Scene
    folder: Path
    model: Model = field(default_factory=lambda: Model(LINKED))
    family: dict[str, Who] = field(default_factory=dict)  # profile → itself and who was merged into it
    pages: list[Page] = field(default_factory=list)
    asked_pages: list[tuple[str, str, Offer]] = field(default_factory=list)  # unsubscribe pages: path, press
    offers: list[Offer] = field(default_factory=list)
    confirmed: set[str] = field(default_factory=set)
    ids: dict[str, str] = field(default_factory=dict)  # address → its id
    act: int = 0

    def __post_init__(self) -> None:
        number = next(_numbers)
        self.pool = [f"email:p{place}.{number}@example.org" for place in range(3)]
        numbers = [f"+1415{2000000 + 4 * number + place}" for place in range(3)]
        self.pool += [*(f"sms:{one}" for one in numbers), *(f"whatsapp:{one}" for one in numbers[:2])]

    @property
    def now(self) -> datetime:
        return self.gateway.clock()

    # --- who there is ----------------------------------------------------------------------------

    async def begin(self, dice: Random) -> None:
        for _ in range(dice.choice((2, 2, 3))):
            await self.add(dice.sample(self.pool, dice.choice((2, 2, 3))))

    async def add(self, tagged: Sequence[str], **more: Any) -> Who:
        made = await self.gateway.person(*tagged, **more)
        await self.look()
        return self.family[made["id"]]

    @property
    def profiles(self) -> list[str]:
        return sorted(self.family)

    def someone(self, dice: Random) -> str | None:
        return dice.choice(self.profiles) if self.family else None

    async def look(self) -> None:
        """See who there is by now, and what they have."""
        async with self.gateway.house.database.read() as conn:
            ids = select(addresses.c.id, addresses.c.channel, addresses.c.value).where(
                addresses.c.value.in_([one.partition(":")[2] for one in self.pool])
            )
            self.ids |= {f"{row.channel}:{row.value}": row.id for row in await conn.execute(ids)}
            named = {id_: address for address, id_ in self.ids.items()}
            has = profile_addresses.c
            theirs = select(has.profile_id, has.address_id)
            rows = (await conn.execute(theirs.where(has.address_id.in_(list(named))))).all()
        having: dict[str, set[str]] = {}
        for row in rows:
            having.setdefault(row.profile_id, set()).add(named[row.address_id])
        self.family = {one: self.family.get(one, frozenset([one])) for one in having}
        self.model.become({self.family[one]: frozenset(of) for one, of in having.items()}, act=self.act)

    # --- what is said ----------------------------------------------------------------------------

    def no(
        self,
        who: Collection[Who],
        *about: Subject,
        at: datetime | None = None,
        worth: int = FIRM,
    ) -> None:
        for one in who:
            for subject in about:
                self.model.hear(Word(at or self.now, self.act, one, subject, "no", worth))

    def yes(
        self,
        who: Collection[Who],
        *about: Subject,
        worth: int,
        at: datetime | None = None,
        proof: str | None = None,
        until: datetime | None = None,
    ) -> None:
        for one in who:
            for subject in about:
                covers = frozenset(a for a in self.model.having.get(one, ()) if channel_of(a) == subject)
                self.model.hear(Word(at or self.now, self.act, one, subject, "yes", worth, covers, proof, until))

    def no_from(self, address: str, *about: Subject) -> None:
        """By a word from an address: of everyone who has it; of nobody it stays there."""
        self.no(self.model.holders(address), *about)
        if not self.model.holders(address):
            self.model.leave(Left(self.now, self.act, address))

    # --- what is seen ----------------------------------------------------------------------------

    async def verdicts(self) -> dict[tuple[str, str, Subject | None], str]:
        """The verdict of marketing on each person, address and preference; and of tickets, by TICKETS."""
        named = {id_: name for name, id_ in [*self.scene.topics.items(), *self.ids.items()]}
        async with self.gateway.house.database.read() as conn:
            rows = await conn.execute(VERDICTS, {"theirs": self.profiles, "verdict_now": self.now})
            return {
                (
                    row.profile_id,
                    named[row.address_id],
                    TICKETS if row[4] == "transactional" else named.get(row.preference_id),
                ): str(row.reason)
                for row in rows
            }

    async def states(self, profile_id: str) -> dict[Subject, str]:
        named = {id_: name for name, id_ in [*self.scene.topics.items(), *self.ids.items()]}
        found = select(consent_states).where(consent_states.c.profile_id == profile_id)
        async with self.gateway.house.database.read() as conn:
            return {named.get(row.key, row.key) or row.kind: str(row.state) for row in await conn.execute(found)}

    @asynccontextmanager
    async def unchanged(self, what: str) -> AsyncIterator[None]:
        async def seen() -> Any:
            return await self.verdicts(), [await self.states(one) for one in self.profiles]

        before = await seen()
        yield
        if (after := await seen()) != before:
            raise Difference(f"{what} changed something:\n{before}\n{after}")

    async def check(self) -> None:
        """Whether nothing is allowed that nobody has said yes to, or somebody no."""
        for (profile_id, address, topic), reason in sorted((await self.verdicts()).items(), key=str):
            if not verdict.is_allowed(reason):
                continue
            who = self.family[profile_id]
            if topic == TICKETS:
                expected, why = "transactional", self.model.forbids_tickets(who, address)
            else:
                expected, why = "opted_in", self.model.forbids(who, address, topic, now=self.now)
            if reason != expected or why is not None:
                raise Difference(f"{profile_id} at {address} about {topic}: {reason}, but {why}")

    # --- what is asked ---------------------------------------------------------------------------

    async def questions(self) -> dict[str, Any]:
        found = select(confirmations).where(confirmations.c.address_id.in_(list(self.ids.values())))
        async with self.gateway.house.database.read() as conn:
            return {row.id: row for row in await conn.execute(found)}

    @asynccontextmanager
    async def asking(
        self, yes: Collection[Subject], no: Collection[Subject] = (), *, by: Who | None = None
    ) -> AsyncIterator[None]:
        """Whatever is asked meanwhile, by mail or by text, is known to the model."""
        before = await self.questions()
        yield
        await self.look()
        for id_, row in sorted((await self.questions()).items()):
            if id_ in before:
                continue
            address = next(one for one, of in self.ids.items() if of == row.address_id)
            keys = {wish["key"] for wish in row.wishes}
            named = {one for one, id_ in [*self.scene.topics.items(), *self.ids.items()] if id_ in keys}
            named |= {*BY_NUMBER, "email"} & keys
            reached = {channel_of(one) for one in same(address)}
            here = {one for one in yes if one in TOPICS or channel_of(one) in reached} & named
            noes = set(no) & named
            self.model.questions[id_] = Question(self.act, self.now, address, frozenset(here), frozenset(noes), by)

    async def done(self) -> None:
        """Until all that was sent in by a form is carried out, and what is asked by text is sent."""

        async def is_done() -> bool:
            async with self.gateway.house.database.read() as conn:
                new = (await conn.execute(select(submissions.c.id).where(submissions.c.status == "new"))).first()
                waits = deliveries.c.status.in_(["queued", "sending"])
                texts = select(deliveries.c.id).where(waits, deliveries.c.channel.in_(BY_NUMBER))
                text = (await conn.execute(texts)).first()
                return new is None and text is None

        await eventually(is_done)


def settle_questions_of(walk: Walk, id_: str) -> None:
    """The model's part of a question that is answered by yes."""
    one = walk.model.questions[id_]
    if one.is_over or id_ in walk.confirmed or walk.now > one.at + timedelta(days=7):
        return
    walk.confirmed.add(id_)
    who = walk.model.holders(one.address)
    if one.asked_by is not None:
        who = [whose for whose in who if whose & one.asked_by]
    channel = channel_of(one.address)
    also = {one.address} if channel in one.yes and (one.asked_by is None or _is_only(walk, who, channel)) else set()
    walk.yes(who, *sorted(one.yes | also), worth=FIRM, proof=one.address)
    walk.no(who, *sorted(one.no), at=one.at)


def _is_only(walk: Walk, who: Collection[Who], channel: str) -> bool:
    return all(sum(channel_of(a) == channel for a in walk.model.having[one]) == 1 for one in who)
