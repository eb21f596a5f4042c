"""Twilio's message list: what it has of ours for one recipient and time, and how it may refuse to tell."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from channels.http import open_session
from channels.twilio import lookup
from channels.twilio.adapter import Twilio
from channels.values import Listed, Outbound, Report, Sought, Unanswered
from tests.channels.loopback import free_port
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN
from tests.standins import twilio as standin

TO, OURS = "+14155550100", "+14155550199"
Connect = Callable[..., Twilio]


@pytest.fixture
async def provider() -> AsyncIterator[standin.TwilioStandIn]:
    async with standin.TwilioStandIn(ACCOUNT, TOKEN) as one:
        yield one


@pytest.fixture
async def connect(provider: standin.TwilioStandIn) -> AsyncIterator[Connect]:
    async with open_session() as session:

        def connected(**more: Any) -> Twilio:
            options = {"name": "sms", "channel": "sms", "account_sid": ACCOUNT, "auth_token": TOKEN, "sender": OURS,
                       "public_url": ORIGIN, "session": session, "api_url": provider.url + "/"}  # fmt: skip
            return Twilio(**{**options, **more})

        yield connected


def sought(channel: str = "sms", to: str = TO, *, around: float = 0.0) -> Sought:
    """A minute around now, or around then."""
    now = datetime.now(UTC) + timedelta(seconds=around)
    return Sought(channel, to, now - timedelta(seconds=30), now + timedelta(seconds=30))


async def told(adapter: Twilio, asked: Sought | None = None) -> list[Listed]:
    answer = await adapter.look_up(asked or sought())
    assert not isinstance(answer, Unanswered), answer
    return list(answer)


async def test_what_we_sent_is_listed_with_what_became_of_it(connect: Connect, provider: standin.TwilioStandIn) -> None:
    adapter = connect()
    for text in ("Zoë 🎭", "again"):
        await adapter.send(Outbound("tag", "sms", TO, text))
    await adapter.send(Outbound("tag", "sms", "+14155550101", "to another"))
    first, second = provider.log[0].sid or "", provider.log[1].sid or ""
    provider.statuses[second] = ("undelivered", 21610)
    one, two = await told(adapter)
    assert (one.body, one.report) == ("Zoë 🎭", Report("", first, "accepted"))
    assert (two.body, two.report) == ("again", Report("", second, "undelivered", "21610", opted_out=True))
    assert abs(one.created_at - datetime.now(UTC)) < timedelta(seconds=20)
    assert [(line["To"], line["From"]) for line in provider.lookups] == [(TO, OURS)]


async def test_only_the_time_asked_for_is_listed(connect: Connect) -> None:
    adapter = connect()
    await adapter.send(Outbound("tag", "sms", TO, "x"))
    assert await told(adapter, sought(around=-60)) == []
    assert await told(adapter, sought(around=60)) == []
    assert len(await told(adapter)) == 1


async def test_what_another_sender_of_the_account_sent_is_not_ours(connect: Connect) -> None:
    await connect(sender="+14155550198").send(Outbound("tag", "sms", TO, "x"))
    await connect(sender=None, messaging_service_sid="MG1").send(Outbound("tag", "sms", TO, "x"))
    assert await told(connect()) == []
    assert len(await told(connect(sender=None, messaging_service_sid="MG1"))) == 1
    assert await told(connect(sender=None, messaging_service_sid="MG2")) == []


async def test_what_was_answered_in_twiml_is_no_send_of_ours(connect: Connect, provider: standin.TwilioStandIn) -> None:
    reply = resource(sid="SM" + "1" * 32, direction="outbound-reply")
    provider.decide_list = lambda _: page(reply)
    assert await told(connect()) == []


async def test_whatsapp_is_asked_for_with_its_prefix(connect: Connect, provider: standin.TwilioStandIn) -> None:
    adapter = connect(channel="whatsapp")
    await adapter.send(Outbound("tag", "whatsapp", TO, "x"))
    [one] = await told(adapter, sought("whatsapp"))
    assert one.report.provider_id == provider.log[0].sid
    assert provider.lookups[0]["To"] == f"whatsapp:{TO}"


async def test_all_pages_are_read_and_no_more_than_needed(
    connect: Connect, provider: standin.TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "PAGE_SIZE", 2)
    adapter = connect()
    for number in range(5):
        await adapter.send(Outbound("tag", "sms", TO, str(number)))
    assert {one.body for one in await told(adapter)} == {"0", "1", "2", "3", "4"}
    assert len(provider.lookups) == 3
    for line in provider.log:
        provider.statuses[line.sid or ""] = ("sent", None)
    provider.lookups.clear()
    assert await told(adapter, sought(around=600)) == []
    assert len(provider.lookups) == 1  # everything after was sent earlier still


async def test_our_credentials_are_not_taken_elsewhere(connect: Connect, provider: standin.TwilioStandIn) -> None:
    for elsewhere in ("http://127.0.0.1:9/", "@example.org/", "/other", 7):
        provider.lookups.clear()
        provider.decide_list = lambda _, to=elsewhere: page(next_page_uri=to)  # type: ignore[misc]
        assert await told(connect()) == []
        assert len(provider.lookups) == 1
    provider.decide_list = lambda _: standin.redirect(provider.url + "/log")
    assert isinstance(await connect().look_up(sought()), Unanswered)


@pytest.mark.parametrize(
    ("answer", "wish"),
    [
        (standin.throttled("7"), 7.0),
        (standin.throttled("999999"), 3600.0),
        (standin.throttled(), None),
        (standin.throttled("soon"), None),
        (standin.broken(503), None),
        (standin.error(401, 20003, "Authenticate"), 60.0),
        (standin.error(404, 20404, "not found"), 60.0),
        (standin.reset(), None),
        (standin.close(), None),
        (standin.odd(b"{", 200), None),
        (standin.odd(b"[]", 200), None),
        (standin.odd(b'{"messages": 1}', 200), None),
        (standin.odd(b"x" * 200_000, 200), None),
        (standin.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{"), None),
    ],
)
async def test_who_does_not_tell_is_asked_again_later(
    connect: Connect, provider: standin.TwilioStandIn, answer: standin.Answer, wish: float | None
) -> None:
    provider.decide_list = lambda _: answer
    got = await connect().look_up(sought())
    assert isinstance(got, Unanswered)
    assert got.retry_after_seconds == wish
    assert TO not in got.why


async def test_nobody_there_or_too_slow_is_no_answer(
    connect: Connect, provider: standin.TwilioStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    nobody = connect(api_url=f"http://127.0.0.1:{free_port()}")
    assert isinstance(await nobody.look_up(sought()), Unanswered)
    monkeypatch.setattr(lookup, "SECONDS", 0.2)
    provider.decide_list = lambda _: standin.Answer("slow", 200, delay_seconds=5)
    assert isinstance(await connect().look_up(sought()), Unanswered)


@pytest.mark.parametrize(
    "odd",
    [
        {"sid": None},
        {"sid": "SMnot"},
        {"status": "lost"},
        {"status": 7},
        {"date_created": None},
        {"date_created": "yesterday"},
        {"date_created": 7},
        {"to": None},
        {"from": ["x"]},
        {"direction": "inbound"},
    ],
)
async def test_a_line_that_says_nothing_usable_is_left_out(
    connect: Connect, provider: standin.TwilioStandIn, odd: dict[str, Any]
) -> None:
    provider.decide_list = lambda _: page(resource(**odd), "not a line", resource())
    [one] = await told(connect())
    assert one.report.provider_id == "SM" + "0" * 32


async def test_a_text_that_is_none_is_empty(connect: Connect, provider: standin.TwilioStandIn) -> None:
    provider.decide_list = lambda _: page(resource(body=None, error_code="21610", status="failed"))
    [one] = await told(connect())
    assert (one.body, one.report.code, one.report.opted_out) == ("", None, False)


def resource(**more: Any) -> dict[str, Any]:
    now = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
    return {"sid": "SM" + "0" * 32, "status": "sent", "error_code": None, "body": "x", "date_created": now,
            "date_sent": now, "to": TO, "from": OURS, "direction": "outbound-api"} | more  # fmt: skip


def page(*messages: object, **more: Any) -> standin.Answer:
    return standin.odd(json.dumps({"messages": messages, "next_page_uri": None} | more).encode(), 200)
