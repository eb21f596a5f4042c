"""How a send to Meta reads on the wire, and every way it can end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from channels import lease
from channels.http import open_session
from channels.meta import send
from channels.meta.adapter import Meta
from channels.values import Accepted, InDoubt, NotSent, Outbound, Outcome, Rejected
from tests.channels.loopback import free_port
from tests.channels.meta_requests import ANA_ID, NUMBER_ID, SECRET, TOKEN, VERIFY
from tests.standins import meta as standin
from tests.standins.meta import Answer, MetaStandIn

TO = "+14155550123"
HELLO = Outbound("att_1", "whatsapp", TO, "Hello")
Connect = Callable[..., Meta]


@pytest.fixture
async def provider() -> AsyncIterator[MetaStandIn]:
    async with MetaStandIn(NUMBER_ID, TOKEN) as one:
        yield one


@pytest.fixture
async def connect(provider: MetaStandIn) -> AsyncIterator[Connect]:
    async with open_session() as session:
        given: dict[str, Any] = {
            "name": "cloud", "app_secret": SECRET, "access_token": TOKEN, "verify_token": VERIFY,
            "phone_number_id": NUMBER_ID, "session": session, "api_url": provider.url,
        }  # fmt: skip
        yield lambda **more: Meta(**(given | more))


# --- what is asked ----------------------------------------------------------------------------


def asked(**more: Any) -> dict[str, Any]:
    common = {"messaging_product": "whatsapp", "recipient_type": "individual", "biz_opaque_callback_data": "att_1"}
    return common | more


def templated(**variables: str) -> Outbound:
    template = {"name": "autumn", "language": "pt_BR", "variables": variables}
    return Outbound("att_1", "whatsapp", TO, template=template)


NAMED: dict[str, object] = {"name": "autumn", "language": {"code": "pt_BR"}}
REQUESTS: dict[str, tuple[Outbound, dict[str, Any]]] = {
    "a text": (HELLO, asked(to=TO, type="text", text={"body": "Hello"})),
    "to a business-scoped id": (
        Outbound("att_1", "whatsapp", ANA_ID, "Hello"),
        asked(recipient=ANA_ID, type="text", text={"body": "Hello"}),
    ),
    "a template": (templated(), asked(to=TO, type="template", template=NAMED)),
    "a template without variables": (
        Outbound("att_1", "whatsapp", TO, template={"name": "autumn", "language": "pt_BR"}),
        asked(to=TO, type="template", template=NAMED),
    ),
    "a template with numbered variables": (
        templated(**{"2": "Friday", "10": "ten", "1": "Ana"}),
        asked(to=TO, type="template", template=NAMED | {"components": [{"type": "body", "parameters": [
            {"type": "text", "text": "Ana"}, {"type": "text", "text": "Friday"}, {"type": "text", "text": "ten"},
        ]}]}),
    ),
    "a template with named variables": (
        templated(first_name="Ana", day="Friday"),
        asked(to=TO, type="template", template=NAMED | {"components": [{"type": "body", "parameters": [
            {"type": "text", "parameter_name": "first_name", "text": "Ana"},
            {"type": "text", "parameter_name": "day", "text": "Friday"},
        ]}]}),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("message", "expected"), REQUESTS.values(), ids=REQUESTS)
async def test_a_message_reads_as_meta_has_it(
    connect: Connect, provider: MetaStandIn, message: Outbound, expected: dict[str, Any]
) -> None:
    outcome = await connect().send(message)
    [line] = provider.log
    assert line.asked == expected
    assert outcome == Accepted(line.wamid or "", "accepted")


async def test_a_template_without_a_language_is_asked_of_nobody(connect: Connect, provider: MetaStandIn) -> None:
    outcome = await connect().send(Outbound("att_1", "whatsapp", TO, template={"name": "autumn"}))
    assert isinstance(outcome, Rejected)
    assert provider.log == []


# --- how it ends ------------------------------------------------------------------------------

US = "refused for us, not for the person"
NO_ID = InDoubt("HTTP 200 without a message id")
ENDS: dict[str, tuple[Answer, Outcome]] = {
    "stopped marketing": (
        standin.error(400, 131050, "User stopped", f"Recipient {TO} has chosen to stop"),
        Rejected("131050", "Recipient [number] has chosen to stop", opted_out=True, marketing_only=True),
    ),
    "outside the window": (
        standin.error(400, 131047, "Re-engagement message", "More than 24 hours"),
        Rejected("131047", "the 24 hours after the person's own message are over: only a template may go to them"),
    ),
    "undeliverable, for one of many reasons": (
        standin.error(400, 131026, "Message undeliverable"),
        Rejected("131026", "(#131026) Message undeliverable"),
    ),
    "part of an experiment": (standin.error(400, 130472, "x"), Rejected("130472", "(#130472) x")),
    "no such template": (standin.error(404, 132001, "x", "no name"), Rejected("132001", "no name")),
    "variables that do not fit": (standin.error(400, 132000, "x", "2 of 1"), Rejected("132000", "2 of 1")),
    "not allowed in the country": (standin.error(403, 130497, "x", "no"), Rejected("130497", "no")),
    "a wrong parameter": (standin.error(400, 100, "x", "bad"), Rejected("100", "bad")),
    "an unknown code": (standin.error(400, 139999, "x", "new"), Rejected("139999", "new")),
    "enough marketing for this person": (
        standin.error(400, 131049, "x", "healthy ecosystem"), NotSent("131049 healthy ecosystem", 6 * 3600.0),
    ),
    "too fast to one person": (standin.error(400, 131056, "x", "pair"), NotSent("131056 pair", 6.0)),
    "too fast to one person, by 429": (standin.error(429, 131056, "x", "pair"), NotSent("131056 pair", 6.0)),
    "too fast": (standin.error(400, 130429, "x", "mps"), NotSent("130429 mps", None, slow_down=True)),
    "too fast, with a wish": (
        standin.error(429, 130429, "x", "mps", Retry_After="7"), NotSent("130429 mps", 7.0, slow_down=True),
    ),
    "the app's limit": (standin.error(400, 4, "x"), NotSent("4 (#4) x", 60.0, slow_down=True)),
    "the account's limit": (standin.error(400, 80007, "x"), NotSent("80007 (#80007) x", 60.0, slow_down=True)),
    "blocked too often": (standin.error(400, 131048, "x"), NotSent("131048 (#131048) x", 3600.0, slow_down=True)),
    "registrations": (standin.error(400, 133016, "x"), NotSent("133016 (#133016) x", 60.0, slow_down=True)),
    "429 with another code": (standin.error(429, 613, "x"), NotSent("613 (#613) x", None, slow_down=True)),
    "429 without a code": (standin.odd(b"", 429, False), NotSent("HTTP 429", None, slow_down=True)),
    "an expired token": (standin.error(401, 190, "x"), NotSent(f"{US}: 190 (#190) x", 60.0, slow_down=True)),
    "a token that is none": (standin.error(401, 0, "x"), NotSent(f"{US}: 0 (#0) x", 60.0, slow_down=True)),
    "a missing permission": (standin.error(403, 200, "x"), NotSent(f"{US}: 200 (#200) x", 60.0, slow_down=True)),
    "a locked account": (standin.error(403, 131031, "x"), NotSent(f"{US}: 131031 (#131031) x", 60.0, slow_down=True)),
    "an unpaid bill": (standin.error(400, 131042, "x"), NotSent(f"{US}: 131042 (#131042) x", 60.0, slow_down=True)),
    "an unregistered number": (
        standin.error(400, 133010, "x"), NotSent(f"{US}: 133010 (#133010) x", 60.0, slow_down=True),
    ),
    "a number that is not there": (
        standin.error(400, 100, "x", subcode=33), NotSent(f"{US}: 100 (#100) x", 60.0, slow_down=True),
    ),
    "a proxy's 403": (standin.odd(b"<html>", 403, False), NotSent(f"{US}: HTTP 403", 60.0, slow_down=True)),
    "a proxy's 404": (standin.odd(b"<html>", 404, False), NotSent(f"{US}: HTTP 404", 60.0, slow_down=True)),
    "refused without a word": (standin.odd(b"", 400, False), Rejected("400", "HTTP 400")),
    "refused with a list": (standin.odd(b"[]", 400, False), Rejected("400", "HTTP 400")),
    "refused too deep to read": (standin.odd(b'{"error":' * 7000, 400, False), Rejected("400", "HTTP 400")),
    "refused with a code that is a text": (
        standin.odd(b'{"error":{"code":"131050","message":"x"}}', 400, False), Rejected("400", "x"),
    ),
    "something went wrong": (standin.error(500, 131000, "x"), InDoubt("HTTP 500")),
    "a 500 that says opted out": (standin.error(500, 131050, "x"), InDoubt("HTTP 500")),
    "unavailable": (standin.error(503, 2, "x"), InDoubt("HTTP 503")),
    "a 500, yet sent": (standin.odd(b"", 500), InDoubt("HTTP 500")),
    "a 408": (standin.error(408, 131050, "x"), InDoubt("HTTP 408")),
    "sent, then reset": (standin.ends("reset"), InDoubt("ClientOSError: Connection reset by peer")),
    "sent, then closed": (standin.ends("close"), InDoubt("ServerDisconnectedError")),
    "led elsewhere": (standin.odd(b"", 307, False, Location="/x"), InDoubt("HTTP 307")),
    "sent, without an id": (standin.odd(b"{}"), NO_ID),
    "sent, with no message": (standin.odd(b'{"messages":[]}'), NO_ID),
    "sent, with two": (standin.odd(b'{"messages":[{"id":"wamid.1"},{"id":"wamid.2"}]}'), NO_ID),
    "sent, with an odd id": (standin.odd(b'{"messages":[{"id":"a b"}]}'), NO_ID),
    "sent, with odd bytes": (standin.odd(b"\xff\xfe\x00"), NO_ID),
    "sent, an error in it": (standin.odd(b'{"error":{"code":131050}}'), NO_ID),
    "sent, too deep to read": (standin.odd(b"[" * 60_000), NO_ID),
    "sent, too long": (standin.odd(b"x" * 100_000), InDoubt("HTTP 200, then AnswerTooLarge")),
    "sent, held back for a look": (
        standin.odd(b'{"messages":[{"id":"wamid.1","message_status":"held_for_quality_assessment"}]}'),
        Accepted("wamid.1", "held_for_quality_assessment"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "outcome"), ENDS.values(), ids=ENDS)
async def test_a_send_ends_in_the_value_of_the_table(
    connect: Connect, provider: MetaStandIn, answer: Answer, outcome: Outcome
) -> None:
    provider.on[TO] = answer
    assert await connect().send(HELLO) == outcome
    assert len(provider.log) == 1, "one request, whatever the answer"


async def test_wrong_credentials_reject_nobody(connect: Connect, provider: MetaStandIn) -> None:
    for wrong in ({"access_token": "mistyped"}, {"phone_number_id": "1"}):
        outcome = await connect(**wrong).send(HELLO)
        assert isinstance(outcome, NotSent)
        assert outcome.slow_down


async def test_a_provider_that_is_not_there_is_not_sent(connect: Connect) -> None:
    assert isinstance(await connect(api_url=f"http://127.0.0.1:{free_port()}").send(HELLO), NotSent)


async def test_the_timeout_is_honoured_and_leaves_doubt(connect: Connect, provider: MetaStandIn) -> None:
    provider.on[TO] = standin.ends("hang")
    began = asyncio.get_running_loop().time()
    assert await connect(timeout_seconds=0.5).send(HELLO) == InDoubt("TimeoutError")
    assert 0.4 < asyncio.get_running_loop().time() - began < 2.0


async def test_when_the_lease_is_over_nothing_reaches_the_provider(connect: Connect, provider: MetaStandIn) -> None:
    with lease.lease(lease.boottime() - 1), pytest.raises(lease.LeaseOver):
        await connect().send(HELLO)
    assert provider.log == []


async def test_no_number_no_text_and_no_secret_is_logged(
    connect: Connect, provider: MetaStandIn, caplog: pytest.LogCaptureFixture
) -> None:
    provider.on[TO] = standin.error(400, 131047, "x", f"to {TO} {TOKEN}")
    with caplog.at_level(logging.DEBUG):
        await connect().send(HELLO)
    for canary in ("4155550123", "Hello", TOKEN, SECRET):
        assert canary not in caplog.text


async def test_metas_own_address_is_used_without_an_api_url(connect: Connect) -> None:
    assert connect(api_url=None)._sender.url == f"https://graph.facebook.com/{send.VERSION}/{NUMBER_ID}/messages"


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"app_secret": ""}, "anyone could sign"),
        ({"verify_token": ""}, "anyone could sign"),
        ({"access_token": f"{TOKEN}\n"}, "access_token holds"),
        ({"access_token": "a\r\nX-Evil: 1"}, "access_token holds"),
        ({"api_url": "graph.facebook.com"}, "not a plain"),
    ],
)
async def test_what_can_never_work_is_said_at_the_start_without_the_secret(
    connect: Connect, wrong: dict[str, str], words: str
) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        connect(**wrong)
    assert TOKEN not in str(caught.value)
