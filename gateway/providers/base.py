"""What the options of every connection are made of, and what an adapter needs besides them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from channels.standard_webhooks import HOW_TO_MAKE_ONE, read_secret

if TYPE_CHECKING:
    import aiohttp

    from channels.sandbox import SandboxMessage


class Section(BaseModel):
    """A table of the configuration: what is not named in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _read_each(value: list[str]) -> list[str]:
    for network in value:
        ip_network(network, strict=False)
    return value


Networks = Annotated[list[str], AfterValidator(_read_each)]  # addresses or networks, as they are written


class Forwarding(Section):
    """Where what no rule matched goes on to."""

    forward_to: str | None = None  # a mailbox, or a URL
    forward_secret: SecretStr | None = None  # signs what goes to a URL: whsec_…
    forward_by: str | None = None  # the e-mail connection that carries it to a mailbox; absent: the first there is

    @property
    def forward_url(self) -> str | None:
        return self.forward_to if self.forward_to and "://" in self.forward_to else None

    @field_validator("forward_secret")
    @classmethod
    def _is_a_key(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            read_secret(value.get_secret_value())
        return value

    @model_validator(mode="after")
    def _can_be_forwarded(self) -> Forwarding:
        if self.forward_to is None:
            return self
        if self.forward_url is None:
            return self._to_mailbox(self.forward_to)
        parts = urlsplit(self.forward_to)
        if not parts.hostname or parts.username or parts.fragment:
            raise ValueError("forward_to: neither a mailbox nor a plain URL")
        if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _HERE):
            raise ValueError("forward_to: a URL beyond this machine begins with https://, since messages are personal")
        if self.forward_secret is None:
            why = "so that it can tell who posts"
            raise ValueError(f"forward_to: a URL needs `forward_secret` too, {why}; {HOW_TO_MAKE_ONE}")
        return self

    def _to_mailbox(self, text: str) -> Forwarding:
        try:
            validate_email(text, check_deliverability=False)
        except EmailNotValidError as error:
            raise ValueError(f"forward_to: neither a mailbox nor a URL: {error}") from error
        return self


_HERE = ("127.0.0.1", "::1", "localhost")
Rate = Annotated[float, Field(ge=0.01, le=100_000)]  # SMS segments, or messages of another channel, a second
StopNotice = Literal["first", "always", "never"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the house lends its adapters."""

    public_url: str  # what stands before `/webhooks/…` for the world
    session: aiohttp.ClientSession  # the one HTTP session; it asks for the lease last
    keep: Callable[[SandboxMessage], Awaitable[object]]  # where the sandbox puts what it sends
