"""A WhatsApp number at Meta's Cloud API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr

from gateway.providers.base import Forwarding, Parts, Rate, StopNotice

if TYPE_CHECKING:
    from channels.values import Adapter


class Meta(Forwarding):
    provider: Literal["meta"]
    channel: Literal["whatsapp"]
    phone_number_id: str = Field(pattern=r"^[0-9]{1,32}$")
    app_secret: SecretStr = Field(min_length=1)
    access_token: SecretStr = Field(min_length=1)
    verify_token: SecretStr = Field(min_length=1)
    sender: str | None = Field(default=None, alias="from", pattern=r"^(whatsapp:)?\+[1-9][0-9]{6,14}$")
    rate: Rate = 80.0
    stop_notice: StopNotice = "never"
    api_url: str | None = None

    @property
    def leads_to(self) -> str | None:
        """Where messages go instead of Meta."""
        return self.api_url

    def adapter(self, name: str, parts: Parts) -> Adapter:
        """The adapter of the connection with this name; raises ValueError for what can never work."""
        from channels.meta import adapter

        return adapter.Meta(
            name=name,
            app_secret=self.app_secret.get_secret_value(),
            access_token=self.access_token.get_secret_value(),
            verify_token=self.verify_token.get_secret_value(),
            phone_number_id=self.phone_number_id,
            session=parts.session,
            number=self.sender.removeprefix("whatsapp:") if self.sender else None,
            api_url=self.api_url,
        )
