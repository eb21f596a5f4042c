"""Allowed hours, by injected clock: both days on which clocks change, and ten years of zone transitions."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outbox.hours import BadHours, Hours, daily, next_allowed, outside, weekly
from outbox.jurisdictions import read_law, zones_of

DAY = daily("08:00", "20:00")
ZONES = (
    "America/New_York", "America/Los_Angeles", "America/St_Johns", "America/Santiago", "Europe/Madrid", "Europe/London",
    "Africa/Casablanca", "Asia/Tehran", "Asia/Kathmandu", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia",
    "Pacific/Chatham", "America/Asuncion", "Asia/Gaza", "Africa/Cairo", "Antarctica/Troll", "UTC",
)  # fmt: skip


def at(text: str, zone: str = "UTC") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


@pytest.mark.parametrize(
    ("now", "zone", "opens"),
    [
        ("2026-06-01T12:00", "Europe/Madrid", "2026-06-01T12:00"),  # allowed: at once
        ("2026-06-01T07:59:30", "Europe/Madrid", "2026-06-01T08:00"),
        ("2026-06-01T08:00", "Europe/Madrid", "2026-06-01T08:00"),
        ("2026-06-01T19:59:59", "Europe/Madrid", "2026-06-01T19:59:59"),
        ("2026-06-01T20:00", "Europe/Madrid", "2026-06-02T08:00"),
        ("2026-03-28T21:00", "Europe/Madrid", "2026-03-29T08:00"),  # the night is an hour shorter
        ("2026-10-24T21:00", "Europe/Madrid", "2026-10-25T08:00"),  # and an hour longer
        ("2026-03-07T21:00", "America/New_York", "2026-03-08T08:00"),
        ("2026-10-31T21:00", "America/New_York", "2026-11-01T08:00"),
        ("2026-12-31T23:59", "America/New_York", "2027-01-01T08:00"),
    ],
)
def test_a_message_waits_for_the_morning_of_the_person(now: str, zone: str, opens: str) -> None:
    assert next_allowed(at(now, zone), (zone,), DAY) == at(opens, zone)


def test_a_missing_hour_is_not_waited_for_longer_than_it_is_missing() -> None:
    # On 2026-03-29 Madrid has no time between 02:00 and 03:00.
    assert next_allowed(at("2026-03-29T01:00", "Europe/Madrid"), ("Europe/Madrid",), daily("02:30", "05:00")) == at(
        "2026-03-29T03:00", "Europe/Madrid"
    )


def test_a_doubled_hour_is_allowed_both_times() -> None:
    hours = daily("02:00", "03:00")
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)  # 02:30 in Madrid, in summer time
    assert next_allowed(first, ("Europe/Madrid",), hours) == first
    second = first + timedelta(hours=1)  # 02:30 again
    assert next_allowed(second, ("Europe/Madrid",), hours) == second


def test_all_the_zones_a_number_may_be_in_must_allow_it() -> None:
    zones = ("America/New_York", "America/Los_Angeles")
    assert next_allowed(at("2026-06-01T12:00"), zones, DAY) == at("2026-06-01T15:00")  # 08:00 in Los Angeles
    assert next_allowed(at("2026-06-02T00:30"), zones, DAY) == at("2026-06-02T15:00")  # 20:30 in New York


def test_hours_over_midnight() -> None:
    night = daily("22:00", "06:00")
    assert night.allow(datetime(2026, 6, 1, 23, 0))  # noqa: DTZ001
    assert night.allow(datetime(2026, 6, 1, 5, 59))  # noqa: DTZ001
    assert not night.allow(datetime(2026, 6, 1, 6, 0))  # noqa: DTZ001
    assert next_allowed(at("2026-06-01T12:00"), ("UTC",), night) == at("2026-06-01T22:00")


def test_zones_without_a_common_hour_have_no_next_one() -> None:
    assert next_allowed(at("2026-06-01T12:00"), ("UTC", "Pacific/Apia"), daily("08:00", "09:00")) is None


@pytest.mark.parametrize("zone", ZONES)
def test_ten_years_of_transitions(zone: str) -> None:
    """Around every change of clocks: what is found is allowed, and no quarter of an hour before it was."""
    here = ZoneInfo(zone)
    changes = []
    moment = datetime(2020, 1, 1, tzinfo=UTC)
    while moment < datetime(2030, 1, 1, tzinfo=UTC):
        later = moment + timedelta(hours=6)
        if moment.astimezone(here).utcoffset() != later.astimezone(here).utcoffset():
            changes.append(moment)
        moment = later
    for change in changes:
        for hours in (DAY, daily("02:00", "04:00"), daily("23:30", "00:30")):
            for start in (-20, -3, 0):
                now = change + timedelta(hours=start)
                found = next_allowed(now, (zone,), hours)
                assert found is not None
                assert hours.allow(found.astimezone(here))
                tried = now
                while tried < found:
                    assert not hours.allow(tried.astimezone(here))
                    tried += timedelta(minutes=15)


@given(
    now=st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=3),
    start=st.integers(0, 1439),
    length=st.integers(1, 1439),
)
@settings(max_examples=100, deadline=None)
def test_what_is_found_is_allowed_in_every_zone(now: datetime, zones: list[str], start: int, length: int) -> None:
    end = (start + length) % 1440
    hours = daily(f"{start // 60:02}:{start % 60:02}", f"{end // 60:02}:{end % 60:02}")
    found = next_allowed(now, tuple(zones), hours)
    if found is not None:
        assert found >= now
        assert all(hours.allow(found.astimezone(ZoneInfo(zone))) for zone in zones)


@pytest.mark.parametrize(
    ("number", "day", "opens", "closes"),
    [
        ("+13055550100", 0, "08:00", "20:00"),  # Florida
        ("+12125550100", 0, "08:00", "21:00"),  # New York: the federal rule
        ("+12035550100", 0, "09:00", "20:00"),  # Connecticut
        ("+15125550100", 5, "09:00", "21:00"),  # Texas, Saturday
        ("+15125550100", 6, "12:00", "21:00"),  # Texas, Sunday
        ("+14015550100", 4, "09:00", "18:00"),  # Rhode Island, Friday
        ("+14015550100", 5, "10:00", "17:00"),  # and Saturday
        ("+18005550100", 0, "08:00", "21:00"),  # toll-free: the country's
        ("+14165550100", 0, "08:00", "20:00"),  # Canada: no row of its own
        ("+447700900123", 0, "08:00", "20:00"),
        ("US.1234", 0, "08:00", "20:00"),  # no number at all
    ],
)
def test_the_hours_of_the_place(number: str, day: int, opens: str, closes: str) -> None:
    hours = read_law().hours_for(number)
    wanted = daily(opens, closes).days[0]
    assert hours.days[day] == wanted


def test_the_zones_of_a_number() -> None:
    assert zones_of("+12125550100") == ("America/New_York",)
    assert len(zones_of("+18005550100")) > 10
    assert zones_of("US.1234") == ()
    assert zones_of("+881612345678") == ()


@pytest.mark.parametrize(
    ("row", "word"),
    [
        ({"hours": ["8-20"]}, "time of day"),
        ({"hours": ["20:00-08:00"]}, "earlier"),
        ({"hours": []}, "nothing"),
        ({"hours": ["08:00-20:00"], "caturday": []}, "caturday"),
    ],
)
def test_hours_that_cannot_be_read(row: dict[str, list[str]], word: str) -> None:
    with pytest.raises(BadHours, match=word):
        weekly(row)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    table = tmp_path / "hours.toml"
    table.write_text('[default]\nhours = ["10:00-12:00"]\n[FR]\nhours = ["08:00-22:00"]\nsunday = []\n')
    law = read_law(table)
    assert law.hours_for("+33612345678").days[6] == ()
    assert law.hours_for("+447700900123") == daily("10:00", "12:00")
    table.write_text('[FR]\nhours = ["08:00-22:00"]\n')
    with pytest.raises(BadHours, match="default"):
        read_law(table)
    table.write_text('[FR]\nhours = ["08:00-7:00"]\n')
    with pytest.raises(BadHours, match="FR"):
        read_law(table)


@pytest.mark.parametrize(
    ("start", "end", "quiet", "open_"),
    [
        ("21:00", "08:00", ("21:00", "23:59", "00:00", "07:59"), ("08:00", "12:00", "20:59")),
        ("12:00", "14:00", ("12:00", "13:59"), ("00:00", "11:59", "14:00", "23:59")),
        ("21:00", "24:00", ("21:00", "23:59"), ("00:00", "20:59")),
        ("00:00", "08:00", ("00:00", "07:59"), ("08:00", "23:59")),
    ],
)
def test_quiet_hours_are_those_in_which_nothing_is_sent(
    start: str, end: str, quiet: tuple[str, ...], open_: tuple[str, ...]
) -> None:
    hours = outside(start, end)
    assert [hours.allow(datetime.fromisoformat(f"2026-06-01T{time}")) for time in quiet] == [False] * len(quiet)
    assert [hours.allow(datetime.fromisoformat(f"2026-06-01T{time}")) for time in open_] == [True] * len(open_)


@pytest.mark.parametrize(("start", "end"), [("08:00", "08:00"), ("00:00", "24:00"), ("24:00", "24:00"), ("8", "9")])
def test_quiet_hours_that_never_end_are_none(start: str, end: str) -> None:
    with pytest.raises(BadHours):
        outside(start, end)


def test_hours_are_values() -> None:
    assert Hours(((),) * 7) == Hours(((),) * 7)
    with pytest.raises(BadHours, match="same"):
        daily("08:00", "08:00")
