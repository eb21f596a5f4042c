"""The checker's part on what is asked under an Idempotency-Key: merges, and the items of batches.

What was answered is done, and what was not is done wholly or not at all; nothing is done twice.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from store.tables import audit, consent_events, evidence, profile_merges, profiles
from tests.torture.records import Batch, Item, Merge, Record


@dataclass(frozen=True)
class Profiles:
    """Who is there, who has become whom, and what merges and batches have left behind."""

    there: frozenset[str]
    became: Mapping[str, str]
    noted: Counter[tuple[str, str]]  # of merges: the survivor then, and who was gone
    marked: Mapping[str, list[str]]  # mark → whose profile bears it
    said: Counter[str]  # mark → how many changes of consent name it

    def now(self, profile_id: str) -> str:
        return self.became.get(profile_id, profile_id)


async def of_asked(conn: Any, record: Record) -> list[str]:
    books = await _read(conn)
    return [*unlike_merges(record.merges, books), *unlike_batches(record.batches, books)]


async def _read(conn: Any) -> Profiles:
    attributes = {row.id: row.attributes for row in await conn.execute(select(profiles.c.id, profiles.c.attributes))}
    marked: dict[str, list[str]] = defaultdict(list)
    for profile_id, marks in attributes.items():
        for mark in marks or ():
            marked[mark].append(profile_id)
    merged = await conn.execute(select(audit.c.target, audit.c.detail).where(audit.c.action == "profile.merged"))
    shown = await conn.execute(
        select(consent_events.c.change_id, evidence.c.body).join(evidence, evidence.c.event_id == consent_events.c.id)
    )
    changes = {(row.change_id, row.body["item"]) for row in shown if "item" in (row.body or {})}
    became = await conn.execute(select(profile_merges.c.profile_id, profile_merges.c.into_id))
    return Profiles(
        frozenset(attributes),
        {row.profile_id: row.into_id for row in became},
        Counter((row.target, row.detail["from"]) for row in merged),
        marked,
        Counter(mark for _, mark in changes),
    )


def unlike_merges(merges: Iterable[Merge], books: Profiles) -> Iterator[str]:
    """I5 and I6 of merges: one profile where there were two, and the other's id says whom it became."""
    for merge in merges:
        what = f"{merge.name}, of {merge.gone} into {merge.into},"
        noted = books.noted[merge.into, merge.gone]
        done = {noted > 0, merge.gone in books.became, merge.gone not in books.there}
        if noted > 1:
            yield f"I6: {what} was done {noted} times"
        if len(done) > 1:
            yield f"I5: {what} is half done"
        elif merge.is_acknowledged and done == {False}:
            yield f"I5: {what} was acknowledged and is gone"
        elif done == {True}:
            survivor = books.became[merge.gone]
            if survivor != books.now(merge.into) or survivor not in books.there:
                yield f"I5: {what} leads to {survivor}, who is not the survivor"


def unlike_batches(batches: Iterable[Batch], books: Profiles) -> Iterator[str]:
    """I5 and I6 of each item: the profile that was answered bears its mark, and nobody does or says so twice."""
    for batch in batches:
        answers = json.loads(batch.answer)["items"] if batch.is_acknowledged else [None] * len(batch.items)
        for item, told in zip(batch.items, answers, strict=True):
            yield from _unlike_item(item, told, books)


def _unlike_item(item: Item, told: Any, books: Profiles) -> Iterator[str]:
    bearers = books.marked.get(item.mark, [])
    if len(bearers) > 1 or books.said[item.mark] > 1:
        yield f"I6: {item.mark} was done to {bearers}, and said {books.said[item.mark]} times"
    if books.said[item.mark] and not bearers:
        yield f"I5: {item.mark} is half done"
    if told is None:
        return
    if told["status"] not in (200, 201):
        yield f"I5: {item.mark} was answered {told['status']}: {told['problem']}"
    elif books.now(told["profile"]["id"]) not in bearers:
        yield f"I5: {item.mark} of {told['profile']['id']} was acknowledged and is gone"
