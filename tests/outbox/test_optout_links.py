"""Opt-out links: made by us, read by us, for one address and nothing else."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.optout_links import OptOut, OptOutLinks
from store.ids import new_id

LINKS = OptOutLinks("https://gw.example.org/optgate/", ["s" * 64])


def test_a_link_leads_to_its_address() -> None:
    link = LINKS("adr_01hzx", "sms")
    assert link.startswith("https://gw.example.org/optgate/unsubscribe/")
    assert LINKS.read(link.rpartition("/")[2]) == OptOut("adr_01hzx", "sms")


def test_a_link_may_name_what_its_message_was_about() -> None:
    assert LINKS.read(LINKS.token("adr_1", "email", "prf_1")) == OptOut("adr_1", "email", "prf_1")
    assert LINKS.token("adr_1", "email") != LINKS.token("adr_1", "email", "prf_1")


def test_a_link_outlives_its_key() -> None:
    old = OptOutLinks("https://gw.example.org", ["old" * 20]).token("adr_1", "sms")
    rotated = OptOutLinks("https://gw.example.org", ["new" * 20, "old" * 20])
    assert rotated.read(old) == OptOut("adr_1", "sms")
    new = rotated.token("adr_1", "sms", "prf_1")
    assert OptOutLinks("https://gw.example.org", ["new" * 20]).read(new) == OptOut("adr_1", "sms", "prf_1")


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: "x" + t, lambda t: t.replace("sms", "email"),
                                    lambda _: "", lambda t: t + "é", lambda t: t * 10, str.upper])  # fmt: skip
def test_a_token_that_is_not_ours_opens_nothing(change: object) -> None:
    token = LINKS.token("adr_1", "sms")
    assert LINKS.read(change(token)) is None  # type: ignore[operator]


@given(st.text(max_size=300))
def test_no_text_is_a_token(text: str) -> None:
    assert LINKS.read(text) is None
    assert LINKS.read_mail_token(text) is None


# --- by mail ----------------------------------------------------------------------------------


def test_a_token_by_mail_fits_a_local_part_and_names_its_address() -> None:
    address = new_id("adr")
    token = LINKS.mail_token(address)
    assert len(f"unsub+{token}") <= 64
    assert re.fullmatch(r"[0-9a-z]+", token), "no mail server quotes or splits it"
    for spelled in (token, token.upper(), token.title()):
        assert LINKS.read_mail_token(spelled) == address


def test_a_token_by_mail_outlives_its_key() -> None:
    address = new_id("adr")
    old = OptOutLinks("https://gw.example.org", ["old" * 20]).mail_token(address)
    rotated = OptOutLinks("https://gw.example.org", ["new" * 20, "older" * 10, "old" * 20])
    assert rotated.read_mail_token(old) == address
    assert rotated.mail_token(address) != old
    assert OptOutLinks("https://gw.example.org", ["new" * 20]).read_mail_token(old) is None


def test_a_token_by_mail_is_no_link_and_a_link_no_token() -> None:
    address = new_id("adr")
    assert LINKS.read(LINKS.mail_token(address)) is None
    assert LINKS.read_mail_token(LINKS.token(address, "email")) is None


def test_no_other_token_by_mail_is_believed() -> None:
    token = LINKS.mail_token(new_id("adr"))
    for at in range(len(token)):
        other = token[:at] + ("0" if token[at] != "0" else "1") + token[at + 1 :]
        assert LINKS.read_mail_token(other) is None
    for wrong in ("", token[:-1], token + "0", "0" + token, token[:-1] + "é", token[:-1] + "\u212a", "0" * 52):
        assert LINKS.read_mail_token(wrong) is None
