"""What the API answers, as the reference shows it. The tests hold every answer they get against these shapes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

ChannelName = Literal["sms", "whatsapp", "email", "voice", "post"]
StateName = Literal["yes", "no", "not_asked"]
Item = TypeVar("Item")


class Shape(BaseModel):
    """Part of an answer."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class Listing(Shape, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None = Field(description="Give it as `cursor` to go on; null at the end.")


# --- people -------------------------------------------------------------------------------------


class Address(Shape):
    channel: ChannelName
    value: str = Field(description="Normalised: E.164 for numbers.")
    primary: bool
    status: Literal["ok", "undeliverable", "invalid"]


class Flag(Shape):
    """The present state of one subject, and where it comes from."""

    state: StateName
    at: datetime | None = None
    source: str | None = None
    basis: Literal["express", "implied", "soft_opt_in"] | None = None
    expires_at: datetime | None = None


class Consent(Shape):
    """Every channel and every address, and the preferences that were asked, by name."""

    everything: StateName
    channels: dict[ChannelName, Flag]
    addresses: dict[str, Flag] = Field(description="By `channel:value`.")
    preferences: dict[str, Flag]


class Profile(Shape):
    id: str
    external_id: str | None
    first_name: str | None
    last_name: str | None
    locale: str | None
    timezone: str | None
    attributes: dict[str, Any]
    tags: list[str]
    addresses: list[Address]
    consent: Consent
    created_at: datetime
    updated_at: datetime = Field(description="When the profile or its consent changed last.")


class Profiles(Listing[Profile]):
    """Profiles, in the order of their making."""


class BatchResult(Shape):
    """What became of one item."""

    index: int
    status: int = Field(description="201: made. 200: changed, or as it was. Else what the problem says.")
    profile: Profile | None
    problem: dict[str, Any] | None = Field(description="As an error of a single call; null where there is none.")


class Batch(Shape):
    """A result for each item, in their order."""

    items: list[BatchResult]


# --- consent ------------------------------------------------------------------------------------


class SubjectShown(Shape):
    """What a yes or no is about."""

    kind: Literal["everything", "channel", "address", "preference"]
    channel: ChannelName | None = None
    address: str | None = None
    name: str | None = None
    active: bool | None = Field(None, description="False for a preference that is inactive by now; else absent.")


class Line(Shape):
    """A line of the history; it is never changed and never deleted."""

    id: str
    seq: int
    change_id: str
    profile_id: str
    subject: SubjectShown
    address: str | None = Field(description="The address that the act came from.")
    with_address: bool = Field(description="The act turned that address's flag too.")
    from_: StateName = Field(alias="from")
    to: StateName
    basis: str | None
    expires_at: datetime | None
    at: datetime
    provider_at: datetime | None = Field(description="When it was said, by another clock.")
    source: str
    actor: str
    via: Literal["link", "everything"] | None = Field(description="The effect of what was said of another subject.")
    superseded: bool = Field(description="It arrived after something that was said later.")
    evidence: dict[str, Any] | None = Field(description="Null once erased.")
    hash: str


class Lines(Listing[Line]):
    """Lines of the history, the newest first."""


class Changed(Shape):
    """What a change of consent came to."""

    change_id: str | None = Field(description="Null where nothing was changed, nor worth a line.")
    events: list[Line]
    consent: Consent


class Verdict(Shape):
    """May we send this, to this address, now?"""

    allowed: bool
    reason: str
    address: str | None


class Verdicts(Shape):
    """One verdict for each question, in their order."""

    items: list[Verdict]


# --- rules --------------------------------------------------------------------------------------


class RuleSubject(Shape):
    kind: Literal["channel", "everything", "preference"]
    name: str | None = None


class Rule(Shape):
    id: str
    channel: Literal["sms", "whatsapp", "email"]
    received_on: str | None = Field(description="The number or mailbox of ours; null: any.")
    keyword: str
    match: Literal["starts_with", "exact"]
    action: Literal["opt_in", "opt_out", "reply_only"]
    subject: RuleSubject
    reply: str | None = Field(description="Null: the action's own reply; empty: silence.")
    active: bool
    builtin: bool
    pack: str | None
    created_at: datetime
    updated_at: datetime
    warning: str | None = None


class Rules(Listing[Rule]):
    """The rules, in the order of their making."""


class Beaten(Shape):
    rule: Rule
    why: str


class Trial(Shape):
    """What a message would do, and why."""

    matched: Rule | None
    normalized: str
    changes: list[dict[str, Any]]
    reply: str | None
    review: bool = Field(description="No rule matches, but it reads like a revocation.")
    others: list[Beaten]


# --- reviews ------------------------------------------------------------------------------------


class ReviewedMessage(Shape):
    id: str
    connection: str
    from_: str = Field(alias="from")
    to: str
    body: str
    subject: str | None = Field(description="Of an e-mail.")
    typed: str | None = Field(description="Of an e-mail: what the person wrote, without what is quoted.")


class LikePhrase(Shape):
    id: str
    language: str | None
    why: str | None = Field(description="Why what reads so is held.")


class Review(Shape):
    """What reads like a no and met no rule. While it is open, marketing to its address is held."""

    id: str
    status: Literal["open", "opted_out", "dismissed"]
    channel: Literal["sms", "whatsapp", "email"]
    address: str | None
    profile_id: str | None
    message: ReviewedMessage = Field(description="The first, which opened it.")
    messages: int = Field(description="How many there are: what comes while it is open joins it.")
    latest: ReviewedMessage | None = Field(description="The newest; null where there is one alone.")
    phrase: LikePhrase
    due_at: datetime = Field(description="An open one becomes an opt-out then.")
    legal_deadline: datetime = Field(description="Ten business days after the first message: 47 CFR 64.1200(a)(10).")
    decided_at: datetime | None
    decided_by: str | None = Field(description="`key:NAME`; `system`, when it was due; `customer`, by a clear word.")
    note: str | None
    change_id: str | None = Field(description="Of an opt-out; null where nobody has the address any more.")
    created_at: datetime = Field(description="When the first message came.")


class Reviews(Listing[Review]):
    """Reviews, in the order in which the messages came."""


# --- settings -----------------------------------------------------------------------------------


class Defaults(Shape):
    """The answer per channel for profiles made now that are never asked."""

    sms: Literal["yes", "no"]
    whatsapp: Literal["yes", "no"]
    email: Literal["yes", "no"]
    voice: Literal["yes", "no"]
    post: Literal["yes", "no"]


class Act(Shape):
    """Something that was done and is no change of consent."""

    id: str
    at: datetime
    actor: str = Field(description="`key:NAME`, `user:NAME` or `system`.")
    action: str
    target: str | None
    detail: dict[str, Any]


class Acts(Listing[Act]):
    """What was done, the newest first."""


class DefaultsApplied(Shape):
    """Whom the present defaults were extended to."""

    defaults: Defaults
    version: int
    profiles: int = Field(description="How many had been made with others.")


# --- what is sent -------------------------------------------------------------------------------


class Queued(Shape):
    """It waits for its turn to be sent."""

    id: str
    status: Literal["queued"]
    resend_of: str | None = None
    warnings: list[str] | None = None


class Attempt(Shape):
    """One try to hand a message to the provider."""

    state: str
    error: str | None
    at: datetime


class Message(Shape):
    id: str
    direction: Literal["inbound", "outbound"]
    class_: str | None = Field(alias="class")
    channel: str
    connection: str
    profile_id: str | None
    from_: str | None = Field(alias="from")
    to: str | None
    subject: str | None
    """Of an e-mail."""
    body: str | None
    typed: str | None
    """Of an e-mail that came in: what the person typed, which is all that a rule reads."""
    automatic: str | None
    """Why no rule reads it, where no person wrote it: auto_reply, bounce, list or system."""
    template: dict[str, Any] | None
    provider_id: str | None
    status: str
    reason: str | None
    error: str | None
    rule_id: str | None
    in_reply_to: str | None
    created_by: str | None
    resend_of: str | None
    created_at: datetime


class MessageInFull(Message):
    attempts: list[Attempt]


class Messages(Listing[Message]):
    """Messages, the newest first."""


class Forward(Shape):
    """A message on its way to where ordinary messages are read."""

    id: str = Field(description="Also the `webhook-id` that a URL is given with it: the same at every try.")
    message_id: str
    connection: str
    status: Literal["queued", "done", "parked"]
    tries: int
    error: str | None
    next_try_at: datetime | None
    done_at: datetime | None
    created_at: datetime


class Forwards(Listing[Forward]):
    """Messages on their way, the newest first."""


class SandboxMessage(Shape):
    id: str
    connection: str
    from_: str = Field(alias="from")
    to: str
    body: str
    at: datetime


class SandboxMessages(Listing[SandboxMessage]):
    """What the sandbox connections sent, the newest first."""


class Counts(Shape):
    """At any moment planned = skipped + the sum of by_status, and skipped = the sum of by_reason."""

    planned: int
    skipped: int
    by_status: dict[str, int]
    by_reason: dict[str, int]


class Broadcast(Shape):
    id: str
    name: str
    status: Literal["planning", "scheduled", "sending", "paused", "done", "cancelled"]
    held: str | None
    channel: str
    connection: str
    channels: list[str]
    connections: dict[str, str]
    content: dict[str, Any]
    warnings: list[str]
    audience: dict[str, Any]
    preference: str | None
    send_at: datetime | None
    not_after: datetime | None
    quiet_hours: Any
    rate: float | None
    counts: Counts
    created_by: str
    created_at: datetime
    updated_at: datetime
    done_at: datetime | None


class DryRun(Shape):
    """What a broadcast would come to; nothing was stored."""

    id: None
    status: Literal["dry_run"]
    counts: Counts
    warnings: list[str] | None = None


class Broadcasts(Listing[Broadcast]):
    """Broadcasts, the newest first."""


class Delivery(Shape):
    """What became of one person, or of one address."""

    profile_id: str | None
    address: str | None
    status: str
    reason: str | None
    error: str | None
    message_id: str
    attempts: list[Attempt]


class Deliveries(Listing[Delivery]):
    """What became of everyone."""


# --- what went wrong ----------------------------------------------------------------------------


class FieldError(Shape):
    field: str
    message: str


class ProblemDocument(Shape):
    """An error, as RFC 9457 says. Some types add members of their own, such as `reason` or `message_id`."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="Names the kind of problem.")
    title: str
    status: int
    detail: str | None = None
    errors: list[FieldError] | None = None
