"""Group commit: what arrives together is written together, and answered after the commit.

One transaction costs one wait for the disk however much it holds. While one runs, the next group gathers; there is no
timer, but where nobody waits for the answer, and many small groups would cost too much. Only where a group is held up,
by locks that another process has, and the database takes several writers, does the next one go past it. An item that
fails alone fails alone: a group that raised is run again one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from time import monotonic
from typing import Any, Generic, TypeVar

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from store.engine import Database, DatabaseAway, StillRacing

log = structlog.get_logger("store")

Item = TypeVar("Item")
Result = TypeVar("Result")
HELD_UP_SECONDS = 0.1  # a group that takes longer waits for somebody

Unit = Callable[[AsyncConnection, Sequence[Item]], Coroutine[Any, Any, Sequence[Result]]]
Noted = Callable[[int, float], None]


class GroupCommit(Generic[Item, Result]):
    """`await submit(item)` returns the item's result once the transaction that holds it has committed."""

    def __init__(
        self,
        database: Database,
        unit: Unit[Item, Result],
        *,
        most: int = 128,
        apart: bool = False,
        every_seconds: float = 0.0,
        on_commit: Noted | None = None,
    ) -> None:
        """`on_commit` is told of each commit how many items it held, and its seconds; `apart` as in `transact`.

        `every_seconds`: a group that is not full begins no sooner than so long after the one before.
        """
        self._database = database
        self._apart = apart
        self._unit = unit
        self._most = most
        self._every_seconds = every_seconds
        self._began = -every_seconds  # the last group
        self._on_commit = on_commit
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._under_way: set[asyncio.Task[None]] = set()  # one for each group, at most as many as there are lanes
        self._runner: asyncio.Task[None] | None = None

    async def submit(self, item: Item) -> Result:
        """Raises DatabaseAway when nothing was committed, else whatever the unit raised for this item."""
        return await self.hand_in(item)

    def hand_in(self, item: Item) -> asyncio.Future[Result]:
        """The same for who goes on meanwhile: what `submit` returns or raises, once it is known."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, future))
        if self._runner is None or self._runner.done():
            self._runner = asyncio.create_task(self._run())
        return future

    async def drain(self) -> None:
        """Wait until nothing is under way."""
        while self._runner is not None and not self._runner.done():
            await asyncio.wait([self._runner])

    async def _run(self) -> None:
        while self._waiting or self._under_way:
            if self._waiting and len(self._under_way) < self._database.lanes:
                await self._gather()
                group = [self._waiting.popleft() for _ in range(min(self._most, len(self._waiting)))]
                task = asyncio.create_task(self._see_through(group))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            full = len(self._under_way) >= self._database.lanes
            await asyncio.wait(
                self._under_way, timeout=None if full else HELD_UP_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )

    async def _gather(self) -> None:
        """Let more come together, where the group before has only just begun."""
        left = self._began + self._every_seconds - monotonic()
        if left > 0 and len(self._waiting) < self._most:
            await asyncio.sleep(left)
        self._began = monotonic()

    async def _see_through(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        """Commit a group, or tell those who wait for it why not."""
        try:
            await self._commit(group)
        except DatabaseAway as error:
            if isinstance(error, StillRacing) and len(group) > 1:
                await self._one_by_one(group)
            else:
                _fail(group, error)
        except Exception as error:
            if len(group) == 1:
                _fail(group, error)
            else:
                log.warning("group.taken_apart", items=len(group), error=type(error).__name__)
                await self._one_by_one(group)

    async def _commit(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        items = [item for item, _ in group]
        began = monotonic()
        results = await self._database.transact(lambda conn: self._unit(conn, items), apart=self._apart)
        if self._on_commit is not None:
            # By the loop: were it to fail here, what is committed would be taken for what was not, and done again.
            asyncio.get_running_loop().call_soon(self._on_commit, len(items), monotonic() - began)
        for (_, future), result in zip(group, results, strict=True):
            if not future.done():  # the one who asked may have gone
                future.set_result(result)

    async def _one_by_one(self, group: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        for place, entry in enumerate(group):
            try:
                await self._commit([entry])
            except Exception as error:
                if isinstance(error, DatabaseAway) and not isinstance(error, StillRacing):
                    _fail(group[place:], error)  # to ask for each would keep them all waiting
                    return
                _fail([entry], error)


def _fail(group: list[tuple[Item, asyncio.Future[Result]]], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
