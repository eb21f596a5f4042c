"""What a form is: versions that never change, for what was shown is what is proved.

A version holds the words that it shows, those of its preferences too: whoever edits a preference's text makes a new
version of every form that shows it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Box(Part):
    """A preference on a form."""

    id: str
    text: str
    """As customers see it."""
    selected: bool = False
    """Whether it is preselected."""
    required: bool = False
    """Whether the form can be sent only with it."""
    shown_as: Literal["box", "statement"] = "box"
    """A statement has no box: the button is the yes."""


class Looks(Part):
    """What a form may change of its looks, all of it within bounds."""

    accent: str | None = Field(None, pattern=r"^#[0-9a-fA-F]{6}$")
    """The colour of button and links; what stands on it is black or white, whichever can be read."""
    paper: str | None = Field(None, pattern=r"^#[0-9a-fA-F]{6}$")
    corners: Literal["sharp", "round", "rounder"] = "round"
    logo: str | None = None
    """A PNG, JPEG or WebP as a data: URL, at most 12,000 characters; shown above the form."""


class Shown(Part):
    """One version of a form: all that it shows and does."""

    channel: Literal["sms", "whatsapp", "email"]
    connection: str | None = None
    """By which its questions go, and to which people text; None: the first of the channel."""
    confirmation_message: str
    """What people agree to, above the button."""
    button_text: str
    success_message: str | None = None
    redirect_url: str | None = None
    """Where it leads when it is sent; its origin is one of `allowed_origins`."""
    confirm: Literal["none", "double"]
    fields: tuple[str, ...] = ()
    """`first_name`, `last_name`, or `attributes.NAME`."""
    entry: Literal["typed", "text_us", "both"]
    keyword: str | None = None
    """What people text to us to opt in; None: the channel's opt-in rule."""
    preferences: tuple[Box, ...] = ()
    tags: tuple[str, ...] = ()
    existing: Literal["update", "ignore"] = "update"
    allowed_origins: tuple[str, ...] = ()
    language: str | None = None
    """None: the reader's."""
    proof_of_work: bool = False
    terms_version: int | None = None
    """Of the terms that are shown; None: none are."""
    looks: Looks = Looks()
