"""Every way a send can end, against the stand-in: a real server on loopback with an accept log."""

import asyncio
import logging
from urllib.parse import urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels import lease
from channels.http import open_session
from channels.twilio.adapter import Twilio
from channels.twilio.client import form
from channels.values import Accepted, InDoubt, NotSent, Outbound, Rejected
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN
from tests.standins import twilio as standin

TO = "+14155550100"
HELLO = Outbound("tag-1", "sms", TO, "Hello & welcome, Zoë 🎭")


@pytest.fixture
async def session():
    async with open_session() as one:
        yield one


@pytest.fixture
async def provider():
    async with standin.TwilioStandIn(ACCOUNT, TOKEN) as one:
        yield one


@pytest.fixture
def connect(session, provider):
    def connected(**more) -> Twilio:
        options = {
            "name": "sms",
            "channel": "sms",
            "account_sid": ACCOUNT,
            "auth_token": TOKEN,
            "public_url": ORIGIN + "/",
            "session": session,
            "sender": "+14155550199",
            "api_url": provider.url + "/",
            "timeout_seconds": 2.0,
        }
        return Twilio(**{**options, **more})  # fmt: skip

    return connected


async def test_an_accepted_message_went_out_once_as_it_was_written(connect, provider):
    outcome = await connect().send(HELLO)
    (line,) = provider.log
    assert outcome == Accepted(line.sid, "queued")
    assert line.form == {
        "To": TO, "From": "+14155550199", "Body": "Hello & welcome, Zoë 🎭",
        "StatusCallback": "https://gw.example.test/webhooks/sms/status?tag=tag-1",
    }  # fmt: skip
    assert line.tag == "tag-1"


async def test_a_name_or_tag_with_odd_characters_stays_one_parameter(connect, provider):
    await connect(name="a b/c").send(Outbound("x&y=z ü", "sms", TO, "x"))
    assert urlsplit(provider.log[0].form["StatusCallback"]).path == "/webhooks/a%20b%2Fc/status"
    assert provider.log[0].tag == "x&y=z ü"


@given(data=st.dictionaries(st.text(max_size=20), st.text(max_size=60), max_size=4))
def test_a_form_is_written_as_the_standard_library_writes_it(data):
    assert form(data) == urlencode(data, errors="replace").encode()


async def test_a_messaging_service_chooses_the_number(connect, provider):
    outcome = await connect(sender=None, messaging_service_sid="MG1").send(HELLO)
    assert outcome.provider_status == "accepted"
    assert provider.log[0].form["MessagingServiceSid"] == "MG1"
    assert "From" not in provider.log[0].form


@pytest.mark.parametrize("sender", ["+14155550199", "whatsapp:+14155550199"])
async def test_whatsapp_addresses_have_their_prefix_once(connect, provider, sender):
    adapter = connect(channel="whatsapp", sender=sender)
    await adapter.send(Outbound("t", "whatsapp", TO, "x"))
    await adapter.send(Outbound("t", "whatsapp", "US.1234", "x"))
    assert [line.to for line in provider.log] == ["whatsapp:" + TO, "whatsapp:US.1234"]
    assert {line.sender for line in provider.log} == {"whatsapp:+14155550199"}
    assert adapter.own_addresses == {"+14155550199"}


async def test_a_template_goes_out_by_its_content_sid(connect, provider):
    template = {"name": "HX0", "language": "en", "variables": {"1": "Zoë"}}
    await connect(channel="whatsapp").send(Outbound("t", "whatsapp", TO, template=template))
    form = provider.log[0].form
    assert (form["ContentSid"], form["ContentVariables"]) == ("HX0", '{"1": "Zo\\u00eb"}')
    assert "Body" not in form


async def test_a_template_that_cannot_be_sent_is_rejected_and_nothing_goes_out(connect, provider):
    for template in ({"language": "en"}, {"name": "HX0", "variables": {"1": object()}}):
        outcome = await connect().send(Outbound("t", "sms", TO, template=template))
        assert isinstance(outcome, Rejected)
    assert provider.log == []


async def test_a_lone_surrogate_does_not_end_in_an_exception(connect, provider):
    assert isinstance(await connect().send(Outbound("t", "sms", TO, "a\ud800b")), Accepted)
    assert provider.log[0].body == "a?b"


REFUSED = "Attempt to send to unsubscribed recipient"
ENDS = {
    "21610": (standin.error(400, 21610, REFUSED), Rejected("21610", REFUSED, opted_out=True)),
    "blocked by the recipient": (standin.error(400, 63014, "Blocked"), Rejected("63014", "Blocked", opted_out=True)),
    "no number": (
        standin.error(400, 21211, f"The 'To' number {TO} is not a valid phone number."),
        Rejected("21211", "The 'To' number [number] is not a valid phone number.", undeliverable=True),
    ),
    "no mobile": (standin.error(400, 21614, "x"), Rejected("21614", "x", undeliverable=True)),
    "a landline": (standin.error(400, 21635, "x"), Rejected("21635", "x", undeliverable=True)),
    "not reachable from this sender": (standin.error(400, 21612, "x"), Rejected("21612", "x")),
    "region not enabled": (standin.error(400, 21408, "x"), Rejected("21408", "x")),
    "outside the window": (standin.error(400, 63016, "x"), Rejected("63016", "x")),
    "switched off": (standin.error(400, 30003, "x"), Rejected("30003", "x")),
    "a 403 with a code of the message's": (standin.error(403, 21408, "x"), Rejected("21408", "x")),
    "refused without a word": (standin.odd(b"", 400, accept=False), Rejected("400", "HTTP 400")),
    "refused in HTML": (standin.odd(b"<html>", 400, accept=False), Rejected("400", "HTTP 400")),
    "refused too deep to read": (standin.odd(b"[" * 60_000, 400, accept=False), Rejected("400", "HTTP 400")),
    "refused as RFC 9457": (
        standin.odd(b'{"type": "u", "title": "T", "status": 400, "code": 21610, "detail": "D"}', 400, accept=False),
        Rejected("21610", "D", opted_out=True),
    ),
    "too many requests": (standin.throttled(), NotSent("HTTP 429", None, slow_down=True)),
    "too many requests, with a wish": (standin.throttled("17"), NotSent("HTTP 429", 17.0, slow_down=True)),
    "queue full": (standin.error(400, 21611, "x"), NotSent("21611 x", None, slow_down=True)),
    "throttled by WhatsApp": (standin.error(400, 63018, "x"), NotSent("63018 x", None, slow_down=True)),
    "the day's limit": (standin.error(400, 63038, "x"), NotSent("63038 x", 3600.0, slow_down=True)),
    "credentials": (standin.error(401, 20003, "A"), NotSent("credentials refused: 20003 A", 60.0, slow_down=True)),
    "forbidden": (standin.error(403, 20003, "A"), NotSent("credentials refused: 20003 A", 60.0, slow_down=True)),
    "suspended": (standin.error(403, 20403, "A"), NotSent("credentials refused: 20403 A", 60.0, slow_down=True)),
    "no such account": (standin.error(404, 20404, "A"), NotSent("credentials refused: 20404 A", 60.0, slow_down=True)),
    "a proxy's 403": (
        standin.odd(b"<html>", 403, accept=False),
        NotSent("credentials refused: 403 HTTP 403", 60.0, slow_down=True),
    ),
    "a 500": (standin.broken(), InDoubt("HTTP 500")),
    "a 500 that says slow down": (standin.error(500, 20429, "x"), InDoubt("HTTP 500")),
    "a 503 that says opted out": (standin.error(503, 21610, "x"), InDoubt("HTTP 503")),
    "a 500, yet sent": (standin.broken(accept=True), InDoubt("HTTP 500")),
    "sent, then reset": (standin.reset(), InDoubt("ClientOSError: Connection reset by peer")),
    "sent, then closed": (standin.close(), InDoubt("ServerDisconnectedError")),
    "a redirect": (standin.redirect("/elsewhere"), InDoubt("HTTP 307")),
    "no HTTP": (standin.raw(b"hello\r\n\r\n"), InDoubt("ClientResponseError")),
    "sent, without an id": (standin.odd(b"{}"), InDoubt("HTTP 201 without a message id")),
    "sent, with an empty body": (standin.odd(b""), InDoubt("HTTP 201 without a message id")),
    "sent, in HTML": (standin.odd(b"<html>"), InDoubt("HTTP 201 without a message id")),
    "sent, with odd bytes": (standin.odd(b"\xff\xfe\x00"), InDoubt("HTTP 201 without a message id")),
    "sent, a list": (standin.odd(b"[1]"), InDoubt("HTTP 201 without a message id")),
    "sent, null": (standin.odd(b"null"), InDoubt("HTTP 201 without a message id")),
    "sent, with an id that is none": (standin.odd(b'{"sid": "x"}'), InDoubt("HTTP 201 without a message id")),
    "sent, too deep to read": (standin.odd(b"[" * 60_000), InDoubt("HTTP 201 without a message id")),
    "sent, too long": (standin.odd(b"x" * 100_000), InDoubt("HTTP 201, then AnswerTooLarge")),
    "sent, though the library cannot read the date": (
        standin.odd(b'{"sid": "SM%032d", "status": "queued", "date_created": 7}' % 1),
        Accepted(f"SM{1:032d}", "queued"),
    ),
}


@pytest.mark.parametrize(("answer", "outcome"), ENDS.values(), ids=ENDS)
async def test_a_send_ends_in_the_value_of_the_table(connect, provider, answer, outcome):
    provider.on[TO] = answer
    assert await connect().send(HELLO) == outcome
    assert len(provider.log) == 1, "one request, whatever the answer"


async def test_wrong_credentials_reject_nobody(connect, provider):
    outcome = await connect(auth_token="mistyped").send(HELLO)
    assert outcome == NotSent("credentials refused: 20003 Authenticate", 60.0, slow_down=True)


async def test_a_provider_that_is_not_there_is_not_sent(connect):
    assert isinstance(await connect(api_url="http://127.0.0.1:1").send(HELLO), NotSent)


async def test_the_timeout_is_honoured_and_leaves_doubt(connect, provider):
    provider.on[TO] = standin.hang()
    began = asyncio.get_running_loop().time()
    assert await connect(timeout_seconds=0.5).send(HELLO) == InDoubt("TimeoutError")
    assert 0.4 < asyncio.get_running_loop().time() - began < 2.0


async def test_when_the_lease_is_over_nothing_reaches_the_provider(connect, provider):
    with lease.lease(lease.boottime() - 1), pytest.raises(lease.LeaseOver):
        await connect().send(HELLO)
    assert provider.log == []


async def test_a_cancelled_send_is_cancelled(connect, provider):
    provider.on[TO] = standin.hang()
    sending = asyncio.create_task(connect().send(HELLO))
    await asyncio.sleep(0.1)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_300_at_once_each_get_their_own_answer(connect, provider):
    def decide(form):
        kind = int(form["To"][-3:]) % 4
        delay = (int(form["To"][-3:]) * 7 % 30) / 1000
        if kind == 0:
            return standin.error(400, 21610, form["To"][-3:])
        if kind == 1:
            return standin.throttled(str(int(form["To"][-3:])))
        return standin.accepted(delay)

    provider.decide = decide
    adapter = connect(timeout_seconds=20.0)
    numbers = [f"+14155550{n:03d}" for n in range(300)]
    outcomes = await asyncio.gather(*(adapter.send(Outbound(f"t{to[-3:]}", "sms", to, to)) for to in numbers))
    lines = {line.to: line for line in provider.log}
    for to, outcome in zip(numbers, outcomes, strict=True):
        match int(to[-3:]) % 4:
            case 0:
                assert outcome == Rejected("21610", to[-3:], opted_out=True)
            case 1:
                assert outcome == NotSent("HTTP 429", float(to[-3:]), slow_down=True)
            case _:
                assert outcome == Accepted(lines[to].sid, "queued")
        assert lines[to].tag == f"t{to[-3:]}"
    assert len(provider.log) == 300


async def test_the_environment_changes_nothing(connect, provider, monkeypatch):
    for name, value in {"TWILIO_EDGE": "dublin", "TWILIO_REGION": "ie1", "http_proxy": "http://127.0.0.1:1"}.items():
        monkeypatch.setenv(name, value)
    assert isinstance(await connect().send(HELLO), Accepted)


async def test_no_number_and_no_text_is_logged(connect, provider, caplog):
    with caplog.at_level(logging.DEBUG):
        await connect().send(HELLO)
    assert "4155550100" not in caplog.text
    assert "welcome" not in caplog.text


async def test_the_log_holds_the_instant_of_the_first_byte(connect, provider):
    adapter = connect()
    for _ in range(3):
        before = asyncio.get_running_loop().time()
        await adapter.send(HELLO)
        after = asyncio.get_running_loop().time()
        assert before <= provider.log[-1].at_ns / 1e9 <= after


async def test_twilios_own_address_is_used_without_an_api_url(session):
    adapter = Twilio(name="sms", channel="sms", account_sid=ACCOUNT, auth_token=TOKEN, public_url=ORIGIN,
                     session=session, sender="+14155550199")  # fmt: skip
    assert adapter._client.api.base_url == "https://api.twilio.com"
