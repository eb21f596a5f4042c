from xml.etree import ElementTree

import pytest

from channels.text import for_xml, without_nul, without_person


@pytest.mark.parametrize(
    ("words", "bare"),
    [
        ("The 'To' number +14155550100 is not a valid one.", "The 'To' number [number] is not a valid one."),
        ("'To' number 5551234567", "'To' number [number]"),
        ("whatsapp:+44 (0)20 7946-0958 unknown", "whatsapp:[number] unknown"),
        ("user US.ENT.1234abcd is gone", "user [id] is gone"),
        ("no mailbox ana@example.org", "no mailbox [mailbox]"),
        ("error 21610, HTTP 400, 30 segments", "error 21610, HTTP 400, 30 segments"),
        ("x" * 1000, "x" * 300),
    ],
)  # fmt: skip
def test_a_reason_names_nobody(words, bare):
    assert without_person(words) == bare


@pytest.mark.parametrize("text", ["STOP\0", "\0S\0T\0O\0P", "STOP"])
def test_nul_is_taken_out_so_that_stop_still_says_stop(text):
    assert without_nul(text) == "STOP"


def test_whatever_is_left_for_xml_can_be_parsed():
    every = "".join(map(chr, [*range(0x300), 0xD800, 0xDFFF, 0xFFFD, 0xFFFE, 0xFFFF, 0x1F3AD]))
    clean = for_xml(every)
    assert "\N{PERFORMING ARTS}" in clean
    ElementTree.fromstring(f"<a>{clean.replace('&', '').replace('<', '')}</a>")
