"""What a relay's answers mean."""

from __future__ import annotations

import pytest

from channels.mail import answers
from channels.values import Accepted, InDoubt, NotSent, Rejected


@pytest.mark.parametrize(
    ("stage", "code", "message", "undeliverable"),
    [
        ("RCPT", 550, "5.1.1 <ana@example.org>: Recipient address rejected: User unknown", True),
        ("RCPT", 550, "5.1.10 RecipientNotFound", True),
        ("RCPT", 554, "5.1.2 no such domain", True),
        ("RCPT", 553, "5.1.3 bad syntax", True),
        ("the mail", 550, "5.1.1 The account does not exist", True),
        ("RCPT", 550, "5.2.1 mailbox disabled", False),
        ("RCPT", 552, "5.2.2 mailbox full", False),
        ("RCPT", 550, "5.7.1 relaying denied", False),
        ("RCPT", 550, "5.1.8 sender's domain does not exist", False),
        ("RCPT", 550, "5.1.7 sender refused", False),
        ("RCPT", 550, "5.1.0 address rejected", False),
        ("RCPT", 550, "relay not permitted", False),
        ("RCPT", 550, "No such user", False),
        ("MAIL", 550, "5.1.1 sender unknown", False),
        ("MAIL", 553, "5.7.1 not owned by user", False),
        ("the mail", 554, "5.7.1 spam", False),
        ("DATA", 554, "no valid recipients", False),
    ],
)
def test_a_5xx_is_final_and_only_a_word_on_the_address_makes_it_undeliverable(
    stage: str, code: int, message: str, undeliverable: bool
) -> None:
    outcome = answers.before_the_mail(stage, code, message)
    assert isinstance(outcome, Rejected)
    assert (outcome.code, outcome.undeliverable, outcome.opted_out) == (str(code), undeliverable, False)


@pytest.mark.parametrize(
    ("stage", "code", "message", "slow_down"),
    [
        ("MAIL", 421, "4.7.0 too many connections", True),
        ("MAIL", 451, "4.3.0 try later", True),
        ("MAIL", 452, "4.3.1 insufficient storage", True),
        ("RCPT", 450, "4.2.0 greylisted", False),
        ("RCPT", 450, "4.2.1 receiving mail too quickly", False),
        ("RCPT", 452, "4.2.2 over quota", False),
        ("RCPT", 450, "4.1.2 domain not found", False),
        ("RCPT", 450, "4.7.1 try later", True),
        ("RCPT", 421, "4.2.1 closing", True),
        ("RCPT", 450, "busy", True),
        ("the mail", 451, "4.7.500 server busy", True),
        ("MAIL", 530, "5.7.0 Authentication required", True),
        ("RCPT", 530, "Must issue a STARTTLS command first", True),
        ("RCPT", 299, "what?", True),
        ("MAIL", -1, "Malformed SMTP response line: HTTP/1.1", True),
    ],
)
def test_a_4xx_is_not_sent_and_the_connection_rests_unless_it_is_about_the_recipient(
    stage: str, code: int, message: str, slow_down: bool
) -> None:
    outcome = answers.before_the_mail(stage, code, message)
    assert isinstance(outcome, NotSent)
    assert outcome.slow_down is slow_down


def test_who_must_log_in_first_is_not_asked_again_at_once() -> None:
    outcome = answers.before_the_mail("MAIL", 530, "5.7.0 Authentication required")
    assert isinstance(outcome, NotSent)
    assert outcome.retry_after_seconds == 60


@pytest.mark.parametrize(
    ("message", "provider_id"),
    [
        ("2.0.0 Ok: queued as 4XyZ1k2Mz3", "4XyZ1k2Mz3"),
        ("OK id=1tFxyz-0001AB-2C", "1tFxyz-0001AB-2C"),
        ("Ok 0100018c2f-1b2c-4d5e-8f90-000000", "0100018c2f-1b2c-4d5e-8f90-000000"),
        ("2.6.0 <x@y> [InternalId=1, Hostname=z] Queued mail for delivery", "att_1@example.org"),
        ("2.0.0 OK", "att_1@example.org"),
        ("", "att_1@example.org"),
        ("queued as " + "x" * 5000, "x" * 100),
    ],
)
def test_an_accepted_mail_has_the_relays_id_or_its_own(message: str, provider_id: str) -> None:
    assert answers.to_the_final_dot(250, message, message_id="att_1@example.org") == Accepted(provider_id)


def test_what_is_no_answer_to_the_whole_mail_leaves_it_in_doubt() -> None:
    for code in (-1, 0, 199, 354, 600, 999):
        assert isinstance(answers.to_the_final_dot(code, "", message_id="m"), InDoubt), code


def test_the_relays_words_are_kept_without_what_is_somebodys() -> None:
    said = "5.1.1 <ana@example.org>: no ana@example.org\nsee https://x.org/unsubscribe/token \x1b[31m" + "x" * 500
    told = answers.words(said)
    assert told.startswith("5.1.1 …: no … see … [31mxxx")
    assert len(told) == 200
