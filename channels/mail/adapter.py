"""One configured e-mail connection: how mail goes out, and by which way it comes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from channels.values import (
    Deliver,
    Fetching,
    Forged,
    HttpAnswer,
    Inbound,
    Listening,
    Outbound,
    Outcome,
    Sought,
    Told,
    WebhookRequest,
)

BODY_BYTES = 30 * 1024 * 1024  # SendGrid's limit; the others' are lower


class WayIn(Protocol):
    """How mail, and what is told of mail, comes from one provider."""

    account: str  # what its ids are unique within

    def receive(self, request: WebhookRequest) -> Sequence[Told]:
        """The mail in a request; raises Forged or Malformed."""
        ...

    def report(self, request: WebhookRequest) -> Sequence[Told]:
        """The events in a request to the status webhook; raises Forged or Malformed."""
        ...


class Sender(Protocol):
    """How mail goes out."""

    async def send(self, message: Outbound) -> Outcome:
        """Hand over one mail; raises LeaseOver when the claim ended before DATA."""
        ...

    async def close(self) -> None:
        """End what is open to the relay."""
        ...


class Email:
    """An e-mail connection (an `Adapter`). `way_in` None: nothing comes in by it."""

    channel = "email"
    provider = "smtp"
    body_bytes = BODY_BYTES
    replies_in_answer = False

    def __init__(self, *, name: str, address: str, sender: Sender, way_in: WayIn | None) -> None:
        self.name = name
        self.account = way_in.account if way_in is not None else f"smtp:{name}"
        self.own_addresses = frozenset({address})
        self._sender, self._way_in = sender, way_in
        self._more: object = way_in  # for what only some ways in can do

    def receive(self, request: WebhookRequest) -> Sequence[Told]:
        return self._in.receive(request)

    def report(self, request: WebhookRequest) -> Sequence[Told]:
        return self._in.report(request)

    def answer(self, message: Inbound, reply: str | None) -> HttpAnswer:  # noqa: ARG002
        """Nothing but the success: a reply is a mail of its own."""
        return HttpAnswer("text/plain", b"")

    async def fetch(self, request: WebhookRequest) -> None:
        if isinstance(self._more, Fetching):
            await self._more.fetch(request)

    async def listen(self, deliver: Deliver) -> None:
        if isinstance(self._more, Listening):
            await self._more.listen(deliver)

    async def send(self, message: Outbound) -> Outcome:
        return await self._sender.send(message)

    async def look_up(self, sought: Sought) -> None:
        """A relay cannot be asked what it took."""

    async def close(self) -> None:
        if isinstance(self._more, Listening):
            await self._more.close()
        await self._sender.close()  # what is still to be sent until the end opens connections of its own

    @property
    def _in(self) -> WayIn:
        """Raises Forged where nobody can tell who posts."""
        if self._way_in is None:
            raise Forged("no inbound provider is configured for this connection")
        return self._way_in
