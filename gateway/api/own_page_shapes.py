"""What is answered about a person's own page: its links, and the receipt to download there."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from gateway.api.shapes import Shape


class Links(Shape):
    """Links for somebody who is signed in at yours: show them to that person alone."""

    preference_centre: str
    unsubscribe: str | None = Field(description="Null where they have no address.")
    form: str | None = Field(description="The form, filled in; null where none was named.")
    expires_at: datetime = Field(description="When the preference centre, and the form, no longer open by them.")


class ReceiptInformation(Shape):
    pii_type: str = Field(description="A channel, or `any`.")
    pii_attribute_id: str | None = Field(description="The address, where it is about one.")


class ReceiptEvent(Shape):
    """Something that was said."""

    event_id: str
    event_time: datetime
    event_type: str = Field(description="The basis: `express`, `implied` or `soft_opt_in`.")
    event_state: Literal["consent_given", "consent_refused", "consent_withdrawn", "consent_unknown"]
    source: str = Field(description="By which door it came, as in the history.")
    validity_duration: datetime | None = Field(description="When a yes ends; null: it does not.")
    entity_id: str = Field(description="Whose act it was: the person's, or `organisation`.")
    notice: dict[str, Any] = Field(description="What was shown or said then, word for word.")
    superseded: bool = Field(description="It arrived after something said later.")
    hash: str


class ReceiptPurpose(Shape):
    """What a yes or no is about, with all that was said of it, the oldest first."""

    purpose_id: str
    purpose: str
    purpose_type: Literal["marketing"]
    lawful_basis: Literal["consent", "implied_consent", "legitimate_interest"]
    pii_information: list[ReceiptInformation]
    events: list[ReceiptEvent]


class ReceiptProcessing(Shape):
    privacy_notice: str | None
    pii_controllers: list[str]
    withdrawal_method: list[str]
    purposes: list[ReceiptPurpose]


class ReceiptParty(Shape):
    party_id: str
    party_name: str
    party_role: Literal["pii_controller"]
    party_type: Literal["organisation"]
    party_address: str | None
    party_contact: str | None
    party_url: str | None


class Receipt(Shape):
    """What a person said yes and no to, in the fields of ISO/IEC TS 27560."""

    schema_version: str
    receipt_id: str = Field(description="Another one as soon as something more was said.")
    record_id: str
    pii_principal_id: str
    issued_at: datetime
    pii_processing: ReceiptProcessing
    party_identification: list[ReceiptParty]
