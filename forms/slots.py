"""Answers that come at the end of a slot of time: what was done meanwhile, and for whom, is not seen by it.

The slot hides whether a message was written. What is left is a tenth of a millisecond, more or less, by what the
processor has at hand and what the loop does beside; the uneven end of the slot drowns that, and the budget of an
address lets nobody average over many tries.
"""

from __future__ import annotations

import asyncio
import secrets
from time import monotonic

UNEVEN_SECONDS = 0.02
_chance = secrets.SystemRandom()


async def slot_ends(began: float, seconds: float) -> None:
    """Wait for the end of the slot that goes on now, and by chance up to UNEVEN_SECONDS longer.

    The first slot began at `began`, by time.monotonic.
    """
    rest = seconds - (monotonic() - began) % seconds
    await asyncio.sleep(rest + _chance.uniform(0, UNEVEN_SECONDS))
