"""A mail over the wire: its headers, its encodings, and that nobody's data becomes a header."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import parseaddr
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.mail.compose import Posted, compose
from channels.values import Mail, Outbound

TAG = "att_01jd5m00000000000000000000"
URL = "https://gw.example.org/optgate/unsubscribe/adr_01jd5m00000000000000000000.email.QhbZ2JGyWUzq7mJ9w0QfHk3yXy0"
TOKEN = "01jd5m00000000000000000000" + "0123456789abcdefghjkmnpqrs"
AT = datetime(2026, 11, 26, 17, 0, tzinfo=UTC)
MARKETING = Mail("Autumn", "Hello\n", "<p>Hello</p>", unsubscribe_url=URL, unsubscribe_token=TOKEN)


def posted(mail: Mail, to: str = "ana@example.org", **more: Any) -> Posted:
    given = {"sender": "Example Theatre <hello@example.org>", "inbound_domain": "in.example.org", "now": AT} | more
    return compose(Outbound(TAG, "email", to), mail, **given)


def read(mail: Posted) -> EmailMessage:
    made = message_from_bytes(mail.content, policy=policy.SMTP)
    assert isinstance(made, EmailMessage)
    assert made.defects == []
    return made


def test_marketing_has_all_that_mail_programs_ask_for() -> None:
    mail = posted(MARKETING)
    assert mail.content.split(b"\r\n\r\n")[0].decode().split("\r\n") == [
        "From: Example Theatre <hello@example.org>",
        "To: ana@example.org",
        "Subject: Autumn",
        "Date: Thu, 26 Nov 2026 17:00:00 +0000",
        f"Message-ID: <{TAG}@example.org>",
        f"List-Unsubscribe: <{URL}>,",
        f" <mailto:unsub+{TOKEN}@in.example.org?subject=unsubscribe>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "MIME-Version: 1.0",
        'Content-Type: multipart/alternative; boundary="=_optgate"',
    ]
    assert (mail.return_path, mail.message_id) == (f"bounces+{TAG}@in.example.org", f"{TAG}@example.org")
    assert max(len(part) for part in mail.return_path.split("@")) <= 64
    assert len(f"unsub+{TOKEN}") <= 64
    made = read(mail)
    assert [part.get_content_type() for part in made.iter_parts()] == ["text/plain", "text/html"], "the best at last"


def test_without_an_inbound_domain_nothing_is_promised_by_mail() -> None:
    mail = posted(MARKETING, inbound_domain=None)
    assert read(mail)["List-Unsubscribe"] == f"<{URL}>"
    assert mail.return_path == "hello@example.org"


def test_what_is_no_marketing_cannot_be_unsubscribed_from() -> None:
    made = read(posted(Mail("Ticket", "Row 12")))
    assert not [name for name in made.keys() if name.startswith("List-") or name == "Auto-Submitted"]  # noqa: SIM118
    assert made.get_content_type() == "text/plain"


def test_a_rules_reply_says_so_that_no_machine_answers_it() -> None:
    assert read(posted(Mail("Example Theatre", "Done", is_reply=True)))["Auto-Submitted"] == "auto-replied"


@pytest.mark.parametrize(
    ("to", "sent"),
    [
        ("ana..b@docomo.ne.jp", '"ana..b"@docomo.ne.jp'),
        ("ana.@docomo.ne.jp", '"ana."@docomo.ne.jp'),
        (".ana@docomo.ne.jp", '".ana"@docomo.ne.jp'),
        ("ana.b@docomo.ne.jp", "ana.b@docomo.ne.jp"),
    ],
)
def test_dots_that_an_address_may_not_have_stand_in_quotes(to: str, sent: str) -> None:
    mail = posted(MARKETING, to)
    assert mail.to == sent
    assert f"\r\nTo: {sent}\r\n".encode() in mail.content
    assert [one.addr_spec for one in read(mail)["To"].addresses] == [to], "and reads as it did"


def test_a_reply_stands_below_the_mail_that_it_answers() -> None:
    made = read(posted(Mail("Example Theatre", "Done", is_reply=True, answers="<CAF+ab=c@mail.example.net>")))
    assert made["In-Reply-To"] == made["References"] == "<CAF+ab=c@mail.example.net>"
    alone = read(posted(Mail("Example Theatre", "Done", is_reply=True)))
    assert (alone["In-Reply-To"], alone["References"]) == (None, None)


@pytest.mark.parametrize(
    "name",
    ["Example Theatre", "Müller, Theater", 'The "Globe"', "a@b.org", "Büro <x@y.org>", "back\\slash", "Théâtre " * 12,
     "名前", "=?utf-8?q?fake?=", "x" * 100, "O'Neill (Box)", "Globe;"],
)  # fmt: skip
def test_a_name_is_read_as_it_was_given_and_is_one_mailbox(name: str) -> None:
    mail = posted(replace(MARKETING, from_name=name.strip()))
    [mailbox] = read(mail)["From"].addresses
    assert mailbox.addr_spec == "hello@example.org"
    # Not by the new parser: it puts blanks between encoded words, which RFC 2047 says are none.
    shown, _ = parseaddr(message_from_bytes(mail.content)["From"])
    assert str(make_header(decode_header(shown))) == name.strip()


@pytest.mark.parametrize(
    "subject",
    ["Autumn", "Herbst – Grüße an alle", "é" * 250, "=?utf-8?q?fake?=", "x" * 250, "観劇 " * 60, "a" * 120 + " é", "=?",
     "\U0001f3ad on sale"],
)  # fmt: skip
def test_a_subject_is_read_as_it_was_given(subject: str) -> None:
    mail = posted(Mail(subject.strip(), "x"))
    assert str(read(mail)["Subject"]) == subject.strip()
    assert max(map(len, mail.content.split(b"\r\n"))) < 300


def test_where_answers_go() -> None:
    [mailbox] = read(posted(Mail("x", "x", reply_to="Box office <box@example.org>")))["Reply-To"].addresses
    assert (mailbox.display_name, mailbox.addr_spec) == ("Box office", "box@example.org")


@pytest.mark.parametrize(
    "text",
    ["Hello\n", "Grüße\n", "x" * 5000 + "\n", "a = b\n", ".\n..\n.x\n", "From me\n", "tab\t\nblank \n", "\n\nx\n",
     "=_optgate\n--=_optgate\n--=_optgate--\n", "こんにちは" * 400 + "\n", "\U0001f3ad" * 3000 + "\n",
     "a\x0cb\u2028c\n"],
)  # fmt: skip
def test_a_text_arrives_as_it_was_written_in_short_lines_of_ascii(text: str) -> None:
    for mail in (posted(Mail("x", text)), posted(Mail("x", text, f"<p>{text}</p>"))):
        assert mail.content.isascii()
        assert max(map(len, mail.content.split(b"\r\n"))) <= 200  # List-Unsubscribe apart all are below 79
        assert b"\n" not in mail.content.replace(b"\r\n", b"")
        assert b"\r" not in mail.content.replace(b"\r\n", b"")
        part = read(mail).get_body(("plain",))
        assert part is not None
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        assert content.decode().replace("\r\n", "\n") == text


PAGES = ["<p>Hello</p>\n", "<p>Grüße = gut, wie immer im Herbst </p>\r\n.\n", "<p>" + "こんにちは" * 400 + "</p>\n"]


@pytest.mark.parametrize("page", PAGES)
def test_html_in_two_pieces_is_what_it_would_be_in_one(page: str) -> None:
    """What comes above each person's own is encoded once for all: the same bytes, whoever was before."""
    for name in ("Ana", "Zoë", "<p>.\n"):
        assert posted(Mail("x", "x", page, html_end=name)).content == posted(Mail("x", "x", page + name)).content


def test_utf8_is_asked_of_the_relay_only_where_an_address_needs_it() -> None:
    assert not posted(Mail("Grüße", "Grüße", from_name="Büro")).needs_utf8
    mail = posted(Mail("x", "x"), "grüße@xn--bcher-kva.example")
    assert mail.needs_utf8
    assert "To: grüße@xn--bcher-kva.example\r\n".encode() in mail.content


@pytest.mark.parametrize(
    "to",
    ["ana", "@example.org", "ana@", "a b@example.org", "ana@example.org>\r\nRCPT TO:<x@y.org", "<ana@example.org>",
     "ana@example.org, b@example.org", "a\x00@example.org"],
)  # fmt: skip
def test_what_is_no_address_is_no_mail(to: str) -> None:
    with pytest.raises(ValueError, match="address"):
        posted(MARKETING, to)


_NAMES = {"from", "to", "subject", "date", "message-id", "reply-to", "list-unsubscribe", "list-unsubscribe-post",
          "mime-version", "content-type", "content-transfer-encoding", "auto-submitted"}  # fmt: skip
_HOSTILE = st.text(alphabet=st.one_of(st.characters(), st.sampled_from('\r\n\x00\x0b\x0c\x1c\x85\u2028 :<>"@=?,;')))


@given(_HOSTILE, _HOSTILE, _HOSTILE, _HOSTILE, st.none() | _HOSTILE)
def test_no_data_becomes_a_header(subject: str, text: str, html: str, name: str, reply_to: str | None) -> None:
    """P13: whatever stands in a value, there are the headers that we write, each once, or there is no mail."""
    try:
        mail = posted(Mail(subject, text, html, from_name=name, reply_to=reply_to, unsubscribe_url=URL))
    except ValueError:
        return
    head = mail.content.split(b"\r\n\r\n")[0].decode()
    names = [line.partition(":")[0].lower() for line in head.split("\r\n") if not line.startswith(" ")]
    assert len(names) == len(set(names))
    assert set(names) <= _NAMES
    assert b"\n" not in mail.content.replace(b"\r\n", b"")
    assert b"\r" not in mail.content.replace(b"\r\n", b"")
