"""What a disposition comes to for a person who was contacted so: pure, turn by turn."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from consent.states import Kind, State
from outbox.dispositions import Turn
from outbox.interactions import NeedsAddress, wished
from profiles.links import Held
from tests.acts import spelled

MOBILE = Held("adr_mobile", "sms", "+14155550123", True, "ok")
SECOND = Held("adr_second", "sms", "+14155550124", False, "ok")
DESK = Held("adr_desk", "voice", "+14155550125", True, "ok")
ALL = (MOBILE, SECOND, DESK)


def of(*turns: Turn, channel: str = "sms", contacted: Held | None = MOBILE) -> dict[str, str]:
    return {spelled(wish.subject): wish.to for wish in wished(turns, ALL, channel=channel, contacted=contacted)}


@pytest.mark.parametrize(
    ("turns", "wishes"),
    [
        ([], {}),
        ([Turn("everything", "no")], {"everything": "no"}),
        ([Turn("channel", "no")], {"sms": "no"}),
        ([Turn("channel", "no", channel="voice")], {"voice": "no"}),
        ([Turn("address", "no", address="contacted")], {"address:adr_mobile": "no"}),
        ([Turn("address", "no", address="all")], {"address:adr_mobile": "no", "address:adr_second": "no"}),
        ([Turn("address", "no", channel="voice", address="all")], {"address:adr_desk": "no"}),
        ([Turn("address", "no", channel="email", address="all")], {}),
        ([Turn("preference", "yes", preference_id="prf_drama")], {"preference:prf_drama": "yes"}),
        ([Turn("channel", "not_asked"), Turn("everything", "yes")], {"sms": "not_asked", "everything": "yes"}),
    ],
)
def test_a_turn_is_about_what_it_names_or_else_what_was_contacted(
    turns: Sequence[Turn], wishes: dict[str, str]
) -> None:
    assert of(*turns) == wishes


@pytest.mark.parametrize(("one", "other", "stands"), [("yes", "no", "no"), ("yes", "not_asked", "not_asked")])
def test_of_two_about_the_same_the_stricter_stands(one: State, other: State, stands: str) -> None:
    kind: Kind = "channel"
    for first, second in ((one, other), (other, one)):
        assert of(Turn(kind, first, channel="sms"), Turn(kind, second)) == {"sms": stands}


def test_what_is_about_the_address_contacted_needs_one() -> None:
    with pytest.raises(NeedsAddress):
        of(Turn("address", "no", address="contacted"), contacted=None)
    assert of(Turn("address", "no", address="all"), contacted=None)
