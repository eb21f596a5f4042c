"""The table that decides duplicates: what an attempt's end means for its delivery. Pure.

seen                                                     attempt     delivery
nothing was written, 429, or the lease was over          not_sent    queued again, later
definite 4xx                                             rejected    failed
2xx with an id                                           accepted    accepted
reset, time-out or end of file after any byte, 5xx,
an unreadable 2xx, the process died                      in_doubt    in_doubt: never sent again by itself;
                                                                     transactional: queued, at most three tries
"""

from __future__ import annotations

from dataclasses import dataclass

from channels.values import Accepted, InDoubt, NotSent, Outcome, Rejected

MOST_TRIES = 12  # of a delivery that was certainly not sent; with the delays below some 70 minutes
MOST_REPEATS = 3  # of a transactional message in doubt, under one tag
REPEAT_SECONDS = 15.0  # first leave a status callback the time to tell
_FIRST_DELAY_SECONDS = 2.0
_LONGEST_DELAY_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Abandoned:
    """The lease was over before the first byte: the delivery goes back at once."""


@dataclass(frozen=True, slots=True)
class Ruling:
    """What is written of an attempt's end."""

    attempt: str
    delivery: str
    provider_id: str | None = None
    error: str | None = None
    again_in_seconds: float | None = None  # of a delivery that is queued again
    opted_out: bool = False
    marketing_only: bool = False
    undeliverable: bool = False


def rule(outcome: Outcome | Abandoned, *, tries: int, class_: str) -> Ruling:
    """The ruling on an attempt's end; `tries` counts this attempt too, abandoned ones not."""
    match outcome:
        case Abandoned():
            return Ruling("abandoned", "queued", again_in_seconds=0.0)
        case Accepted(provider_id=provider_id):
            return Ruling("accepted", "accepted", provider_id=provider_id)
        case Rejected(code=code, reason=reason):
            return Ruling(
                "rejected",
                "failed",
                error=f"{code}: {reason}",
                opted_out=outcome.opted_out,
                marketing_only=outcome.marketing_only,
                undeliverable=outcome.undeliverable,
            )
        case NotSent(why=why) if tries >= MOST_TRIES:
            return Ruling("not_sent", "failed", error=f"gave up after {tries} tries: {why}")
        case NotSent(why=why, retry_after_seconds=wish):
            return Ruling("not_sent", "queued", error=why, again_in_seconds=max(wish or 0.0, delay_seconds(tries)))
        case InDoubt(why=why) if may_repeat(class_, tries):
            return Ruling("in_doubt", "queued", error=why, again_in_seconds=REPEAT_SECONDS * tries)
        case InDoubt(why=why):
            return Ruling("in_doubt", "in_doubt", error=why)


def may_repeat(class_: str, tries: int) -> bool:
    """Whether what is in doubt is sent again by itself: a ticket that comes twice is better than none."""
    return class_ == "transactional" and tries < MOST_REPEATS


def delay_seconds(tries: int) -> float:
    """How long to wait after the nth failed try: doubling, at most an hour."""
    return float(min(_FIRST_DELAY_SECONDS * 2.0 ** max(tries - 1, 0), _LONGEST_DELAY_SECONDS))
