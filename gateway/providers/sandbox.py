"""A connection at no provider: nothing leaves this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from gateway.providers.base import Forwarding, Parts, Rate, StopNotice

if TYPE_CHECKING:
    from channels.values import Adapter


class Sandbox(Forwarding):
    provider: Literal["sandbox"] = "sandbox"
    channel: Literal["sms", "whatsapp", "email"]
    sender: str | None = Field(default=None, alias="from")
    rate: Rate = 100.0
    stop_notice: StopNotice = "never"
    delay_seconds: float = Field(default=0.0, ge=0, le=60)
    failures: dict[str, float] = Field(default={})

    def adapter(self, name: str, parts: Parts) -> Adapter:
        """The adapter of the connection with this name; raises ValueError for what can never work."""
        from channels import sandbox

        return sandbox.Sandbox(
            name=name,
            channel=self.channel,
            keep=parts.keep,
            sender=self.sender,
            delay_seconds=self.delay_seconds,
            failures=self.failures,
        )
