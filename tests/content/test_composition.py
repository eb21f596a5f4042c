"""Content, as an operator gave it: what it needs, how it reads by each channel, what it weighs. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from content import composition
from content.composition import BadContent

TEMPLATE = {"name": "HX1", "language": "en", "variables": {"1": "{{ first_name }}", "2": "{{ preferences['Opera'] }}"}}
WHOLE: dict[str, Any] = {"body": "Hi {{ first_name }} {{ preferences['Drama'] }}", "template": TEMPLATE}


def test_what_it_needs_is_known_before_it_is_filled_in() -> None:
    needs = composition.check(WHOLE)
    assert needs.uses == {"first_name", "preferences"}
    assert needs.preferences == {"Drama", "Opera"}
    assert composition.preferences_by_field(WHOLE) == {"body": {"Drama"}, "template.variables.2": {"Opera"}}
    assert not needs.is_plain
    assert composition.check({"body": "plain"}) == composition.Needs(is_plain=True)


def test_each_channel_takes_its_part() -> None:
    assert composition.on_channel(WHOLE, "whatsapp") == {"template": TEMPLATE}
    assert composition.on_channel(WHOLE, "sms") == {"body": WHOLE["body"]}
    assert composition.on_channel({"body": "x"}, "whatsapp") == {"body": "x"}
    assert composition.is_free_form({"body": "x"}, "whatsapp")
    assert not composition.is_free_form(WHOLE, "whatsapp")
    assert not composition.is_free_form({"body": "x"}, "sms")


def test_it_is_filled_in_and_the_original_stays() -> None:
    before = {**WHOLE, "template": {**TEMPLATE, "variables": dict(TEMPLATE["variables"])}}  # type: ignore[call-overload]
    filled = composition.fill_in(WHOLE, {"first_name": "Ana", "preferences": {"Drama": True, "Opera": None}})
    assert filled == {"body": "Hi Ana true", "template": {**TEMPLATE, "variables": {"1": "Ana", "2": ""}}}
    assert before == WHOLE


@pytest.mark.parametrize(
    ("content", "field", "word"),
    [
        ({"body": "{{ nobody }}"}, "body", "nobody"),
        (
            {"body": "fine", "template": {"name": "x", "variables": {"a": "{% if %}"}}},
            "template.variables.a",
            "missing",
        ),
        ({"body": " \n"}, "body", "nothing"),
        ({"body": "x" * 1601}, "body", "1,600"),
    ],
)
def test_what_can_never_be_sent_is_named_with_its_field(content: dict[str, Any], field: str, word: str) -> None:
    with pytest.raises(BadContent, match=word) as caught:
        composition.check(content)
    assert caught.value.field == field


def test_a_long_template_may_come_to_a_short_text() -> None:
    composition.check({"body": "{% comment %}" + "x" * 2000 + "{% endcomment %}Hi"})
    with pytest.raises(BadContent):
        composition.check_length({"body": "x" * 1601})


@pytest.mark.parametrize(
    ("content", "channel", "weight"),
    [
        ({"body": "x" * 160}, "sms", 1),
        ({"body": "x" * 161}, "sms", 2),
        ({"body": "é" * 71 + "ë"}, "sms", 2),
        ({"body": "x" * 1600}, "whatsapp", 1),
        ({"template": TEMPLATE}, "whatsapp", 1),
    ],
)
def test_a_text_weighs_its_segments_anything_else_one(content: dict[str, Any], channel: str, weight: int) -> None:
    assert composition.weight(content, channel) == weight
