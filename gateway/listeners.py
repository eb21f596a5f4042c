"""Adapters that are spoken to by another protocol than HTTP: opened with the gateway, closed before it drains."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from channels.values import Adapter, Listening, Told
from gateway.arrivals import Arrivals
from gateway.errors import CannotServe
from gateway.services import House


@asynccontextmanager
async def open(house: House, arrivals: Arrivals) -> AsyncIterator[None]:  # noqa: A001 - `listeners.open`
    """Let every adapter that listens take what comes; raises CannotServe where one cannot."""
    opened: list[Listening] = []
    try:
        for adapter in house.adapters.values():
            if isinstance(adapter, Listening):
                await _listen(adapter, house, arrivals)
                opened.append(adapter)
        yield
    finally:
        for listening in opened:
            await listening.close()


async def _listen(adapter: Adapter, house: House, arrivals: Arrivals) -> None:
    assert isinstance(adapter, Listening)  # noqa: S101 - for the type

    async def deliver(told: Sequence[Told]) -> None:
        kept = await arrivals.keep(adapter, told, received_at=house.now())
        await kept.settled(house.database)

    try:
        await adapter.listen(deliver)
    except OSError as error:
        words = error.strerror or type(error).__name__
        raise CannotServe(f"[connections.{adapter.name}] cannot listen for mail: {words}") from error
