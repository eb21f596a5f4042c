"""What another system of the organisation asks, by seed: it sends people in batches, and merges those who are one."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from tests.torture.persons import Standing, families, may
from tests.torture.records import Batch, Item, Merge, Record, State

ITS_OWN = [f"+1415557{n:04d}" for n in range(100, 160) if n % 100 != 90]  # they are known by it alone
CUSTOMER = {"kind": "customer"}


class Crm:
    """`alive` are profiles that nobody else shares a number with, by number; those of its batches come to them.

    `known` are the numbers of those it has sent, and was answered.
    """

    def __init__(self, chance: random.Random, name: str, alive: Mapping[str, str], record: Record) -> None:
        self._chance, self._name, self._record = chance, name, record
        self._alive = dict(alive)
        self.known: list[str] = []
        self._heard: set[str] = set()  # the batches whose answers were read

    def batch(self, now: datetime) -> Batch:
        """Some of its people: new ones, and what is new of those it has sent before. `now` is the gateway's time."""
        self._read_answers()
        name = f"{self._name}-batch-{len(self._record.batches)}"
        under_way = {item.number for batch in self._record.batches if not batch.is_acknowledged for item in batch.items}
        free = [number for number in ITS_OWN if number in self.known or number not in under_way]
        some = self._chance.sample(free, min(len(free), self._chance.randint(1, 4)))
        items = [self._item(number, f"{name}#{place}", now) for place, number in enumerate(some)]
        batch = Batch(name, items)
        self._record.batches.append(batch)
        return batch

    def _item(self, number: str, mark: str, now: datetime) -> Item:
        wanted: State | None = self._chance.choice(("yes", "yes", "no", None))
        to = wanted if wanted is not None and may(self._record, number, wanted) else None
        body: dict[str, Any] = {"external_id": f"crm-{number}", "attributes": {mark: "kept"}}
        if number not in self.known:  # later a list of addresses would take away what a merge has brought
            body["addresses"] = [{"channel": "sms", "value": number}]
        if to is not None:
            shown = {"obtained_at": now.isoformat(), "how": "at the desk"} if to == "yes" else {}
            body["consent"] = {"channels": {"sms": to}, "by": CUSTOMER, "evidence": shown | {"item": mark}}
        return Item(number, mark, to, body)

    def merge(self) -> Merge | None:
        """Two who turn out to be one, if there are any of whom nothing is under way that a merge could overtake."""
        self._read_answers()
        one_person = families(self._record)
        free = [number for number in self._alive if may(self._record, number, "merge")]
        if len(free) < 2:
            return None
        into, gone = self._two_of(free)
        both = one_person.of(into), one_person.of(gone)
        if all(family & set(ITS_OWN) for family in both):
            return None  # of two external ids one would be nobody's: who comes under it next is somebody new
        name = f"{self._name}-merge-{len(self._record.merges)}"
        merge = Merge(name, self._alive[into], self._alive.pop(gone), (into, gone))
        self._record.merges.append(merge)
        return merge

    def _two_of(self, free: Sequence[str]) -> tuple[str, str]:
        """Half the time two who stand differently, if there are such: a no must win more often than by chance."""
        into, gone = self._chance.sample(free, 2)
        states = Standing(self._record).states
        unlike = [number for number in free if states.get(number) != states.get(into)]
        if unlike and self._chance.random() < 0.5:
            gone = self._chance.choice(unlike)
        return into, gone

    def _read_answers(self) -> None:
        """Whom its batches made: they may be merged from now on."""
        for batch in self._record.batches:
            if batch.is_acknowledged and batch.name not in self._heard:
                self._heard.add(batch.name)
                for item, told in zip(batch.items, json.loads(batch.answer)["items"], strict=True):
                    if item.number not in self.known and told["profile"] is not None:
                        self.known.append(item.number)
                        self._alive[item.number] = told["profile"]["id"]
