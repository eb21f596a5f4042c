"""What the API answers about messages, and where they go on to, as the reference shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from gateway.api.shapes import Listing, Shape


class Queued(Shape):
    """It waits for its turn to be sent."""

    id: str
    status: Literal["queued"]
    resend_of: str | None = None
    warnings: list[str] | None = None


class Attempt(Shape):
    """One try to hand a message to the provider."""

    state: str
    error: str | None
    at: datetime


class Message(Shape):
    id: str
    direction: Literal["inbound", "outbound"]
    class_: str | None = Field(alias="class")
    channel: str
    connection: str
    profile_id: str | None
    from_: str | None = Field(alias="from")
    to: str | None
    subject: str | None
    """Of an e-mail."""
    body: str | None
    typed: str | None
    """Of an e-mail that came in: what the person typed, which is all that a rule reads."""
    automatic: str | None
    """Why no rule reads it, where no person wrote it: auto_reply, bounce, list or system."""
    template: dict[str, Any] | None
    provider_id: str | None
    status: str
    reason: str | None
    error: str | None
    rule_id: str | None
    in_reply_to: str | None
    created_by: str | None
    resend_of: str | None
    created_at: datetime


class MessageInFull(Message):
    attempts: list[Attempt]


class Messages(Listing[Message]):
    """Messages, the newest first."""


class Forward(Shape):
    """A message on its way to where ordinary messages are read."""

    id: str = Field(description="Also the `webhook-id` that a URL is given with it: the same at every try.")
    message_id: str
    connection: str
    status: Literal["queued", "done", "parked"]
    tries: int
    error: str | None
    next_try_at: datetime | None
    done_at: datetime | None
    created_at: datetime


class Forwards(Listing[Forward]):
    """Messages on their way, the newest first."""


class SandboxMessage(Shape):
    id: str
    connection: str
    from_: str = Field(alias="from")
    to: str
    body: str
    at: datetime


class SandboxMessages(Listing[SandboxMessage]):
    """What the sandbox connections sent, the newest first."""
