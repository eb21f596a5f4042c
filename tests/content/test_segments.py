"""SMS segments, as 3GPP TS 23.038 and 23.040 count them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content.segments import is_gsm, segments


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("Hello", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),
        ("a" * 306, 2),
        ("a" * 307, 3),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("a" * 158 + "€", 1),
        ("a" * 159 + "€", 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the escape and its character stay together
        ("a" * 151 + "€" + "a" * 153, 2),
        ("ä" * 160, 1),
        ("ç" * 70, 1),  # only the capital is in the alphabet
        ("ç" * 71, 2),
        ("Ç" * 160, 1),
        ("á" + "a" * 70, 2),
        ("’" + "a" * 69, 1),  # a typographic apostrophe makes the whole text UCS-2
        ("’" + "a" * 70, 2),
        ("🎭" * 35, 1),
        ("🎭" * 36, 2),
        ("a" * 66 + "🎭" + "a" * 66, 3),  # a surrogate pair stays together
        ("a" * 65 + "🎭" + "a" * 67, 2),
        ("\n" * 160, 1),
        ("\t" * 71, 2),  # no tab in the alphabet
    ],
)
def test_segments(text: str, count: int) -> None:
    assert segments(text) == count


@given(st.text(max_size=700))
def test_a_text_is_never_counted_below_what_its_length_takes(text: str) -> None:
    units = len(text.encode("utf-16-le", "surrogatepass")) // 2
    least = -(-units // 153) if is_gsm(text) and units > 160 else 1
    if not is_gsm(text) and units > 70:
        least = -(-units // 67)
    assert segments(text) >= least


@given(st.text(max_size=300), st.text(max_size=50))
def test_a_longer_text_never_takes_fewer(text: str, more: str) -> None:
    assert segments(text + more) >= segments(text)
