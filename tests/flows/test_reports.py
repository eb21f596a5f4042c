"""Delivery reports over HTTP, posted and signed as Twilio does to the very URL that each send named."""

from __future__ import annotations

from urllib.parse import urlencode, urlsplit

import pytest

from tests.channels.requests_as_sent import ACCOUNT
from tests.flows.running import Gateway, Got, eventually
from tests.standins.twilio import Request, TwilioStandIn

ANA = "+14155550101"


async def one_sent(gateway: Gateway, twilio: TwilioStandIn) -> tuple[str, Request]:
    """A broadcast to one person who said yes; returns its id and the request it came to."""
    await gateway.text_in("START", ANA)
    broadcast = await gateway.sent({"all": True})
    assert broadcast["counts"]["by_status"] == {"accepted": 1}

    async def done() -> bool:  # the planner writes that a moment later
        return bool((await gateway.api("GET", f"/v1/broadcasts/{broadcast['id']}"))["status"] == "done")

    await eventually(done)
    [request] = twilio.log
    return broadcast["id"], request


async def report(gateway: Gateway, request: Request, status: str, path: str | None = None, **more: str) -> Got:
    url = urlsplit(request.form["StatusCallback"])
    form = {"AccountSid": ACCOUNT, "MessageSid": request.sid or "", "MessageStatus": status, "To": request.to, **more}
    return await gateway.post(urlencode(form).encode(), path or f"{url.path}?{url.query}")


async def counts(gateway: Gateway, broadcast_id: str) -> dict[str, int]:
    return dict((await gateway.api("GET", f"/v1/broadcasts/{broadcast_id}"))["counts"]["by_status"])


async def test_a_report_moves_its_delivery_up_and_a_late_one_not_down(gateway: Gateway, twilio: TwilioStandIn) -> None:
    broadcast_id, request = await one_sent(gateway, twilio)
    for status, stands in [
        ("sent", "sent"),
        ("delivered", "delivered"),
        ("sent", "delivered"),
        ("queued", "delivered"),
    ]:
        got = await report(gateway, request, status)
        assert (got.status, got.body) == (200, b"")
        assert await counts(gateway, broadcast_id) == {stands: 1}


async def test_an_opt_out_that_the_carrier_reports_late_is_kept_once(gateway: Gateway, twilio: TwilioStandIn) -> None:
    broadcast_id, request = await one_sent(gateway, twilio)
    for _ in range(2):
        assert (await report(gateway, request, "undelivered", ErrorCode="21610")).status == 200
    [ana] = await gateway.whose(f"sms:{ANA}")
    assert await gateway.verdict(ana["id"]) == "opted_out_channel"
    assert ana["consent"]["addresses"][f"sms:{ANA}"]["state"] == "no", "as a STOP: one line, two flags"
    assert [line["source"] for line in await gateway.history(ana["id"])] == ["provider", "keyword"]
    assert await counts(gateway, broadcast_id) == {"undelivered": 1}


@pytest.mark.parametrize("change", ["tag", "connection", "signature"])
async def test_a_forged_report_is_refused_and_nothing_is_written(
    gateway: Gateway, twilio: TwilioStandIn, change: str
) -> None:
    _, request = await one_sent(gateway, twilio)
    before = await gateway.everything()
    path = f"/webhooks/sms/status?tag={request.tag}"
    form = urlencode({"AccountSid": ACCOUNT, "MessageSid": request.sid or "", "MessageStatus": "delivered"}).encode()
    if change == "signature":
        got = await gateway.post(form, path, signed=None)
    elif change == "tag":
        got = await gateway.post(form, path + "0", url=f"https://gw.example.org{path}")
    else:
        got = await gateway.post(form, path.replace("/sms/", "/second/"))
    assert got.status == 403
    assert await gateway.everything() == before


async def test_a_report_for_another_connection_of_the_same_account_changes_nothing(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    broadcast_id, request = await one_sent(gateway, twilio)
    assert (await report(gateway, request, "delivered", f"/webhooks/whatsapp/status?tag={request.tag}")).status == 200
    assert await counts(gateway, broadcast_id) == {"accepted": 1}


async def test_numbers_given_as_phones_replace_numbers_and_leave_the_rest(gateway: Gateway) -> None:
    person = await gateway.person("email:ana@example.org", "sms:+14155550101")
    changed = await gateway.api("PATCH", f"/v1/profiles/{person['id']}", json={"phones": ["+14155550102"]})
    assert {(a["channel"], a["value"]) for a in changed["addresses"]} == {
        ("email", "ana@example.org"),
        ("sms", "+14155550102"),
        ("voice", "+14155550102"),
    }
