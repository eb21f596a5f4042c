"""Which message in the provider's list is which attempt in doubt. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from channels.values import Listed

# The provider's clock may be behind ours, and tells whole seconds only.
BEFORE = timedelta(seconds=2)
# From our giving up to the provider's making it.
AFTER = timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Doubt:
    """An attempt to an address that ended in doubt."""

    attempt_id: str
    tag: str  # its own id, or that of the attempt it repeats
    delivery_id: str
    connection: str
    at: datetime
    ended_at: datetime
    body: str | None  # as it went out; None of a template: the provider's list shows what was made of it

    def may_be(self, listed: Listed) -> bool:
        """Whether time and text fit."""
        fits = self.at - BEFORE <= listed.created_at <= self.ended_at + AFTER
        return fits and (self.body is None or self.body == listed.body)


def pair(doubts: Sequence[Doubt], listed: Sequence[Listed], known: Collection[str]) -> list[tuple[Doubt, Listed]]:
    """The attempts that the list proves, all of one address and connection; no message stands for two.

    `known` are ids that belong to other attempts. Equal texts are paired in order, from the last: what was made after
    the last attempt began is the last one's. A template is taken only where nothing else can be meant.
    """
    left = sorted((one for one in listed if one.report.provider_id not in known), key=lambda one: one.created_at)
    pairs: list[tuple[Doubt, Listed]] = []
    for doubt in sorted(doubts, key=lambda one: one.at, reverse=True):
        fitting = [one for one in left if doubt.body is not None and doubt.may_be(one)]
        if fitting:
            left.remove(fitting[-1])
            pairs.append((doubt, fitting[-1]))
    templates = [doubt for doubt in doubts if doubt.body is None]
    fitting = [one for one in left if any(doubt.may_be(one) for doubt in templates)]
    if len(templates) == len(fitting) == 1:
        pairs.append((templates[0], fitting[0]))
    return pairs
