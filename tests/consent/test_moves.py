"""How states move, sentence by sentence: pure acts on one person's flags."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest

from consent.moves import transition
from consent.states import (
    MACHINE,
    RECORDED,
    STAFF,
    Event,
    Flag,
    Moved,
    Person,
    Subject,
    Wish,
    fold,
    obtained_at,
    state_of,
)
from tests.acts import NOON, about, change, later

MOBILE, SECOND, MAILBOX = "adr_mobile", "adr_second", "adr_mailbox"
CHANNELS = {MOBILE: "sms", SECOND: "sms", MAILBOX: "email"}
EVIDENCE = {"obtained_at": "2026-11-20T13:00:00+00:00", "how": "on the phone, call 4711"}
DRAMA, OPERA, DANCE = "preference:prf_drama", "preference:prf_opera", "preference:prf_dance"


class Story:
    """One person, and what is said, a minute apart."""

    def __init__(self, *addresses: str, links: Mapping[str, str] | None = None) -> None:
        self.addresses = tuple((address, CHANNELS[address]) for address in addresses or (MOBILE, MAILBOX))
        self.links = {name.partition(":")[2]: channel for name, channel in (links or {}).items()}
        self.now = NOON
        self.suppressed: dict[str, datetime] = {}
        self.flags: Mapping[Subject, Flag] = {}
        self.history: list[Event] = []
        self.obtained: dict[str, datetime] = {}  # by the line of a yes
        self._ids = (f"evt_{number}" for number in itertools.count())

    def tries(self, wishes: Any, *, now: datetime | None = None, **fields: Any) -> Moved:
        """What an act would come to."""
        obtained = {s: self.obtained[f.event_id] for s, f in self.flags.items() if f.event_id in self.obtained}
        person = Person(self.flags, self.addresses, CHANNELS, self.suppressed, obtained)
        act = change("pro_1", wishes, **fields)
        return transition(person, act, links=self.links, now=now or self.now, new_id=lambda: next(self._ids))

    def says(self, wishes: Any, *, now: datetime | None = None, **fields: Any) -> list[Event]:
        """An act that is granted; returns its lines."""
        self.now = now or self.now + timedelta(minutes=1)
        moved = self.tries(wishes, **fields)
        assert moved.refusals == ()
        self.flags = moved.flags
        self.history += moved.events
        obtained = obtained_at(fields.get("evidence", {}))
        self.obtained |= {event.id: obtained for event in moved.events if event.to_state == "yes" and obtained}
        assert fold(self.history, CHANNELS) == self.flags
        return list(moved.events)

    def texts(self, to: str, address: str = MOBILE, **fields: Any) -> list[Event]:
        """STOP or START from an address."""
        return self.says({CHANNELS[address]: to}, address_id=address, with_address=True, **fields)

    def unsubscribes(self, **fields: Any) -> list[Event]:
        return self.says({"email": "no"}, source="unsubscribe_link", address_id=MAILBOX, **fields)

    def __getitem__(self, name: str) -> str:
        return state_of(self.flags, about(name))

    def flag(self, name: str) -> Flag:
        return self.flags[about(name)]

    @property
    def all(self) -> dict[str, str]:
        return {":".join(filter(None, subject)): flag.state for subject, flag in self.flags.items()}


def why(moved: Moved) -> list[str]:
    assert moved.events == ()
    return [refusal.why for refusal in moved.refusals]


# --- STOP and START ----------------------------------------------------------------------------


def test_stop_turns_the_channel_and_that_address_no() -> None:
    story = Story(MOBILE, SECOND)
    story.texts("no", MOBILE)
    assert story["sms"] == story[f"address:{MOBILE}"] == "no"
    assert story[f"address:{SECOND}"] == "not_asked"


def test_start_turns_both_yes() -> None:
    story = Story()
    story.texts("no")
    story.texts("yes")
    assert story["sms"] == story[f"address:{MOBILE}"] == "yes"
    assert story.flag("sms").basis == "express"


def test_one_line_of_history_two_flags() -> None:
    story = Story()
    [line] = story.texts("no")
    assert line.with_address
    assert line.subject == about("sms")
    assert story.flag("sms").event_id == story.flag(f"address:{MOBILE}").event_id == line.id


@pytest.mark.parametrize(
    ("source", "channel"),
    [("unsubscribe_link", "email"), ("one_click", "email"), ("complaint", "email"), ("provider", "whatsapp")],
)
def test_links_one_click_complaints_and_a_marketing_stop_turn_the_channel_alone(source: str, channel: str) -> None:
    story = Story()
    [line] = story.says({channel: "no"}, source=source, address_id=MAILBOX)
    assert story.all == {f"channel:{channel}": "no"}
    assert line.address_id == MAILBOX


def test_a_providers_own_start_turns_a_no_into_yes() -> None:
    story = Story()
    story.texts("no")
    [line] = story.texts("yes", source="provider")
    assert line.with_address
    assert story["sms"] == story[f"address:{MOBILE}"] == "yes"


def test_a_providers_own_start_never_turns_not_asked_into_yes() -> None:
    story = Story()
    assert story.texts("yes", source="provider") == []
    assert story.all == {}


def test_a_providers_own_start_opens_the_address_alone_where_only_that_is_no() -> None:
    story = Story()
    story.says({f"address:{MOBILE}": "no"}, source="portal", actor="user:sadie")
    [line] = story.texts("yes", source="provider")
    assert line.subject == about(f"address:{MOBILE}")
    assert story.all == {f"address:{MOBILE}": "yes"}


def test_a_providers_own_start_opens_the_channel_alone_where_only_that_is_no() -> None:
    story = Story()
    story.says({"sms": "no"}, source="portal", actor="user:sadie")
    [line] = story.texts("yes", source="provider")
    assert (line.subject, line.with_address, line.address_id) == (about("sms"), False, MOBILE)
    assert story.all == {"channel:sms": "yes"}


def test_a_providers_own_start_leaves_an_address_of_another_channel_alone() -> None:
    story = Story()
    story.says({"sms": "no", f"address:{MAILBOX}": "no"})
    story.says({"sms": "yes"}, source="provider", address_id=MAILBOX, with_address=True)
    assert (story["sms"], story[f"address:{MAILBOX}"]) == ("yes", "no")
    assert story.says({"whatsapp": "yes"}, source="provider", address_id=MAILBOX, with_address=True) == []


@pytest.mark.parametrize("with_address", [True, False])
def test_a_no_left_behind_on_the_address_is_a_no_that_a_providers_own_start_undoes(with_address: bool) -> None:
    story = Story(MOBILE, SECOND)
    story.suppressed = {MOBILE: NOON}
    [line] = story.says({"sms": "yes"}, source="provider", address_id=MOBILE, with_address=with_address)
    assert (line.subject, line.from_state) == (about(f"address:{MOBILE}"), "not_asked")
    assert story.all == {f"address:{MOBILE}": "yes"}


def test_a_no_left_behind_and_one_of_the_channel_are_undone_in_one_line() -> None:
    story = Story()
    story.suppressed = {MOBILE: NOON}
    story.says({"sms": "no"}, source="portal", actor="user:sadie")
    [line] = story.texts("yes", source="provider")
    assert (line.subject, line.with_address) == (about("sms"), True)
    assert story["sms"] == story[f"address:{MOBILE}"] == "yes"


def test_a_no_left_behind_is_undone_over_a_yes_that_was_not_the_addresss_own_word() -> None:
    story = Story()
    story.suppressed = {MOBILE: NOON}
    story.says({"sms": "yes", f"address:{MOBILE}": "yes"}, source="portal", actor="user:sadie")
    [line] = story.texts("yes", source="provider")
    assert line.subject == about(f"address:{MOBILE}")


@pytest.mark.parametrize(
    ("wishes", "fields"),
    [
        ({"sms": "yes"}, {"address_id": MOBILE, "said_at": NOON}),  # at one time the no stands
        ({"sms": "yes"}, {"address_id": MOBILE, "said_at": NOON - timedelta(days=1)}),
        ({"sms": "yes"}, {"address_id": SECOND}),
        ({"sms": "yes"}, {}),
        ({"email": "yes"}, {"address_id": MOBILE}),
        ({DRAMA: "yes"}, {"address_id": MOBILE}),
    ],
)
def test_a_no_left_behind_is_undone_by_nothing_else(wishes: dict[str, Any], fields: dict[str, Any]) -> None:
    story = Story(MOBILE, SECOND)
    story.suppressed = {MOBILE: NOON}
    assert story.says(wishes, source="provider", with_address=True, **fields) == []


def test_a_providers_stop_is_taken_though_nothing_was_asked() -> None:
    story = Story()
    story.texts("no", source="provider")
    assert story["sms"] == story[f"address:{MOBILE}"] == "no"


# --- everything --------------------------------------------------------------------------------


def test_everything_no_is_one_flag_and_stops_what_is_added_later_too() -> None:
    story = Story()
    story.says({"sms": "yes"})
    story.says({"everything": "no"})
    assert story.all == {"channel:sms": "yes", "everything": "no"}
    assert not story.flag("sms").opens


def test_everything_yes_is_yes_on_every_channel_the_profile_has_an_address_for() -> None:
    story = Story()
    lines = story.says({"everything": "yes"})
    assert story.all == {"everything": "yes", "channel:sms": "yes", "channel:email": "yes"}
    assert len({line.change_id for line in lines}) == 1
    assert [line.via for line in lines] == [None, "everything", "everything"]


def test_everything_yes_turns_a_no_on_its_addresses_yes_and_leaves_the_others() -> None:
    story = Story(MOBILE, SECOND)
    story.texts("no", MOBILE)
    story.says({"everything": "yes"})
    assert story[f"address:{MOBILE}"] == "yes"
    assert story[f"address:{SECOND}"] == "not_asked"


def test_everything_yes_is_a_renewed_yes_on_channels_that_were_yes() -> None:
    story = Story()
    story.says([Wish(about("sms"), "yes", "implied", later(90))])
    story.says({"everything": "yes"})
    assert story.flag("sms").expires_at is None
    assert story.flag("sms").recorded_at == story.now


def test_everything_yes_that_was_taken_back_before_it_arrived_opens_nothing() -> None:
    story = Story()
    story.says({"everything": "no"})
    story.texts("no", MOBILE)
    story.says({"everything": "yes"}, said_at=NOON - timedelta(hours=1))
    assert (story["everything"], story["sms"], story[f"address:{MOBILE}"]) == ("no", "no", "no")
    assert not story.flag("email").opens


def test_a_no_that_a_file_says_is_the_persons_for_whoever_comes_without_evidence() -> None:
    story = Story()
    story.says({"sms": "no"}, source="import", actor="system")
    assert story.flag("sms").firm
    for source in ("import", "api", "portal"):
        assert why(story.tries({"sms": "yes"}, source=source, actor="user:sadie")) == ["needs_evidence"]


# --- linked preferences ------------------------------------------------------------------------


def linked() -> Story:
    return Story(links={DRAMA: "email", OPERA: "email", DANCE: "email"})


def test_when_the_channel_turns_no_its_linked_preferences_that_are_yes_turn_no() -> None:
    story = linked()
    story.says({DRAMA: "yes"}, source="preference_centre")
    lines = story.unsubscribes()
    assert story[DRAMA] == "no"
    assert [line.via for line in lines] == [None, "link"]
    assert len({line.change_id for line in lines}) == 1


def test_when_the_channel_turns_no_a_linked_preference_never_asked_stays() -> None:
    story = linked()
    story.unsubscribes()
    assert story[DRAMA] == "not_asked"


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "form"},
        {"source": "confirmation"},
        {"source": "portal", "actor": "user:sadie"},
        {"source": "api", "actor": "key:crm", "evidence": EVIDENCE},
        {"source": "import", "actor": "user:sadie", "evidence": EVIDENCE},
    ],
)
def test_a_yes_to_a_linked_preference_turns_its_channel_yes(fields: dict[str, Any]) -> None:
    story = linked()
    story.says({DRAMA: "yes"}, **fields)
    assert story["email"] == "yes"


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "segment", "actor": "system"},
        {"source": "program", "actor": "system"},
        {"source": "click", "actor": "system"},
        {"source": "api", "actor": "key:crm"},
        {"source": "api", "actor": "key:crm", "evidence": {"note": "nightly sync", "how": ""}},
        {"source": "import", "actor": "user:sadie"},
    ],
)
def test_a_yes_to_a_linked_preference_by_a_machine_or_without_evidence_leaves_its_channel(
    fields: dict[str, Any],
) -> None:
    story = linked()
    story.says({DRAMA: "yes"}, **fields)
    assert story[DRAMA] == "yes"
    assert story["email"] == "not_asked"


def test_a_yes_to_a_linked_preference_turns_no_other_preference() -> None:
    story = linked()
    story.says({DRAMA: "yes", OPERA: "yes"}, source="form")
    story.unsubscribes()
    story.says({DRAMA: "yes"}, source="form")
    assert (story["email"], story[DRAMA], story[OPERA]) == ("yes", "yes", "no")


def test_when_the_person_says_yes_to_the_channel_again_those_the_link_had_turned_no_come_back() -> None:
    story = linked()
    story.says({DRAMA: "yes"}, source="form")
    story.unsubscribes()
    story.says({"email": "yes"}, source="preference_centre")
    assert story[DRAMA] == "yes"


ENDS = NOON + timedelta(days=700)


def terms(story: Story, name: str) -> tuple[str, str | None, datetime | None]:
    flag = story.flags[about(name)]
    return flag.state, flag.basis, flag.expires_at


def test_a_channel_that_a_linked_preference_turns_yes_is_so_on_the_preferences_terms() -> None:
    story = linked()
    story.says([Wish(about(DRAMA), "yes", "implied", ENDS)], source="form")
    assert terms(story, "email") == ("yes", "implied", ENDS)


@pytest.mark.parametrize("other", [Wish(about(OPERA), "yes"), Wish(about(OPERA), "yes", "express", ENDS)])
def test_of_several_it_is_so_on_the_best_of_their_terms(other: Wish) -> None:
    for wishes in (
        [Wish(about(DRAMA), "yes", "implied", ENDS), other],
        [other, Wish(about(DANCE), "yes", "implied", ENDS)],
    ):
        story = linked()
        story.says(wishes, source="form")
        assert terms(story, "email") == ("yes", "express", other.expires_at)


def test_what_comes_back_by_a_link_comes_back_on_the_terms_that_it_had() -> None:
    story = linked()
    story.says([Wish(about(DRAMA), "yes", "implied", ENDS), Wish(about(OPERA), "yes")], source="form")
    for _ in range(2):
        no, *_ = (line for line in story.unsubscribes() if line.subject == about(DRAMA))
        assert (no.to_state, no.via, no.basis, no.expires_at) == ("no", "link", "implied", ENDS)
        story.says({"email": "yes"}, source="preference_centre")
        assert terms(story, DRAMA) == ("yes", "implied", ENDS)
        assert terms(story, OPERA) == ("yes", "express", None)


def test_they_come_back_by_the_persons_word_only() -> None:
    story = linked()
    story.says({DRAMA: "yes"}, source="form")
    story.unsubscribes()
    story.says({"email": "yes"}, source="api", actor="key:crm", evidence=EVIDENCE)
    assert (story["email"], story[DRAMA]) == ("yes", "no")


def test_one_that_was_declined_or_never_asked_stays() -> None:
    story = linked()
    story.says({DRAMA: "no", OPERA: "yes"}, source="form")
    story.unsubscribes()
    story.says({OPERA: "no"}, source="preference_centre")  # the link's no, and now the person's own
    story.says({"email": "yes"}, source="preference_centre")
    assert (story[DRAMA], story[OPERA], story[DANCE]) == ("no", "no", "not_asked")


@pytest.mark.parametrize("source", ["keyword", "api", "import"])
def test_so_does_one_that_was_declined_before_its_channel_was_and_we_hear_of_it_afterwards(source: str) -> None:
    story = linked()
    story.says({DRAMA: "yes"}, source="form")
    said_at = story.now + timedelta(seconds=30)
    story.unsubscribes()
    story.says({DRAMA: "no"}, source=source, said_at=said_at)
    story.says({"email": "yes"}, source="preference_centre")
    assert story[DRAMA] == "no"


def test_what_a_change_names_itself_a_link_never_touches() -> None:
    story = linked()
    story.says({DRAMA: "yes", OPERA: "yes"}, source="form")
    story.says({"email": "no", DRAMA: "yes"}, source="preference_centre")
    assert (story["email"], story[DRAMA], story[OPERA]) == ("no", "yes", "no")


def test_a_link_opens_no_other_channel_than_the_one_that_a_change_may_open() -> None:
    for only, opened in ((None, "yes"), ({"email", "post"}, "yes"), ({"sms"}, "not_asked"), ((), "not_asked")):
        story = linked()
        story.says({DRAMA: "yes"}, source="form", opens_only=frozenset(only) if only is not None else None)
        assert story["email"] == opened
        assert story[DRAMA] == "yes"


def test_a_link_never_sets_off_another() -> None:
    story = Story(links={DRAMA: "email", OPERA: "email"})
    story.says({DRAMA: "yes", OPERA: "yes"}, source="form")
    story.unsubscribes()
    lines = story.says({OPERA: "yes"}, source="form")  # turns the channel yes; that brings nothing else back
    assert [(line.subject, line.via) for line in lines] == [(about(OPERA), None), (about("email"), "link")]


def test_everything_no_is_no_channels_no_and_touches_no_preference() -> None:
    story = linked()
    story.says({DRAMA: "yes"}, source="form")
    story.says({"everything": "no"})
    assert story[DRAMA] == "yes"


# --- no machine undoes a person's no -----------------------------------------------------------


@pytest.mark.parametrize("subject", ["everything", "sms", f"address:{MOBILE}", DRAMA])
@pytest.mark.parametrize("source", sorted(STAFF | RECORDED | MACHINE | {"form"}))
def test_a_persons_own_no_is_never_set_to_not_asked(source: str, subject: str) -> None:
    story = Story()
    story.says({subject: "no"})
    moved = story.tries({subject: "not_asked"}, source=source, actor="someone", evidence=EVIDENCE)
    assert why(moved) in (["persons_no"], ["machine"])


@pytest.mark.parametrize("subject", ["everything", "sms", f"address:{MOBILE}", DRAMA])
@pytest.mark.parametrize("source", sorted(STAFF | RECORDED))
def test_a_yes_over_it_needs_evidence(source: str, subject: str) -> None:
    story = Story()
    story.says({subject: "no"})
    fields: dict[str, Any] = {"source": source, "actor": "key:crm"}
    assert "needs_evidence" in why(story.tries({subject: "yes"}, **fields))
    story.says({subject: "yes"}, evidence=EVIDENCE, **fields)
    assert story[subject] == "yes"


@pytest.mark.parametrize(
    "evidence",
    [
        {},
        {"how": "on the phone"},
        {"obtained_at": "2026-11-20T13:00:00+00:00"},
        {"obtained_at": "2026-11-20T13:00:00", "how": "a time without a zone"},
        {"obtained_at": "yesterday", "how": "on the phone"},
        {"obtained_at": 1795179600, "how": "on the phone"},
        {"obtained_at": "2026-11-20T11:59:59+00:00", "how": "before the no"},
        {"obtained_at": "2026-11-20T12:01:00.250001+00:00", "how": "at the very moment of the no"},
    ],
)
def test_evidence_needs_obtained_at_later_than_the_no_and_how(evidence: dict[str, Any]) -> None:
    story = Story()
    story.texts("no")
    assert why(story.tries({"sms": "yes"}, source="api", actor="key:crm", evidence=evidence)) == ["needs_evidence"]


def test_evidence_of_the_same_tick_as_a_coarser_no_is_not_later() -> None:
    story = Story()
    story.texts("no", said_at=NOON.replace(microsecond=0))
    evidence = {"obtained_at": NOON.replace(microsecond=900_000).isoformat(), "how": "on the phone"}
    assert why(story.tries({"sms": "yes"}, source="api", actor="key:crm", evidence=evidence)) == ["needs_evidence"]


@pytest.mark.parametrize("source", ["segment", "program", "click"])
@pytest.mark.parametrize("said_by", [{"source": "keyword"}, {"source": "api", "actor": "key:crm"}])
def test_segment_program_and_click_never_turn_a_no(source: str, said_by: dict[str, Any]) -> None:
    story = Story()
    story.says({DRAMA: "no"}, **said_by)
    for to in ("yes", "not_asked"):
        assert why(story.tries({DRAMA: to}, source=source, actor="system", evidence=EVIDENCE)) == ["machine"]


def test_what_staff_recorded_staff_may_correct() -> None:
    story = Story()
    story.says({"sms": "no"}, source="api", actor="key:crm")
    story.says({"sms": "yes"}, source="portal", actor="user:sadie")
    assert story["sms"] == "yes"


@pytest.mark.parametrize(
    ("wide", "narrow"), [("everything", "sms"), ("everything", "email"), ("sms", f"address:{SECOND}")]
)
def test_a_yes_to_something_narrower_undoes_the_persons_no_too_and_needs_evidence(wide: str, narrow: str) -> None:
    story = Story(MOBILE, SECOND, MAILBOX)
    story.says({wide: "no"})
    assert why(story.tries({narrow: "yes"}, source="api", actor="key:crm")) == ["needs_evidence"]
    assert why(story.tries({narrow: "yes"}, source="default", actor="system")) == ["machine"]
    story.says({narrow: "yes"}, source="api", actor="key:crm", evidence=EVIDENCE)
    assert story.flag(narrow).opens


def test_with_one_refusal_nothing_of_the_change_happens() -> None:
    story = Story()
    story.texts("no")
    moved = story.tries({"sms": "yes", "email": "yes"}, source="api", actor="key:crm")
    assert moved.events == ()
    assert moved.flags == story.flags


@pytest.mark.parametrize("source", ["keyword", "confirmation", "preference_centre"])
def test_the_persons_own_yes_needs_no_evidence(source: str) -> None:
    story = Story()
    story.texts("no")
    story.says({"sms": "yes"}, source=source)
    assert story["sms"] == "yes"


# --- repeated states ---------------------------------------------------------------------------


def test_a_repeated_state_is_recorded_when_the_person_repeats_it() -> None:
    story = Story()
    for to in ("yes", "no"):
        story.texts(to)
        assert [line.from_state for line in story.texts(to)] == [to]


def test_a_repeated_state_is_recorded_when_evidence_comes_with_it() -> None:
    story = Story()
    story.says({"sms": "yes"}, source="api", actor="key:crm")
    assert len(story.says({"sms": "yes"}, source="api", actor="key:crm", evidence=EVIDENCE)) == 1


@pytest.mark.parametrize("source", sorted(RECORDED | MACHINE))
@pytest.mark.parametrize("to", ["yes", "no", "not_asked"])
def test_a_machines_bare_repetition_is_not_recorded(source: str, to: str) -> None:
    """But a no out of a file, or of somebody who is merged, is the last word: what repeats is left out before."""
    story = Story()
    story.says({DRAMA: to}, source="portal", actor="user:sadie")
    if to == "no" and source in ("import", "merge"):
        assert [line.to_state for line in story.says({DRAMA: to}, source=source, actor="key:crm")] == ["no"]
        return
    assert story.says({DRAMA: to}, source=source, actor="key:crm") == []
    assert story.says({DRAMA: to}, source=source, actor="key:crm", evidence={"note": "nightly sync"}) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"source": "portal"},
        {"source": "disposition"},
        {"source": "api", "by_agent": True},
        {"source": "api", "evidence": EVIDENCE},
        {"source": "api", "said_at": NOON + timedelta(seconds=20)},
    ],
)
def test_a_no_that_staff_repeat_counts_from_then_and_older_evidence_does_not_undo_it(fields: dict[str, Any]) -> None:
    story = Story()
    story.texts("no", now=NOON)
    again = NOON + timedelta(seconds=20)
    assert len(story.says({"sms": "no"}, now=again, actor="key:crm", **fields)) == 1
    between = {"obtained_at": (NOON + timedelta(seconds=10)).isoformat(), "how": "form"}
    moved = story.tries(
        {"sms": "yes"}, now=NOON + timedelta(seconds=30), source="api", actor="key:crm", evidence=between
    )
    assert why(moved) == ["needs_evidence"]
    assert story.flag("sms").firm


def test_a_sync_that_says_when_records_a_no_once() -> None:
    story = Story()
    story.texts("no", now=NOON)
    earlier, later_on = NOON - timedelta(days=1), NOON + timedelta(seconds=5)
    for then, lines in ((earlier, 0), (later_on, 1), (later_on, 0), (NOON, 0)):
        night = {"now": NOON + timedelta(days=1), "source": "api", "actor": "key:crm", "said_at": then}
        assert len(story.says({"sms": "no"}, **night)) == lines


TOMORROW, IN_A_YEAR = NOON + timedelta(days=1), NOON + timedelta(days=365)


@pytest.mark.parametrize(
    ("stands", "said", "then"),
    [
        ((None, None), ("implied", TOMORROW), ("implied", TOMORROW)),
        ((None, None), (None, TOMORROW), ("express", TOMORROW)),
        (("implied", None), ("soft_opt_in", None), ("soft_opt_in", None)),
        (("implied", IN_A_YEAR), (None, TOMORROW), ("implied", TOMORROW)),
        (("implied", TOMORROW), ("implied", IN_A_YEAR), ("implied", IN_A_YEAR)),
        (("implied", TOMORROW), ("express", None), ("express", TOMORROW)),
    ],
)
def test_a_yes_on_other_terms_is_no_repetition(stands: Any, said: Any, then: Any) -> None:
    story = Story()
    for basis, end in (stands, said):
        assert len(story.says([Wish(about("sms"), "yes", basis, end)], source="api", actor="key:crm")) == 1
    assert (story.flag("sms").basis, story.flag("sms").expires_at) == then


def test_a_bare_yes_leaves_the_terms_that_stand() -> None:
    story = Story()
    story.says([Wish(about("sms"), "yes", "implied", TOMORROW)], source="api", actor="key:crm")
    assert story.says({"sms": "yes"}, source="api", actor="key:crm") == []
    assert story.flag("sms").expires_at == TOMORROW


def test_a_machine_shortens_a_yes_and_never_lengthens_it() -> None:
    story = Story()
    story.says([Wish(about(DRAMA), "yes", "implied", IN_A_YEAR)], source="form")
    assert story.says([Wish(about(DRAMA), "yes", "express", None)], source="segment", actor="system") == []
    assert story.says([Wish(about(DRAMA), "yes", None, TOMORROW)], source="segment", actor="system")
    assert story.flag(DRAMA).expires_at == TOMORROW


def test_a_sync_of_everything_yes_is_recorded_once() -> None:
    story = Story()
    story.says({"everything": "yes"}, source="api", actor="key:crm")
    assert story.says({"everything": "yes"}, source="api", actor="key:crm") == []


# --- order -------------------------------------------------------------------------------------


def test_effective_time_is_the_providers_where_given() -> None:
    story = Story()
    story.says({"sms": "yes"}, said_at=NOON - timedelta(minutes=5))
    assert story.flag("sms").at == NOON - timedelta(minutes=5)


def test_effective_time_is_never_later_than_ours() -> None:
    story = Story()
    story.texts("yes", said_at=NOON + timedelta(days=1))
    story.texts("no")
    assert story["sms"] == "no"


@pytest.mark.parametrize(
    ("yes", "no"),
    [
        (".250001", ".250001"),
        (".250999", ".250000"),  # milliseconds against microseconds
        (".999999", ".000000"),  # seconds against microseconds
        (".999000", ".000000"),
        (".000000", ".999999"),
    ],
)
@pytest.mark.parametrize("first", ["yes", "no"])
def test_two_are_compared_at_the_coarser_precision_and_ties_are_no(yes: str, no: str, first: str) -> None:
    story = Story()
    said = {"yes": f"2026-11-20T12:00:05{yes}+00:00", "no": f"2026-11-20T12:00:05{no}+00:00"}
    for to in (first, "no" if first == "yes" else "yes"):
        story.says({"sms": to}, said_at=datetime.fromisoformat(said[to]), now=NOON + timedelta(minutes=1))
    assert story["sms"] == "no"


def test_a_yes_of_the_next_second_is_later_than_a_coarse_no() -> None:
    story = Story()
    story.says({"sms": "no"}, said_at=NOON.replace(microsecond=0))
    story.says({"sms": "yes"}, said_at=NOON.replace(microsecond=0) + timedelta(seconds=1))
    assert story["sms"] == "yes"


def test_an_older_one_arriving_late_is_recorded_marked_superseded() -> None:
    story = Story()
    story.texts("no")
    [line] = story.texts("yes", said_at=NOON)
    assert line.superseded
    assert story["sms"] == story[f"address:{MOBILE}"] == "no"


def test_what_arrives_late_sets_off_no_link() -> None:
    story = linked()
    story.says({DRAMA: "yes"}, source="form")
    [line] = story.says({"email": "no"}, source="complaint", said_at=NOON - timedelta(days=1))
    assert line.superseded
    assert story[DRAMA] == "yes"


def test_effects_on_other_subjects_happen_in_arrival_order() -> None:
    words = [({DRAMA: "yes"}, 1), ({"email": "no"}, 2), ({"email": "yes"}, 3)]
    ends = {}
    for order in ((0, 1, 2), (0, 2, 1)):
        story = linked()
        for wishes, second in (words[place] for place in order):
            story.says(wishes, source="form", said_at=NOON - timedelta(hours=1) + timedelta(seconds=second))
        ends[order] = [(line.subject.key, line.to_state, line.via) for line in story.history if line.via]
        assert (story["email"], story[DRAMA]) == ("yes", "yes")
    assert ends[0, 1, 2] == [("email", "yes", "link"), ("prf_drama", "no", "link"), ("prf_drama", "yes", "link")]
    assert ends[0, 2, 1] == [("email", "yes", "link")]  # the no came late: nothing follows from it


def test_a_yes_by_effect_never_outlives_a_no_that_was_said_after_it() -> None:
    story = linked()
    story.says({DRAMA: "yes"}, source="form", said_at=NOON)  # turns the channel yes, a minute later
    story.unsubscribes(said_at=NOON + timedelta(seconds=30))
    assert story["email"] == "no"


def test_a_clock_set_back_loses_no_stop() -> None:
    story = Story()
    story.texts("yes")
    story.texts("no", now=story.now - timedelta(minutes=10))
    assert story["sms"] == "no"


def test_a_clock_set_back_lets_no_start_overtake_a_stop() -> None:
    story = Story()
    story.texts("no")
    story.texts("yes", now=story.now - timedelta(minutes=10))
    assert story["sms"] == "no"


# --- what was held up on its way in ------------------------------------------------------------


def test_a_yes_that_came_before_a_no_and_is_recorded_after_it_is_the_older_word() -> None:
    story = Story()
    came = story.now + timedelta(seconds=30)
    story.texts("no")
    story.says({"email": "yes"}, source="portal")  # something else, recorded meanwhile
    [line] = story.texts("yes", received_at=came)
    assert line.superseded
    assert line.effective_at == came
    assert (story["sms"], story[f"address:{MOBILE}"]) == ("no", "no")


def test_a_no_is_never_put_back_to_when_it_came() -> None:
    """A yes that was held up longer may have been recorded meanwhile, as of then: the no would be lost to it."""
    story = Story()
    story.texts("no")
    now = story.now
    story.texts("yes", received_at=now + timedelta(seconds=10))
    [line] = story.texts("no", received_at=now + timedelta(seconds=11))  # before that yes was recorded
    assert (line.provider_at, line.superseded) == (None, False)
    assert (story["sms"], story[f"address:{MOBILE}"]) == ("no", "no")


def test_what_nothing_overtook_is_as_old_as_its_line() -> None:
    story = Story()
    [first] = story.texts("yes", received_at=story.now)
    story.texts("no")
    [line] = story.texts("yes", received_at=story.now + timedelta(seconds=59))
    assert (first.provider_at, line.provider_at, line.superseded, story["sms"]) == (None, None, False, "yes")


@pytest.mark.parametrize("back", [timedelta(milliseconds=10), timedelta(minutes=10)])
def test_a_start_that_waits_for_its_locks_is_older_than_what_another_recorded_meanwhile(back: timedelta) -> None:
    """Its transaction has its time before the locks; and a clock may be set back."""
    story = Story()
    story.texts("yes")
    story.texts("no")
    stopped = story.now
    story.says({"email": "yes"}, source="portal", now=stopped + timedelta(microseconds=1))
    [line] = story.texts("yes", now=stopped - back, received_at=stopped - 2 * back)
    assert (line.superseded, story["sms"]) == (True, "no")


def test_a_start_that_is_older_than_a_no_left_behind_does_not_lift_it() -> None:
    story = Story()
    story.suppressed[MOBILE] = story.now + timedelta(seconds=50)
    came = story.now + timedelta(seconds=40)
    [line] = story.texts("yes", received_at=came)
    assert line.effective_at == came < story.suppressed[MOBILE]


def test_a_yes_counts_from_when_it_came_however_long_its_transaction_took() -> None:
    story = Story()
    came = story.now + timedelta(seconds=1)
    [start] = story.texts("yes", now=came + timedelta(seconds=5), received_at=came)
    assert (start.at, start.provider_at) == (came, None)
    story.says({"sms": "no"}, source="api", by_person=True, said_at=came + timedelta(seconds=2))
    assert story["sms"] == "no"


def test_texts_that_are_kept_together_stand_in_the_order_they_came() -> None:
    story = Story()
    kept = story.now + timedelta(seconds=5)
    for seconds, to in ((1, "yes"), (2, "no"), (3, "yes")):
        story.texts(to, now=kept, received_at=story.now.replace(second=seconds))
    assert (story["sms"], [line.superseded for line in story.history]) == ("yes", [False, False, False])


@pytest.mark.parametrize("by", [{"by_person": True}, {"by_agent": True}])
def test_a_yes_that_was_obtained_before_a_no_was_said_is_not_the_last_word(by: Any) -> None:
    story = Story()
    old = {"obtained_at": story.now - timedelta(days=30), "how": "on paper"}
    story.says({"sms": "yes"}, source="api", evidence=old)
    [line] = story.says({"sms": "no"}, source="api", said_at=story.now - timedelta(days=10), **by)
    assert (story["sms"], line.superseded) == ("no", False)


def test_a_yes_to_an_address_that_was_obtained_before_opens_nothing_either() -> None:
    story = Story()
    old = {"obtained_at": story.now - timedelta(days=30), "how": "on paper"}
    story.says({f"address:{MOBILE}": "yes"}, source="api", evidence=old)
    story.says({"sms": "no"}, source="api", by_agent=True, said_at=story.now - timedelta(days=10))
    assert not story.flags[about(f"address:{MOBILE}")].opens


def test_a_yes_obtained_after_the_no_was_said_stands() -> None:
    story = Story()
    newer = {"obtained_at": story.now - timedelta(days=5), "how": "on paper"}
    story.says({"sms": "yes"}, source="api", evidence=newer)
    [line] = story.says({"sms": "no"}, source="api", by_person=True, said_at=story.now - timedelta(days=10))
    assert (story["sms"], line.superseded) == ("yes", True)


@pytest.mark.parametrize("source", sorted(RECORDED | STAFF))
def test_evidence_that_is_older_than_a_no_never_undoes_it_whoever_said_it(source: str) -> None:
    story = Story()
    story.says({"sms": "no"}, source="portal")  # an agent's: not the person's own act
    old = {"obtained_at": story.now - timedelta(days=1), "how": "on paper"}
    assert [r.why for r in story.tries({"sms": "yes"}, source=source, evidence=old).refusals] == ["needs_evidence"]
    assert not story.tries({"sms": "yes"}, source=source).refusals


def test_a_no_said_again_closes_what_was_opened_under_it_since() -> None:
    story = Story()
    story.says({"everything": "no"}, source="api")
    story.texts("yes")
    assert story.flags[about("sms")].opens
    [line] = story.says({"everything": "no"}, source="api")
    assert (line.to_state, story.flags[about("sms")].opens) == ("no", False)
    assert story.says({"everything": "no"}, source="api") == []  # this one is a repetition


def test_what_is_left_open_by_a_change_is_open_also_where_it_was_yes_before() -> None:
    """ "Only by sms, please." """
    story = Story()
    story.says({"sms": "yes"}, source="portal")
    story.says({"everything": "no", "sms": "yes"}, source="portal")
    assert story.flags[about("sms")].opens


def test_with_a_clock_set_back_the_time_of_arrival_proves_nothing() -> None:
    story = Story()
    story.texts("yes")
    back = story.now - timedelta(minutes=10)
    [line] = story.texts("no", now=back, received_at=back)
    assert (line.provider_at, story["sms"]) == (None, "no")


# --- one PATCH, wide and narrow ----------------------------------------------------------------


def test_in_one_patch_everything_is_applied_first_then_channels_addresses_preferences_then_links() -> None:
    story = Story(links={OPERA: "email"})
    story.says({OPERA: "yes"}, source="form")
    lines = story.says({DRAMA: "yes", f"address:{MOBILE}": "yes", "email": "no", "sms": "yes", "everything": "no"})
    kinds = [(line.subject.kind, line.via) for line in lines]
    assert kinds == [
        ("everything", None),
        ("channel", None),
        ("channel", None),
        ("address", None),
        ("preference", None),
        ("preference", "link"),
    ]
    assert len({line.change_id for line in lines}) == 1


def test_in_one_patch_a_channel_named_yes_opens_under_everything_no() -> None:
    story = Story()
    story.says({"sms": "yes", "everything": "no"})
    assert story.flag("sms").opens


@pytest.mark.parametrize("named", ["no", "not_asked"])
def test_in_one_patch_everything_yes_opens_no_address_of_a_channel_that_is_named_otherwise(named: str) -> None:
    story = Story(MOBILE, SECOND, MAILBOX)
    noes = {"sms": "no", **{f"address:{address}": "no" for address in (MOBILE, SECOND, MAILBOX)}}
    story.says(noes, source="portal", actor="user:sadie")
    story.says({"everything": "yes", "sms": named, f"address:{SECOND}": "yes"}, source="preference_centre")
    assert [story[f"address:{address}"] for address in (MOBILE, SECOND, MAILBOX)] == ["no", "yes", "yes"]
    assert (story["sms"], story["email"]) == (named, "yes")


def test_in_one_patch_a_channel_named_no_stays_no_under_everything_yes() -> None:
    story = Story()
    story.says({"everything": "yes", "sms": "no"})
    assert (story["sms"], story["email"]) == ("no", "yes")


def test_a_later_yes_on_something_narrower_opens_that_alone() -> None:
    story = Story(MOBILE, SECOND, MAILBOX)
    story.says({"sms": "yes"})
    story.says({"everything": "no"})
    story.says({"email": "yes"})
    assert story.flag("email").opens
    assert not story.flag("sms").opens
    story.says({"sms": "no"})
    story.says({f"address:{SECOND}": "yes"})
    assert story.flag(f"address:{SECOND}").opens


def test_a_no_said_again_on_the_wider_closes_what_was_open() -> None:
    story = Story()
    story.says({"everything": "no"})
    story.says({"email": "yes"})
    story.says({"everything": "no"})
    assert not story.flag("email").opens


def test_what_opens_does_not_depend_on_the_order_of_arrival() -> None:
    acts = [("everything", "no", 1), ("email", "yes", 2), ("email", "no", 3), ("email", "yes", 4)]
    ends = set()
    for order in itertools.permutations(acts):
        story = Story()
        for name, to, at in order:
            story.says({name: to}, said_at=NOON - timedelta(hours=1) + timedelta(seconds=at))
        ends.add((story["email"], story.flag("email").opens))
    assert ends == {("yes", True)}


# --- terms -------------------------------------------------------------------------------------


def test_a_yes_has_a_basis_and_may_expire() -> None:
    story = Story()
    [line] = story.says([Wish(about("email"), "yes", "implied", later(3600))], source="import", actor="user:sadie")
    assert (line.basis, line.expires_at) == ("implied", later(3600))
    assert (story.flag("email").basis, story.flag("email").expires_at) == ("implied", later(3600))


def test_a_no_has_neither_basis_nor_end() -> None:
    story = Story()
    [line] = story.says([Wish(about("email"), "no", "express", later(3600))])
    assert (line.basis, line.expires_at) == (None, None)


def test_an_act_on_a_profile_carries_its_source_and_actor() -> None:
    story = Story()
    [line] = story.says({"email": "yes"}, source="api", actor="key:crm for agent:sadie")
    assert (line.source, line.actor, line.from_state, line.to_state) == (
        "api",
        "key:crm for agent:sadie",
        "not_asked",
        "yes",
    )


# --- merge -------------------------------------------------------------------------------------


def test_in_a_merge_every_no_wins() -> None:
    story = Story()
    story.texts("yes")
    story.says({"sms": "no"}, source="merge", actor="system")
    assert story["sms"] == "no"
    assert why(story.tries({"sms": "yes"}, source="merge", actor="system")) == ["machine"]


# --- a no stays whose it was ---------------------------------------------------------------------


def test_a_persons_no_stays_theirs_however_often_others_repeat_it() -> None:
    story = Story()
    story.texts("no")
    evidence = {**EVIDENCE, "obtained_at": "2026-11-20T12:30:00+00:00"}
    story.says({"sms": "no"}, source="api", actor="key:crm", evidence=evidence)
    assert story.flag("sms").source == "api"
    assert why(story.tries({"sms": "yes"}, source="api", actor="key:crm")) == ["needs_evidence"]


def test_to_decline_by_itself_what_a_link_had_turned_is_recorded_and_stays() -> None:
    story = Story(links={DRAMA: "email"})
    story.says({DRAMA: "yes"}, source="form")
    story.unsubscribes()
    assert story[DRAMA] == "no"
    assert len(story.says({DRAMA: "no"}, source="portal", actor="user:sadie")) == 1
    assert story.says({DRAMA: "no"}, source="api", actor="key:crm") == []
    story.says({"email": "yes"}, source="confirmation")
    assert story[DRAMA] == "no"


# --- who spoke ---------------------------------------------------------------------------------


@pytest.mark.parametrize("actor", ["user:sadie for customer", "customer", "key:crm"])
def test_who_spoke_is_told_by_the_door_and_never_read_from_a_name(actor: str) -> None:
    story = Story()
    story.says({"sms": "no"}, source="api", actor=actor)
    story.says({"email": "no"}, source="api", actor=actor, by_person=True)
    assert [line.personal for line in story.history] == [False, True]
    assert (story.flag("sms").firm, story.flag("email").firm) == (False, True)
    assert why(story.tries({"email": "not_asked"}, source="api", actor=actor)) == ["persons_no"]
    assert story.says({"sms": "not_asked"}, source="api", actor=actor)
