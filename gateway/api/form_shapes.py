"""What the API answers of forms, as the reference shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from gateway.api.shapes import Listing, Shape


class FormPreference(Shape):
    name: str
    text: str = Field(description="As customers see it.")
    selected: bool
    required: bool
    as_: Literal["box", "statement"] = Field(alias="as")
    group: str | None = Field(description="The headline that it stands under.")
    active: bool = Field(description="Whether it is shown: an inactive one is not.")


class FormLooks(Shape):
    accent: str | None
    paper: str | None
    corners: Literal["sharp", "round", "rounder"]
    logo: str | None


class FormContent(Shape):
    """What a form shows and does."""

    channel: Literal["sms", "whatsapp", "email"]
    connection: str | None = Field(description="Null: the first of the channel.")
    headline: str | None
    confirmation_message: str
    button_text: str
    success_message: str | None
    redirect_url: str | None
    confirm: Literal["none", "double"]
    fields: list[str]
    labels: dict[str, str]
    entry: Literal["typed", "text_us", "both"]
    keyword: str | None = Field(description="What people text; null: the channel's opt-in rule.")
    preferences: list[FormPreference]
    tags: list[str]
    existing: Literal["update", "ignore"]
    allowed_origins: list[str]
    language: str | None
    proof_of_work: bool
    own_html: bool
    terms: bool
    terms_version: int | None = Field(description="Of the terms that it shows; null: none.")
    looks: FormLooks


class Form(FormContent):
    id: str
    description: str
    active: bool
    version: int = Field(description="Counts what was shown: a change of it, or of its preferences' words, is another.")
    url: str
    snippet: str = Field(description="HTML for a page of one of the allowed origins.")
    warnings: list[str] = Field(description="What keeps it from doing what it says, such as a connection that is gone.")
    created_at: datetime
    updated_at: datetime


class Forms(Listing[Form]):
    """Forms, in the order of their making."""


class FormVersion(FormContent):
    """What a form showed; it never changes."""

    version: int
    created_by: str
    created_at: datetime


class FormVersions(Listing[FormVersion]):
    """The versions of a form, the newest first."""


class Submitted(Shape):
    """The same whoever it is about, known or unknown."""

    status: Literal["accepted"]
