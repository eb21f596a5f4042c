"""What takes an unsubscribing back: exactly what it turned, where nothing was said since, and never more."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent import undo
from consent.states import Subject, Wish
from consent.undo import Having
from tests.acts import NOON, about
from tests.consent.test_moves import CHANNELS, DANCE, DRAMA, MAILBOX, MOBILE, OPERA, SECOND, Story

LINKS = {DRAMA: "email", OPERA: "email", DANCE: "sms"}
BEFORE, LONG_AGO = NOON - timedelta(days=1), NOON - timedelta(days=9)


def unsubscribed(story: Story) -> str:
    """By the link; returns the change."""
    return story.unsubscribes()[0].change_id


def to_undo(story: Story, change_id: str, since: Mapping[str, datetime] | None = None) -> tuple[Wish, ...]:
    restored = undo.wishes(
        change_id,
        story.history,
        now=story.flags,
        addresses=[Having(a, channel, (since or {}).get(a, LONG_AGO)) for a, channel in story.addresses],
        made_at=BEFORE,
        channels=CHANNELS,
        links=story.links,
    )
    return tuple(one.wish for one in restored)


def take_back(story: Story, change_id: str, **since: datetime) -> list[str]:
    """Returns what it is about."""
    wishes = to_undo(story, change_id, since)
    if wishes:
        story.says(wishes, source="unsubscribe_link", address_id=MAILBOX, undoes=change_id)
    return sorted(":".join(filter(None, wish.subject)) for wish in wishes)


def flags(story: Story) -> dict[str, tuple[str, str | None, datetime | None, bool]]:
    """What the verdict and the customer see of them."""
    shown = {":".join(filter(None, s)): (f.state, f.basis, f.expires_at, f.opens) for s, f in story.flags.items()}
    return {subject: flag for subject, flag in shown.items() if flag[0] != "not_asked"}


def test_what_the_link_turned_is_as_before_with_its_basis_and_its_end() -> None:
    story = Story(links=LINKS)
    ends = NOON + timedelta(days=700)
    story.says([Wish(about("email"), "yes", "implied", ends), Wish(about(DRAMA), "yes")])
    before = flags(story)
    change_id = unsubscribed(story)
    assert story["email"] == story[DRAMA] == "no"
    assert take_back(story, change_id) == ["channel:email", "preference:prf_drama"]
    assert flags(story) == before


def test_who_was_never_asked_is_not_asked_again() -> None:
    story = Story()
    change_id = unsubscribed(story)
    assert take_back(story, change_id) == ["channel:email"]
    assert story["email"] == "not_asked"


def test_who_had_said_no_already_has_said_it_still() -> None:
    story = Story()
    story.says({"email": "no"})
    assert take_back(story, unsubscribed(story)) == []
    assert story["email"] == "no"


@pytest.mark.parametrize(("source", "to"), [("preference_centre", "no"), ("complaint", "no"), ("form", "yes")])
def test_what_was_said_since_stays(source: str, to: Any) -> None:
    story = Story(links=LINKS)
    story.says({"email": "yes", DRAMA: "yes", OPERA: "yes"})
    change_id = unsubscribed(story)
    story.says({"email": to, OPERA: "no"}, source=source)
    after = flags(story)
    take_back(story, change_id)
    assert flags(story)["channel:email"] == after["channel:email"]
    assert story[OPERA] == "no"
    assert story[DRAMA] == to, "a linked one goes with its channel"


def test_what_an_earlier_no_had_turned_does_not_come_back() -> None:
    story = Story(links=LINKS)
    story.says({"email": "yes", DRAMA: "yes"})
    unsubscribed(story)
    evidence = {"obtained_at": (story.now + timedelta(seconds=5)).isoformat(), "how": "at the desk"}
    story.says({"email": "yes"}, source="api", evidence=evidence)
    assert story[DRAMA] == "no", "which a word of the person's own would have brought back"
    take_back(story, unsubscribed(story))
    assert (story["email"], story[DRAMA]) == ("yes", "no")


def test_a_yes_that_opened_nothing_opens_nothing_when_it_is_said_again() -> None:
    story = Story()
    story.says({"email": "yes"})
    story.says({"everything": "no"})
    assert take_back(story, unsubscribed(story)) == []
    opened = Story()
    opened.says({"everything": "no"})
    opened.says({"email": "yes"})
    before = flags(opened)
    take_back(opened, unsubscribed(opened))
    assert flags(opened) == before
    assert opened.flag("email").opens


def test_a_no_to_everything_that_came_since_is_not_opened() -> None:
    story = Story()
    story.says({"everything": "no"})
    story.says({"email": "yes"})
    change_id = unsubscribed(story)
    story.says({"everything": "no"})
    assert take_back(story, change_id) == []


def test_an_address_that_came_after_the_yes_is_not_covered_by_its_repetition() -> None:
    story = Story(MOBILE, SECOND)
    story.says({"sms": "yes"}, now=NOON)
    story.says({"sms": "no"}, source="unsubscribe_link", address_id=MOBILE)
    since = {MOBILE: LONG_AGO, SECOND: NOON + timedelta(seconds=1)}
    change_id = story.history[-1].change_id
    assert take_back(story, change_id, **since) == [f"address:{MOBILE}"]
    assert (story["sms"], story[f"address:{SECOND}"]) == ("no", "not_asked")
    assert story.flag(f"address:{MOBILE}").opens


def test_an_address_that_was_open_under_a_no_is_open_again() -> None:
    story = Story()
    story.says({"email": "no"})
    story.says({f"address:{MAILBOX}": "yes"})
    before = flags(story)
    change_id = unsubscribed(story)
    assert not story.flag(f"address:{MAILBOX}").opens
    take_back(story, change_id)
    assert flags(story) == before


def test_nobody_elses_no_is_set_to_not_asked() -> None:
    story = Story()
    change_id = unsubscribed(story)
    story.unsubscribes()
    moved = story.tries({"email": "not_asked"}, source="unsubscribe_link", undoes=change_id)
    assert [one.why for one in moved.refusals] == ["persons_no"]


SUBJECTS = ["everything", "email", "sms", f"address:{MAILBOX}", f"address:{MOBILE}", DRAMA, OPERA, DANCE]
ACTS = st.lists(
    st.tuples(
        st.dictionaries(st.sampled_from(SUBJECTS), st.sampled_from(["yes", "no"]), min_size=1, max_size=4),
        st.sampled_from(["keyword", "form", "preference_centre"]),
    ),
    max_size=6,
)


@given(acts=ACTS, everywhere=st.booleans())
def test_taken_back_at_once_all_is_as_if_it_had_not_been(
    acts: list[tuple[dict[str, Any], str]], everywhere: bool
) -> None:
    story = Story(links=LINKS)
    for wishes, source in acts:
        story.says(wishes, source=source)
    before = flags(story)
    channels = ["email", "sms", "voice"] if everywhere else ["email"]
    story.says(dict.fromkeys(channels, "no"), source="unsubscribe_link", address_id=MAILBOX)
    take_back(story, story.history[-1].change_id)
    after = flags(story)
    dormant = {
        subject
        for subject, flag in before.items()
        if subject.removeprefix("channel:") in channels and flag[0] == "yes" and not flag[3]
        and before.get("everything", ("", None, None, False))[0] == "no"
    }  # fmt: skip
    linked = {f"preference:{p.partition(':')[2]}" for p, channel in LINKS.items() if f"channel:{channel}" in dormant}
    for subject in (before.keys() | after.keys()) - dormant - linked:
        assert after.get(subject) == before.get(subject), subject
    for subject in dormant:  # nothing was sent by them, and nothing is
        assert after[subject][0] == "no"
    assert Subject("channel", "whatsapp") not in story.flags
