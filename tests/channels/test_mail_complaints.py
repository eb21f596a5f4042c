"""Complaints: reports of feedback loops as providers write them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.mail import complaints
from channels.mail.automatic import why_automatic
from channels.mail.complaints import Complaint
from channels.mail.letter import Letter, Part
from tests.channels.cases import SAMPLES, cases
from tests.channels.letters import letter_of

MAILS = cases(SAMPLES / "complaints" / "mails.txt")


def told(line: str) -> Complaint | None:
    if not line:
        return None
    address, message_id = (None if word == "-" else word for word in line.split())
    return Complaint(address, message_id)


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in MAILS.items()])
def test_a_report_is_read(case: dict[str, str]):
    assert complaints.read(letter_of(case["mail"])) == told(case["complaint"])


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=name) for name, case in MAILS.items() if "report" in case["mail"]]
)
def test_a_report_is_nobodys_message(case: dict[str, str]):
    letter = letter_of(case["mail"])
    assert why_automatic(letter) == (
        "system" if any("feedback" in part.content_type for part in letter.parts) else None
    )


@pytest.mark.parametrize(
    ("given_as", "address"),
    [
        ("<ana@example.net>", "ana@example.net"),
        ("rfc822; ana@example.net", "ana@example.net"),
        ("redacted", None),
        ("<redacted@example.net>", None),
        ("xxxxxx@example.net", None),
        ("[redacted]", None),
        ("***@example.net", None),
        ("ana@", None),
        ("", None),
    ],
)
def test_a_recipient_that_was_taken_out_is_nobody(given_as: str, address: str | None):
    report = f"Feedback-Type: abuse\nOriginal-Rcpt-To: {given_as}"
    letter = Letter("id", (), "", (), "fbl@example.com", "", parts=(Part("message/feedback-report", report),))
    assert complaints.read(letter) == Complaint(address, None)


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200))
def test_whatever_comes_is_read(report: str, original: str):
    parts = (Part("message/rfc822", original), Part("message/feedback-report", f"Feedback-Type: abuse\n{report}"))
    assert isinstance(complaints.read(Letter("id", (), "", (), "", "", parts=parts)), Complaint | None)
