"""What the API answers about preferences, their groups, questions and terms, as the reference shows it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from gateway.api.shapes import ChannelName, Listing, Shape


class PreferenceGroup(Shape):
    """A headline under which questions are put to customers."""

    id: str
    headline: str
    text: str | None
    active: bool
    partner: bool = Field(description="The one in which partner preferences stand.")
    order: int = Field(description="Its place among the groups, from 0.")
    created_at: datetime
    updated_at: datetime


class PreferenceGroups(Listing[PreferenceGroup]):
    """The groups, in their order."""


class Preference(Shape):
    id: str
    name: str
    text: str
    description: str | None
    group: str | None = Field(description="The headline of its group; null: it stands before all groups, without one.")
    group_id: str | None
    selected_by_default: bool
    active: bool
    linked_channel: ChannelName | None
    contexts: list[str]
    partner: str | None
    order: int = Field(description="Its place in its group, from 0.")
    created_at: datetime
    updated_at: datetime


class Preferences(Listing[Preference]):
    """The preferences as they are shown: those without a group, then group by group."""


class Answers(Shape):
    """How many profiles have which answer."""

    yes: int
    no: int
    not_asked: int


class PreferenceInFull(Preference):
    """A preference, and how many have answered it."""

    counts: Answers


class Asked(Shape):
    """A question, as it is put."""

    name: str
    text: str = Field(description="All that customers see of it.")
    description: str | None = Field(description="For staff.")
    selected_by_default: bool


class AskedGroup(Shape):
    """Questions under one headline."""

    headline: str | None = Field(description="Null: these stand before all groups.")
    text: str | None
    questions: list[Asked]


class TermsShown(Shape):
    """The terms and conditions to show beside the questions; the version goes into the evidence."""

    version: int
    language: str
    text: str
    link: str | None


class Questions(Shape):
    """What to ask, group by group, in order."""

    groups: list[AskedGroup]
    terms: TermsShown | None = Field(
        None, description="In the language asked for, else in English, else in any; absent where there are none."
    )


class TermsText(Shape):
    """The terms in one language."""

    text: str
    link: str | None


class Terms(Shape):
    """The terms and conditions that hold; version 0 where there never were any."""

    version: int
    texts: dict[str, TermsText] = Field(description="By language.")
    set_at: datetime | None
    set_by: str | None
