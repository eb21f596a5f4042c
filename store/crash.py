"""Named places where a process can be made to die: for the proof that dying there loses nothing (docs/proof.md).

A gateway passes them all day, and nothing happens. One that was started with OPTGATE_CRASH ends itself at one of them
as `kill -9` would: nothing is flushed, closed, rolled back or told.

    OPTGATE_CRASH=claim.committed:2      when it passes this point for the second time
    OPTGATE_CRASH=any:57                 at the 57th point it passes, whichever that is
    OPTGATE_CRASH=random:SEED:0.001      at each with this probability, the same ones for the same seed
"""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Callable
from typing import Final

VARIABLE: Final = "OPTGATE_CRASH"

POINTS: Final[dict[str, str]] = {
    # every transaction that writes
    "transaction.opened": "a write transaction is open, nothing is in it",
    "transaction.commit": "all is written, the commit is the next statement",
    "transaction.committed": "the commit has returned, nobody has been told",
    # a message on its way in
    "inbound.read": "its bytes are read",
    "inbound.genuine": "its signature held",
    "inbound.opened": "the transaction that keeps it is open",
    "inbound.claimed": "its receipt is claimed",
    "inbound.sender": "its sender is found or made, and locked",
    "inbound.heeded": "the change of consent is in the history",
    "inbound.kept": "the message and its reply are written",
    "inbound.receipt": "the answer is kept with the receipt, just before the commit",
    "inbound.committed": "it is on disk, and not settled",
    "inbound.settled": "no send against it can begin any more, the answer is the next byte",
    "inbound.answered": "the answer's last byte was handed over",
    # a change of consent
    "heed.recorded": "the flag and its line of history are written, what is queued is not yet skipped",
    "heed.skipped": "what was queued for the person is skipped",
    "heed.settle": "a look at what is under way, between commit and answer",
    # a single message
    "single.asked": "the verdict on a single message is taken",
    "single.queued": "a single message is queued, just before the commit",
    # the plan of a broadcast
    "plan.opened": "the broadcast is locked for the next chunk",
    "plan.inserted": "the chunk's deliveries are written, the cursor is not",
    "plan.chunk": "the cursor is written, just before the commit",
    "plan.ended": "the last chunk is planned and the broadcast set going, just before the commit",
    "plan.committed": "a chunk, or the end of the plan, is on disk",
    "broadcast.control": "a broadcast is paused, resumed or cancelled, just before the commit",
    "broadcast.cancelling": "a chunk of what was queued for a cancelled broadcast is cancelled, before the commit",
    "broadcast.closing": "broadcasts are about to be started and finished",
    # a message on its way out
    "claim.taken": "deliveries are locked",
    "claim.verdict": "their addresses are locked and the verdict is taken again",
    "claim.begun": "the attempts are written",
    "claim.marked": "the deliveries are marked, just before the commit",
    "claim.committed": "the claim is on disk, no send has begun",
    "send.connecting": "a connection to the provider is asked for",
    "send.connected": "it is there, nothing is written on it",
    "send.written": "the request's bytes are handed over",
    "send.answered": "the provider has answered",
    "send.ended": "the outcome is known to this process alone",
    "ending.attempt": "the attempt's end is written, the delivery's is not",
    "ending.written": "both are, just before the commit",
    "ending.committed": "the end is on disk",
    # what is known afterwards
    "report.genuine": "a delivery report's signature held",
    "report.attempt": "the attempt is settled, the delivery not moved",
    "report.applied": "the delivery is moved, just before the commit",
    "report.committed": "the report is on disk",
    "report.settled": "an opt-out in it is settled, the answer is the next byte",
    "settlement.taken": "a question to the provider is noted, just before the commit",
    "settlement.told": "the provider has told, nothing is written",
    "settlement.attempt": "the attempt is settled, the delivery not moved",
    "settlement.settled": "the delivery is moved, just before the commit",
    "sweep.attempts": "lost attempts are in doubt, their deliveries are not",
    "sweep.swept": "their deliveries are too, just before the commit",
}

_armed: Callable[[str], bool] | None = None
_tell: Callable[[str], object] = lambda _name: None  # noqa: E731 - nobody wants to know


def point(name: str) -> None:
    """The process passes here; where it was asked to, it goes no further."""
    if _armed is not None and _armed(name):
        _tell(name)
        os.kill(os.getpid(), signal.SIGKILL)


def arm(asked: str | None, tell: Callable[[str], object] | None = None) -> None:
    """Die where `asked` says, nowhere when it is None; `tell` is told the place just before. Raises ValueError."""
    global _armed, _tell  # noqa: PLW0603 - one process dies once
    _armed = None if asked is None else _choice(asked)
    if tell is not None:
        _tell = tell


def _choice(asked: str) -> Callable[[str], bool]:
    """Whether to die at a point that is passed; asked once for each passing."""
    kind, *rest = asked.split(":")
    if kind == "random":
        seed, probability = rest
        chance = random.Random(seed)  # noqa: S311 - it must be the same again for the same seed
        return lambda name: _known(name) and chance.random() < float(probability)
    (nth,) = rest
    passed: Counter[str] = Counter()
    wanted = int(nth)
    if kind != "any" and kind not in POINTS:
        raise ValueError(f"{VARIABLE}: there is no point {kind}")

    def is_it(name: str) -> bool:
        counted = kind if kind == "any" else name
        passed[counted] += int(_known(name))
        return counted == kind and passed[kind] == wanted

    return is_it


def _known(name: str) -> bool:
    if name not in POINTS:
        raise LookupError(f"the point {name} is not in the list")
    return True


arm(os.environ.get(VARIABLE))
