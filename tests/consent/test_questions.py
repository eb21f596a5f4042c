"""What a page asks: pure, case by case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from consent.groups import Group
from consent.preferences import Preference, in_reports
from consent.questions import Section, arranged, in_centre, of_form, to_ask
from consent.states import State
from tests.acts import NOON


def group(id_: str, **more: Any) -> Group:
    given: dict[str, Any] = {"text": None, "active": True, "partner": False, "position": 0} | more
    return Group(id=id_, headline=id_.title(), created_at=NOON, updated_at=NOON, **given)


def preference(id_: str, group_id: str | None = None, **more: Any) -> Preference:
    given: dict[str, Any] = {
        "text": f"{id_}?", "description": None, "selected_by_default": False, "active": True, "linked_channel": None,
        "contexts": (), "partner": None, "position": 0,
    } | more  # fmt: skip
    group_name = group_id.title() if group_id else None
    return Preference(id=id_, group_id=group_id, group=group_name, name=id_, created_at=NOON, updated_at=NOON, **given)


GROUPS = [group("news"), group("support"), group("old", active=False), group("partners", partner=True)]
PREFERENCES = [
    preference("post"),
    preference("drama", "news"),
    preference("retired", "news", active=False),
    preference("opera", "news", selected_by_default=True),
    preference("gifts", "support", contexts=("donation", "membership")),
    preference("hidden", "old"),
    preference("gallery", "partners", partner="Gallery"),
    preference("museum", "partners", partner="Museum", contexts=("exhibition",)),
]
ALL = arranged(GROUPS, PREFERENCES)


def ids(sections: Sequence[Section]) -> list[str]:
    return [one.id for section in sections for one in section.questions]


def test_what_is_active_is_arranged_group_by_group_and_what_has_no_group_comes_first() -> None:
    assert [(section.headline, [one.id for one in section.questions]) for section in ALL] == [
        (None, ["post"]),
        ("News", ["drama", "opera"]),
        ("Support", ["gifts"]),
        ("Partners", ["gallery", "museum"]),
    ]
    assert arranged([group("empty")], []) == []


@pytest.mark.parametrize(
    ("contexts", "asked"),
    [
        ((), ["post", "drama", "opera"]),
        (("donation",), ["post", "drama", "opera", "gifts"]),
        (("tickets", "membership"), ["post", "drama", "opera", "gifts"]),
        (("partner:Gallery",), ["post", "drama", "opera", "gallery"]),
        (("partner:gallery", "Donation", "partner:"), ["post", "drama", "opera"]),
        (("exhibition",), ["post", "drama", "opera"]),
        (("exhibition", "partner:Museum"), ["post", "drama", "opera", "museum"]),
    ],
)
def test_what_is_for_some_pages_is_asked_where_the_page_names_it(contexts: Sequence[str], asked: list[str]) -> None:
    assert ids(to_ask(ALL, contexts)) == asked


def test_a_person_is_asked_what_is_not_asked_yet() -> None:
    states: dict[str, State] = {"post": "yes", "drama": "no", "opera": "not_asked"}
    assert ids(to_ask(ALL, ["donation"], states)) == ["opera", "gifts"]
    assert to_ask(ALL, [], states | {"opera": "no"}) == []


def test_the_centre_shows_all_but_what_only_some_pages_ask_until_it_is_answered() -> None:
    states: dict[str, State] = {"drama": "no", "gifts": "yes", "museum": "no", "gallery": "not_asked", "retired": "yes"}
    shown = in_centre(ALL, states)
    assert {one.id: one.state for section in shown for one in section.questions} == {
        "post": "not_asked", "drama": "no", "opera": "not_asked", "gifts": "yes", "museum": "no",
    }  # fmt: skip


def test_a_form_shows_what_it_names_and_is_active() -> None:
    assert ids(of_form(ALL, {"gifts", "gallery", "post", "retired", "hidden", "unknown"})) == [
        "post", "gifts", "gallery",
    ]  # fmt: skip


def test_a_name_in_reports_says_that_it_is_inactive() -> None:
    assert (in_reports("Drama", active=True), in_reports("Drama", active=False)) == ("Drama", "Drama (inactive)")
