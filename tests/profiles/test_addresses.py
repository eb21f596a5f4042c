"""What an address is, and when two are the same."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from profiles.addresses import CHANNELS, AddressBook, BadAddress, is_number, same_mailbox
from tests.acts import BOOK

BRITISH = AddressBook(key=BOOK.key, region="GB")


@pytest.mark.parametrize(
    ("book", "channel", "written", "normal"),
    [
        (BOOK, "sms", "+14155550123", "+14155550123"),
        (BOOK, "sms", "+1 (415) 555-0123", "+14155550123"),
        (BOOK, "sms", "(415) 555-0123", "+14155550123"),
        (BOOK, "sms", "4155550123", "+14155550123"),
        (BOOK, "sms", "  +14155550123\n", "+14155550123"),
        (BOOK, "sms", "sms:+14155550123", "+14155550123"),
        (BOOK, "sms", "+44 (0)7700 900123", "+447700900123"),
        (BOOK, "sms", "+44 07700 900123", "+447700900123"),
        (BOOK, "sms", "447700900123", "+447700900123"),  # a full number that lost its plus
        (BOOK, "sms", "tel:+1-415-555-0123", "+14155550123"),
        (BOOK, "sms", "＋１４１５５５５０１２３", "+14155550123"),
        (BRITISH, "sms", "07700 900123", "+447700900123"),
        (BRITISH, "sms", "0044 7700 900123", "+447700900123"),
        (BRITISH, "voice", "020 7946 0123", "+442079460123"),
        (BOOK, "whatsapp", "whatsapp:+14155550123", "+14155550123"),
        (BOOK, "whatsapp", "+1 415 555 0123", "+14155550123"),
        (BOOK, "whatsapp", "US.1234", "US.1234"),
        (BOOK, "whatsapp", "whatsapp:US.13491208655302741918", "US.13491208655302741918"),
        (BOOK, "voice", "+1 415 555 0123", "+14155550123"),
        (BOOK, "email", "Ada.Lovelace@Example.ORG", "Ada.Lovelace@example.org"),
        (BOOK, "email", "ada+theatre@example.org", "ada+theatre@example.org"),
        (BOOK, "email", "ada@bücher.example.com", "ada@xn--bcher-kva.example.com"),
        (BOOK, "email", "email:ada@example.org", "ada@example.org"),
        (BOOK, "email", "jürgen@example.org", "jürgen@example.org"),
        (BOOK, "email", "ada@example.org.", "ada@example.org"),
        (BOOK, "post", "  12  Main Street\n Springfield ", "12 Main Street Springfield"),
    ],
)
def test_an_address_has_one_normal_form(book: AddressBook, channel: str, written: str, normal: str) -> None:
    parsed = book.parse(channel, written)
    assert (parsed.channel, parsed.value) == (channel, normal)
    assert str(parsed) == f"{channel}:{normal}"
    assert book.parse(channel, normal) == parsed
    assert book.parse_tagged(str(parsed)) == parsed


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [
        ("sms", "+14155550123", "(415) 555-0123"),
        ("sms", "+447700900123", "+44 07700 900123"),
        ("whatsapp", "whatsapp:+14155550123", "+1 415 555 0123"),
        ("email", "Ada@Example.org", "ada@example.ORG"),
        ("email", "ada@bücher.example.com", "ADA@xn--bcher-kva.example.com"),
        ("email", "jürgen@example.org", "JÜRGEN@example.org"),
        ("email", "ju\u0308rgen@example.org", "jürgen@example.org"),
        ("post", "12 Main Street", "12  MAIN street"),
    ],
)
def test_two_spellings_of_one_address_have_one_hash(channel: str, one: str, other: str) -> None:
    assert BOOK.parse(channel, one).hash == BOOK.parse(channel, other).hash


@pytest.mark.parametrize(
    ("channel", "one", "other"),
    [
        ("sms", "+14155550123", "+14155550124"),
        ("email", "ada@example.org", "ada+1@example.org"),
        ("email", "ada.lovelace@example.org", "adalovelace@example.org"),
        ("whatsapp", "US.1234", "US.1235"),
        ("whatsapp", "US.abcd", "US.ABCD"),
    ],
)
def test_two_addresses_have_two_hashes(channel: str, one: str, other: str) -> None:
    assert BOOK.parse(channel, one).hash != BOOK.parse(channel, other).hash


def test_a_number_is_another_address_on_another_channel() -> None:
    assert len({BOOK.parse(channel, "+14155550123").hash for channel in ("sms", "whatsapp", "voice")}) == 3


def test_a_hash_tells_nothing_without_the_key() -> None:
    other = AddressBook(key=b"another key", region="US")
    assert other.parse("sms", "+14155550123").hash != BOOK.parse("sms", "+14155550123").hash


@pytest.mark.parametrize(
    ("channel", "written", "says"),
    [
        ("sms", "", "empty"),
        ("sms", "sms:", "empty"),
        ("sms", "hello", "not a phone number"),
        ("sms", "+1 415", "phone number"),
        ("sms", "+999 123 4567", "country code"),
        ("sms", "+14155550123 ext 5", "extension"),
        ("sms", "+1" + "5" * 30, "phone number"),
        ("sms", "+1415\x005550123", "NUL"),
        ("sms", "US.1234", "phone number"),  # a business-scoped id is WhatsApp's
        ("sms", "whatsapp:+14155550123", "another channel"),
        ("email", "ada", "e-mail"),
        ("email", "ada@", "e-mail"),
        ("email", "ada@localhost", "e-mail"),
        ("email", "ada@example", "e-mail"),
        ("email", "ada@ex ample.org", "e-mail"),
        ("email", "ada@example.org, bob@example.org", "e-mail"),
        ("email", "Ada <ada@example.org>", "e-mail"),
        ("fax", "+14155550123", "no channel"),
    ],
)
def test_what_is_no_address_is_refused_with_a_reason(channel: str, written: str, says: str) -> None:
    with pytest.raises(BadAddress, match=says):
        BOOK.parse(channel, written)


@pytest.mark.parametrize("text", ["", "+14155550123", "fax:+14155550123", "sms", ":+14155550123"])
def test_a_tagged_address_says_its_channel(text: str) -> None:
    with pytest.raises(BadAddress, match="which channel"):
        BOOK.parse_tagged(text)


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("ana..b@docomo.ne.jp", "ana..b@docomo.ne.jp"),
        ('"ana..b"@docomo.ne.jp', "ana..b@docomo.ne.jp"),
        ("Ana.@DOCOMO.ne.jp.", "Ana.@docomo.ne.jp"),
        (".-ana...@ezweb.ne.jp", ".-ana...@ezweb.ne.jp"),
        ('"ana"@docomo.ne.jp', "ana@docomo.ne.jp"),
    ],
)
def test_a_mailbox_that_wrote_to_us_has_dots_wherever_it_likes(written: str, normal: str) -> None:
    """docomo and au gave such addresses out until 2009, and people have them still."""
    with pytest.raises(BadAddress):
        BOOK.parse("email", written)
    found = BOOK.proved("email", written)
    assert (found.value, found.hash) == (normal, BOOK.hash("email", normal.casefold()))
    assert BOOK.find_tagged(f"email:{written}") == found
    assert same_mailbox(written.removesuffix(".")) == same_mailbox(normal)


@pytest.mark.parametrize(
    "written",
    ["..@docomo.ne.jp", '"ana b"@docomo.ne.jp', '"ana@b"@docomo.ne.jp', '"ana\\"..b"@docomo.ne.jp', "ana..b@", "ana..b",
     "@docomo.ne.jp", "ana..b@docomo..jp", "ana..b@-x.jp", "ana..b\r\n@docomo.ne.jp", "ana..<b>@docomo.ne.jp",
     "ana..b@docomo.ne.jp>", '"@docomo.ne.jp', "a" * 63 + "..@docomo.ne.jp", "a..b@" + "x" * 400],
)  # fmt: skip
def test_what_else_is_no_mailbox_is_none_though_it_wrote(written: str) -> None:
    with pytest.raises(BadAddress):
        BOOK.proved("email", written)


def test_a_number_is_taken_when_possible_not_only_when_valid() -> None:
    assert BOOK.parse("sms", "+447700900123").value == "+447700900123"  # of Ofcom's drama range


def test_what_is_a_number_can_be_used_on_another_channel() -> None:
    assert is_number("+14155550123")
    assert not is_number("US.1234")
    assert not is_number("ada@example.org")


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(CHANNELS), st.text(max_size=60))
def test_any_text_is_an_address_in_normal_form_or_refused(channel: str, text: str) -> None:
    try:
        parsed = BOOK.parse(channel, text)
    except BadAddress:
        return
    assert BOOK.parse(channel, parsed.value) == parsed


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ana@example.org", "Ana+news@example.org", True),
        ("ana.ruiz@gmail.com", "anaruiz+x@gmail.com", True),
        ("ana.ruiz@gmail.com", "AnaRuiz@googlemail.com", True),
        ("ana.ruiz@example.org", "anaruiz@example.org", False),
        ("ana@example.org", "ana@example.com", False),
    ],
)
def test_what_mostly_is_one_mailbox_is_counted_as_one(one: str, other: str, same: bool) -> None:
    first, second = BOOK.parse("email", one), BOOK.parse("email", other)
    assert (BOOK.same_as(first) == BOOK.same_as(second)) == same
    assert (BOOK.plainly(first) == BOOK.plainly(second)) == same
    assert BOOK.same_as(first) not in (first.hash, *(one.hash for one in BOOK.plainly(first)))


def test_a_mailbox_of_gmail_is_asked_for_by_both_its_names() -> None:
    found = BOOK.plainly(BOOK.parse("email", "Ana.Ruiz+x@googlemail.com"))
    assert [one.value for one in found] == ["anaruiz@gmail.com", "anaruiz@googlemail.com"]
    assert BOOK.parse("email", "anaruiz@googlemail.com") in found


def test_a_number_is_one_whatever_it_is_used_for() -> None:
    sms, whatsapp, other = (
        BOOK.same_as(BOOK.parse(channel, number))
        for channel, number in (("sms", "+14155550123"), ("whatsapp", "+14155550123"), ("sms", "+14155550124"))
    )
    assert sms == whatsapp != other


@pytest.mark.parametrize(
    "tagged", ["email:ana@example.org", "sms:+14155550123", "whatsapp:US.1234", "post:1 Long Lane"]
)
def test_what_has_one_spelling_is_plain(tagged: str) -> None:
    address = BOOK.parse_tagged(tagged)
    assert [one.hash for one in BOOK.plainly(address)] == [address.hash]
