"""Work that goes on beside the requests: none of it ends in an error without a word."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any, ClassVar

import structlog

from store.engine import is_away

log = structlog.get_logger("store")


def start(work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
    """A task whose death is logged when it happens: nobody may be waiting for it."""
    task = asyncio.create_task(work, name=name)
    task.add_done_callback(_tell)
    return task


def _tell(task: asyncio.Task[None]) -> None:
    if task.cancelled():
        log.error("task.died", task=task.get_name(), error="CancelledError")
    elif (error := task.exception()) is not None:
        log.error("task.died", task=task.get_name(), error=type(error).__name__, exc_info=error)


def all_run(loops: Sequence[asyncio.Task[None]]) -> bool:
    """Whether none has ended."""
    return not any(loop.done() for loop in loops)


async def ended(loops: Sequence[asyncio.Task[None]]) -> None:
    """Wait for the end of each, whatever it was: one that died was told of, and holds up no other."""
    if loops:
        await asyncio.wait(loops)


class Woken(ABC):
    """A loop that looks what there is to do whenever it is woken, and once as it starts, unless it `can_wait`.

    What fails is logged, and has its next turn when the loop is woken again. To stop it waits for the look under way.
    """

    name: ClassVar[str]
    can_wait: ClassVar[bool] = False  # it does not look as it starts, when all else catches up

    def __init__(self) -> None:
        self._wake = asyncio.Event()
        self._stopping = False
        self._loops: list[asyncio.Task[None]] = []

    @abstractmethod
    async def look(self) -> None:
        """Do what there is to do; one that takes long asks meanwhile whether it is `_stopping`."""

    def start(self) -> None:
        self._loops = [start(self._run(), self.name)]

    def wake(self) -> None:
        """Look for work now."""
        self._wake.set()

    async def stop(self) -> None:
        """Look no more; what is left is done by the next start, or by another replica."""
        self._stopping = True
        self.wake()
        await ended(self._loops)

    @property
    def is_running(self) -> bool:
        return all_run(self._loops)

    async def _run(self) -> None:
        if self.can_wait:
            await self._woken()
        while not self._stopping:
            try:
                await self.look()
            except Exception as error:
                level = log.warning if is_away(error) else log.exception
                level(f"{self.name}.failed", error=type(error).__name__)
            await self._woken()

    async def _woken(self) -> None:
        await self._wake.wait()
        self._wake.clear()
