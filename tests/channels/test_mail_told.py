"""What a mail is to us: what an answer of ours may name, and whose tokens it is to."""

from __future__ import annotations

import pytest

from channels.mail import mime, told
from channels.values import Inbound


def message_in(head: str, *recipients: str, text: str = "STOP") -> Inbound:
    """The message in a mail with these lines in its head."""
    mail = f"From: Ana <ana@example.net>\nSubject: x\n{head}\n\n{text}\n"
    to = recipients or ("hello@example.org",)
    letter = mime.read(mail.encode(), envelope_from="ana@example.net", recipients=to, authserv_id=None)
    found = told.read(letter, connection="m", account="a")[0]
    assert isinstance(found, Inbound)
    return found


@pytest.mark.parametrize(
    "mail_id",
    [
        "<1@example.net>",
        "<CAF+x=Yz_3/a-b.c@mail.gmail.com>",
        "<AM0PR05MB1234ABCD@AM0PR05MB1234.eurprd05.prod.outlook.com>",
        "<17$a{b}~c@[127.0.0.1]>",
        "<a@localhost>",
        "<" + "a" * 246 + "@b>",
    ],
)
def test_a_valid_message_id_is_what_an_answer_refers_to(mail_id: str) -> None:
    assert message_in(f"Message-ID: {mail_id}").mail_id == mail_id
    assert message_in(f"Message-ID:   {mail_id}  ").mail_id == mail_id


@pytest.mark.parametrize(
    "head",
    [
        "X-Nothing: here",
        "Message-ID:",
        "Message-ID: 1@example.net",
        "Message-ID: <1>",
        "Message-ID: <@example.net>",
        "Message-ID: <1@>",
        "Message-ID: <1@example.net> <2@example.net>",
        "Message-ID: <1@example.net> (a comment)",
        "Message-ID: <1@2@example.net>",
        "Message-ID: <a b@example.net>",
        "Message-ID: <a..b@example.net>",
        "Message-ID: <ana:1@example.net>",
        'Message-ID: <"a b"@example.net>',
        "Message-ID: <1@[a]b]>",
        "Message-ID: <gr\u00fc\u00dfe@example.net>",
        "Message-ID: <1@example.net>\nMessage-ID: <2@example.net>",
        "Message-ID: <" + "a" * 250 + "@example.net>",
    ],
)
def test_what_is_no_message_id_or_two_is_repeated_nowhere(head: str) -> None:
    assert message_in(head).mail_id is None


@pytest.mark.parametrize(
    ("head", "recipients", "tokens"),
    [
        ("", ["hello@in.example.org"], ()),
        ("", ["unsub+abc@in.example.org"], ("abc",)),
        ("", ["unsub+abc@in.example.org", "hello@in.example.org", "UNSUB+DEF@in.example.org"], ("abc", "def")),
        ("To: unsub+abc@in.example.org, Unsub <unsub+def@in.example.org>", ["box@in.example.org"], ("abc", "def")),
        ("Cc: unsub+ghi@in.example.org", ["unsub+abc@in.example.org"], ("abc", "ghi")),
        ("To: unsub+abc@in.example.org", ["unsub+ABC@in.example.org"], ("abc",)),
        ("Reply-To: unsub+abc@in.example.org", ["hello@in.example.org"], ()),
        ("", ["unsub@in.example.org", "unsub+@in.example.org", "bounces+abc@in.example.org"], ()),
    ],
)
def test_every_token_that_a_mail_is_to_counts(head: str, recipients: list[str], tokens: tuple[str, ...]) -> None:
    assert message_in(f"X-Mailer: x\n{head}" if head else "X-Mailer: x", *recipients).unsubscribe_tokens == tokens
