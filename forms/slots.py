"""Answers that come at the end of a slot of time: what was done meanwhile, and for whom, is not seen by it."""

from __future__ import annotations

import asyncio
from time import monotonic


async def slot_ends(began: float, seconds: float) -> None:
    """Wait for the end of the slot that goes on now; the first began at `began`, by time.monotonic."""
    await asyncio.sleep(seconds - (monotonic() - began) % seconds)
