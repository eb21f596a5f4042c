"""What crosses the border between a provider and the gateway: values, no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

ProviderVerdict = Literal["opt_in", "opt_out", "help"]


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """An HTTP request as it came: nothing decoded, nothing trusted."""

    method: str
    raw_path: str  # with the query, percent-encoding as received
    headers: Mapping[str, str]  # case-insensitive (aiohttp's CIMultiDictProxy)
    body: bytes


class Forged(Exception):
    """The signature is missing or wrong, or the request is for another account: 403, nothing written."""


class Malformed(Exception):
    """The request is genuine but cannot be understood: 400. The message names what is wrong, never its content."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """One message from a person."""

    connection: str
    channel: str  # sms | whatsapp | email; the `whatsapp:` prefix decides, not the connection
    account: str  # the provider's account; with `provider_id` the identity of the event, for ever
    provider_id: str
    sender: str  # without a channel prefix: E.164, a business-scoped id, or what the provider showed
    receiver: str  # without a channel prefix
    text: str  # as the person wrote it, a button's text included
    payload: str | None = None  # of a button: tried when no rule matches the text
    also_from: tuple[str, ...] = ()  # other addresses of the same person on this channel, proved by the message
    verdict: ProviderVerdict | None = None  # what the provider has decided already, and answered itself
    provider_at: datetime | None = None  # UTC; None where the provider gives no time
    received_at: datetime | None = None  # UTC, by our clock, as the door notes it: a transaction may come later
    name: str | None = None  # the profile name that the provider shows; display only
    fields: Mapping[str, str] = field(default_factory=dict)  # all else that came, as it came


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What the provider is answered, byte for byte."""

    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message to a person."""

    tag: str  # the attempt's id: goes into the status callback, proves whose report it is
    channel: str
    to: str  # without a channel prefix
    body: str | None = None
    template: Mapping[str, object] | None = None  # whatsapp: {"name", "language", "variables"}


# --- how a send ends: a value, never an exception ---------------------------------------------


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider has taken it and given it an id."""

    provider_id: str
    provider_status: str | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """The provider has refused it for good."""

    code: str
    reason: str
    opted_out: bool = False  # the provider's word that the person said no
    undeliverable: bool = False  # nothing can reach this address


@dataclass(frozen=True, slots=True)
class NotSent:
    """It is certain that nothing was sent: try again later."""

    why: str
    retry_after_seconds: float | None = None  # the provider's own wish
    slow_down: bool = False  # the connection is throttled, not only this message


@dataclass(frozen=True, slots=True)
class InDoubt:
    """It may have been sent: never sent again by itself."""

    why: str


Outcome = Accepted | Rejected | NotSent | InDoubt


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider tells later of a message it was handed."""

    tag: str  # the attempt's, out of the status callback's URL
    provider_id: str
    status: Literal["accepted", "sent", "delivered", "read", "undelivered", "failed"]
    code: str | None = None
    opted_out: bool = False  # the provider's word that the person said no
    undeliverable: bool = False


# --- what became of what is in doubt ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sought:
    """What the provider is asked for: what it took from us for one address within a span of time."""

    channel: str
    to: str  # without a channel prefix
    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Listed:
    """A message that the provider's list shows as taken from us."""

    report: Report  # what is known of it; its tag is empty: no list tells that
    body: str
    created_at: datetime  # by the provider's clock


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The provider did not tell: ask again later."""

    why: str
    retry_after_seconds: float | None = None  # the provider's own wish


class Adapter(Protocol):
    """One configured connection at one provider."""

    name: str  # of the connection; stands in the webhook's path
    channel: str
    provider: str
    account: str
    replies_in_answer: bool  # the rule's reply goes back in the answer to the webhook (TwiML)
    own_addresses: frozenset[str]  # our own senders: never replied to

    def receive(self, request: WebhookRequest) -> list[Inbound]:
        """The messages in a request; raises Forged or Malformed."""
        ...

    def answer(self, message: Inbound, reply: str | None) -> HttpAnswer:
        """The answer to a kept message; the same bytes for the same arguments."""
        ...

    def report(self, request: WebhookRequest) -> list[Report]:
        """The delivery reports in a request; raises Forged or Malformed."""
        ...

    async def send(self, message: Outbound) -> Outcome:
        """Hand one message to the provider; raises LeaseOver when the claim ended before the first byte."""
        ...

    async def look_up(self, sought: Sought) -> Sequence[Listed] | Unanswered | None:
        """All that the provider has of ours for the address and time, the oldest first; None: it can never tell.

        That something is missing proves nothing: lists lag behind.
        """
        ...
