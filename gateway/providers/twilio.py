"""A connection at Twilio."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator

from gateway.providers.base import Forwarding, Parts, Rate, StopNotice

if TYPE_CHECKING:
    from channels.values import Adapter

_WHATSAPP_SENDER = re.compile(r"\+[1-9]\d{6,14}", re.ASCII)
# A number, a short code, or an alphanumeric sender: https://www.twilio.com/docs/glossary/what-alphanumeric-sender-id
_SMS_SENDER = re.compile(r"\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}", re.ASCII)


class Twilio(Forwarding):
    provider: Literal["twilio"]
    channel: Literal["sms", "whatsapp"]
    account_sid: str = Field(pattern=r"^AC[0-9a-zA-Z]{1,64}$")
    auth_token: SecretStr = Field(min_length=1)
    sender: str | None = Field(default=None, alias="from")
    messaging_service_sid: str | None = None
    rate: Rate = 100.0
    stop_notice: StopNotice = "first"
    api_url: str | None = None
    signing_keys: dict[str, SecretStr] = Field(default={})

    @field_validator("sender")
    @classmethod
    def _can_send(cls, value: str | None, info: ValidationInfo) -> str | None:
        plain = (value or "").removeprefix("whatsapp:")
        known = _WHATSAPP_SENDER if info.data.get("channel") == "whatsapp" else _SMS_SENDER
        if value and not known.fullmatch(plain):
            raise ValueError(
                'not a number that Twilio sends from: write it internationally and in quotes, as "+14155550100"'
            )
        return value

    @model_validator(mode="after")
    def _has_sender(self) -> Twilio:
        if not self.sender and not self.messaging_service_sid:
            raise ValueError("needs `from`, the number that sends, or `messaging_service_sid`")
        return self

    @property
    def leads_to(self) -> str | None:
        """Where messages go instead of Twilio."""
        return self.api_url

    def adapter(self, name: str, parts: Parts) -> Adapter:
        """The adapter of the connection with this name; raises ValueError for what can never work."""
        from channels.twilio import adapter  # Twilio's library takes its time, and most commands need none of it

        return adapter.Twilio(
            name=name,
            channel=self.channel,
            account_sid=self.account_sid,
            auth_token=self.auth_token.get_secret_value(),
            public_url=parts.public_url,
            session=parts.session,
            sender=self.sender,
            messaging_service_sid=self.messaging_service_sid,
            api_url=self.api_url,
            signing_keys={key: secret.get_secret_value() for key, secret in self.signing_keys.items()},
        )
