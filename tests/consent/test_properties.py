"""What holds for any acts in any order."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consent.moves import transition
from consent.states import MACHINE, SOURCES, Change, Event, Flag, Person, Subject, Wish, fold, state_of, touched
from tests.acts import NOON, about, change

ADDRESSES = (("adr_1", "sms"), ("adr_2", "sms"), ("adr_3", "email"))
CHANNELS = dict(ADDRESSES)
NAMES = [
    "everything",
    "sms",
    "email",
    "address:adr_1",
    "address:adr_2",
    "address:adr_3",
    "preference:a",
    "preference:b",
]
LINKS = {"a": "email", "b": "email"}
FEW = settings(max_examples=150, deadline=None)

states = st.sampled_from(["yes", "no", "not_asked"])
states_said = st.sampled_from(["yes", "no"])
subjects = st.sampled_from(NAMES).map(about)
# A tick or so apart, told in seconds, milliseconds or microseconds.
ticks = st.one_of(
    st.integers(0, 3).map(lambda n: timedelta(seconds=n)),
    st.integers(0, 3_000).map(lambda n: timedelta(milliseconds=n)),
    st.integers(0, 3_000_000).map(lambda n: timedelta(microseconds=n)),
)
START = NOON.replace(microsecond=0) - timedelta(hours=1)
times = ticks.map(lambda after: START + after)
terms = st.one_of(st.none(), st.integers(1, 9).map(lambda days: NOON + timedelta(days=days)))
wishes = st.builds(Wish, subjects, states, st.sampled_from(["express", "implied", "soft_opt_in"]), terms)
evidence = st.sampled_from([{}, {"obtained_at": "2026-11-21T00:00:00+00:00", "how": "asked at the desk"}])


@st.composite
def acts(draw: st.DrawFn) -> Change:
    """Any act, by any door."""
    asked = draw(st.lists(wishes, min_size=1, max_size=4, unique_by=lambda wish: wish.subject))
    names_address = any(wish.subject.kind == "address" for wish in asked)
    return change(
        "pro_1",
        asked,
        source=draw(st.sampled_from(sorted(SOURCES))),
        actor="key:crm",
        by_person=draw(st.booleans()),
        address_id=draw(st.sampled_from([None, "adr_1", "adr_3"])),
        with_address=not names_address and draw(st.booleans()),  # a text says it of the address by itself
        said_at=draw(st.one_of(st.none(), times)),
        evidence=draw(evidence),
    )


def live(
    said: Sequence[tuple[Change, datetime]], links: Mapping[str, str], suppressed: Mapping[str, datetime] | None = None
) -> tuple[Mapping[Subject, Flag], list[Event]]:
    """The flags and the history as they come about, act by act."""
    flags: Mapping[Subject, Flag] = {}
    history: list[Event] = []
    ids = (f"evt_{number}" for number in itertools.count())
    for act, now in said:
        person = Person(flags, ADDRESSES, CHANNELS, suppressed or {})
        moved = transition(person, act, links=links, now=now, new_id=lambda: next(ids))
        assert bool(moved.refusals) <= (moved.events == () and moved.flags == flags)
        flags = moved.flags
        history += moved.events
    return flags, history


@FEW
@given(st.lists(st.tuples(acts(), ticks), max_size=12))
def test_any_sequence_of_acts_leaves_flags_equal_to_the_fold_of_the_history(said: list[tuple[Change, Any]]) -> None:
    flags, history = live([(act, NOON + tick) for act, tick in said], LINKS)
    assert fold(history, CHANNELS) == flags


@FEW
@given(st.lists(st.tuples(acts(), ticks), max_size=12))
def test_every_line_tells_from_what_and_whether_it_was_superseded(said: list[tuple[Change, Any]]) -> None:
    _, history = live([(act, NOON + tick) for act, tick in said], LINKS)
    for place, line in enumerate(history):
        before, after = fold(history[:place], CHANNELS), fold(history[: place + 1], CHANNELS)
        assert line.from_state == state_of(before, line.subject)
        assert line.superseded == (after[line.subject].event_id != line.id)


@FEW
@given(st.lists(st.tuples(acts(), ticks), max_size=10))
def test_no_machine_turns_a_persons_no(said: list[tuple[Change, Any]]) -> None:
    _, history = live([(act, NOON + tick) for act, tick in said], LINKS)
    for place, line in enumerate(history):
        flag = fold(history[:place], CHANNELS).get(line.subject)
        if flag is not None and flag.state == "no" and line.to_state != "no":
            assert line.source not in MACHINE
            assert line.to_state == "yes" or not flag.firm


@FEW
@given(
    st.lists(st.tuples(acts(), ticks), max_size=10),
    st.dictionaries(st.sampled_from(["adr_1", "adr_3"]), ticks.map(lambda tick: NOON + tick)),
)
def test_a_providers_yes_undoes_a_no_and_breaks_no_silence(
    said: list[tuple[Change, Any]], suppressed: dict[str, datetime]
) -> None:
    flags, history = live([(act, NOON + tick) for act, tick in said], {}, suppressed)
    assert fold(history, CHANNELS) == flags
    moved = [(line.change_id, subject) for line in history for subject in touched(line) if not line.with_address]
    assert len(moved) == len(set(moved))
    for place, line in enumerate(history):
        if line.source != "provider" or line.to_state != "yes" or line.via is not None:
            continue
        before = fold(history[:place], CHANNELS)
        for subject in touched(line):
            left_behind = suppressed.get(subject.key)
            undone = left_behind is not None and left_behind < line.effective_at and subject.key == line.address_id
            assert state_of(before, subject) != "not_asked" or undone


@st.composite
def told_in_any_order(draw: st.DrawFn) -> tuple[list[Change], list[Change]]:
    """The person's own words about subjects, each with its provider's time; and the same in another order."""
    said = draw(
        st.lists(
            st.builds(
                lambda name, to, at, with_address: change(
                    "pro_1", {name: to}, address_id="adr_1", with_address=with_address, said_at=at
                ),
                st.sampled_from(["everything", "sms", "email", "address:adr_1", "address:adr_2", "preference:a"]),
                st.sampled_from(["yes", "no"]),
                times,
                st.booleans(),
            ).filter(
                lambda act: act.wishes[0] != Wish(about("everything"), "yes")
            ),  # whose effects come in their order
            max_size=6,
        )
    )
    return said, draw(st.permutations(said))


def shape(flags: Mapping[Subject, Flag]) -> dict[Subject, tuple[str, bool]]:
    return {subject: (flag.state, flag.opens) for subject, flag in flags.items()}


@FEW
@given(told_in_any_order())
def test_acts_with_provider_times_end_the_same_in_whatever_order_they_arrive(
    orders: tuple[list[Change], list[Change]],
) -> None:
    ends = [shape(live([(act, NOON + timedelta(minutes=n)) for n, act in enumerate(order)], {})[0]) for order in orders]
    assert ends[0] == ends[1]


@st.composite
def held_up(draw: st.DrawFn) -> list[tuple[Change, datetime]]:
    """The person's words as they came, some told with an earlier time, in the order their transactions got through."""
    words = []
    for seconds in range(draw(st.integers(1, 6))):
        came = NOON + timedelta(seconds=seconds)
        told = draw(st.one_of(st.none(), st.integers(0, 9).map(lambda n: timedelta(seconds=n + 0.5))))
        said_at = came - told if told is not None else None
        act = change(
            "pro_1",
            {"sms": draw(states_said)},
            address_id="adr_1",
            with_address=True,
            received_at=came,
            said_at=said_at,
        )
        words.append((act, came + timedelta(seconds=draw(st.integers(0, 9)))))
    return draw(st.permutations(words))


@settings(FEW, max_examples=400)
@given(held_up())
def test_a_no_that_is_the_last_word_stands_however_long_each_was_held_up(said: list[tuple[Change, datetime]]) -> None:
    flags, history = live(said, {})
    assert fold(history, CHANNELS) == flags
    last = max((act for act, _ in said), key=lambda act: act.said_at or act.received_at or NOON)
    if last.wishes[0].to == "no":
        assert (state_of(flags, about("sms")), state_of(flags, about("address:adr_1"))) == ("no", "no")


def coarser(one: datetime, other: datetime) -> int:
    """The tick, in microseconds, of the coarser of two clocks."""
    return max(
        next(tick for tick in (1_000_000, 1_000, 1) if moment.microsecond % tick == 0) for moment in (one, other)
    )


@FEW
@given(times, times, st.booleans())
def test_of_a_yes_and_a_no_the_later_stands_at_the_coarser_precision_and_a_no_at_a_tie(
    yes: datetime, no: datetime, yes_first: bool
) -> None:
    said = [change("pro_1", {"sms": "yes"}, said_at=yes), change("pro_1", {"sms": "no"}, said_at=no)]
    flags, _ = live([(act, NOON) for act in (said if yes_first else said[::-1])], {})
    tick = timedelta(microseconds=coarser(yes, no))
    later = (yes - START) // tick > (no - START) // tick
    assert flags[about("sms")].state == ("yes" if later else "no")


@FEW
@given(st.lists(st.tuples(st.sampled_from(["yes", "no"]), times, terms), min_size=1, max_size=6), st.randoms())
def test_terms_and_bases_too_end_the_same(said: list[tuple[Any, datetime, Any]], random: Any) -> None:
    def end(order: list[tuple[Any, datetime, Any]]) -> tuple[object, ...]:
        acts = [change("pro_1", [Wish(about("sms"), to, None, term)], said_at=at) for to, at, term in order]
        flag = live([(act, NOON) for act in acts], {})[0][about("sms")]
        return flag.state, flag.basis, flag.expires_at, flag.order_at

    other = list(said)
    random.shuffle(other)
    assert end(said) == end(other)
