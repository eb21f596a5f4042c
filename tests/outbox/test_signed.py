"""What we have signed: read by us alone, and as long as its key is known, however old it is."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outbox.manage_links import ManageLinks, Opened
from outbox.signed import Signed

SECRET = "a secret that is long enough"
PAGES = Signed([SECRET], "optgate.pages")
AT = datetime(2026, 11, 26, 12, tzinfo=UTC)
# As they were sent out in November 2026.
IN_MAILS = {
    "WyJwcm9fMSIsImFkcl8xIiwibWVzc2FnZSIsMTc5NTY5NDQwMF0.oHV0t4ANq-srvsrGTNWQsNYylJ4": Opened(
        "pro_1", "adr_1", "message", AT
    ),
    "WyJwcm9fMSIsbnVsbCwiYWNjb3VudCIsMTc5NTY5NDQwMCwiaHR0cHM6Ly93d3cuZXhhbXBsZS5vcmciXQ"
    ".eWaHk6SCRTLr5DvC5mukyYq3SIM": Opened("pro_1", None, "account", AT, "https://www.example.org"),
    "WyJwcm9fMSIsbnVsbCwiYWNjb3VudCIsMTc5NTY5NDQwMCxudWxsLCJmcm1fMSJd.YgfQPF7cGEqIvv1NsS2DW1t-z4A": Opened(
        "pro_1", None, "account", AT, None, "frm_1"
    ),
}
# As pages carried them, some with the padding of base64.
ON_PAGES = {
    "WyJmb3JtIiwiZnJtXzEiLDMsMTc5NTY5NDQwMDEyMywiU2ltcmVmWFRhMjJIIixudWxsXQ==.gZ7I0hL9Lvk_5Fgz6kO0TSJEhAY": [
        "form", "frm_1", 3, 1795694400123, "SimrefXTa22H", None,
    ],
    "WyJmb3JtIiwiZnJtXzEiLDMsMTc5NTY5NDQwMDEyMywia0R5aGlpaDBudzI5IiwiaHR0cHM6Ly93d3cuZXhhbXBsZS5vcmcvY2Fmw6kiXQ=="
    ".Lo-eBIXRECxbNXzT7AJP0M8cTPE": [
        "form", "frm_1", 3, 1795694400123, "kDyhiih0nw29", "https://www.example.org/café",
    ],
    "WyJ1bnN1YnNjcmliZSIsInRvcGljIiwiY2hnXzEiLDE3OTU2OTgwMDAsImFkcl8xIiwiZW1haWwiLCJwcmZfMSJd"
    ".QT44NTIGg4DvbaK07xMRoZdDiQc": ["unsubscribe", "topic", "chg_1", 1795698000, "adr_1", "email", "prf_1"],
}  # fmt: skip


@pytest.mark.parametrize(("token", "opened"), IN_MAILS.items())
def test_links_in_mails_are_believed_and_spelled_as_ever(token: str, opened: Opened) -> None:
    links = ManageLinks("https://gw.example.org", [SECRET])
    assert links.read(token) == opened
    assert links.token(opened) == token


@pytest.mark.parametrize(("token", "said"), ON_PAGES.items())
def test_what_an_open_page_carries_outlives_a_new_version_of_ours(token: str, said: list[object]) -> None:
    assert PAGES.read_list(token) == said


@given(st.lists(st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=8))
def test_a_list_comes_back_as_it_was_and_stands_in_an_address_as_it_is(said: list[str | int | None]) -> None:
    token = PAGES.sign_list(said)
    if len(token) <= 1000:
        assert PAGES.read_list(token) == said
    assert all(sign.isalnum() or sign in "-_." for sign in token)


def test_another_purpose_another_key_and_what_is_no_list_is_none() -> None:
    token = PAGES.sign_list(["form", 1])
    assert Signed([SECRET], "optgate.manage").read_list(token) is None
    assert Signed(["another secret"], "optgate.pages").read_list(token) is None
    assert Signed(["another secret", SECRET], "optgate.pages").read_list(token) == ["form", 1]
    for text in ("", "adr_1", "a.b", "bnVsbA", "e30", "____", "é", "[1]"):
        assert PAGES.read_list(PAGES.sign(text)) is None, text
    for text in ("", token[:-1], token.swapcase(), "W10", token + "é"):
        assert PAGES.read_list(text) is None, text
