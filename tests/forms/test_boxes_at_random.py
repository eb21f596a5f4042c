"""Whatever is ticked on an own page: no box that was left unticked becomes a yes, no ticked one is turned off."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from consent.states import EVERYTHING, Subject, state_of
from forms import boxes
from forms.boxes import Address, Answers, Box, Group, Sheet
from tests.consent.test_moves import CHANNELS, MAILBOX, MOBILE, SECOND, Story

TEXTS = {"email": "mail", "sms": "text"}
LINKED = {"prf_a": "email", "prf_b": "email", "prf_c": None, "prf_d": "sms"}
LINKS = {f"preference:{key}": channel for key, channel in LINKED.items() if channel}
HAVING = (MOBILE, SECOND, MAILBOX)
ADDRESSES = [f"address:{one}" for one in HAVING]
SUBJECTS = ["everything", "email", "sms", *ADDRESSES, *(f"preference:{key}" for key in LINKED)]
WISHES = st.dictionaries(st.sampled_from(SUBJECTS), st.sampled_from(["yes", "no"]), min_size=1, max_size=4)
ACTS = st.lists(st.tuples(WISHES, st.sampled_from(["keyword", "form", "preference_centre"])), max_size=6)


def told(acts: Any) -> Story:
    story = Story(*HAVING, links=LINKS)
    for wishes, source in acts:
        story.says(wishes, source=source)
    return story


def filled_in(story: Story, data: Any, now: datetime, **how: Any) -> tuple[list[Box], frozenset[str], Answers]:
    """The boxes of the page as it stands, which were ticked, and what that comes to."""
    having = [Address(one, CHANNELS[one], one) for one in HAVING]
    channels = boxes.channels_of(having, story.flags, TEXTS, ("email", "sms"), now)
    preferences = [boxes.preference(key, key, linked, story.flags, now) for key, linked in LINKED.items()]
    shown = [
        box for one in channels for box in (one.box, *(own for _, own in one.addresses if own)) if not box.needs_text
    ]
    shown += preferences
    ticked = frozenset(data.draw(st.sets(st.sampled_from([box.key for box in shown]))))
    sheet = Sheet({box.key: box.mark for box in shown}, ticked)
    return shown, ticked, boxes.decide(channels, [Group(None, None, tuple(preferences))], sheet, **how)


def comes(story: Story, address: str) -> bool:
    """Whether marketing comes there: rows 3 to 5 and 10 of the verdict, with every address covered."""
    channel, own = story.flags.get(Subject("channel", CHANNELS[address])), story.flags.get(Subject("address", address))
    if state_of(story.flags, EVERYTHING) == "no" and not (channel and channel.opens):
        return False
    if channel and channel.state == "no" and not (own and own.opens):
        return False
    if own and own.state == "no":
        return False
    return any(flag is not None and flag.state == "yes" for flag in (channel, own))


def is_kept_by_an_address(box: Box, ticked: frozenset[str]) -> bool:
    """Whether a channel that is off stays as it is since an address of it was left switched on."""
    return any(CHANNELS[one] == box.channel and f"address:{one}" in ticked for one in HAVING)


@settings(max_examples=300, deadline=None)
@given(acts=ACTS, data=st.data())
def test_by_a_link_that_proves_all_it_is_as_it_was_ticked(acts: Any, data: Any) -> None:
    story = told(acts)
    now = story.now + timedelta(minutes=1)
    shown, ticked, found = filled_in(story, data, now, is_fresh=True)
    if found.wishes:
        story.says(list(found.wishes), source="preference_centre", now=now, opens_only=frozenset())
    for box in shown:
        state = state_of(story.flags, box.subject)
        if box.key in ticked:
            assert state == "yes" or box.subject.kind == "address" or _went_along(box, ticked), (box, found)
        elif box.subject.kind != "channel":
            assert state != "yes", (box, found)
        elif not is_kept_by_an_address(box, ticked):
            assert state != "yes", (box, found)
            assert not any(comes(story, one) for one in HAVING if CHANNELS[one] == box.channel), (box, found)


def _went_along(box: Box, ticked: frozenset[str]) -> bool:
    """Whether a preference went with its channel, which was switched off."""
    return box.is_on and box.linked is not None and f"channel:{box.linked}" not in ticked


@settings(max_examples=300, deadline=None)
@given(acts=ACTS, data=st.data())
def test_by_an_older_link_nothing_opens_before_it_is_confirmed_and_nothing_unticked_then(acts: Any, data: Any) -> None:
    story = told(acts)
    now = story.now + timedelta(minutes=1)
    shown, ticked, found = filled_in(story, data, now, is_fresh=False)
    before, came = dict(story.flags), {one: comes(story, one) for one in HAVING}
    if found.wishes:
        story.says(list(found.wishes), source="preference_centre", now=now, opens_only=frozenset())
    assert all(flag.state != "yes" or state_of(before, one) == "yes" for one, flag in story.flags.items()), found
    assert all(came[one] or not comes(story, one) for one in HAVING), found
    if found.waiting:
        later = now + timedelta(hours=1)
        story.says(list(found.waiting), source="confirmation", address_id=MAILBOX, now=later, opens_only=frozenset())
    for box in shown:
        if box.key not in ticked and not (box.subject.kind == "channel" and is_kept_by_an_address(box, ticked)):
            assert state_of(story.flags, box.subject) != "yes", (box, found)
