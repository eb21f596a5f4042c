"""What the API answers about reviews, as the reference shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gateway.api.shapes import Listing, Shape


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
