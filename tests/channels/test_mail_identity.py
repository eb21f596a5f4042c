"""Which mails are the same: what is brought again has no second effect, and no mail makes another vanish."""

from typing import Any

import pytest

from channels.mail.identity import of_mail

HEAD = (
    "Received: from relay (localhost [127.0.0.1])\r\n\tby mx.example.org with ESMTP id 4ABC;\r\n Mon, 2 Nov 2026\r\n"
    "Authentication-Results: mx.example.org;\r\n dmarc=pass header.from=example.net\r\n"
    "From: ana@example.net\r\nTo: hello@example.org\r\nSubject: STOP\r\n"
    "Date: Mon, 02 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n"
)
BODY = "\r\n\r\nSTOP\r\n"
MAIL = HEAD.removesuffix("\r\n") + BODY


def of(mail: str = MAIL, **more: Any) -> str:
    envelope = {"envelope_from": "ana@example.net", "recipients": ["hello@example.org"]} | more
    return of_mail(mail.encode(), **envelope)


def changed(old: str, new: str) -> str:
    assert MAIL.count(old) == 1
    return MAIL.replace(old, new)


@pytest.mark.parametrize(
    "mail",
    [
        MAIL,
        changed("id 4ABC", "id 4XYZ"),
        "Received: from elsewhere\r\n by mx\r\n" + MAIL,
        "Delivered-To: hello@example.org\r\nX-Original-To: hi@example.org\r\n" + MAIL,
        "RETURN-PATH : <ana@example.net>\r\n" + MAIL,
        "Envelope-To: hello@example.org\r\nDelivery-Date: Mon, 02 Nov 2026 10:00:01 +0000\r\n" + MAIL,
    ],
)
def test_another_way_of_the_same_mail_is_the_same(mail: str) -> None:
    assert of(mail) == of()


def test_the_order_of_recipients_does_not_matter() -> None:
    assert of(recipients=["b@x", "a@x", "a@x"]) == of(recipients=["a@x", "b@x"])


@pytest.mark.parametrize(
    "mail",
    [
        changed("\r\n\r\nSTOP\r\n", "\r\n\r\nSTART\r\n"),
        changed("Subject: STOP", "Subject: Re: STOP"),
        changed("From: ana@", "From: ben@"),
        changed("dmarc=pass", "dmarc=fail"),
        changed("<1@example.net>", "<2@example.net>"),
        changed("10:00:00", "10:00:01"),
        changed("Subject: STOP", "Auto-Submitted: auto-replied\r\nSubject: STOP"),
        changed("\r\n\r\nSTOP\r\n", "\r\n\r\nSTOP\r\n\r\n"),
        changed("Subject: STOP", "X-Received: here\r\nSubject: STOP"),
        changed("\r\n\r\nSTOP", "\r\n\r\nReceived: STOP"),
    ],
)
def test_a_mail_that_takes_anothers_message_id_is_another(mail: str) -> None:
    assert of(mail) != of()


@pytest.mark.parametrize("more", [{"envelope_from": ""}, {"recipients": ["unsub+x@example.org"]}])
def test_another_envelope_is_another_mail(more: dict[str, Any]) -> None:
    assert of(**more) != of()


@pytest.mark.parametrize("mark", ["Date", "Message-ID"])
def test_what_is_not_one_of_a_kind_counts_each_time_it_is_sent(mark: str) -> None:
    """STOP, START and STOP again, by a client that marks none of its mails: the last is no repeat of the first."""
    mail = MAIL.replace(f"\r\n{mark}:", f"\r\nX-{mark}:")
    assert of(mail) == of(mail)
    assert of(mail) != of(mail.replace("id 4ABC", "id 4XYZ"))


def test_no_two_mails_run_into_each_other() -> None:
    """Where a part ends is counted too."""
    assert of("A: 1\r\nDate: x\r\nMessage-ID: y\r\n\r\nB") != of("A: 1\r\nDate: x\r\n\r\nMessage-ID: y\r\n\r\nB")


@pytest.mark.parametrize("mail", ["", "\r\n", "\r\n\r\n", "no header at all\r\n", ":\r\n\r\n:"])
def test_what_is_hardly_a_mail_has_an_identity_too(mail: str) -> None:
    assert of(mail).startswith("mail:")


def test_of_a_head_without_an_end_the_traces_are_looked_for_in_its_beginning() -> None:
    """A head of 25 MB that is all traces took half a second, in which nobody else was served."""
    long = MAIL.replace("\r\n\r\n", f"\r\nX-Long: {'x' * 300_000}\r\nReceived: by a relay\r\n\r\n", 1)
    assert of(long) != of(long.replace("by a relay", "by another"))
    assert of(long) == of(long.replace("id 4ABC", "id 4XYZ"))
