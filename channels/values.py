"""What crosses the border between a provider and the gateway: values, no I/O."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

ProviderVerdict = Literal["opt_in", "opt_out", "help"]
Automatic = Literal["auto_reply", "bounce", "list", "system"]


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


class Unproved(Exception):
    """Whether the request is genuine cannot be told just now: 503, so that the provider posts it again."""


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
    # --- of an e-mail ---
    subject: str | None = None
    typed: str | None = None  # what the person wrote, without what is quoted, signed or put below; rules read this
    mail_id: str | None = None  # its Message-ID with the brackets, where that is a valid one: our answer refers to it
    authentic: bool = True  # the sender's address is proved (DMARC passed); a yes needs it, a no does not
    unsubscribe_tokens: tuple[str, ...] = ()  # of each `unsub+TOKEN@`: a proof, whoever the mail says it is from
    # --- of any ---
    automatic: Automatic | None = None  # no person wrote it: it is kept, and runs no rule


@dataclass(frozen=True, slots=True)
class Parked:
    """A part of a genuine request that cannot be understood, kept as it came for an operator to look at."""

    raw: bytes
    why: str  # what is wrong with it; never what is in it


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
    mail: Mail | None = None  # email


@dataclass(frozen=True, slots=True)
class Mail:
    """What an e-mail says, finished: an adapter adds headers and nothing that is read."""

    subject: str
    text: str
    html: str | None = None
    html_end: str = ""  # what of the HTML comes below that, for this person alone; `html` ends a line then
    from_name: str | None = None  # instead of the connection's own
    reply_to: str | None = None
    unsubscribe_url: str | None = None  # of what can be unsubscribed from: for RFC 8058
    unsubscribe_token: str | None = None  # the same by mail, as `unsub+TOKEN@`; fits a local part, in any case
    answers: str | None = None  # the Message-ID of the mail that it answers, with its brackets
    is_reply: bool = False  # a rule's: marked so that no machine answers it (RFC 3834)
    is_passed_on: bool = False  # somebody else's words: marked so that they never come round again


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
    marketing_only: bool = False  # that no is to marketing: the address stays open to what is none
    undeliverable: bool = False  # nothing can reach this address


@dataclass(frozen=True, slots=True)
class NotSent:
    """It is certain that nothing was sent: try again later."""

    why: str
    retry_after_seconds: float | None = None  # the provider's own wish
    slow_down: bool = False  # the connection is throttled, not only this message
    to_mend: str | None = None  # what an operator has to: in our own words, for the log


@dataclass(frozen=True, slots=True)
class InDoubt:
    """It may have been sent: never sent again by itself."""

    why: str


Outcome = Accepted | Rejected | NotSent | InDoubt


@dataclass(frozen=True, slots=True)
class Report:
    """What a provider tells later of a message it was handed."""

    tag: str  # the attempt's, as the provider gives it back; "": it does not, and `provider_id` has to do
    provider_id: str
    status: Literal["accepted", "sent", "delivered", "read", "undelivered", "failed"]
    code: str | None = None
    opted_out: bool = False  # the provider's word that the person said no
    marketing_only: bool = False  # as of Rejected
    undeliverable: bool = False


@dataclass(frozen=True, slots=True)
class AddressReport:
    """What a provider tells of an address: by a bounce, a complaint, or a setting of its own.

    `stop` and `resume` are the person's word at the provider; of bounces a hard one means that nothing can reach the
    address, a soft one that this message did not. Where the address is not told, `tag` names the attempt it was about.
    """

    account: str
    event_id: str  # with the account the identity of the event, for ever
    channel: str
    kind: Literal["stop", "resume", "complaint", "hard_bounce", "soft_bounce"]
    address: str | None = None
    tag: str | None = None  # the attempt's, where it names one of ours
    provider_id: str | None = None  # of the message it is about
    code: str | None = None
    at: datetime | None = None  # UTC, by the provider's clock
    proved: bool = True  # False: anyone may have written it, unless it names an attempt of ours


Told = Inbound | Report | AddressReport | Parked  # what a request of a provider may hold


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
    body_bytes: int  # of a request, at most
    replies_in_answer: bool  # the rule's reply goes back in the answer to the webhook (TwiML)
    own_addresses: frozenset[str]  # our own senders: never replied to

    def receive(self, request: WebhookRequest) -> Sequence[Told]:
        """What a request holds: mostly messages; raises Forged or Malformed."""
        ...

    def answer(self, message: Inbound, reply: str | None) -> HttpAnswer:
        """The answer to a kept message; the same bytes for the same arguments."""
        ...

    def report(self, request: WebhookRequest) -> Sequence[Told]:
        """What a request to the status webhook holds: mostly reports; raises Forged or Malformed."""
        ...

    async def send(self, message: Outbound) -> Outcome:
        """Hand one message to the provider; raises LeaseOver when the claim ended before the first byte."""
        ...

    async def look_up(self, sought: Sought) -> Sequence[Listed] | Unanswered | None:
        """All that the provider has of ours for the address and time, the oldest first; None: it can never tell.

        That something is missing proves nothing: lists lag behind.
        """
        ...


@runtime_checkable
class Challenged(Protocol):
    """An adapter whose provider verifies the webhook by a GET, as Meta does."""

    def challenge(self, request: WebhookRequest) -> HttpAnswer:
        """The answer that proves whose webhook it is; raises Forged."""
        ...


@runtime_checkable
class Fetching(Protocol):
    """An adapter that needs more than the request to tell whether it is genuine, as SES does a certificate."""

    async def fetch(self, request: WebhookRequest) -> None:
        """Get it, and do what the provider asks for (confirm a subscription); raises Forged, Malformed or Unproved."""
        ...


# What a listener does with what it was handed: returns once all of it is durable and settled, else raises.
Deliver = Callable[[Sequence[Told]], Awaitable[None]]


@runtime_checkable
class Listening(Protocol):
    """An adapter that is spoken to by another protocol than HTTP, as by SMTP."""

    async def listen(self, deliver: Deliver) -> None:
        """Begin to take what comes; raises OSError where it cannot listen."""
        ...

    async def close(self) -> None:
        """Take no more, and end what is under way."""
        ...
