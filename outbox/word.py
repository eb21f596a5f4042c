"""The provider's word that a person said no: a refused send, or a report. Through the one door, like any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from consent import holds
from consent.states import Change, Subject, Wish
from outbox import heed
from profiles.links import holders
from store.ids import new_id


@dataclass(frozen=True, slots=True)
class ProviderNo:
    """That a provider will not carry to an address because its owner opted out."""

    address_id: str
    channel: str
    connection: str
    attempt_id: str
    error: str | None


async def heed_no(conn: AsyncConnection, said: Sequence[ProviderNo], *, now: datetime) -> frozenset[str]:
    """Record a no of the channel and the address for everyone who has it; returns the addresses this closes.

    Where nobody has the address any more the no stays with the address itself, for whoever has it next.
    """
    if not said:
        return frozenset()
    people = await holders(conn, {no.address_id for no in said})
    changes = [
        Change(
            profile_id=profile_id,
            change_id=new_id("chg"),
            wishes=(Wish(Subject("channel", no.channel), "no"),),
            source="provider",
            actor="customer",
            address_id=no.address_id,
            with_address=no.channel in ("sms", "whatsapp"),
            evidence={"connection": no.connection, "error": no.error, "attempt": no.attempt_id},
        )
        for no in said
        for profile_id in people.get(no.address_id, ())
    ]
    heeded = await heed.record(conn, changes, now=now)
    await holds.suppress_unheld(conn, {no.address_id for no in said}, now=now)
    return heeded.closed
