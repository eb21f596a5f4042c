"""Bounces: whole notifications as servers write them, and what each code and phrase comes to."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.mail import bounces
from channels.mail.automatic import why_automatic
from channels.mail.bounces import Bounce
from channels.mail.letter import Letter, Part
from tests.channels.cases import SAMPLES, cases
from tests.channels.letters import letter_of

MAILS = cases(SAMPLES / "bounces" / "mails.txt")


def told(lines: str) -> list[Bounce]:
    found = []
    for line in lines.splitlines():
        address, kind, code, message_id = (None if word == "-" else word for word in line.split())
        found.append(Bounce(address, kind == "hard", code, message_id))
    return found


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in MAILS.items()])
def test_a_notification_is_read(case: dict[str, str]):
    assert list(bounces.read(letter_of(case["mail"]))) == told(case["bounces"])


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in MAILS.items() if case["bounces"]])
def test_a_bounce_is_nobodys_message(case: dict[str, str]):
    assert why_automatic(letter_of(case["mail"])) == "bounce"


def notification(*groups: str, returned: str = "") -> Letter:
    status = "\n\n".join(("Reporting-MTA: dns; mx.example.net", *groups))
    parts = (Part("message/delivery-status", status), Part("text/rfc822-headers", returned))
    return Letter("id", (), "", ("hello@example.org",), "mailer-daemon@example.net", "Undelivered", parts=parts)


HARD, SOFT = True, False


@pytest.mark.parametrize(
    ("status", "said", "is_hard", "code"),
    [
        # --- the address is wrong (RFC 3463 §3.2 and 3.3)
        ("5.1.1", "smtp; 550 5.1.1 <ana@example.net>: User unknown", HARD, "5.1.1"),
        ("5.1.1", "", HARD, "5.1.1"),
        ("5.1.0", "smtp; 550 5.1.0 Address rejected.", HARD, "5.1.0"),
        ("5.1.2", "X-Postfix; Host or domain name not found", HARD, "5.1.2"),
        ("5.1.3", "smtp; 501 5.1.3 Bad recipient address syntax", HARD, "5.1.3"),
        ("5.1.6", "smtp; 550 5.1.6 Recipient no longer on server", HARD, "5.1.6"),
        ("5.1.10", "smtp; 550 5.1.10 RESOLVER.ADR.RecipientNotFound", HARD, "5.1.10"),
        ("5.2.1", "smtp; 550 5.2.1 The email account that you tried to reach is disabled", HARD, "5.2.1"),
        ("5.4.4", "X-Postfix; Host or domain name not found. Name service error: Host not found", HARD, "5.4.4"),
        ("5.4.1", "smtp;550 5.4.1 Recipient address rejected: Access denied. AS(201806281)", HARD, "5.4.1"),
        ("5.0.0", "smtp; 550 5.1.1 unknown user", HARD, "5.1.1"),  # the server's own code says more
        ("5.0.0", "smtp; 550 No such user here", HARD, "5.0.0"),
        ("5.5.0", "smtp; 550 5.5.0 Requested action not taken: mailbox unavailable", HARD, "5.5.0"),
        ("", "smtp; 550 user unknown", HARD, "550"),
        ("", "smtp; 554 delivery error: dd This user doesn't have a yahoo.com account", HARD, "554"),
        ("5.0.0", "smtp; 553 sorry, that domain isn't in my list; no mailbox here by that name", HARD, "5.0.0"),
        ("5.1.1", "smtp; 550 5.1.1 <no.spam@quota.example>: Recipient address rejected: User unknown", HARD, "5.1.1"),
        # --- full, or for now
        ("5.2.2", "smtp; 552 5.2.2 Mailbox full", SOFT, "5.2.2"),
        ("4.2.2", "smtp; 452 4.2.2 The email account that you tried to reach is over quota", SOFT, "4.2.2"),
        ("5.1.1", "smtp; 550 5.1.1 mailbox is full", SOFT, "5.1.1"),
        ("5.0.0", "smtp; 552 quota exceeded", SOFT, "5.0.0"),
        ("4.1.1", "smtp; 450 4.1.1 User unknown in local recipient table", SOFT, "4.1.1"),
        ("4.4.7", "X-Postfix; delivery temporarily suspended", SOFT, "4.4.7"),
        ("4.7.1", "smtp; 451 4.7.1 Greylisting in action", SOFT, "4.7.1"),
        ("5.2.1", "smtp; 550 5.2.1 receiving mail at a rate that prevents additional messages", SOFT, "5.2.1"),
        ("5.2.1", "smtp; 550 5.2.1 mailbox temporarily disabled", SOFT, "5.2.1"),
        # --- what we are or sent
        ("5.7.1", "smtp; 550 5.7.1 Message rejected as spam", SOFT, "5.7.1"),
        ("5.7.1", "smtp; 554 5.7.1 <ana@example.net>: Relay access denied", SOFT, "5.7.1"),
        ("5.7.1", "smtp; 550 5.7.1 no such user, by policy", SOFT, "5.7.1"),
        ("5.7.26", "smtp; 550-5.7.26 This message does not pass DMARC", SOFT, "5.7.26"),
        ("5.7.509", "smtp; 550 5.7.509 Access denied, the domain does not pass DMARC", SOFT, "5.7.509"),
        ("5.7.606", "smtp; 550 5.7.606 Access denied, banned sending IP", SOFT, "5.7.606"),
        ("5.0.0", "smtp; 550 5.7.1 blocked, see https://example.com/nosuchuser", SOFT, "5.7.1"),
        ("5.1.1", "smtp; 550 5.1.1 blocked by Spamhaus", SOFT, "5.1.1"),
        ("5.1.8", "smtp; 553 5.1.8 Sender address rejected: Domain not found", SOFT, "5.1.8"),
        ("5.1.7", "smtp; 550 5.1.7 Invalid address", SOFT, "5.1.7"),
        ("5.0.0", "smtp; 550 Sender address rejected: Domain not found", SOFT, "5.0.0"),
        ("5.2.3", "smtp; 552 5.2.3 Message size exceeds the limit", SOFT, "5.2.3"),
        ("5.3.4", "smtp; 552 5.3.4 Message too big for system", SOFT, "5.3.4"),
        ("5.3.0", "smtp; 554 5.3.0 unknown mailer error", SOFT, "5.3.0"),
        ("5.6.0", "smtp; 554 5.6.0 Corrupt message content", SOFT, "5.6.0"),
        ("5.4.6", "smtp; 554 5.4.6 mail loop detected", SOFT, "5.4.6"),
        ("5.4.14", "smtp;554 5.4.14 Hop count exceeded - possible mail loop", SOFT, "5.4.14"),
        ("5.5.2", "smtp; 500 5.5.2 Error: bad syntax", SOFT, "5.5.2"),
        # --- nothing is told
        ("5.0.0", "", SOFT, "5.0.0"),
        ("5.0.0", "smtp; 554 Transaction failed", SOFT, "5.0.0"),
        ("", "smtp; 554 Transaction failed", SOFT, "554"),
        ("", "", SOFT, None),
        ("nonsense", "nonsense from 192.0.2.5.1.1", SOFT, None),
    ],
)  # fmt: skip
def test_a_bounce_is_hard_only_where_the_address_is_wrong(status: str, said: str, is_hard: bool, code: str | None):
    group = f"Final-Recipient: rfc822; ana@example.net\nAction: failed\nStatus: {status}\nDiagnostic-Code: {said}"
    assert list(bounces.read(notification(group))) == [Bounce("ana@example.net", is_hard, code)]


@pytest.mark.parametrize(
    ("action", "status", "fails"),
    [
        ("failed", "5.1.1", True),
        ("Failed (permanently)", "5.1.1", True),
        ("failure", "4.4.7", True),
        ("delayed", "5.1.1", False),
        ("delivered", "2.0.0", False),
        ("relayed", "2.0.0", False),
        ("expanded", "2.0.0", False),
        ("", "5.1.1", True),
        ("", "4.4.1", False),
        ("", "2.0.0", False),
    ],
)
def test_only_a_failure_is_a_bounce(action: str, status: str, fails: bool):
    group = f"Final-Recipient: rfc822; ana@example.net\nAction: {action}\nStatus: {status}"
    assert bool(bounces.read(notification(group))) is fails


@pytest.mark.parametrize(
    ("field", "address"),
    [
        ("Original-Recipient: rfc822;ana+2Bx+3Dy@example.net", "ana+x=y@example.net"),
        ("Original-Recipient: rfc822;ana+AB@example.net", "ana+AB@example.net"),  # a tag of the person's
        ("Final-Recipient: <ana@example.net>", "ana@example.net"),
        ("Final-Recipient: RFC822 ;  Ana@Example.net ", "Ana@Example.net"),
        ("Final-Recipient: utf-8; änne@example.net", "änne@example.net"),
        ("Final-Recipient: x400; /c=de/", None),
        ("Original-Recipient: rfc822; unknown\nFinal-Recipient: rfc822; ana@example.net", "ana@example.net"),
    ],
)
def test_the_recipient_is_told_as_we_wrote_it(field: str, address: str | None):
    assert [bounce.address for bounce in bounces.read(notification(f"{field}\nAction: failed"))] == [address]


def test_a_thousand_recipients_are_read_as_a_hundred():
    groups = [f"Final-Recipient: rfc822; {at}@example.net\nAction: failed\nStatus: 5.1.1" for at in range(1000)]
    assert len(bounces.read(notification(*groups))) == 100


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=200), st.text(max_size=200), st.text(max_size=200))
def test_whatever_comes_is_read(status: str, text: str, returned: str):
    bounces.read(notification(status, returned=returned))
    by_server = Letter("id", (("X-Failed-Recipients", text),), "", (), "", status, text=f"delivery failed\n{text}")
    bounces.read(by_server)


@pytest.mark.parametrize(
    "piece",
    ["a@", "@", "<", "5.1.1 ", "5.", "\n", " \n", "a:", "a:\n", "Final-Recipient: a@b\n", "a@b\n", "\t", "1" * 50],
)
def test_a_hostile_notification_is_read_in_no_time(piece: str):
    much = piece * (1_000_000 // len(piece))
    began = time.process_time()
    bounces.read(notification(f"Final-Recipient: a@b\nAction: failed\nDiagnostic-Code: {much}", returned=much))
    bounces.read(notification(much, returned=much))
    bounces.read(Letter("id", (("X-Failed-Recipients", much),), "", (), "", "", text=f"delivery failed\n{much}"))
    assert time.process_time() - began < 2
