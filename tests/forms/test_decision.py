"""What a form that was sent in comes to, by what is known of the address: the table of the one rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from consent.moves import transition
from consent.states import Person, State, Subject, Wish
from forms.catalogue import Box, Shown
from forms.decision import NOTHING, Holder, Known, Plan, decide, wishes_of
from forms.submission import Submission, read, spelled
from outbox.confirmations import Details
from tests.acts import NOON, about, change, later

EMAIL, SMS, EVERYTHING = about("email"), about("sms"), about("everything")
DRAMA, OPERA = Subject("preference", "drama"), Subject("preference", "opera")
HERE, ANA = "adr_1", "pro_ana"

FORM = Shown(
    channel="email",
    confirmation_message="Send me news",
    button_text="Yes",
    confirm="none",
    entry="typed",
    fields=("first_name",),
    preferences=(Box(id="drama", text="Drama"), Box(id="opera", text="Opera")),
)
DOUBLE = FORM.model_copy(update={"confirm": "double"})
IGNORE = FORM.model_copy(update={"existing": "ignore"})
SENT = Submission("frm_1", 1, "email", "ana@example.org", {"drama": True, "opera": False}, at=NOON)

CHANNEL_YES = Wish(EMAIL, "yes")
ALL = (CHANNEL_YES, Wish(DRAMA, "yes"), Wish(OPERA, "no"))
LOCALE = Details(locale="en")


def person(said: Mapping[str, State] | None = None, **fields: Any) -> Person:
    """Somebody with the address who has said this, subject by subject, an hour ago."""
    who = Person({}, ((HERE, "email"),), {HERE: "email"}, **fields)
    for name, to in (said or {}).items():
        moved = transition(
            who, change(ANA, {name: to}), links={}, now=NOON - timedelta(hours=1), new_id=lambda name=name: name
        )
        who = replace(who, flags=moved.flags)
    return who


def holder(said: Mapping[str, State] | None = None, *, is_covered: bool = True, **more: Any) -> Holder:
    return Holder(ANA, person(said), is_covered, **more)


def known(*holders: Holder, at_no: bool = False, links: Mapping[str, str] | None = None) -> Known:
    return Known(HERE, holders, at_no, links or {})


def decided(form: Shown, of: Known, sent: Submission = SENT, *, counts: bool = False) -> Plan:
    return decide(form, sent, of, preselected_counts=counts, now=later())


# --- nobody has the address -------------------------------------------------------------------


def test_a_form_that_asks_nobody_makes_somebody_new_at_once() -> None:
    assert decided(FORM, known()) == Plan(make=ALL, details=LOCALE)


def test_a_double_opt_in_makes_nobody_until_it_is_confirmed() -> None:
    assert decided(DOUBLE, known()) == Plan(ask=ALL, details=LOCALE)


def test_what_did_not_come_from_our_own_page_is_confirmed_whatever_the_form_says() -> None:
    assert decided(FORM, known(), replace(SENT, is_proved=False)) == Plan(ask=ALL, details=LOCALE)


def test_a_no_that_was_left_at_an_address_is_undone_by_no_form_alone() -> None:
    assert decided(FORM, known(at_no=True)) == Plan(ask=ALL, details=LOCALE)
    assert decided(IGNORE, known(at_no=True)) == NOTHING


def test_all_that_was_filled_in_goes_with_somebody_new() -> None:
    form = FORM.model_copy(update={"tags": ("autumn",)})
    sent = replace(SENT, names={"first_name": "Ana"}, attributes={"town": "Leeds"}, language="fr")
    details = Details({"first_name": "Ana"}, {"town": "Leeds"}, ("autumn",), "fr")
    assert decided(form, known(), sent).details == details
    assert decided(form, known(), replace(sent, is_proved=False)).details == details


# --- somebody has it --------------------------------------------------------------------------


def test_what_was_not_asked_follows_the_form() -> None:
    assert decided(FORM, known(holder())) == Plan(now={ANA: ALL}, details=LOCALE)
    assert decided(DOUBLE, known(holder())) == Plan(ask=ALL, details=LOCALE)
    assert decided(IGNORE, known(holder())).now == {ANA: ALL}


SAME: dict[str, State] = {"email": "yes", "preference:drama": "yes", "preference:opera": "no"}


@pytest.mark.parametrize("form", [FORM, DOUBLE, IGNORE])
def test_what_is_so_already_is_neither_renewed_nor_asked(form: Shown) -> None:
    assert replace(decided(form, known(holder(SAME))), details=Details()) == NOTHING


@pytest.mark.parametrize(
    ("said", "at_once"),
    [
        ({"preference:drama": "no"}, (CHANNEL_YES, Wish(OPERA, "no"))),  # turned up
        ({"preference:opera": "yes"}, (CHANNEL_YES, Wish(DRAMA, "yes"))),  # turned down by an unchecked box
        ({"email": "yes", "preference:opera": "yes"}, (Wish(DRAMA, "yes"),)),
    ],
)
def test_what_would_change_an_answer_waits_and_what_was_not_asked_does_not(
    said: Mapping[str, State], at_once: tuple[Wish, ...]
) -> None:
    plan = decided(FORM, known(holder(said)))
    assert (plan.now, plan.ask) == ({ANA: at_once}, ALL)
    dropped = decided(IGNORE, known(holder(said)))
    assert (dropped.now, dropped.ask) == ({ANA: at_once}, None)


@pytest.mark.parametrize("said", [{"email": "no"}, {"everything": "no"}, {f"address:{HERE}": "no"}])
def test_nothing_of_whoever_has_said_no_is_changed_by_a_form_alone(said: Mapping[str, State]) -> None:
    of = known(holder(said), at_no=True)
    for form in (FORM, DOUBLE):
        assert decided(form, of) == Plan(ask=ALL, details=LOCALE)
    assert decided(IGNORE, of) == NOTHING


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_by_text_nobody_is_asked_in_spite_of_a_no(channel: str) -> None:
    form = FORM.model_copy(update={"channel": channel, "preferences": ()})
    sent = replace(SENT, channel=channel, answers={})
    assert decided(form, known(at_no=True), sent) == NOTHING
    assert decided(form.model_copy(update={"confirm": "double"}), known(), sent).ask == (Wish(about(channel), "yes"),)


def test_a_yes_that_does_not_cover_this_address_is_renewed_by_its_owner_alone() -> None:
    plan = decided(FORM, known(holder({"email": "yes"}, is_covered=False)))
    assert plan.ask == ALL
    assert CHANNEL_YES not in plan.now[ANA]


def test_a_yes_on_weaker_terms_is_strengthened_by_its_owner_alone() -> None:
    ends = [Wish(EMAIL, "yes", expires_at=later(86_400))]
    who = person()
    moved = transition(who, change(ANA, ends), links={}, now=NOON, new_id=lambda: "soon")
    one = Holder(ANA, replace(who, flags=moved.flags), is_covered=True)
    assert decided(FORM, known(one)).ask == ALL


@pytest.mark.parametrize("form", [FORM, IGNORE])
@pytest.mark.parametrize("sms", ["yes", "no", "not_asked"])
def test_a_preference_that_is_linked_to_another_channel_is_answered_as_any_other(form: Shown, sms: State) -> None:
    """A word from an address opens no other channel, so that none of that channel's answers would change."""
    plan = decided(form, known(holder({"sms": sms}), links={"drama": "sms"}))
    assert (plan.now, plan.ask) == ({ANA: ALL}, None)


def test_of_a_household_each_keeps_their_answers() -> None:
    ben = replace(holder({"preference:drama": "no"}), profile_id="pro_ben")
    plan = decided(FORM, known(holder(), ben))
    assert plan.now == {ANA: ALL, "pro_ben": (CHANNEL_YES, Wish(OPERA, "no"))}
    assert plan.ask == ALL
    assert decided(IGNORE, known(holder(), ben)).now[ANA] == (CHANNEL_YES, Wish(OPERA, "no"))


@pytest.mark.parametrize("form", [FORM, DOUBLE, IGNORE])
def test_a_no_by_a_link_of_ones_own_waits_for_nothing(form: Shown) -> None:
    own = replace(SENT, answers={"drama": False, "opera": False}, profile_id=ANA)
    ben = replace(holder(SAME), profile_id="pro_ben")
    refused = (Wish(DRAMA, "no"), Wish(OPERA, "no"))
    assert decided(form, known(holder(SAME)), own).now == {ANA: refused}
    assert decided(form, known(holder(SAME)), own).ask is None, "nothing is left to ask about"
    assert decided(form, known(holder(SAME), ben), own).now == {ANA: refused}, "another's waits, as a stranger's would"
    assert decided(form, known(ben), own).now == {}, "the address is theirs no more"
    half = replace(SENT, profile_id=ANA, noes_alone=True)
    assert decided(form, known(holder({"preference:opera": "yes"})), half) == Plan(now={ANA: (Wish(OPERA, "no"),)})
    assert decided(form, known(), half) == NOTHING
    texts = form.model_copy(update={"channel": "sms"})
    assert decided(texts, known(holder(SAME), at_no=True), own).now == {ANA: refused}
    assert decided(form, known(holder(SAME)), replace(own, profile_id=None)).now == {}


# --- names, tags ------------------------------------------------------------------------------


def test_another_name_waits_and_the_same_does_not() -> None:
    sent = replace(SENT, names={"first_name": "Ana"})
    for names in ({"first_name": "Anna"}, {"first_name": None}, {}):
        plan = decided(FORM, known(holder(SAME, names=names)), sent)
        assert (plan.now, plan.ask, plan.details.names) == ({}, ALL, {"first_name": "Ana"})
        assert decided(IGNORE, known(holder(SAME, names=names)), sent).ask is None
    assert decided(FORM, known(holder(SAME, names={"first_name": "Ana"})), sent).ask is None
    household = known(holder(SAME), replace(holder(SAME), profile_id="pro_ben"))
    assert decided(FORM, household, sent).ask is None, "nobody can say whose it is"


def test_a_tag_follows_the_form() -> None:
    tagged = {"tags": ("autumn",)}
    assert decided(FORM.model_copy(update=tagged), known(holder(SAME))).tag == ("autumn",)
    assert decided(DOUBLE.model_copy(update=tagged), known(holder(SAME))).ask == ALL
    have = holder(SAME, tags=frozenset({"autumn"}))
    assert decided(DOUBLE.model_copy(update=tagged), known(have)) == NOTHING


# --- what is wished ---------------------------------------------------------------------------


def test_a_box_that_was_preselected_and_left_so_is_no_answer_unless_that_counts() -> None:
    sent = replace(SENT, answers={"drama": True, "opera": True}, untouched=("drama",))
    assert wishes_of(FORM, sent, preselected_counts=False) == (CHANNEL_YES, Wish(OPERA, "yes"))
    assert Wish(DRAMA, "yes") in wishes_of(FORM, sent, preselected_counts=True)
    unticked = replace(sent, answers={"drama": False, "opera": True})
    assert Wish(DRAMA, "no") in wishes_of(FORM, unticked, preselected_counts=False)


def test_what_was_not_shown_is_no_answer() -> None:
    sent = replace(SENT, answers={"opera": True, "circus": True})
    assert wishes_of(FORM, sent, preselected_counts=False) == (CHANNEL_YES, Wish(OPERA, "yes"))


def test_a_submission_is_read_as_it_was_kept() -> None:
    sent = replace(SENT, untouched=("drama",), names={"first_name": "Ana"}, evidence={"page": "https://example.org"})
    assert read(spelled(sent)) == sent
    assert read(spelled(replace(sent, at=None))).at is None


def test_a_question_by_text_takes_no_answer_back_since_it_names_none() -> None:
    form, by_text = DOUBLE.model_copy(update={"channel": "sms"}), replace(SENT, channel="sms")
    of = known(holder({"preference:opera": "yes"}))
    assert decided(form, of, by_text).ask == (Wish(SMS, "yes"), Wish(DRAMA, "yes"))
    assert decided(form, known(holder()), by_text).ask == (Wish(SMS, "yes"), Wish(DRAMA, "yes"), Wish(OPERA, "no"))
