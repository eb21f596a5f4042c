"""The table that decides duplicates, row by row."""

from __future__ import annotations

import itertools

import pytest

from channels.values import Accepted, InDoubt, NotSent, Rejected
from outbox.outcomes import MOST_TRIES, Abandoned, delay_seconds, rule
from outbox.statuses import RANK, below


@pytest.mark.parametrize(
    ("outcome", "attempt", "delivery"),
    [
        (Accepted("SM1"), "accepted", "accepted"),
        (Rejected("21211", "no number"), "rejected", "failed"),
        (Rejected("21610", "opted out", opted_out=True), "rejected", "failed"),
        (NotSent("refused"), "not_sent", "queued"),
        (NotSent("429", retry_after_seconds=7, slow_down=True), "not_sent", "queued"),
        (InDoubt("reset"), "in_doubt", "in_doubt"),
        (Abandoned(), "abandoned", "queued"),
    ],
)
def test_each_end_of_an_attempt_has_one_ruling(outcome: object, attempt: str, delivery: str) -> None:
    ruling = rule(outcome, tries=1, class_="marketing")  # type: ignore[arg-type]
    assert (ruling.attempt, ruling.delivery) == (attempt, delivery)


def test_only_what_was_certainly_not_sent_is_queued_again() -> None:
    again = [
        type(outcome)
        for outcome in (Accepted("x"), Rejected("1", ""), NotSent(""), InDoubt(""), Abandoned())
        if rule(outcome, tries=1, class_="marketing").delivery == "queued"
    ]
    assert again == [NotSent, Abandoned]


def test_the_providers_wish_is_honoured_where_it_is_longer_than_ours() -> None:
    assert rule(NotSent("", retry_after_seconds=100), tries=1, class_="marketing").again_in_seconds == 100
    assert rule(NotSent("", retry_after_seconds=1), tries=8, class_="marketing").again_in_seconds == delay_seconds(8)


def test_delays_double_and_end_at_an_hour() -> None:
    delays = [delay_seconds(tries) for tries in range(1, 30)]
    assert delays[:4] == [2, 4, 8, 16]
    assert max(delays) == 3600
    assert all(a <= b for a, b in itertools.pairwise(delays))


def test_a_message_that_never_goes_out_fails_in_the_end_and_says_so() -> None:
    ruling = rule(NotSent("connection refused"), tries=MOST_TRIES, class_="marketing")
    assert ruling.delivery == "failed"
    assert "connection refused" in (ruling.error or "")


def test_a_status_follows_only_lower_ones() -> None:
    for status in RANK:
        assert status not in below(status)
        assert all(RANK[other] < RANK[status] for other in below(status))
    assert "failed" not in below("undelivered")
    assert set(below("delivered")) >= {"failed", "undelivered", "unknown", "in_doubt"}
