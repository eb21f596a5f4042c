"""The words for how far a delivery has come, and the one direction they move in."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import ColumnElement, case, exists, literal_column

from store.tables import attempts, deliveries

# A report moves a delivery to a higher rank, never to a lower one. `skipped` and `cancelled` are ends of their own:
# only a report that the message did arrive, of an attempt before, moves a single message out of them.
RANK = {
    "queued": 0,
    "sending": 1,
    "in_doubt": 2,
    "unknown": 3,
    "accepted": 4,
    "sent": 5,
    "failed": 6,
    "undelivered": 6,
    "delivered": 7,
    "read": 8,
}
STATUSES = (*RANK, "skipped", "cancelled")
# Reasons of `skipped` besides the verdict's own. The list is closed.
SKIP_REASONS = ("unknown_address", "duplicate_address", "window_closed", "frequency_capped", "too_late")


def below(status: str) -> list[str]:
    """The statuses that `status` may follow."""
    return [name for name, rank in RANK.items() if rank < RANK[status]]


def failed() -> ColumnElement[str]:
    """The status of a delivery that has failed: while a try before is in doubt, the person may have got it then."""
    in_doubt = exists().where(
        attempts.c.delivery_id == deliveries.c.id, attempts.c.state == literal_column("'in_doubt'")
    )
    unknown = deliveries.c.status == literal_column("'unknown'")
    return case((in_doubt & unknown, "unknown"), (in_doubt, "in_doubt"), else_="failed")


def among(column: ColumnElement[str], words: Iterable[str]) -> ColumnElement[bool]:
    """The column is one of these words of ours, spelled out: a bound IN cannot be run for many rows at once."""
    return column.in_([literal_column(f"'{word}'") for word in words])
