"""A connection of e-mail: out by SMTP, in by one of several ways."""

from __future__ import annotations

from email.headerregistry import Address
from email.utils import parseaddr
from ipaddress import ip_network
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, SecretStr, field_validator

from gateway.providers.base import Forwarding, Networks, Parts, Rate, Section, StopNotice

if TYPE_CHECKING:
    from channels.mail.adapter import WayIn
    from channels.mail.relay import Relay
    from channels.values import Adapter

_PORTS = {"starttls": 587, "implicit": 465, "none": 25}


def _place(written: str) -> tuple[str, int]:
    """Host and port out of HOST:PORT, or [HOST]:PORT for an IPv6 address; port -1 for what is neither."""
    host, _, port = written.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        host = ""
    return host, int(port) if port.isascii() and port.isdigit() else -1


_TOPIC = r"^arn:aws[a-z-]{0,20}:sns:[a-z0-9-]{1,40}:\d{12}:[A-Za-z0-9_-]{1,256}$"


class _ByPassword(Section):
    """The user and password that stand in the webhook's URL at a provider that signs nothing."""

    user: str = Field(pattern=r"^[^:]{1,200}$")
    password: SecretStr = Field(min_length=1)


class SendgridIn(_ByPassword):
    """Inbound Parse, and the Event Webhook."""

    provider: Literal["sendgrid"]
    public_key: str | None = None  # of the Event Webhook: base64, as SendGrid shows it


class MailgunIn(Section):
    """Routes, and webhooks."""

    provider: Literal["mailgun"]
    signing_key: SecretStr = Field(min_length=1)


class PostmarkIn(_ByPassword):
    """Inbound mail, and webhooks."""

    provider: Literal["postmark"]


class SesIn(Section):
    """Amazon SES by SNS."""

    provider: Literal["ses"]
    topic_arns: list[Annotated[str, Field(pattern=_TOPIC)]] = Field(min_length=1)


class SmtpIn(Section):
    """Our own listener, behind the organisation's mail server."""

    provider: Literal["smtp"]
    listen: str  # HOST:PORT
    protocol: Literal["smtp", "lmtp"] = "smtp"
    authserv_id: str | None = None  # whose Authentication-Results is believed: the mail server's own name
    trusted: Networks = Field(default=["127.0.0.0/8", "::1"])  # who may speak to it: the mail server

    @field_validator("listen")
    @classmethod
    def _is_place(cls, value: str) -> str:
        host, port = _place(value)
        if not host or not 0 <= port <= 65535:
            raise ValueError("write it as HOST:PORT, such as 127.0.0.1:2525")
        return value

    @property
    def place(self) -> tuple[str, int]:
        """Host and port to listen at."""
        return _place(self.listen)


Inbound = Annotated[SendgridIn | MailgunIn | PostmarkIn | SesIn | SmtpIn, Field(discriminator="provider")]


class Smtp(Forwarding):
    provider: Literal["smtp"]
    channel: Literal["email"]
    host: str = Field(min_length=1)
    port: int | None = Field(default=None, ge=1, le=65535)
    username: str | None = None
    password: SecretStr | None = None
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    sender: str = Field(alias="from")  # Example Theatre <hello@example.org>
    connections: int = Field(default=10, ge=1, le=64)  # to the relay at once
    rate: Rate = 100.0
    stop_notice: StopNotice = "never"
    # Whose mail comes in by this connection: for unsub+…@ and bounces+…@.
    inbound_domain: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.-]{1,200}$")
    inbound: Inbound | None = None

    @field_validator("sender")
    @classmethod
    def _is_mailbox(cls, value: str) -> str:
        name, address = parseaddr(value)
        try:
            Address(name, addr_spec=address)
        except Exception as error:
            raise ValueError("not a mailbox: write it as Example Theatre <hello@example.org>") from error
        if "@" not in address:
            raise ValueError("not a mailbox: write it as Example Theatre <hello@example.org>")
        return value

    @property
    def leads_to(self) -> str | None:
        """The relay, which may be on this very machine."""
        return f"smtp://{self.host}"

    @property
    def address(self) -> str:
        """Of the sender, without a name."""
        return parseaddr(self.sender)[1]

    @property
    def return_path(self) -> str:
        """One that looks like those of mails."""
        from channels.mail.told import BOUNCES

        return f"{BOUNCES}+check@{self.inbound_domain}" if self.inbound_domain else self.address

    @property
    def relay(self) -> Relay:
        """Where mail is handed over; raises ValueError for what can never work."""
        from channels.mail.relay import Relay

        return Relay(
            host=self.host,
            port=self.port or _PORTS[self.tls],
            tls=self.tls,
            hello=self.address.rpartition("@")[2].encode("idna").decode(),
            username=self.username,
            password=self.password.get_secret_value() if self.password else None,
        )

    def adapter(self, name: str, parts: Parts) -> Adapter:
        """The adapter of the connection with this name; raises ValueError for what can never work."""
        from channels.mail.adapter import Email
        from channels.mail.smtp import SmtpSender

        sender = SmtpSender(
            self.relay,
            sender=self.sender,
            inbound_domain=self.inbound_domain,
            connections=self.connections,
        )
        return Email(name=name, address=self.address, sender=sender, way_in=self._way_in(name, parts))

    def _way_in(self, name: str, parts: Parts) -> WayIn | None:
        """How mail comes in by the connection; raises ValueError for what can never work."""
        from channels.mail.mailgun import Mailgun
        from channels.mail.postmark import Postmark
        from channels.mail.sendgrid import Sendgrid
        from channels.mail.ses import Ses

        match self.inbound:
            case None:
                return None
            case SendgridIn() as one:
                password = one.password.get_secret_value()
                return Sendgrid(name=name, user=one.user, password=password, public_key=one.public_key)
            case MailgunIn() as one:
                return Mailgun(name=name, signing_key=one.signing_key.get_secret_value())
            case PostmarkIn() as one:
                return Postmark(name=name, user=one.user, password=one.password.get_secret_value())
            case SesIn() as one:
                return Ses(name=name, topic_arns=one.topic_arns, session=parts.session)
            case SmtpIn() as one:
                return self._listener(name, one)

    def _listener(self, name: str, options: SmtpIn) -> WayIn:
        from channels.mail.listener import Listener

        host, port = options.place
        return Listener(
            name=name,
            host=host,
            port=port,
            protocol=options.protocol,
            domain=self.inbound_domain,
            authserv_id=options.authserv_id,
            trusted=[ip_network(one, strict=False) for one in options.trusted],
        )
