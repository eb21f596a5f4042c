"""Which message in the provider's list is which attempt: none for two, and nothing by guessing."""

from __future__ import annotations

import itertools

import pytest

from channels.values import Listed, Report
from outbox.pairing import Doubt, pair
from tests.acts import later


def doubt(name: str, at: float = 0, body: str | None = "Hi", *, took: float = 10) -> Doubt:
    return Doubt(name, name, "dlv", "sms", later(at), later(at + took), body)


def listed(sid: str, at: float = 0.2, body: str = "Hi") -> Listed:
    return Listed(Report("", sid, "sent"), body, later(at).replace(microsecond=0))


def paired(doubts: list[Doubt], there: list[Listed], known: set[str] | None = None) -> dict[str, str]:
    pairs = pair(doubts, there, known or set())
    assert len({one.report.provider_id for _, one in pairs}) == len(pairs)
    return {d.attempt_id: one.report.provider_id for d, one in pairs}


def test_text_and_time_make_a_pair() -> None:
    assert paired([doubt("a")], [listed("S1")]) == {"a": "S1"}


@pytest.mark.parametrize(
    "there", [listed("S1", body="Hi "), listed("S1", at=-3), listed("S1", at=10 + 62), listed("S1", body="")]
)
def test_another_text_or_time_is_another_message(there: Listed) -> None:
    assert paired([doubt("a")], [there]) == {}


@pytest.mark.parametrize("at", [-1, 0, 10, 69])
def test_the_providers_clock_may_differ_a_little_and_its_work_may_take_a_while(at: float) -> None:
    assert paired([doubt("a")], [listed("S1", at=at)]) == {"a": "S1"}


def test_what_another_attempt_has_is_not_given_again() -> None:
    assert paired([doubt("a")], [listed("S1")], {"S1"}) == {}
    assert paired([doubt("a")], [listed("S1"), listed("S2")], {"S1"}) == {"a": "S2"}


def test_equal_texts_are_paired_in_order() -> None:
    doubts, there = (
        [doubt("a", 0), doubt("b", 20), doubt("c", 40)],
        [listed("S1", 1), listed("S2", 21), listed("S3", 41)],
    )
    for order in itertools.permutations(range(3)):
        found = paired([doubts[i] for i in order], [there[i] for i in reversed(order)])
        assert found == {"a": "S1", "b": "S2", "c": "S3"}


def test_one_message_for_two_attempts_is_that_of_the_last_that_had_begun() -> None:
    doubts = [doubt("a", 0), doubt("b", 20)]
    assert paired(doubts, [listed("S1", 1)]) == {"a": "S1"}
    assert paired(doubts, [listed("S2", 21)]) == {"b": "S2"}


def test_two_messages_made_in_one_second_are_taken_in_the_order_of_the_list() -> None:
    assert paired([doubt("a", 0), doubt("b", 0.1)], [listed("S1"), listed("S2")]) == {"a": "S1", "b": "S2"}


def test_a_template_is_taken_only_where_nothing_else_can_be_meant() -> None:
    template = doubt("t", body=None)
    assert paired([template], [listed("S1", body="Hello Zoë")]) == {"t": "S1"}
    assert paired([template], [listed("S1", body="Hello Zoë"), listed("S2", body="Hello Zoë")]) == {}
    assert paired([template, doubt("u", 1, body=None)], [listed("S1")]) == {}
    assert paired([template, doubt("a")], [listed("S1")]) == {"a": "S1"}
    assert paired([template, doubt("a")], [listed("S1"), listed("S2", body="Hello Zoë")]) == {"a": "S1", "t": "S2"}
    assert paired([template], [listed("S1", at=-5)]) == {}


def test_nothing_listed_proves_nothing() -> None:
    assert paired([doubt("a", 0), doubt("b", 1, body=None)], []) == {}
