"""Twilio's status callbacks: signed over a URL that holds the attempt's tag."""

from __future__ import annotations

from urllib.parse import urlencode

import aiohttp
import pytest
from multidict import CIMultiDict
from twilio.request_validator import RequestValidator

from channels.http import open_session
from channels.twilio.adapter import Twilio
from channels.values import Forged, Malformed, Report, WebhookRequest

TOKEN = "0123456789abcdef0123456789abcdef"
ACCOUNT = "AC" + "0" * 32
SID = "SM" + "0" * 32
PATH = "/webhooks/sms/status?tag=att_1"
FORM = {"AccountSid": ACCOUNT, "MessageSid": SID, "MessageStatus": "delivered", "To": "+14155550101"}


@pytest.fixture
async def twilio() -> object:
    async with open_session() as session:
        yield adapter(session)


def adapter(session: aiohttp.ClientSession) -> Twilio:
    return Twilio(
        name="sms",
        channel="sms",
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        public_url="https://gw.example.org",
        session=session,
        sender="+14155550100",
    )


def posted(
    form: dict[str, str], path: str = PATH, *, signed_path: str | None = None, token: str = TOKEN
) -> WebhookRequest:
    signature = RequestValidator(token).compute_signature("https://gw.example.org" + (signed_path or path), form)
    body = urlencode(form)
    headers = CIMultiDict(
        {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    )
    return WebhookRequest("POST", path, headers, body.encode())


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("queued", "accepted"),
        ("accepted", "accepted"),
        ("scheduled", "accepted"),
        ("sending", "accepted"),
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("read", "read"),
        ("undelivered", "undelivered"),
        ("failed", "failed"),
        ("canceled", "failed"),
    ],
)
async def test_each_status_of_twilios_has_its_word(twilio: Twilio, said: str, means: str) -> None:
    assert twilio.report(posted({**FORM, "MessageStatus": said})) == [Report("att_1", SID, means)]  # type: ignore[arg-type]


async def test_an_error_code_says_what_it_means(twilio: Twilio) -> None:
    failed = {**FORM, "MessageStatus": "undelivered"}
    [no] = twilio.report(posted({**failed, "ErrorCode": "21610"}))
    assert (no.code, no.opted_out, no.undeliverable) == ("21610", True, False)
    [dead] = twilio.report(posted({**failed, "ErrorCode": "21614"}))
    assert (dead.opted_out, dead.undeliverable) == (False, True)
    [off] = twilio.report(posted({**failed, "ErrorCode": "30003"}))
    assert (off.code, off.opted_out, off.undeliverable) == ("30003", False, False)
    [odd] = twilio.report(posted({**failed, "ErrorCode": "banana"}))
    assert odd.code is None


async def test_a_code_on_a_delivered_message_opts_nobody_out(twilio: Twilio) -> None:
    [report] = twilio.report(posted({**FORM, "ErrorCode": "21610"}))
    assert not report.opted_out


async def test_the_tag_is_under_the_signature(twilio: Twilio) -> None:
    with pytest.raises(Forged):
        twilio.report(posted(FORM, "/webhooks/sms/status?tag=att_2", signed_path=PATH))


async def test_another_account_or_another_token_is_forged(twilio: Twilio) -> None:
    with pytest.raises(Forged):
        twilio.report(posted({**FORM, "AccountSid": "AC" + "1" * 32}))
    with pytest.raises(Forged):
        twilio.report(posted(FORM, token="f" * 32))


@pytest.mark.parametrize(
    "path", ["/webhooks/sms/status", "/webhooks/sms/status?tag=", "/webhooks/sms/status?tag=a&tag=b"]
)
async def test_a_report_without_a_tag_is_malformed(twilio: Twilio, path: str) -> None:
    with pytest.raises(Malformed, match="tag"):
        twilio.report(posted(FORM, path))


async def test_a_status_that_nobody_knows_is_malformed(twilio: Twilio) -> None:
    with pytest.raises(Malformed, match="MessageStatus"):
        twilio.report(posted({**FORM, "MessageStatus": "lost"}))
