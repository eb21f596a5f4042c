"""What the API answers about broadcasts, as the reference shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from gateway.api.message_shapes import Attempt
from gateway.api.shapes import Listing, Shape


class Counts(Shape):
    """At any moment planned = skipped + the sum of by_status, and skipped = the sum of by_reason."""

    planned: int
    skipped: int
    by_status: dict[str, int]
    by_reason: dict[str, int]


class Broadcast(Shape):
    id: str
    name: str
    status: Literal["planning", "scheduled", "sending", "paused", "done", "cancelled"]
    held: str | None
    channel: str
    connection: str
    channels: list[str]
    connections: dict[str, str]
    content: dict[str, Any]
    warnings: list[str]
    audience: dict[str, Any]
    preference: str | None
    send_at: datetime | None
    not_after: datetime | None
    quiet_hours: Any
    rate: float | None
    counts: Counts
    created_by: str
    created_at: datetime
    updated_at: datetime
    done_at: datetime | None


class DryRun(Shape):
    """What a broadcast would come to; nothing was stored."""

    id: None
    status: Literal["dry_run"]
    counts: Counts
    warnings: list[str] | None = None


class Broadcasts(Listing[Broadcast]):
    """Broadcasts, the newest first."""


class Delivery(Shape):
    """What became of one person, or of one address."""

    profile_id: str | None
    address: str | None
    status: str
    reason: str | None
    error: str | None
    message_id: str
    attempts: list[Attempt]


class Deliveries(Listing[Delivery]):
    """What became of everyone."""
