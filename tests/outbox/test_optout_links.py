"""Opt-out links: made by us, read by us, for one address and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.optout_links import OptOutLinks

LINKS = OptOutLinks("https://gw.example.org/optgate/", ["s" * 64])


def test_a_link_leads_to_its_address() -> None:
    link = LINKS("adr_01hzx", "sms")
    assert link.startswith("https://gw.example.org/optgate/unsubscribe/")
    assert LINKS.read(link.rpartition("/")[2]) == ("adr_01hzx", "sms")


def test_a_link_outlives_its_key() -> None:
    old = OptOutLinks("https://gw.example.org", ["old" * 20]).token("adr_1", "sms")
    rotated = OptOutLinks("https://gw.example.org", ["new" * 20, "old" * 20])
    assert rotated.read(old) == ("adr_1", "sms")
    assert OptOutLinks("https://gw.example.org", ["new" * 20]).read(rotated.token("adr_1", "sms")) == ("adr_1", "sms")


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: "x" + t, lambda t: t.replace("sms", "email"),
                                    lambda _: "", lambda t: t + "é", lambda t: t * 10, str.upper])  # fmt: skip
def test_a_token_that_is_not_ours_opens_nothing(change: object) -> None:
    token = LINKS.token("adr_1", "sms")
    assert LINKS.read(change(token)) is None  # type: ignore[operator]


@given(st.text(max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    assert LINKS.read(text) is None
