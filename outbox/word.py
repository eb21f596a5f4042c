"""A no that comes from an address itself: the provider's word, an unsubscribe link. Through the one door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds
from consent.states import Change, Subject, Wish
from outbox import heed
from profiles.links import holders
from store.engine import Raced
from store.ids import new_id


@dataclass(frozen=True, slots=True)
class SaidNo:
    """That the owner of an address wants no more on its channel."""

    address_id: str
    channel: str
    source: str  # of consent.states.SOURCES
    evidence: Mapping[str, object]
    with_address: bool = False  # the address turns no too, as with a STOP


def by_provider(address_id: str, channel: str, *, connection: str, attempt_id: str, error: str | None) -> SaidNo:
    """That a provider will not carry to an address because its owner opted out."""
    evidence = {"connection": connection, "error": error, "attempt": attempt_id}
    return SaidNo(address_id, channel, "provider", evidence, with_address=channel in ("sms", "whatsapp"))


async def heed_no(conn: AsyncConnection, said: Sequence[SaidNo], *, now: datetime) -> frozenset[str]:
    """Record a no of the channel for everyone who has the address; returns the addresses this closes.

    Where nobody has the address any more the no stays with the address itself, for whoever has it next. Raises
    store.engine.Raced when somebody was given an address before its row was locked.
    """
    if not said:
        return frozenset()
    ids = {no.address_id for no in said}
    people = await holders(conn, ids)
    changes = [
        Change(
            profile_id=profile_id,
            change_id=new_id("chg"),
            wishes=(Wish(Subject("channel", no.channel), "no"),),
            source=no.source,
            actor="customer",
            address_id=no.address_id,
            with_address=no.with_address,
            evidence=dict(no.evidence),
        )
        for no in said
        for profile_id in people.get(no.address_id, ())
    ]
    heeded = await heed.record(conn, changes, now=now)
    await holds.suppress_unheld(conn, ids, now=now)
    if conn.dialect.name == "postgresql":
        again = await holders(conn, ids)
        if any(not set(again.get(id_, ())) <= set(people.get(id_, ())) for id_ in ids):
            raise Raced("an address was given to somebody before it was locked")
    return heeded.closed
