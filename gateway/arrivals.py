"""What providers tell, once it is read: each kind into the database, together with what comes of it meanwhile.

Webhooks and listeners hand in values here; what they answer then stands for what is on disk, and settled.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, TypeVar

from aiohttp import web

from channels.values import Adapter, AddressReport, HttpAnswer, Inbound, Report, Told
from gateway.metrics import Metrics
from gateway.services import House
from inbox import parking
from inbox.receive import Answer, receive
from outbox import address_reports, heed, reports
from outbox.address_reports import ToldOf
from outbox.reports import Reported
from store.engine import Database
from store.group import GroupCommit

Item = TypeVar("Item")
Closed = frozenset[str]

EMPTY = HttpAnswer("text/plain", b"")


@dataclass(frozen=True, slots=True)
class Kept:
    """What is on disk, and not answered before it is settled."""

    http: HttpAnswer  # what the provider is answered
    closed: Closed  # addresses to which nothing may begin to be sent any more

    async def settled(self, database: Database) -> None:
        """Return when no send against it can begin; see Heeded.settled."""
        await heed.settle(database, self.closed)


class Arrivals:
    """The ways in, a group commit each."""

    def __init__(self, house: House, metrics: Metrics) -> None:
        self._house = house
        self._metrics = metrics
        now = house.now

        def group(unit: Any, name: str) -> GroupCommit[Any, Any]:
            return GroupCommit(house.database, unit, apart=True, on_commit=metrics.committed(name))

        self._messages: GroupCommit[Inbound, Answer] = group(
            lambda conn, batch: receive(conn, batch, desk=house.desk, now=now()), "inbox"
        )
        self._reports: GroupCommit[Reported, Closed] = group(
            lambda conn, batch: reports.apply(conn, batch, now=now()), "reports"
        )
        self._of_addresses: GroupCommit[ToldOf, Closed] = group(
            lambda conn, batch: address_reports.apply(conn, batch, book=house.book, now=now()), "address_reports"
        )
        self._parked: GroupCommit[parking.Found, None] = group(
            lambda conn, batch: parking.keep(conn, batch, now=now()), "parked"
        )

    async def keep(self, adapter: Adapter, told: Sequence[Told], *, received_at: datetime) -> Kept:
        """Have all of it on disk; one message has an answer of its own, else it is nothing but the success.

        Raises DatabaseAway, or what the first of them that failed did: then the provider has to bring it again, and
        what was kept changes nothing.
        """
        waiting = [self._hand_in(adapter, one, received_at) for one in told]
        kept: list[Any] = [await waiting[0]] if len(waiting) == 1 else await _all(waiting)
        answers = [one for one in kept if isinstance(one, Answer)]
        if answers:
            self._metrics.kept(adapter.name, adapter.channel, len(answers))
        if answers and not adapter.replies_in_answer:
            self._house.dispatcher.wake()
        if adapter.name in self._house.desk.forwarded:
            self._house.forwarder.wake()
        return Kept(answers[0].http if len(answers) == len(kept) == 1 else EMPTY, _closed(kept))

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        for group in (self._messages, self._reports, self._of_addresses, self._parked):
            await group.drain()

    def _hand_in(self, adapter: Adapter, one: Told, received_at: datetime) -> asyncio.Future[Any]:
        if isinstance(one, Inbound):
            return self._messages.hand_in(replace(one, received_at=received_at))
        if isinstance(one, Report):
            return self._reports.hand_in(Reported(one, adapter.name))
        if isinstance(one, AddressReport):
            return self._of_addresses.hand_in(ToldOf(one, adapter.name))
        return self._parked.hand_in(parking.Found(one, adapter.name))


ARRIVALS: web.AppKey[Arrivals] = web.AppKey("arrivals", Arrivals)


async def _all(waiting: Sequence[asyncio.Future[Any]]) -> list[Any]:
    """All of them, once the last is through; raises what the first that failed did."""
    ended = await asyncio.gather(*waiting, return_exceptions=True)
    for one in ended:
        if isinstance(one, BaseException):
            raise one
    return ended


def _closed(kept: Sequence[Any]) -> Closed:
    return frozenset().union(*(one.closed if isinstance(one, Answer) else one or () for one in kept))
