"""Mail out by SMTP. A send begins with DATA: until then nothing was sent."""

from __future__ import annotations

from typing import Literal

from channels.values import NotSent, Outbound, Outcome

Tls = Literal["starttls", "implicit", "none"]


class SmtpSender:
    """Hands mails to one relay."""

    def __init__(
        self,
        *,
        host: str,
        port: int,
        tls: Tls,
        sender: str,
        username: str | None = None,
        password: str | None = None,
        inbound_domain: str | None = None,
    ) -> None:
        self._relay = (host, port, tls, username, password)
        self._sender = sender
        self._inbound_domain = inbound_domain

    async def send(self, message: Outbound) -> Outcome:  # noqa: ARG002
        return NotSent("not built")

    async def close(self) -> None:
        pass
