"""To text us: the link, and the same for a camera."""

from __future__ import annotations

import pytest

from forms.texting import Texting, has_number


@pytest.mark.parametrize(
    ("channel", "number", "keyword", "link"),
    [
        ("sms", "+14155550100", "START", "sms:+14155550100?&body=START"),
        ("sms", "12345", "JOIN US", "sms:12345?&body=JOIN%20US"),
        ("sms", "+14155550100", "A&b=c#d", "sms:+14155550100?&body=A%26b%3Dc%23d"),
        ("whatsapp", "+14155550100", "START", "https://wa.me/14155550100?text=START"),
        ("whatsapp", "+14155550100", "OPÉRA", "https://wa.me/14155550100?text=OP%C3%89RA"),
    ],
)
def test_the_link_opens_the_message_ready_to_send(channel: str, number: str, keyword: str, link: str) -> None:
    assert Texting(channel, number, keyword).link == link


def test_the_code_stands_in_the_page_and_is_small() -> None:
    code = Texting("sms", "+14155550100", "START").code
    assert code.startswith("<svg viewBox=")
    assert len(code) < 4000
    assert "http" not in code.replace("http://www.w3.org", "")
    assert Texting("sms", "+14155550100", '"><script>').code.count("<script") == 0


@pytest.mark.parametrize(
    ("sender", "yes"),
    [("+14155550100", True), ("12345", True), ("THEATRE", False), (None, False), ("", False), ("a@b.example", False)],
)
def test_people_can_write_to_a_number_and_to_no_name(sender: str | None, yes: bool) -> None:
    assert has_number(sender) is yes
