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
        ("RCPT", 550, "5.7.1 not authorized to send to this list", False),
        ("RCPT", 550, "5.1.1 <ana@example.org>: User unknown in relay recipient table", True),
        ("RCPT", 550, "5.1.0 address rejected", False),
        ("RCPT", 550, "No such user", False),
        ("MAIL", 552, "message exceeds fixed maximum message size", False),
        ("MAIL", 552, "5.3.4 Message size exceeds fixed limit", False),
        ("MAIL", 554, "5.3.4 too big for system", False),
        ("MAIL", 550, "5.2.3 too long for the mailbox", False),
        ("MAIL", 553, "5.6.7 SMTPUTF8 not supported", False),
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
    ("stage", "code", "message", "bare"),
    [
        ("MAIL", 530, "5.7.0 Authentication required", "530 5.7.0 to MAIL"),
        ("RCPT", 530, "Must issue a STARTTLS command first", "530 to RCPT"),
        ("MAIL", 550, "5.1.1 sender unknown", "550 5.1.1 to MAIL"),
        (
            "MAIL",
            553,
            "5.7.1 <hello@example.org>: Sender address rejected: not owned by user shop",
            "553 5.7.1 to MAIL",
        ),
        ("MAIL", 550, "5.1.7 sender refused", "550 5.1.7 to MAIL"),
        ("MAIL", 501, "5.5.4 syntax error", "501 5.5.4 to MAIL"),
        ("MAIL", 554, "no", "554 to MAIL"),
        # Postfix keeps its answer to MAIL for RCPT (smtpd_delay_reject).
        ("RCPT", 550, "5.1.8 <hello@example.org>: Sender address rejected: Domain not found", "550 5.1.8 to RCPT"),
        ("RCPT", 450, "4.1.8 <hello@example.org>: Sender address rejected: Domain not found", "450 4.1.8 to RCPT"),
        ("RCPT", 554, "5.7.1 <ana@example.org>: Relay access denied", "554 5.7.1 to RCPT"),  # Postfix
        ("RCPT", 454, "4.7.1 <ana@example.org>: Relay access denied", "454 4.7.1 to RCPT"),
        ("RCPT", 550, "5.7.1 <ana@example.org>... Relaying denied", "550 5.7.1 to RCPT"),  # Sendmail
        ("RCPT", 550, "relay not permitted", "550 to RCPT"),  # Exim
        (
            "RCPT",
            550,
            "5.7.54 SMTP; Unable to relay recipient in non-accepted domain",
            "550 5.7.54 to RCPT",
        ),  # Exchange
        ("the mail", 550, "5.7.1 Invalid credentials for relay: not authorized to relay", "550 5.7.1 to the mail"),
        ("RCPT", 550, "5.4.5 Daily sending quota exceeded", "550 5.4.5 to RCPT"),  # Gmail
    ],
)
def test_what_is_about_us_is_not_sent_the_connection_rests_and_somebody_is_told(
    stage: str, code: int, message: str, bare: str
) -> None:
    outcome = answers.before_the_mail(stage, code, message)
    assert isinstance(outcome, NotSent)
    assert (outcome.retry_after_seconds, outcome.slow_down) == (60, True)
    assert outcome.to_mend == f"the relay refuses what we send: {bare}", (
        "no word of the relay's, which may be somebody's"
    )


@pytest.mark.parametrize(
    ("stage", "code", "message", "slow_down"),
    [
        ("MAIL", 421, "4.7.0 too many connections", True),
        ("MAIL", 451, "4.3.0 try later", True),
        ("MAIL", 451, "4.7.1 try later", True),
        ("MAIL", 452, "4.3.1 insufficient storage", True),
        ("RCPT", 450, "4.2.0 greylisted", False),
        ("RCPT", 450, "4.2.1 receiving mail too quickly", False),
        ("RCPT", 452, "4.2.2 over quota", False),
        ("RCPT", 450, "4.1.2 domain not found", False),
        ("RCPT", 450, "4.7.1 <ana@example.org>: Recipient address rejected: Greylisted", False),
        ("RCPT", 450, "4.7.1 try later", False),
        ("RCPT", 451, "4.7.1 try later", False),
        ("RCPT", 451, "greylisting in action, please come back later", False),
        ("RCPT", 450, "busy", False),
        ("RCPT", 451, "Requested action aborted", False),
        ("RCPT", 452, "mailbox full", False),
        ("RCPT", 450, "4.4.1 no answer from their host", False),
        ("RCPT", 451, "4.3.5 Server configuration problem", True),
        ("RCPT", 452, "4.3.1 Insufficient system storage", True),
        ("RCPT", 451, "4.4.5 congestion", True),
        ("RCPT", 454, "4.7.0 temporary authentication failure", True),
        ("RCPT", 421, "4.2.1 closing", True),
        ("RCPT", 421, "greylisted, goodbye", True),
        ("the mail", 451, "4.7.1 Greylisting in action", False),
        ("the mail", 451, "4.7.500 server busy", True),
        ("RCPT", 299, "what?", True),
        ("MAIL", -1, "Malformed SMTP response line: HTTP/1.1", True),
    ],
)
def test_a_4xx_is_not_sent_and_the_connection_rests_unless_it_is_about_the_recipient(
    stage: str, code: int, message: str, slow_down: bool
) -> None:
    outcome = answers.before_the_mail(stage, code, message)
    assert isinstance(outcome, NotSent)
    assert (outcome.slow_down, outcome.to_mend) == (slow_down, None)


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
