"""What the API answers about dispositions and interactions, as the reference shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gateway.api.shapes import ChannelName, Consent, Line, Listing, Shape, StateName


class DispositionChange(Shape):
    """One change that a disposition makes."""

    kind: Literal["everything", "channel", "address", "preference"]
    to: StateName
    channel: ChannelName | None = Field(None, description="Of a channel or an address; absent: the one contacted.")
    address: Literal["contacted", "all"] | None = Field(None, description="Of an address.")
    name: str | None = Field(None, description="Of a preference.")


class Disposition(Shape):
    """How a talk with a customer may end, and what that changes."""

    id: str
    name: str
    changes: list[DispositionChange]
    undeliverable: bool = Field(description="The address reached somebody else: nothing is sent to it any more.")
    active: bool
    order: int = Field(description="Its place among the dispositions, from 0.")
    created_at: datetime
    updated_at: datetime


class Dispositions(Listing[Disposition]):
    """The dispositions, in their order."""


class Interaction(Shape):
    """A talk with a customer."""

    id: str
    profile_id: str
    disposition: str = Field(description="Its name, as it is now.")
    channel: ChannelName
    address: str | None
    note: str | None
    reference: str | None
    by: str | None
    change_id: str | None = Field(description="Of what it changed; null where it changed nothing.")
    created_by: str
    created_at: datetime


class Interactions(Listing[Interaction]):
    """Talks with a customer, the newest first."""


class InteractionMade(Interaction):
    """A talk with a customer, and what it changed."""

    events: list[Line]
    consent: Consent
