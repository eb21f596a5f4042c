"""What to ask: which preferences a page shows, group by group, in order. Pure, but for the two that read.

Only what is active is shown, and stands in an active group. A form shows what it names (`of_form`); whoever asks a
person, or somebody not known yet, asks what the page is about (`to_ask`); the preference centre shows all, answered or
not, but what only some pages ask (`in_centre`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import groups, preferences
from consent.groups import Group
from consent.preferences import Preference
from consent.states import State
from store.tables import consent_states

PARTNER = "partner:"  # before a partner's name: the context in which their preferences are asked


@dataclass(frozen=True, slots=True)
class Question:
    """A preference as a page shows it."""

    id: str
    name: str  # for staff and reports
    text: str  # all that customers see
    description: str | None  # for staff
    selected_by_default: bool
    linked_channel: str | None
    contexts: tuple[str, ...]
    partner: str | None
    state: State = "not_asked"

    def is_asked_in(self, contexts: Collection[str]) -> bool:
        """Whether a page about these asks it."""
        if self.partner is not None and PARTNER + self.partner not in contexts:
            return False
        return not self.contexts or not set(self.contexts).isdisjoint(contexts)


@dataclass(frozen=True, slots=True)
class Section:
    """A group as a page shows it."""

    headline: str | None  # None: of what stands in no group
    text: str | None
    questions: tuple[Question, ...]


States = Mapping[str, State]  # preference id → answer; what is absent was not asked


async def active(conn: AsyncConnection) -> list[Section]:
    """All that may be shown."""
    return arranged(await groups.listed(conn), await preferences.listed(conn))


async def answers(conn: AsyncConnection, profile_id: str) -> dict[str, State]:
    """Preference id → what the person has answered."""
    said = consent_states.c
    rows = await conn.execute(
        select(said.key, said.state).where(said.profile_id == profile_id, said.kind == "preference")
    )
    return {row.key: row.state for row in rows}


def arranged(all_groups: Sequence[Group], all_preferences: Sequence[Preference]) -> list[Section]:
    """What is active, group by group; both are given in order."""
    shown: list[Group | None] = [None, *(group for group in all_groups if group.active)]
    sections = [
        Section(
            group.headline if group is not None else None,
            group.text if group is not None else None,
            tuple(
                _question(one)
                for one in all_preferences
                if one.active and one.group_id == (group.id if group is not None else None)
            ),
        )
        for group in shown
    ]
    return [section for section in sections if section.questions]


def to_ask(sections: Sequence[Section], contexts: Collection[str] = (), states: States | None = None) -> list[Section]:
    """What a page about these contexts asks: of a person what they were not asked yet, else all of it."""
    known = states or {}
    return _those(sections, lambda one: one.is_asked_in(contexts) and one.state == "not_asked", known)


def in_centre(sections: Sequence[Section], states: States, contexts: Collection[str] = ()) -> list[Section]:
    """What the preference centre shows a person: what only some pages ask, once it was answered, or where the page that
    leads there is about it."""
    return _those(sections, lambda one: one.state != "not_asked" or one.is_asked_in(contexts), states)


def of_form(sections: Sequence[Section], ids: Collection[str]) -> list[Section]:
    """What a form shows that names these preferences."""
    return _those(sections, lambda one: one.id in ids, {})


def _those(sections: Sequence[Section], is_shown: Callable[[Question], bool], states: States) -> list[Section]:
    found = []
    for section in sections:
        asked = (replace(one, state=states.get(one.id, one.state)) for one in section.questions)
        if questions := tuple(one for one in asked if is_shown(one)):
            found.append(replace(section, questions=questions))
    return found


def _question(preference: Preference) -> Question:
    return Question(
        preference.id,
        preference.name,
        preference.text,
        preference.description,
        preference.selected_by_default,
        preference.linked_channel,
        tuple(preference.contexts),
        preference.partner,
    )
