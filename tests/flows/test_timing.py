"""When and how fast, through the whole gateway by its clock: quiet hours, frequency cap, stop notice, rates."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from gateway.providers.sandbox import Sandbox
from gateway.settings import FrequencyCap, Sending, Settings
from outbox import singles
from outbox.singles import Route, Single
from store.clock import utcnow
from tests.flows.running import Gateway, changed, eventually
from tests.standins.twilio import TwilioStandIn

YES = {"channels": {"sms": "yes", "email": "yes"}}
Another = Callable[[], Awaitable[int]]
MIAMI, NEW_YORK, TOLL_FREE = "+13055550123", "+12125550123", "+18005550123"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """As an operator finds it: quiet hours by law."""
    box = Sandbox(channel="email")
    organisation = settings.organisation.model_copy(update={"postal_address": "12 Long Lane, London N1"})
    connections = settings.connections | {"mail": box}
    return settings.model_copy(update={"sending": Sending(), "connections": connections, "organisation": organisation})


@pytest.fixture
async def another(gateway: Gateway) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Start a second gateway on the same PostgreSQL, as the first is set up by then; returns how many there are.

    On SQLite there may be one only.
    """
    others: list[Gateway] = []

    async def start() -> int:
        if gateway.house.database.dialect == "postgresql":
            other = Gateway(gateway.settings)
            other.clock = gateway.clock
            await other.start()
            others.append(other)
        return 1 + len(others)

    yield start
    for other in others:
        await other.stop()


def at(text: str, zone: str = "America/New_York") -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def set_clock(gateway: Gateway, moment: datetime) -> None:
    gateway.clock.ahead = moment - utcnow()


async def fan(gateway: Gateway, address: str = MIAMI, **more: Any) -> str:
    """Somebody who said yes."""
    tagged = address if ":" in address else f"sms:{address}"
    return str((await gateway.person(tagged, consent=YES, **more))["id"])


async def waits_until(gateway: Gateway, broadcast: str) -> datetime:
    """When the one delivery of the broadcast is due, once it waits for its hours."""

    async def put_off() -> datetime | None:
        rows = [row for row in await gateway.rows("deliveries") if row["broadcast_id"] == broadcast]
        assert {row["status"] for row in rows} <= {"queued"}
        late = [row["due_at"] for row in rows if row["due_at"] > gateway.clock()]
        return late[0] if late else None

    return await eventually(put_off)  # type: ignore[return-value]


# --- quiet hours -------------------------------------------------------------------------------


async def test_in_florida_it_waits_for_the_morning(gateway: Gateway, twilio: TwilioStandIn) -> None:
    set_clock(gateway, at("2027-01-13T20:30"))
    await fan(gateway)
    broadcast = await gateway.broadcast({"all": True})
    opens = at("2027-01-14T08:00")
    assert await waits_until(gateway, broadcast) == opens
    shown = await gateway.api("GET", f"/v1/broadcasts/{broadcast}")
    assert (shown["status"], shown["counts"]["by_status"]) == ("sending", {"queued": 1}), (
        "put off, not dropped, not done"
    )
    set_clock(gateway, opens + timedelta(seconds=1))
    assert (await gateway.all_sent(broadcast))["counts"]["by_status"] == {"accepted": 1}
    assert twilio.accepted_to(MIAMI) == 1


@pytest.mark.parametrize(
    ("now", "opens"),
    [("2027-03-13T21:30", "2027-03-14T08:00"), ("2027-11-06T21:30", "2027-11-07T08:00")],
    ids=["spring", "autumn"],
)
async def test_on_the_night_the_clocks_change(gateway: Gateway, twilio: TwilioStandIn, now: str, opens: str) -> None:
    set_clock(gateway, at(now))
    await fan(gateway, NEW_YORK)
    broadcast = await gateway.broadcast({"all": True})
    assert await waits_until(gateway, broadcast) == at(opens)
    set_clock(gateway, at(opens))
    await gateway.all_sent(broadcast)
    assert twilio.accepted_to(NEW_YORK) == 1


@pytest.mark.parametrize(
    ("send_at", "local"),
    [
        ("2027-03-14T02:30:00-05:00", "03:30"),  # half past two does not come in New York: it is half past three
        ("2027-11-07T01:30:00-04:00", "01:30"),  # comes twice, and this is the first
        ("2027-11-07T01:30:00-05:00", "01:30"),  # the second
    ],
)
async def test_a_start_on_the_night_the_clocks_change_comes_once(
    gateway: Gateway, twilio: TwilioStandIn, send_at: str, local: str
) -> None:
    start = datetime.fromisoformat(send_at).astimezone(UTC)
    assert f"{start.astimezone(ZoneInfo('America/New_York')):%H:%M}" == local
    set_clock(gateway, start - timedelta(minutes=90))
    ana = await fan(gateway, NEW_YORK)
    broadcast = await gateway.broadcast({"profiles": [ana]}, send_at=send_at, quiet_hours=False)

    async def status() -> str:
        return str((await gateway.api("GET", f"/v1/broadcasts/{broadcast}"))["status"])

    async def is_scheduled() -> bool:
        return await status() == "scheduled"

    await eventually(is_scheduled)
    for minutes in (-61, -60, -1):
        set_clock(gateway, start + timedelta(minutes=minutes))
        gateway.house.planner.wake()
        await asyncio.sleep(0.1)
        assert (await status(), twilio.log) == ("scheduled", []), minutes
    set_clock(gateway, start + timedelta(seconds=1))
    gateway.house.planner.wake()
    await gateway.all_sent(broadcast)
    # An hour later, and with the clock put back by one and by two, nothing comes again.
    for minutes in (60, -1, -61, 0, 120):
        set_clock(gateway, start + timedelta(minutes=minutes))
        gateway.house.planner.wake()
        gateway.house.dispatcher.wake()
        await asyncio.sleep(0.1)
    assert [line.to for line in twilio.log] == [NEW_YORK]
    assert await status() == "done"


async def test_all_the_zones_that_a_number_may_be_in_must_allow_it(gateway: Gateway) -> None:
    set_clock(gateway, at("2027-01-13T12:00", "UTC"))
    await fan(gateway, TOLL_FREE)
    # It may be on Guam, where it is 22:00; where that opens, at eight, it is 18:30 in Newfoundland.
    assert await waits_until(gateway, await gateway.broadcast({"all": True})) == at("2027-01-13T22:00", "UTC")


async def test_the_persons_own_zone_is_believed_before_the_numbers(gateway: Gateway, twilio: TwilioStandIn) -> None:
    set_clock(gateway, at("2027-01-13T07:00"))
    here, in_madrid = await fan(gateway), await fan(gateway, NEW_YORK, timezone="Europe/Madrid")
    await gateway.sent({"profiles": [in_madrid]})  # where it is 13:00
    assert [line.to for line in twilio.log] == [NEW_YORK]
    broadcast = await gateway.broadcast({"profiles": [here]})
    assert await waits_until(gateway, broadcast) == at("2027-01-13T08:00")


async def test_a_broadcast_has_hours_of_its_own_or_none(gateway: Gateway, twilio: TwilioStandIn) -> None:
    set_clock(gateway, at("2027-01-13T11:00"))
    await fan(gateway)
    siesta = await gateway.broadcast({"all": True}, quiet_hours={"from": "10:30", "to": "16:00"})
    assert await waits_until(gateway, siesta) == at("2027-01-13T16:00")
    await gateway.sent({"all": True}, quiet_hours={"from": "22:00", "to": "07:00"})
    set_clock(gateway, at("2027-01-13T23:00"))
    night = await gateway.broadcast({"all": True}, quiet_hours={"from": "22:00", "to": "07:00"})
    assert await waits_until(gateway, night) == at("2027-01-14T07:00"), "its own instead of the law's"
    assert (await gateway.all_sent(siesta))["counts"]["by_status"] == {"accepted": 1}
    await gateway.sent({"all": True}, quiet_hours=False)
    assert len(twilio.log) == 3


async def test_a_sandbox_has_no_night_and_e_mail_no_law(gateway: Gateway) -> None:
    set_clock(gateway, at("2027-01-13T23:00"))
    await fan(gateway)
    await fan(gateway, "email:ana@example.org", timezone="America/New_York")
    shown = await gateway.sent({"all": True}, connection="box", quiet_hours={"from": "22:00", "to": "07:00"})
    assert shown["counts"]["by_status"] == {"accepted": 1}
    mail = await gateway.sent({"all": True}, channel="email", connection="mail")
    assert mail["counts"]["by_status"] == {"accepted": 1}


async def test_who_says_stop_overnight_gets_nothing_in_the_morning(gateway: Gateway, twilio: TwilioStandIn) -> None:
    set_clock(gateway, at("2027-01-13T20:30"))
    ana = await fan(gateway)
    overnight = YES | {"expires_at": at("2027-01-14T03:00").isoformat()}
    ben = (await gateway.person(f"sms:{NEW_YORK}", consent=overnight))["id"]
    broadcast = await gateway.broadcast({"profiles": [ana]})
    expiring = await gateway.broadcast({"profiles": [ben]}, quiet_hours={"from": "20:00", "to": "09:00"})
    await waits_until(gateway, broadcast)
    await waits_until(gateway, expiring)
    await gateway.text_in("STOP", MIAMI)
    set_clock(gateway, at("2027-01-14T09:00"))
    assert (await gateway.all_sent(broadcast))["counts"]["by_reason"] == {"opted_out_channel": 1}
    # Nobody said anything here: the verdict is taken again when it wakes.
    assert (await gateway.all_sent(expiring))["counts"]["by_reason"] == {"consent_expired": 1}
    assert twilio.log == []


async def test_what_would_begin_too_late_is_not_put_off(gateway: Gateway) -> None:
    set_clock(gateway, at("2027-01-13T20:30"))
    await fan(gateway)
    before, after = at("2027-01-14T07:59").isoformat(), at("2027-01-14T08:01").isoformat()
    assert (await gateway.sent({"all": True}, not_after=before))["counts"]["by_reason"] == {"too_late": 1}
    assert await waits_until(gateway, await gateway.broadcast({"all": True}, not_after=after)) == at("2027-01-14T08:00")


async def test_a_table_of_ones_own(gateway: Gateway, tmp_path: Path) -> None:
    table = tmp_path / "hours.toml"
    table.write_text('[default]\nhours = ["13:00-14:00"]\n')
    await gateway.restart(sending=Sending(quiet_hours_table=table))
    set_clock(gateway, at("2027-01-13T12:00"))
    await fan(gateway)
    assert await waits_until(gateway, await gateway.broadcast({"all": True})) == at("2027-01-13T13:00")


async def test_single_marketing_waits_too_and_a_ticket_does_not(gateway: Gateway, twilio: TwilioStandIn) -> None:
    set_clock(gateway, at("2027-01-13T23:00"))
    ana = await fan(gateway)
    for class_ in ("marketing", "transactional"):
        await queue_single(gateway, ana, class_, class_)

    async def sent() -> bool:
        return bool(twilio.log) and {row["due_at"] > gateway.clock() for row in await gateway.rows("deliveries")} == {
            True,
            False,
        }

    await eventually(sent)
    assert [line.body for line in twilio.log] == ["transactional"]


async def queue_single(gateway: Gateway, profile_id: str, body: str, class_: str) -> None:
    single = Single([Route("sms", "sms")], {"body": body}, class_, "key:crm", profile_id=profile_id)
    await gateway.house.database.transact(lambda conn: singles.queue(conn, single, now=gateway.clock()))
    gateway.house.dispatcher.wake()


# --- how often ---------------------------------------------------------------------------------

CAPPED = Sending(quiet_hours="off", frequency_cap=FrequencyCap(messages=2, days=7))


async def test_a_person_gets_no_more_than_the_cap_allows(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.restart(sending=CAPPED)
    await fan(gateway)
    for _ in range(2):
        assert (await gateway.sent({"all": True}))["counts"]["by_status"] == {"accepted": 1}
    assert (await gateway.sent({"all": True}))["counts"]["by_reason"] == {"frequency_capped": 1}
    gateway.clock.advance(days=8)
    assert (await gateway.sent({"all": True}))["counts"]["by_status"] == {"accepted": 1}
    assert len(twilio.log) == 3


async def test_what_goes_at_once_never_goes_over_the_cap(gateway: Gateway, another: Another) -> None:
    """Four broadcasts on two connections, by two dispatchers where there may be two."""
    await gateway.restart(
        sending=Sending(quiet_hours="off", frequency_cap=FrequencyCap(messages=1, days=7)),
        connections=gateway.settings.connections | {"box2": Sandbox(channel="sms")},
    )
    await another()
    people = [await fan(gateway, f"+1415555{place:04d}") for place in range(30)]
    later = (gateway.clock() + timedelta(seconds=3)).isoformat()
    broadcasts = [
        await gateway.broadcast({"all": True}, connection=connection, send_at=later)
        for connection in ("box", "box2", "box", "box2")
    ]
    shown = [await gateway.all_sent(broadcast, seconds=40) for broadcast in broadcasts]
    begun = [row["profile_id"] for row in await gateway.rows("attempts")]
    assert sorted(begun) == sorted(people), "one each"
    assert sum(one["counts"]["by_reason"].get("frequency_capped", 0) for one in shown) == 3 * len(people)


# --- how to stop -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notice", "told"), [("first", [True, False]), ("always", [True, True]), ("never", [False] * 2)]
)
async def test_a_first_marketing_text_tells_how_to_stop(
    gateway: Gateway, twilio: TwilioStandIn, notice: str, told: list[bool]
) -> None:
    await gateway.restart(
        sending=Sending(quiet_hours="off"), connections=changed(gateway.settings, "sms", stop_notice=notice)
    )
    ana = await fan(gateway)
    await queue_single(gateway, ana, "Your ticket", "transactional")
    await eventually(lambda: _sent(twilio, 1))
    for count in (2, 3):
        await gateway.sent({"all": True})
        assert len(twilio.log) == count
    assert [line.body for line in twilio.log] == [
        "Your ticket",
        *("On sale.\nReply STOP to opt out." if one else "On sale." for one in told),
    ]


async def _sent(twilio: TwilioStandIn, count: int) -> bool:
    return len(twilio.log) >= count


async def test_a_text_that_is_too_long_with_that_line_is_refused_when_it_is_made(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana = await fan(gateway)
    long, fits = "x" * 1590, "x" * 1540
    wanted = {"name": "Autumn", "channel": "sms", "connection": "sms", "audience": {"all": True}}
    single = {"channel": "sms", "connection": "sms", "to": {"profile_id": ana}}
    assert (await gateway.ask("POST", "/v1/broadcasts", json=wanted | {"content": {"body": long}})).status == 202
    for notice in ("first", "always"):
        await gateway.restart(connections=changed(gateway.settings, "sms", stop_notice=notice))
        for path, asked in (("/v1/broadcasts", wanted), ("/v1/messages", single)):
            got = await gateway.ask("POST", path, json=asked | {"content": {"body": long}})
            assert got.status == 422, got
            [error] = got.json["errors"]
            assert error["field"] == "content.body"
            assert "how to opt out" in error["message"]
            for body in (fits, "Reply STOP to end. " + "x" * 1575):
                got = await gateway.ask("POST", path, json=asked | {"content": {"body": body}, "dry_run": True})
                assert got.status == (200 if path == "/v1/broadcasts" else 422), "a message knows no dry run"
        ticket = single | {"content": {"body": long}, "require_opt_in": False}
        assert (await gateway.ask("POST", "/v1/messages", json=ticket)).status == 202


async def test_it_is_told_in_the_persons_language_and_once(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.restart(
        sending=Sending(quiet_hours="off"), connections=changed(gateway.settings, "sms", stop_notice="always")
    )
    locales = {None: "Reply STOP", "es-MX": "Responda STOP", "de": "Antworten Sie STOP", "ja": "Reply STOP"}
    for place, locale in enumerate(locales):
        await fan(gateway, f"+1415555{place:04d}", **({"locale": locale} if locale else {}))
    await gateway.sent({"all": True})
    for place, words in enumerate(locales.values()):
        [line] = [line for line in twilio.log if line.to == f"+1415555{place:04d}"]
        assert words in line.body
    twilio.log.clear()
    await gateway.sent({"all": True}, content={"body": "Last seats. Text STOP to end."})
    assert {line.body for line in twilio.log} == {"Last seats. Text STOP to end."}


async def test_who_cannot_reply_gets_a_link_that_works(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await gateway.restart(
        sending=Sending(quiet_hours="off"),
        connections=changed(gateway.settings, "sms", stop_notice="first", sender="TheTheatre"),
    )
    ana = await fan(gateway)
    await gateway.sent({"all": True})
    [line] = twilio.log
    link = re.fullmatch(r"On sale\.\nOpt out: (\S+)", line.body)
    assert link, line.body
    public = gateway.settings.server.public_url
    assert link[1].startswith(f"{public}/unsubscribe/")
    path = link[1].removeprefix(public)
    assert (await gateway.send("GET", path)).status == 200
    assert await gateway.verdict(ana) == "opted_in"
    assert (await gateway.send("POST", path)).status == 200
    assert await gateway.verdict(ana) == "opted_out_channel"


# --- how fast ----------------------------------------------------------------------------------

TWO_SEGMENTS = "x" * 161


async def _crowd(gateway: Gateway, count: int, rate: float) -> None:
    await gateway.restart(sending=Sending(quiet_hours="off"), connections=changed(gateway.settings, "sms", rate=rate))
    for place in range(count):
        await fan(gateway, f"+1415555{place:04d}")


def _seconds(twilio: TwilioStandIn) -> float:
    """From the first request to the last."""
    times = sorted(line.at_ns for line in twilio.log)
    return (times[-1] - times[0]) / 1e9


def _most_in_a_second(twilio: TwilioStandIn) -> int:
    times = sorted(line.at_ns for line in twilio.log)
    return max(sum(start <= other < start + 10**9 for other in times) for start in times)


@pytest.mark.parametrize(
    ("count", "connection", "own", "body"),
    [
        (36, 10.0, None, "On sale."),
        (18, 10.0, None, TWO_SEGMENTS),
        (18, 100.0, 5.0, "On sale."),
        (9, 100.0, 5.0, TWO_SEGMENTS),
    ],
    ids=["connection", "connection, two segments", "broadcast", "broadcast, two segments"],
)
async def test_so_many_segments_a_second(
    gateway: Gateway, twilio: TwilioStandIn, count: int, connection: float, own: float | None, body: str
) -> None:
    """By the provider's log: after the first half second's worth no faster than the rate, and not much slower."""
    await _crowd(gateway, count, connection)
    await gateway.sent({"all": True}, rate=own, content={"body": body})
    rate = own or connection
    segments = count * (2 if body == TWO_SEGMENTS else 1)
    assert len(twilio.log) == count
    at_once = 0.5 * rate * (2 if body == TWO_SEGMENTS else 1)
    assert _seconds(twilio) > 0.95 * (segments - at_once) / rate - 0.3
    assert _seconds(twilio) < 3 * segments / rate
    assert _most_in_a_second(twilio) <= 1.5 * rate + 2


async def test_two_dispatchers_together_keep_the_rate(
    gateway: Gateway, another: Another, twilio: TwilioStandIn
) -> None:
    await _crowd(gateway, 36, 10.0)
    dispatchers = await another()
    for _ in range(3):  # on a busy machine one of them may not have had its turn
        twilio.log.clear()
        later = (gateway.clock() + timedelta(seconds=2)).isoformat()
        broadcast = await gateway.broadcast({"all": True}, send_at=later)
        await gateway.all_sent(broadcast, seconds=40)
        assert len(twilio.log) == 36
        assert _seconds(twilio) > 0.95 * (36 - 5) / 10 - 0.3
        assert _most_in_a_second(twilio) <= 17
        owners = {row["owner"] for row in await gateway.rows("attempts") if row["broadcast_id"] == broadcast}
        if len(owners) == dispatchers:
            return
    raise AssertionError("one of them has sent nothing")


async def test_what_a_person_waits_for_overtakes(gateway: Gateway, twilio: TwilioStandIn) -> None:
    await _crowd(gateway, 30, 6.0)
    broadcast = await gateway.broadcast({"all": True})
    await eventually(lambda: _sent(twilio, 3))
    [first] = await gateway.whose("sms:+14155550000")
    before = len(twilio.log)
    await queue_single(gateway, first["id"], "Your ticket", "transactional")

    async def sent() -> bool:
        return any(line.body == "Your ticket" for line in twilio.log)

    await eventually(sent)
    place = [line.body for line in twilio.log].index("Your ticket")
    assert place <= before + 6, "a second's worth may have begun before it"
    assert place < 29
    await gateway.api("POST", f"/v1/broadcasts/{broadcast}/cancel")
