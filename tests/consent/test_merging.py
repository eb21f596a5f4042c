"""What two people's answers come to when they turn out to be one person."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.merging import Side, merged
from consent.moves import transition
from consent.states import Change, Flag, Flags, Person, Subject, Wish, state_of, wider
from tests.acts import NOON, about, change

CHANNELS = {"adr_1": "sms", "adr_2": "sms", "adr_3": "email", "adr_4": "email"}
OURS, THEIRS = ("adr_1", "adr_3"), ("adr_2", "adr_4")
LATER = NOON + timedelta(hours=1)
EVERYTHING, SMS = about("everything"), about("sms")
_ids = itertools.count()


def said(*acts: Any, addresses: tuple[str, ...] = OURS, links: Mapping[str, str] | None = None) -> Flags:
    """The flags of somebody who did this, a minute apart."""
    flags: Flags = {}
    held = tuple((address, CHANNELS[address]) for address in addresses)
    for minute, act in enumerate(acts):
        one = act if isinstance(act, Change) else change("pro_1", act)
        now = NOON + timedelta(minutes=minute)
        person = Person(flags, held, CHANNELS)
        moved = transition(person, one, links=links or {}, now=now, new_id=lambda: f"evt_{next(_ids)}")
        assert not moved.refusals
        flags = moved.flags
    return flags


def covering(flags: Flags, addresses: tuple[str, ...]) -> Side:
    yes = {s.key for s, flag in flags.items() if s.kind == "channel" and flag.state == "yes"}
    return Side(flags, {channel: [a for a in addresses if CHANNELS[a] == channel] for channel in yes})


def merge(ours: Flags, theirs: Flags) -> Mapping[Subject, Flag]:
    """The survivor's flags; every wish is granted."""
    flags = ours
    held = tuple(CHANNELS.items())
    for one in merged(covering(ours, OURS), covering(theirs, THEIRS), CHANNELS):
        act = Change(
            "pro_1", f"chg_{next(_ids)}", one.wishes, "merge", "key:crm", said_at=one.at, by_person=one.by_person
        )
        moved = transition(Person(flags, held, CHANNELS), act, links={}, now=LATER, new_id=lambda: f"evt_{next(_ids)}")
        assert not moved.refusals
        flags = moved.flags
    return flags


def sendable(flags: Flags, covered: Mapping[str, Any] | None = None) -> set[str]:
    """The addresses that a yes opens and no no closes, by the rows of the verdict."""
    found = set()
    for address, channel in CHANNELS.items():
        wide, own = flags.get(about(channel)), flags.get(about(f"address:{address}"))
        everything = flags.get(EVERYTHING)
        if everything is not None and everything.state == "no" and not (wide is not None and wide.opens):
            continue
        if wide is not None and wide.state == "no" and not (own is not None and own.opens):
            continue
        if own is not None and own.state == "no":
            continue
        covers = wide is not None and wide.state == "yes" and address in (covered or {}).get(channel, ())
        if covers or (own is not None and own.state == "yes"):
            found.add(address)
    return found


@pytest.mark.parametrize("is_merged", [False, True])
def test_a_stop_from_before_the_channels_yes_closes_its_number_merged_or_not(is_merged: bool) -> None:
    """Told only afterwards."""
    flags = said({"sms": "yes"})
    flags = merge(flags, {}) if is_merged else flags
    stop = change("pro_1", {"sms": "no"}, address_id="adr_1", with_address=True, said_at=NOON - timedelta(minutes=1))
    person = Person(flags, tuple(CHANNELS.items()), CHANNELS)
    moved = transition(person, stop, links={}, now=LATER + timedelta(hours=1), new_id=lambda: f"evt_{next(_ids)}")
    assert state_of(moved.flags, about("address:adr_1")) == "no"
    assert "adr_1" not in sendable(moved.flags)


@pytest.mark.parametrize("name", ["everything", "sms", "address:adr_1", "preference:a"])
@pytest.mark.parametrize("swapped", [False, True])
def test_every_no_wins(name: str, swapped: bool) -> None:
    sides = said({name: "no"}), said({name: "yes"})
    assert state_of(merge(*(reversed(sides) if swapped else sides)), about(name)) == "no"


def test_a_yes_that_both_had_stays() -> None:
    flags = merge(said({"sms": "yes"}), said({"sms": "yes"}, addresses=THEIRS))
    assert state_of(flags, SMS) == "yes"
    assert state_of(flags, about("address:adr_2")) == "yes"  # the survivor's yes was said before it had this one


@pytest.mark.parametrize("swapped", [False, True])
def test_a_yes_that_one_had_moves_down_to_the_addresses_that_it_covered(swapped: bool) -> None:
    yes, none = said({"sms": "yes"}, addresses=THEIRS if swapped else OURS), said()
    flags = merge(none, yes) if swapped else merge(yes, none)
    assert state_of(flags, SMS) == "not_asked"
    assert sendable(flags) == {"adr_2" if swapped else "adr_1"}


def test_what_moves_down_keeps_its_time_and_its_terms() -> None:
    until = NOON + timedelta(days=9)
    act = Change("pro_1", "chg_1", (Wish(SMS, "yes", "implied", until),), "portal", "user:sadie")
    flag = merge(said(), said(act, addresses=THEIRS))[about("address:adr_2")]
    assert (flag.at, flag.basis, flag.expires_at) == (NOON, "implied", until)


def test_the_persons_own_no_stays_the_persons_own() -> None:
    texted = change("pro_1", {"sms": "no"}, address_id="adr_2", with_address=True)
    flags = merge(said({"sms": "yes"}), said(texted, addresses=THEIRS))
    assert (flags[SMS].state, flags[SMS].firm) == ("no", True)
    assert flags[about("address:adr_2")].firm


def test_what_one_declined_does_not_come_back_with_the_channel_that_had_turned_it_for_the_other() -> None:
    drama = about("preference:drama")
    ours = said({"email": "yes", "preference:drama": "yes"}, {"email": "no"}, links={"drama": "email"})
    assert (ours[drama].state, ours[drama].via) == ("no", "link")
    theirs = said({"preference:drama": "no"}, addresses=THEIRS)
    for one in (merge(ours, theirs), merge(theirs, ours)):
        assert (one[drama].state, one[drama].via) == ("no", None)


def test_a_no_that_both_had_and_the_other_said_last_closes_what_was_opened_before() -> None:
    ours = said({"everything": "no"}, {"sms": "yes"})
    assert ours[SMS].opens
    theirs = said({"email": "no"}, {"email": "no"}, {"everything": "no"}, addresses=THEIRS)
    assert not merge(ours, theirs)[SMS].opens


def test_an_earlier_no_of_the_other_closes_what_was_opened_under_the_survivors_own() -> None:
    ours = said({}, {"sms": "no"}, {"address:adr_1": "yes"})
    assert sendable(ours) == {"adr_1"}
    assert sendable(merge(ours, said({"sms": "no"}, addresses=THEIRS))) == set()


def test_what_was_opened_under_a_no_stays_open_where_the_other_has_said_nothing() -> None:
    ours = said({"everything": "no"}, {"sms": "yes"})
    assert merge(ours, said())[EVERYTHING] == ours[EVERYTHING]


def test_nothing_opens_under_a_no_of_the_other() -> None:
    theirs = said({"address:adr_2": "yes"}, {"sms": "no"}, {"address:adr_2": "yes"}, addresses=THEIRS)
    assert theirs[about("address:adr_2")].opens
    assert sendable(merge(said(), theirs)) == set()


def test_an_answer_to_a_preference_is_carried_over() -> None:
    flags = merge(said(), said({"preference:a": "yes", "preference:b": "no"}))
    assert [state_of(flags, about(f"preference:{name}")) for name in "ab"] == ["yes", "no"]


def test_to_merge_with_somebody_who_never_spoke_changes_no_answer() -> None:
    ours = said({"sms": "no"}, {"email": "no", "preference:a": "yes"})
    assert merge(ours, said()) == ours


names = st.sampled_from(["everything", "sms", "email", "address:adr_1", "address:adr_2", "preference:a"])
stories = st.lists(st.dictionaries(names, st.sampled_from(["yes", "no"]), min_size=1, max_size=2), max_size=4)


@settings(max_examples=200, deadline=None)
@given(stories, stories)
def test_nobody_may_be_sent_to_who_could_not_before(first: list[dict[str, str]], second: list[dict[str, str]]) -> None:
    ours = said(*(change("pro_1", act, source="keyword") for act in first))
    theirs = said(*(change("pro_1", act, source="keyword") for act in second), addresses=THEIRS)
    before = sendable(ours, covering(ours, OURS).covered) | sendable(theirs, covering(theirs, THEIRS).covered)
    flags = merge(ours, theirs)
    assert sendable(flags, covering(ours, OURS).covered) <= before
    for side in (ours, theirs):
        for subject, flag in side.items():
            if flag.state == "no":
                assert state_of(flags, subject) == "no"
                assert flags[subject].firm >= flag.firm
    assert all(wider(s, CHANNELS) is not None or not flag.opens for s, flag in flags.items())
