"""Work that goes on beside the requests: none of it ends in an error without a word."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import structlog

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
