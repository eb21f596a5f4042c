"""What a page posts, read field by field, as it was typed."""

from __future__ import annotations

import pytest

from forms.posted import Posted, fields_in


def test_fields_come_in_their_order_the_blank_ones_too_and_however_often() -> None:
    found = fields_in("shown=a&yes=&shown=b+c&%66oo=%C3%A9")
    assert found.pairs == (("shown", "a"), ("yes", ""), ("shown", "b c"), ("foo", "é"))
    assert list(found.all("shown")) == ["a", "b c"]
    assert (found.one("shown"), found.one("yes"), found.one("no", "-")) == ("a", "", "-")
    assert (found.has("yes"), found.has("no")) == (True, False)
    assert found.firsts() == {"shown": "a", "yes": "", "foo": "é"}


@pytest.mark.parametrize(
    ("text", "value"), [("a=x%00", "x\0"), ("a=%ED%A0%80", "\ufffd" * 3), ("a=%", "%"), ("a=%ff", "\ufffd")]
)
def test_what_makes_no_sense_stays_for_whoever_reads_it_to_judge(text: str, value: str) -> None:
    assert fields_in(text).one("a") == value


def test_so_many_fields_and_no_more() -> None:
    assert fields_in("&".join(["a=1"] * 20), most=20).firsts() == {"a": "1"}
    with pytest.raises(ValueError, match="fields"):
        fields_in("&".join(["a=1"] * 21), most=20)
    assert fields_in("") == Posted(())
