"""A relay on loopback, by aiosmtpd: keeps what it accepts, and refuses what a test tells it to.

async with Sink() as sink:
    sink.refuse("RCPT", "550 5.1.1 No such user", who="ben@example.org")
    … sink.port, sink.log …
"""

from __future__ import annotations

import asyncio
import ssl
import warnings
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from time import monotonic
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session


@dataclass
class Accepted:
    """One mail that was taken, as it came over the wire."""

    sender: str  # the return path
    recipients: list[str]
    content: bytes
    at: float
    on_connection: int

    @property
    def mail(self) -> EmailMessage:
        made = message_from_bytes(self.content, policy=policy.SMTP)
        assert isinstance(made, EmailMessage)
        return made

    def body(self, kind: str = "plain") -> str:
        """The text, or the HTML, decoded."""
        part = self.mail.get_body((kind,))
        assert part is not None
        return str(part.get_content()).replace("\r\n", "\n")


@dataclass
class Sink:
    """Accepts everything but what it was told to refuse. `credentials`: who must log in, and by what password."""

    tls: ssl.SSLContext | None = None  # STARTTLS is offered, and asked for
    implicit: bool = False  # TLS from the first byte instead
    credentials: tuple[str, str] | None = None
    log: list[Accepted] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)  # MAIL, RCPT, DATA, as they came
    connections: int = 0
    port: int = 0  # 0: any that is free
    delay_seconds: float = 0.0  # before each answer to MAIL
    _refusals: list[tuple[str, str, str | None, bool]] = field(default_factory=list)
    _open: set[Any] = field(default_factory=set)

    def refuse(self, stage: str, answer: str, *, who: str | None = None, once: bool = False) -> None:
        """Answer so to MAIL, RCPT or DATA (the whole mail); `who` is the recipient, at MAIL the return path."""
        self._refusals.append((stage, answer, who, once))

    def mended(self) -> None:
        """Refuse nothing any more."""
        self._refusals.clear()

    async def __aenter__(self) -> Sink:
        loop = asyncio.get_running_loop()
        tls = self.tls if self.implicit else None
        self._server = await loop.create_server(self._protocol, "127.0.0.1", self.port, ssl=tls, backlog=1024)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for protocol in self._open:
            if protocol.transport is not None:
                protocol.transport.abort()
        await asyncio.sleep(0.02)

    def _protocol(self) -> SMTP:
        self.connections += 1
        starttls = self.tls is not None and not self.implicit
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that a password may come in clear: a test wants it so
            made = SMTP(
                _Handler(self, self.connections),
                hostname="relay.example.org",
                enable_SMTPUTF8=True,
                tls_context=self.tls if starttls else None,
                require_starttls=starttls,
                authenticator=self._authenticate if self.credentials else None,
                auth_required=self.credentials is not None,
                auth_require_tls=starttls,
            )
        self._open.add(made)
        return made

    def _authenticate(self, _server: SMTP, _session: Session, _envelope: Envelope, _how: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        known = (data.login.decode(), data.password.decode()) == self.credentials
        return AuthResult(success=known, handled=False)

    def _refusal(self, stage: str, who: str) -> str | None:
        for one in self._refusals:
            if one[0] == stage and one[2] in (None, who):
                if one[3]:
                    self._refusals.remove(one)
                return one[1]
        return None


class _Handler:
    def __init__(self, sink: Sink, number: int) -> None:
        self._sink, self._number = sink, number

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name, and so below
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._sink.commands.append("MAIL")
        await asyncio.sleep(self._sink.delay_seconds)
        if (refusal := self._sink._refusal("MAIL", address)) is not None:
            return refusal
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 2.1.0 Ok"

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        self._sink.commands.append("RCPT")
        if (refusal := self._sink._refusal("RCPT", address)) is not None:
            return refusal
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        self._sink.commands.append("DATA")
        if (refusal := self._sink._refusal("DATA", envelope.rcpt_tos[0])) is not None:
            return refusal
        content = envelope.original_content
        assert content is not None
        self._sink.log.append(
            Accepted(envelope.mail_from or "", list(envelope.rcpt_tos), content, monotonic(), self._number)
        )
        return f"250 2.0.0 Ok: queued as Q{len(self._sink.log):08d}"
