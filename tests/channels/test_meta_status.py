"""What Meta tells of our messages, and of people's settings → Report and AddressReport values."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from channels.meta import batch
from channels.values import AddressReport, Report
from tests.channels.meta_requests import ANA_ID, NUMBER_ID, change, sample
from tests.channels.meta_requests import batch as body_of

ANA = "+14155550123"
ID = "wamid.HBgLOURS"


def read(body: bytes) -> list[Any]:
    return batch.read(body, batch.Ours("cloud", NUMBER_ID))


REPORTS: dict[str, list[Report]] = {
    "sent": [Report("att_1", ID, "sent")],
    "delivered": [Report("att_1", ID, "delivered")],
    "read": [Report("att_1", ID, "read")],
    "played": [Report("att_1", ID, "read")],
    "deleted": [],
    "failed_opted_out": [Report("att_1", ID, "failed", "131050", opted_out=True, marketing_only=True)],
    "failed_undeliverable": [Report("att_1", ID, "failed", "131026")],
    "failed_window": [Report("att_1", ID, "failed", "131047")],
    "delivered_without_tag": [Report("", ID, "delivered")],
    "delivered_of_another_system": [Report("", ID, "delivered")],
    "delivered_to_a_group": [],
}


@pytest.mark.parametrize(("name", "reports"), REPORTS.items(), ids=REPORTS)
def test_a_status_becomes_the_report_under_the_attempts_tag(name: str, reports: list[Report]) -> None:
    assert read(sample(name)) == reports


@pytest.mark.parametrize(
    ("errors", "code", "opted_out"),
    [
        ([{"code": 131026}, {"code": 131050}], "131050", True),
        ([{"code": "131050"}], "131050", True),
        ([{"code": 131049}], "131049", False),
        ([{"title": "no code"}], None, False),
        ([], None, False),
        ("131050", None, False),
    ],
)
def test_of_several_errors_the_persons_no_counts(errors: Any, code: str | None, opted_out: bool) -> None:
    status = {"id": ID, "status": "failed", "biz_opaque_callback_data": "att_1", "errors": errors}
    [report] = read(body_of(change(statuses=[status])))
    assert (report.code, report.opted_out, report.undeliverable) == (code, opted_out, False)


def test_an_error_beside_a_delivery_is_no_no() -> None:
    status = {"id": ID, "status": "delivered", "biz_opaque_callback_data": "att_1", "errors": [{"code": 131050}]}
    [report] = read(body_of(change(statuses=[status])))
    assert not report.opted_out


def told(kind: str, address: str) -> tuple[Any, ...]:
    return (f"meta:{NUMBER_ID}", "whatsapp", kind, address, datetime(2026, 11, 20, 12, 0, 20, tzinfo=UTC))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("preference_stop", [told("stop", ANA)]),
        ("preference_resume", [told("resume", ANA)]),
        ("preference_stop_of_both", [told("stop", ANA), told("stop", ANA_ID)]),
        ("preference_stop_by_scoped_id", [told("stop", ANA_ID)]),
    ],
)
def test_a_preference_is_a_word_of_each_address(name: str, expected: list[Any]) -> None:
    found = read(sample(name))
    assert [(one.account, one.channel, one.kind, one.address, one.at) for one in found] == expected
    assert all(isinstance(one, AddressReport) and one.tag is None for one in found)


def test_an_event_has_one_id_for_ever_and_no_number_in_it() -> None:
    names = ["preference_stop", "preference_resume", "preference_stop_of_both", "preference_stop_by_scoped_id"]
    ids = {name: [one.event_id for one in read(sample(name))] for name in names}
    assert ids == {name: [one.event_id for one in read(sample(name))] for name in names}
    assert ids["preference_stop"][0] == ids["preference_stop_of_both"][0]
    assert ids["preference_stop_by_scoped_id"][0] == ids["preference_stop_of_both"][1]
    assert len({one for some in ids.values() for one in some}) == 3
    assert not any("55501" in one for some in ids.values() for one in some)
    later = {"wa_id": "14155550123", "category": "marketing_messages", "value": "stop", "timestamp": "1795176021"}
    [second] = read(body_of(change("user_preferences", user_preferences=[later])))
    assert second.event_id not in ids["preference_stop"]


@pytest.mark.parametrize("odd", [{"category": "utility_messages"}, {"value": "interested"}, {"value": None}])
def test_any_other_preference_says_nothing(odd: dict[str, Any]) -> None:
    stop = {"wa_id": "14155550123", "category": "marketing_messages", "value": "stop", "timestamp": "1795176000"}
    assert read(body_of(change("user_preferences", user_preferences=[stop | odd]))) == []
