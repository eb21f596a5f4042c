"""The bytes of a mail → a Letter: what is read, who it is from, and that nothing a stranger sends costs much."""

from __future__ import annotations

import base64
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.mail import mime
from channels.mail.letter import Letter, Part

HEAD = b"From: Ana <ana@customer.example>\nTo: hello@theatre.example\nSubject: News\n"


def read(raw: bytes, **more: object) -> Letter:
    given = {"envelope_from": "ana@customer.example", "recipients": ["hello@theatre.example"], "authserv_id": None}
    return mime.read(raw, **(given | more))  # type: ignore[arg-type]


def test_a_mail_is_read_as_its_client_wrote_it() -> None:
    raw = (
        b"From: =?utf-8?q?An=C3=A9?= <Ana@Customer.example>\r\nTo: hello@theatre.example\r\n"
        b"Subject: =?iso-8859-1?q?ARR=CAT?= s'il vous\r\n =?utf-8?b?cGxhw650?=\r\n"
        b"Date: Fri, 20 Nov 2026 13:00:00 +0100\r\nMessage-ID: <1@customer.example>\r\n"
        b'Content-Type: multipart/alternative; boundary="=_b"\r\n\r\npreamble\r\n--=_b\r\n'
        b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
        b"ARR=CAT\r\n-- =\r\n\r\nAna\r\n--=_b\r\nContent-Type: text/html; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: base64\r\n\r\n" + base64.b64encode("<p>ARRÊT</p>".encode()) + b"\r\n--=_b--\r\n"
    )
    letter = read(raw)
    assert (letter.sender, letter.sender_name) == ("Ana@Customer.example", "Ané")
    assert letter.subject == "ARRÊT s'il vous plaît"
    assert (letter.text, letter.html) == ("ARRÊT\r\n-- \r\nAna", "<p>ARRÊT</p>")
    assert letter.header("message-id") == "<1@customer.example>"
    assert (letter.envelope_from, letter.recipients) == ("ana@customer.example", ("hello@theatre.example",))


def part(kind: str, body: bytes, *more: str) -> bytes:
    return "\n".join([f"Content-Type: {kind}", *more]).encode() + b"\n\n" + body + b"\n"


def parts(kind: str, *bodies: bytes, boundary: str = "b1") -> bytes:
    return (
        f"Content-Type: multipart/{kind}; boundary={boundary}\n\n".encode()
        + b"".join(f"--{boundary}\n".encode() + body for body in bodies)
        + f"--{boundary}--\n".encode()
    )


ATTACHED = "Content-Disposition: attachment; filename=x"
BODIES = {
    "no type at all": (b"\nSTOP", "STOP", None),
    "no body": (b"", None, None),
    "nothing but white space": (part("text/plain", b" \n\t\n"), None, None),
    "a type that is none": (part("text", b"STOP"), "STOP\n", None),
    "HTML only": (part("text/html", b"<p>STOP"), None, "<p>STOP\n"),
    "both": (parts("alternative", part("text/plain", b"a"), part("text/html", b"b")), "a", "b"),
    "HTML first": (parts("alternative", part("text/html", b"b"), part("text/plain", b"a")), "a", "b"),
    "a footer by somebody else": (parts("mixed", part("text/plain", b"a"), part("text/plain", b"footer")), "a", None),
    "HTML, and a footer in plain text": (
        parts("mixed", part("text/html", b"b"), part("text/plain", b"footer")),
        None,
        "b",
    ),
    "a blank before the words": (parts("mixed", part("text/plain", b"\n"), part("text/plain", b"a")), "a", None),
    "words in a part of a part": (
        parts("mixed", parts("related", part("text/html", b"b"), boundary="b2"), part("image/png", b"x")),
        None,
        "b",
    ),
    "an attached text beside words": (
        parts("mixed", part("text/plain", b"x", ATTACHED), part("text/plain", b"a")),
        "a",
        None,
    ),
    "nothing but an attached text": (parts("mixed", part("text/plain", b"STOP", ATTACHED)), "STOP", None),
    "nothing but a picture": (part("image/png", b"\x89PNG"), None, None),
    "the end is missing": (b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nSTOP", "STOP", None),
    "no boundary": (b"Content-Type: multipart/mixed\n\nSTOP", "STOP", None),
    "a boundary that never comes": (b"Content-Type: multipart/mixed; boundary=b\n\nSTOP", "STOP", None),
    "a boundary within a line": (
        b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nx --b\nSTOP\n--b--",
        "x --b\nSTOP",
        None,
    ),
    "UTF-16": (
        b"Content-Type: text/plain; charset=utf-16\n\n" + "STOP".encode("utf-16"),
        "STOP",
        None,
    ),
    "Japanese": (part("text/plain; charset=iso-2022-jp", "停止".encode("iso-2022-jp")), "停止\n", None),
    "Korean, as Outlook calls it": (part("text/plain; charset=ks_c_5601-1987", "정지".encode("cp949")), "정지\n", None),
    "UTF-8 without saying so": (part("text/plain", "ARRÊT".encode()), "ARRÊT\n", None),
    "Latin without saying so": (part("text/plain", "ARRÊT".encode("latin-1")), "ARRÊT\n", None),
    "Latin that says it is UTF-8": (part("text/plain; charset=utf-8", "ARRÊT".encode("latin-1")), "ARRÊT\n", None),
    "an unknown character set": (part("text/plain; charset=klingon", b"STOP"), "STOP\n", None),
    "a codec that is no character set": (part("text/plain; charset=rot13", b"STOP"), "STOP\n", None),
    "NUL between the letters": (part("text/plain", b"S\0T\0O\0P\0"), "STOP\n", None),
    "half a character": (part("text/plain; charset=utf-8", b"STOP \xed\xa0\x80"), None, None),
    "broken base64": (part("text/plain", b"U1RPUA=", "Content-Transfer-Encoding: base64"), "STOP", None),
}  # fmt: skip


@pytest.mark.parametrize(("body", "text", "html"), BODIES.values(), ids=BODIES)
def test_the_words_are_those_that_a_person_sees_first(body: bytes, text: str | None, html: str | None) -> None:
    letter = read(HEAD + body)
    if b"\xed\xa0" in body:
        assert letter.text is not None
        assert letter.text.startswith("STOP ")
        letter.text.encode()
    else:
        assert (letter.text, letter.html) == (text, html)


def test_parts_for_machines_are_kept_and_no_words() -> None:
    report = parts(
        "report",
        part("text/plain", b"It did not arrive."),
        part("message/delivery-status", b"Final-Recipient: rfc822; ana@customer.example\nStatus: 5.1.1"),
        part("message/rfc822", b"Subject: News\nMessage-ID: <att_1@theatre.example>\n\nSTOP to unsubscribe"),
        part("Text/RFC822-Headers; charset=us-ascii", b"Subject: News"),
    )
    letter = read(HEAD + report)
    assert letter.text == "It did not arrive."
    assert letter.parts == (
        Part("message/delivery-status", "Final-Recipient: rfc822; ana@customer.example\nStatus: 5.1.1"),
        Part("message/rfc822", "Subject: News\nMessage-ID: <att_1@theatre.example>\n\nSTOP to unsubscribe"),
        Part("text/rfc822-headers", "Subject: News"),
    )


# --- who it is from ---------------------------------------------------------------------------

SENDERS = {
    "ana@customer.example": ("ana@customer.example", None, True),
    "Ana <ana@customer.example>": ("ana@customer.example", "Ana", True),
    '"Bloggs, Ana \\"A\\"" <ana@customer.example>': ("ana@customer.example", 'Bloggs, Ana "A"', True),
    "Ana (at home) <ana@customer.example> (really)": ("ana@customer.example", "Ana", True),
    "=?utf-8?q?Ana=2C_ben=40x.example?= <ana@customer.example>": ("ana@customer.example", "Ana, ben@x.example", True),
    '"ben@x.example" <ana@customer.example>': ("ana@customer.example", "ben@x.example", True),
    '"a b"@customer.example': ('"a b"@customer.example', None, True),
    # What some would read as Ben and some as Ana proves nothing; it is still Ana's who wants no more.
    "ben@x.example <ana@customer.example>": ("ana@customer.example", None, False),
    "<ana@customer.example> (<ben@x.example>)": ("ana@customer.example", None, False),
    "ana@customer.example (ben@x.example)": ("ana@customer.example", None, False),
    "((Ben) ben@x.example) Ana <ana@customer.example>": ("ana@customer.example", "Ana", False),
    '"Ben <ben@x.example>" <ana@customer.example>': ("ana@customer.example", "Ben <ben@x.example>", False),
    "Ana <ana@customer.example> ben": ("ana@customer.example", None, False),
    "<ana@customer.example": ("ana@customer.example", None, False),
    "Ana: <ana@customer.example>;": ("ana@customer.example", None, False),
    # Several are nobody.
    "ana@customer.example, ben@x.example": ("", None, False),
    "<ana@customer.example><ben@x.example>": ("", None, False),
    "ana@customer.example ben@x.example": ("", None, False),
    "ana@customer.example\r\nFrom: ben@x.example": ("", None, False),
    "ana@customer.example\rFrom: ben@x.example": ("", None, False),
    "ana@customer.example\r\nfrom : ben@x.example": ("", None, False),
    # None are nobody.
    "undisclosed: ;": ("", None, False),
    "Ana": ("", None, False),
    "<>": ("", None, False),
    "": ("", None, False),
    "ana@@customer.example": ("", None, False),
    "ana@": ("", None, False),
    "<@relay.example:ana@customer.example>": ("", None, False),
    "x" * 5_000 + "@customer.example": ("", None, False),
}  # fmt: skip


@pytest.mark.parametrize(("written", "expected"), SENDERS.items())
def test_the_sender_is_the_one_mailbox_and_proved_only_where_nobody_could_read_another(
    written: str, expected: tuple[str, str | None, bool]
) -> None:
    letter = read(b"From: " + written.encode() + b"\r\n\r\nSTOP", proves=lambda domain: domain == "customer.example")
    assert (letter.sender, letter.sender_name, letter.dmarc_pass) == expected


def test_a_head_that_is_not_read_to_its_end_proves_no_sender() -> None:
    for more in (b"X: y\n" * 1_001, b"X: " + b"y" * 300_000 + b"\n", b"X: " + b"y" * 20_000 + b"\n"):
        letter = read(HEAD + more + b"\nSTOP", proves=lambda _: True)
        assert (letter.sender, letter.dmarc_pass) == ("ana@customer.example", False)


# --- whose word proves it (E3) ----------------------------------------------------------------

RESULTS = {
    "ours": ("mx.ours; spf=pass smtp.mailfrom=x; dmarc=pass (p=none dis=none) header.from=customer.example", True),
    "in other letters": ("MX.Ours 1; DMARC = Pass header.From = Customer.Example", True),
    "a quoted name": ('"mx.ours"; dmarc=pass header.from=customer.example', True),
    "a comment that says fail": ("mx.ours (dmarc=fail); dmarc=pass header.from=customer.example", True),
    "a stranger's": ("mx.evil; dmarc=pass header.from=customer.example", False),
    "a stranger's that begins like ours": ("mx.ours.evil; dmarc=pass header.from=customer.example", False),
    "a stranger's with our name behind": ("mx.evil mx.ours; dmarc=pass header.from=customer.example", False),
    "no name": ("; dmarc=pass header.from=customer.example", False),
    "a fail": ("mx.ours; dmarc=fail header.from=customer.example", False),
    "none": ("mx.ours; dmarc=none header.from=customer.example", False),
    "nothing": ("mx.ours; none", False),
    "not of dmarc": ("mx.ours; dkim=pass header.d=customer.example; spf=pass", False),
    "another domain": ("mx.ours; dmarc=pass header.from=evil.example", False),
    "a domain below": ("mx.ours; dmarc=pass header.from=mail.customer.example", False),
    "no domain": ("mx.ours; dmarc=pass", False),
    "two that differ": ("mx.ours; dmarc=pass header.from=customer.example; dmarc=fail header.from=x.example", False),
    "two domains": ("mx.ours; dmarc=pass header.from=evil.example header.from=customer.example", False),
    "words of the sender, quoted": ('mx.ours; spf=fail reason="; dmarc=pass header.from=customer.example"', False),
    "words of the sender, in a comment": ("mx.ours; spf=fail (; dmarc=pass header.from=customer.example)", False),
    "a quotation without an end": ('mx.ours; spf=fail smtp.mailfrom="; dmarc=pass header.from=customer.example', False),
    "a comment without an end": ("mx.ours; spf=fail (; dmarc=pass header.from=customer.example", False),
    "a comment that ends too often": ("mx.ours); dmarc=pass header.from=customer.example", False),
    "behind a backslash": ("mx.ours; spf=fail smtp.mailfrom=\\; dmarc=pass header.from=customer.example", False),
}  # fmt: skip


@pytest.mark.parametrize(("written", "passed"), RESULTS.values(), ids=RESULTS)
def test_only_our_own_relay_is_believed_and_only_for_the_very_domain(written: str, passed: bool) -> None:
    raw = f"Authentication-Results: {written}\n".encode() + HEAD + b"\nSTART"
    assert read(raw, authserv_id="mx.ours").dmarc_pass is passed
    assert read(raw, authserv_id=None).dmarc_pass is False


def test_of_several_of_our_own_name_the_topmost_counts() -> None:
    ours = b"Authentication-Results: mx.ours; dmarc=%s header.from=customer.example\n"
    above, passed, failed = b"Authentication-Results: mx.next; dmarc=pass\n", ours % b"pass", ours % b"fail"
    broken = b'Authentication-Results: mx.ours; dmarc=fail reason="\n'
    assert read(above + passed + failed + HEAD + b"\n", authserv_id="mx.ours").dmarc_pass is True
    for forged_below in (failed + passed, failed + above + passed, broken + passed):
        assert read(forged_below + HEAD + b"\n", authserv_id="mx.ours").dmarc_pass is False


def test_a_domain_in_another_script_is_proved_by_its_own_name_only() -> None:
    """By the older way straße is strasse, which is somebody else's."""
    for written, passed in (("straße", True), ("strasse", False), ("xn--strae-oqa", False)):
        raw = f"From: ana@straße.example\nAuthentication-Results: mx.ours; dmarc=pass header.from={written}.example\n\n"
        assert read(raw.encode(), authserv_id="mx.ours").dmarc_pass is passed


# --- which mail it is -------------------------------------------------------------------------


def test_the_same_mail_by_another_way_is_the_same_and_a_copied_id_makes_no_other_the_same() -> None:
    raw = b"Message-ID: <1@customer.example>\nDate: Mon, 02 Nov 2026 10:00:00 +0000\n" + HEAD + b"\nSTOP"
    first = read(raw).provider_id
    assert first.startswith("1@customer.example#")
    assert read(b"Received: by a relay\n" + raw).provider_id == first
    assert read(raw, recipients=["boxoffice@theatre.example"]).provider_id == first
    others = {
        "other words": read(raw + b" please").provider_id,
        "another subject": read(raw.replace(b"News", b"STOP")).provider_id,
        "another sender": read(raw.replace(b"ana@", b"ben@")).provider_id,
        "to an address that says something": read(raw, recipients=["unsub+abc@theatre.example"]).provider_id,
        "as by a machine": read(b"Auto-Submitted: auto-replied\n" + raw).provider_id,
        "no id": read(HEAD + b"\nSTOP").provider_id,
        "no id, other words": read(HEAD + b"\nSTOP.").provider_id,
    }
    assert len({first, *others.values()}) == 1 + len(others)
    assert read(raw, provider_id="theirs").provider_id == "theirs"


@pytest.mark.parametrize("mark", [b"Message-ID", b"Date"])
def test_words_that_nothing_makes_one_of_a_kind_are_another_mail_each_time_they_come(mark: bytes) -> None:
    """STOP, a START a week later, and STOP again: the second STOP is none that was seen before."""
    both = {b"Message-ID": b"<1@customer.example>", b"Date": b"Mon, 02 Nov 2026 10:00:00 +0000"}
    raw = mark + b": " + both[mark] + b"\n" + HEAD + b"\nSTOP"
    first, second = (b"Received: by mx; Mon, 0%d Nov 2026 10:00:00\n" % day + raw for day in (2, 9))
    assert read(first).provider_id == read(first).provider_id
    assert read(first).provider_id != read(second).provider_id


# --- what means harm --------------------------------------------------------------------------

MULTI = b"Content-Type: multipart/mixed; boundary=a\n\n"
BIG = 25_000_000
HOSTILE = {
    "delimiters": lambda: HEAD + MULTI + b"\n--a" * (BIG // 4),
    "almost delimiters": lambda: HEAD + MULTI + b"--a\n" + b"\n--ab" * (BIG // 5),
    "parts, deep": lambda: HEAD + b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(20_000)
    ),
    "the same part, deep": lambda: HEAD + (MULTI + b"--a\n") * (BIG // 50),
    "parts with heads": lambda: HEAD + MULTI + (b"--a\n" + b"X: y\n" * 25_000 + b"\nhi\n") * 200,
    "headers": lambda: b"X: y\n" * (BIG // 5),
    "one header": lambda: b"X: " + b"y" * BIG,
    "folds": lambda: b"X: y\n" + b" y\n" * (BIG // 3),
    "encoded words": lambda: b"Subject: " + b"=?utf-8?q?=?= " * 1_000 + b"\n" * 10 + HEAD,
    "encoded words without an end": lambda: (b"X: " + b"=?a?q?" * 2_500 + b"\n") * 1_000,
    "brackets": lambda: b"From: " + b"(" * 4_000 + b"\n" + b"Authentication-Results: " + b"(" * 16_000 + b"\n",
    "quotations": lambda: b"From: " + b'"\\' * 2_000 + b'\nContent-Type: a; b="' + b"\\" * 10_000 + b"\n\n",
    "line ends": lambda: b"\n" * BIG,
    "carriage returns": lambda: b"\r" * BIG,
    "no line end": lambda: b"a" * BIG,
    "quoted-printable": lambda: HEAD + b"Content-Transfer-Encoding: quoted-printable\n\n" + b"=" * BIG,
    "a slow codec": lambda: HEAD + b"Content-Type: text/plain; charset=punycode\n\n" + b"a-" * (BIG // 2),
    "addresses": lambda: b"To: " + b"a@" * 8_000 + b"\nCc: " + b"a," * 8_000 + b"\n" + HEAD,
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_what_means_harm_is_read_in_little_time(name: str) -> None:
    raw = HOSTILE[name]()
    began = time.process_time()
    letter = read(raw, authserv_id="mx.ours", recipients=[])
    took = time.process_time() - began
    assert took < 3, f"{took:.2f} s for {len(raw):,} bytes"
    assert len(letter.text or "") <= mime.TEXT_CHARS
    assert len(letter.parts) <= mime.MACHINE_PARTS


def test_a_large_attachment_costs_no_time_and_hides_no_words() -> None:
    attachment = part("application/pdf", base64.encodebytes(bytes(18_000_000)), ATTACHED)
    raw = HEAD + parts("mixed", attachment, part("text/plain", b"STOP"))
    assert read(raw).text == "STOP"
    assert read(raw + b"x" * 10_000_000).text == "STOP"


PIECES = [
    b"From: a@b.c\n", b"From: =?utf-8?b?", b"?=", b"Content-Type: multipart/mixed; boundary=a\n", b"\n", b"--a\n",
    b"Content-Type: text/plain; charset=utf-16\n", b"Date: Mon, 99 Foo 9999 99:99:99 +9999\n", b"\0", b"\xff\xfe",
    b"--a--", b" x\n",
    b"Subject: \xed\xa0\x80\n", b"Content-Transfer-Encoding: base64\n", b"To: <a@b>,\n", b'"', b"(", b"\r", b";", b"=",
    b"Authentication-Results: mx.ours; dmarc=pass header.from=b.c\n",
]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=20), max_size=40))
def test_whatever_it_is_given_it_reads_and_the_database_can_keep_it(pieces: list[bytes]) -> None:
    letter = read(b"".join(pieces), authserv_id="mx.ours", recipients=[])
    kept = [letter.text, letter.html, letter.subject, letter.sender, letter.sender_name, letter.provider_id]
    kept += [letter.envelope_from, *letter.recipients, *(text for pair in letter.headers for text in pair)]
    for text in filter(None, [*kept, *(part.text for part in letter.parts)]):
        assert "\0" not in text
        text.encode()
