"""The loops that hand ordinary messages on, one for each connection that has them read elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Protocol

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from inbox import forwards, mailbox
from inbox.forwards import Ended, Forward
from inbox.mailbox import Message
from store import tasks
from store.clock import Clock
from store.engine import Database

log = structlog.get_logger("inbox")

AT_ONCE = 16


class Target(Protocol):
    """Where the messages of a connection go on to."""

    async def hand_over(self, forward: Forward, message: Message, shown: Mapping[str, Any], at: datetime) -> Ended:
        """Try it once; every expected failure is in what comes back."""
        ...


class Forwarder:
    """Hands over what is due whenever it is woken. `show`: a message as the API shows it.

    A reader that takes its time holds up no message of another connection.
    """

    def __init__(
        self,
        database: Database,
        targets: Mapping[str, Target],  # by connection
        *,
        clock: Clock,
        show: Callable[[Message], Mapping[str, Any]],
    ) -> None:
        self._lines = [
            _Line(database, connection, target, clock=clock, show=show) for connection, target in targets.items()
        ]

    def start(self) -> None:
        for line in self._lines:
            line.start()

    def wake(self) -> None:
        """Look for work now."""
        for line in self._lines:
            line.wake()

    async def stop(self) -> None:
        """Look no more, and wait for what is under way."""
        await asyncio.gather(*(line.stop() for line in self._lines))

    @property
    def is_running(self) -> bool:
        return all(line.is_running for line in self._lines)


class _Line(tasks.Woken):
    """What goes on from one connection."""

    name = "forwarder"

    def __init__(
        self,
        database: Database,
        connection: str,
        target: Target,
        *,
        clock: Clock,
        show: Callable[[Message], Mapping[str, Any]],
    ) -> None:
        super().__init__()
        self._database = database
        self._connection = connection
        self._target = target
        self._clock = clock
        self._show = show

    async def look(self) -> None:
        while not self._stopping and await self._is_any_due():
            taken = await self._database.transact(self._claim)
            ended = await asyncio.gather(*(self._hand_over(one) for one in taken))
            await self._database.transact(partial(self._end, ended))

    async def _is_any_due(self) -> bool:
        async with self._database.read() as conn:
            return await forwards.is_any_due(conn, self._connection, now=self._clock())

    async def _claim(self, conn: AsyncConnection) -> list[Forward]:
        return await forwards.claim(conn, self._connection, limit=AT_ONCE, now=self._clock())

    async def _end(self, ended: Sequence[Ended], conn: AsyncConnection) -> None:
        await forwards.end(conn, ended, now=self._clock())

    async def _hand_over(self, forward: Forward) -> Ended:
        try:
            async with self._database.read() as conn:
                message = await mailbox.read(conn, forward.message_id)
            if message is None:
                return Ended(forward, None)  # erased meanwhile
            ended = await self._target.hand_over(forward, message, self._show(message), self._clock())
        except Exception as error:
            log.exception("forward.failed", connection=forward.connection, error=type(error).__name__)
            return Ended(forward, f"unexpected {type(error).__name__}")
        if ended.error is not None:
            log.warning("forward.waits", connection=forward.connection, why=ended.error)
        return ended
