"""What ticked and unticked boxes come to: tables."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consent.states import EVERYTHING, Flag, Subject, Wish
from forms import boxes
from forms.boxes import Address, Answers, Group, Sheet

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
MAIL, NUMBER = Subject("channel", "email"), Subject("channel", "sms")
HOME, WORK, DRAMA = Subject("address", "adr_1"), Subject("address", "adr_2"), Subject("preference", "prf_1")
TEXTS = {"email": "By e-mail", "sms": "By text"}


def flag(state: Any, **more: Any) -> Flag:
    given: dict[str, Any] = {"basis": "express" if state == "yes" else None, "expires_at": None, "via": None} | more
    return Flag(state, at=NOW, order_at=NOW, recorded_at=NOW, source="form", actor="customer", change_id="chg_1",
                event_id="evt_1", **given)  # fmt: skip


def answered(
    flags: dict[Subject, Flag],
    ticked: set[Subject],
    *,
    addresses: tuple[Address, ...] = (Address("adr_1", "email", "a•••"),),
    linked: str | None = None,
    is_fresh: bool = True,
    is_often: bool = False,
    newer: set[Subject] | None = None,
    not_shown: frozenset[Subject] = frozenset(),
) -> Answers:
    channels = boxes.channels_of(addresses, flags, TEXTS, ("email", "sms"), NOW)
    groups = [Group(None, None, (boxes.preference("prf_1", "Drama", linked, flags, NOW),))]
    every = [box for channel in channels for box in (channel.box, *(one for _, one in channel.addresses if one))]
    every += [box for group in groups for box in group.boxes]
    shown = {box.key: box.mark for box in every if box.subject not in not_shown}
    sheet = Sheet(shown, frozenset(f"{one.kind}:{one.key}" for one in ticked))
    return boxes.decide(channels, groups, sheet, is_fresh=is_fresh, is_often=is_often, newer=newer or set())


def wishes(found: Any) -> dict[Subject, str]:
    return {wish.subject: wish.to for wish in found}


@pytest.mark.parametrize("is_fresh", [True, False])
def test_of_what_was_never_asked_unticked_is_no_at_once_and_ticked_is_yes_by_a_fresh_link(is_fresh: bool) -> None:
    found = answered({}, {DRAMA}, is_fresh=is_fresh)
    if is_fresh:
        assert (wishes(found.wishes), found.waiting) == ({MAIL: "no", DRAMA: "yes"}, ())
    else:
        assert (wishes(found.wishes), wishes(found.waiting)) == ({MAIL: "no"}, {DRAMA: "yes"})


@pytest.mark.parametrize(("is_fresh", "said"), [(True, {MAIL: "yes", DRAMA: "no"}), (False, {DRAMA: "no"})])
def test_a_no_is_said_again_by_any_link_and_a_yes_by_a_fresh_one(is_fresh: bool, said: dict[Subject, str]) -> None:
    found = answered({MAIL: flag("yes"), DRAMA: flag("no", firm=True)}, {MAIL}, is_fresh=is_fresh)
    assert (wishes(found.wishes), found.waiting, found.repeated) == (said, (), set())


def test_of_a_page_that_is_sent_in_all_too_often_what_stands_is_not_said_again() -> None:
    stands = {MAIL: flag("yes"), DRAMA: flag("no", firm=True)}
    found = answered(stands, {MAIL}, is_fresh=False, is_often=True)
    assert (found.wishes, found.waiting, found.repeated) == ((), (), {DRAMA})


@pytest.mark.parametrize("no", [flag("no"), flag("no", firm=True, via="link")], ids=["a system's", "a link's"])
def test_a_no_that_is_not_the_persons_own_becomes_it_by_any_link_however_often(no: Flag) -> None:
    found = answered({MAIL: flag("no", firm=True), DRAMA: no}, set(), is_fresh=False, is_often=True)
    assert (wishes(found.wishes), found.repeated) == ({DRAMA: "no"}, {MAIL})


def test_what_was_not_shown_stays() -> None:
    assert wishes(answered({MAIL: flag("yes")}, set(), not_shown=frozenset({MAIL})).wishes) == {DRAMA: "no"}


@pytest.mark.parametrize("newer", [{DRAMA}, {EVERYTHING}, {MAIL}])
def test_a_yes_over_a_newer_no_is_overtaken(newer: set[Subject]) -> None:
    found = answered({DRAMA: flag("no")}, {DRAMA, MAIL}, newer=newer, linked="email")
    assert DRAMA in {box.subject for box in found.overtaken}
    assert DRAMA not in wishes(found.wishes)


def test_a_yes_that_has_ended_is_given_anew() -> None:
    ended = flag("yes", expires_at=NOW - timedelta(days=1))
    [box] = [
        one.box for one in boxes.channels_of([Address("adr_1", "email", "a")], {MAIL: ended}, TEXTS, ["email"], NOW)
    ]
    assert (box.is_on, box.is_ended) == (False, True)
    assert wishes(answered({MAIL: ended}, {MAIL}, is_fresh=False).waiting) == {MAIL: "yes"}


def test_under_a_no_to_everything_a_channel_is_off_until_it_was_opened_since() -> None:
    closed = {EVERYTHING: flag("no"), MAIL: flag("yes")}
    assert wishes(answered(closed, {MAIL}, is_fresh=False).waiting) == {MAIL: "yes"}
    opened = {EVERYTHING: flag("no"), MAIL: flag("yes", opens=True)}
    assert answered(opened, {MAIL}, is_fresh=False).waiting == ()


TWO = (Address("adr_1", "email", "a•••"), Address("adr_2", "email", "w•••"))


@pytest.mark.parametrize(
    ("flags", "ticked", "said"),
    [
        ({MAIL: flag("yes")}, {MAIL, HOME}, {MAIL: "yes", WORK: "no"}),
        ({MAIL: flag("yes")}, {HOME, WORK}, {MAIL: "no"}),  # the channel's no means them all
        ({MAIL: flag("yes"), WORK: flag("no")}, {MAIL, HOME, WORK}, {MAIL: "yes", WORK: "yes"}),
        ({MAIL: flag("no"), HOME: flag("yes", opens=True)}, {HOME, WORK}, {}),  # it stays open
        ({MAIL: flag("no"), HOME: flag("yes", opens=True)}, {WORK}, {MAIL: "no", HOME: "no"}),
    ],
)
def test_an_address_follows_its_channel_unless_it_is_switched_off_by_itself(
    flags: dict[Subject, Flag], ticked: set[Subject], said: dict[Subject, str]
) -> None:
    found = answered(flags, ticked, addresses=TWO, not_shown=frozenset({DRAMA}))
    assert wishes(found.wishes) == said


def test_a_yes_to_a_channel_means_its_one_address_too() -> None:
    found = answered({MAIL: flag("no"), HOME: flag("no")}, {MAIL}, not_shown=frozenset({DRAMA}))
    assert wishes(found.wishes) == {MAIL: "yes", HOME: "yes"}


@pytest.mark.parametrize("suppressed", [True, False])
def test_from_a_number_at_no_one_comes_back_by_text_alone(suppressed: bool) -> None:
    number = Address("adr_1", "sms", "+1•••", is_suppressed=suppressed)
    flags = {} if suppressed else {NUMBER: flag("no"), HOME: flag("no")}
    [channel] = boxes.channels_of([number], flags, TEXTS, ["sms"], NOW)
    assert channel.box.needs_text
    assert wishes(answered(flags, {NUMBER}, addresses=(number,)).wishes) == {DRAMA: "no"}


@pytest.mark.parametrize(
    ("flags", "ticked", "said"),
    [
        ({MAIL: flag("no")}, {DRAMA}, {MAIL: "no", DRAMA: "yes"}),  # the channel has a box of its own
        ({MAIL: flag("yes"), DRAMA: flag("yes")}, {DRAMA}, {MAIL: "no"}),  # and goes with it by its link
        ({MAIL: flag("no"), DRAMA: flag("no", via="link")}, {MAIL}, {MAIL: "yes", DRAMA: "no"}),
    ],
)
def test_a_linked_preference_and_its_channel_go_together(
    flags: dict[Subject, Flag], ticked: set[Subject], said: dict[Subject, str]
) -> None:
    assert wishes(answered(flags, ticked, linked="email").wishes) == said


def test_what_a_link_had_turned_and_was_left_unticked_does_not_come_back_with_a_channel_that_waits() -> None:
    flags = {MAIL: flag("no"), DRAMA: flag("no", via="link")}
    found = answered(flags, {MAIL}, linked="email", is_fresh=False)
    assert (found.wishes, found.waiting) == ((Wish(DRAMA, "no"),), (Wish(MAIL, "yes"),))


def test_a_yes_to_other_words_is_none() -> None:
    sheet = Sheet({"preference:prf_1": "another"}, frozenset({"preference:prf_1"}))
    groups = [Group(None, None, (boxes.preference("prf_1", "Drama", None, {}, NOW),))]
    found = boxes.decide([], groups, sheet, is_fresh=True)
    assert (found.wishes, [box.text for box in found.reworded]) == ((), ["Drama"])


SINCE = (TWO[0], Address("adr_2", "email", "w•••", is_covered=False))


def test_an_address_that_came_after_its_channels_yes_is_new_and_opened_by_its_own_box_alone() -> None:
    flags = {MAIL: flag("yes")}
    [channel] = boxes.channels_of(SINCE, flags, TEXTS, ["email"], NOW)
    assert [(box.is_on, box.is_new) for _, box in channel.addresses if box] == [(True, False), (False, True)]
    assert (channel.box.is_on, channel.box.is_new) == (True, False)
    assert wishes(answered(flags, {MAIL, HOME}, addresses=SINCE).wishes) == {DRAMA: "no"}
    assert wishes(answered(flags, {MAIL, HOME, WORK}, addresses=SINCE).wishes) == {WORK: "yes", DRAMA: "no"}
    # Nor by a page that was shown before it came.
    before = answered(flags, {MAIL, HOME}, addresses=SINCE, not_shown=frozenset({WORK}))
    assert wishes(before.wishes) == {DRAMA: "no"}


@pytest.mark.parametrize("addresses", [SINCE[1:], tuple(replace(one, is_covered=False) for one in TWO)])
def test_a_yes_that_is_for_no_address_there_is_shows_nothing_on(addresses: tuple[Address, ...]) -> None:
    flags = {MAIL: flag("yes")}
    [channel] = boxes.channels_of(addresses, flags, TEXTS, ["email"], NOW)
    assert (channel.box.is_on, channel.box.is_new) == (False, True)
    assert wishes(answered(flags, {MAIL, HOME, WORK}, addresses=addresses).wishes) == {MAIL: "yes", DRAMA: "no"}
    assert wishes(answered(flags, set(), addresses=addresses).wishes)[MAIL] == "no"


def test_what_has_its_own_yes_is_on_though_it_came_after_its_channels() -> None:
    flags = {MAIL: flag("yes"), WORK: flag("yes")}
    [channel] = boxes.channels_of(SINCE, flags, TEXTS, ["email"], NOW)
    assert [box.is_on for _, box in channel.addresses if box] == [True, True]
    [alone] = boxes.channels_of(SINCE[1:], flags, TEXTS, ["email"], NOW)
    assert (alone.box.is_on, alone.box.is_new) == (True, False)
