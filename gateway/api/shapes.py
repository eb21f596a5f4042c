"""What the API answers about people and their consent, and the pieces of every answer, as the reference shows it.

The tests hold every answer they get against the shapes, of which those of another noun stand in its own module.
"""

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
    basis: str | None = Field(
        description="Of a yes; of a no by `link` that of the yes which comes back with its channel."
    )
    expires_at: datetime | None = Field(description="As `basis`: when that yes ends.")
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
