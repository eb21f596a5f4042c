"""The checker's part on imports: a row that was told is there, and no row is taken by halves, or twice."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select

from store.tables import addresses, consent_events, evidence, profile_addresses
from tests.torture.records import Row


async def of_rows(conn: Any, rows: Sequence[Row]) -> list[str]:
    holders: dict[str, list[str]] = defaultdict(list)
    for held in await conn.execute(
        select(addresses.c.value, profile_addresses.c.profile_id)
        .join(profile_addresses, profile_addresses.c.address_id == addresses.c.id)
        .where(addresses.c.channel == "sms", addresses.c.value.in_([row.number for row in rows]))
    ):
        holders[held.value].append(held.profile_id)
    shown = await conn.execute(
        select(consent_events.c.change_id, evidence.c.body)
        .join(evidence, evidence.c.event_id == consent_events.c.id)
        .where(consent_events.c.source == "import")
    )
    said = Counter(line for _, line in {(event.change_id, event.body["line"]) for event in shown})
    return list(unlike_rows(rows, holders, said))


def unlike_rows(rows: Iterable[Row], holders: Mapping[str, list[str]], said: Mapping[int, int]) -> Iterator[str]:
    """I5 and I6 of each row: one person with its number, and one change in the history that names it, or neither."""
    for row in rows:
        people, changes = holders.get(row.number, []), said.get(row.line, 0)
        if len(people) > 1 or changes > 1:
            yield f"I6: line {row.line} made {len(people)} people and {changes} changes"
        if bool(people) != bool(changes):
            yield f"I5: line {row.line} made {len(people)} people and {changes} changes: it is half taken"
        elif row.answered_ns and row.profile_id not in people:
            yield f"I5: line {row.line} was told to be {row.profile_id}, and is {people or 'gone'}"
