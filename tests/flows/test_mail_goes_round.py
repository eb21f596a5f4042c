"""Mail that comes back: what machines and strangers could make us say again and again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest

from gateway.providers.smtp import Smtp
from gateway.settings import Settings
from tests import canaries
from tests.channels.loopback import free_port
from tests.channels.mail_client import Client
from tests.flows.running import Gateway, eventually
from tests.standins.smtp import Accepted, Sink

ANA, OURS, DESK = "ana@example.net", "hello@example.org", "desk@example.org"
_numbers = count(1)


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    async with Sink() as sink:
        yield sink


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def settings(settings: Settings, port: int, sink: Sink) -> Settings:
    """Mail goes out to the sink and comes in at the port; what no rule matches goes on to a desk at our own domain."""
    options: dict[str, Any] = {
        "provider": "smtp", "channel": "email", "host": "127.0.0.1", "port": sink.port, "tls": "none",
        "from": f"Example Theatre <{OURS}>", "inbound_domain": "example.org", "forward_to": DESK,
        "inbound": {"provider": "smtp", "listen": f"127.0.0.1:{port}", "authserv_id": "mx.example.org"},
    }  # fmt: skip
    return settings.model_copy(update={"connections": {**settings.connections, "mail": Smtp.model_validate(options)}})


def mail(sender: str, text: str, *, proved: bool = False) -> bytes:
    canaries.plant({"from": sender, "text": text})
    found = f"mx.example.org; dmarc=pass header.from={sender.rpartition('@')[2]}"
    head = f"Authentication-Results: {found}\r\n" if proved else ""
    number = next(_numbers)
    head += f"From: {sender}\r\nTo: {OURS}\r\nSubject: Autumn\r\nMessage-ID: <{number}@example.net>\r\n"
    return f"{head}Date: Mon, 02 Nov 2026 10:00:00 +0000\r\n\r\n{text}\r\n".encode()


async def comes(port: int, raw: bytes, *, to: str = OURS, sender: str = ANA) -> None:
    async with Client(port) as client:
        await client.begin(to, sender=sender)
        assert (await client.mail(raw)).startswith("250 ")


async def went_out(sink: Sink, number: int = 1) -> list[Accepted]:
    async def enough() -> bool:
        return len(sink.log) >= number

    await eventually(enough)
    return sink.log


# --- what goes on -----------------------------------------------------------------------------


async def test_what_goes_on_to_a_mailbox_that_is_ours_goes_round_once(gateway: Gateway, port: int, sink: Sink) -> None:
    await comes(port, mail(ANA, "Is there parking?"))
    [passed_on] = await went_out(sink)
    await comes(port, passed_on.content, to=DESK, sender=passed_on.sender)
    assert len(await gateway.rows("messages")) == 2
    assert len(await gateway.rows("forwards")) == 1


@pytest.mark.parametrize(
    ("sender", "answers_to"),
    [
        (f"Ana <{ANA}>", ANA),
        ("müller@exämple.de", None),
        ("ana@example.net, ben@example.net", None),
        ('"ana ana"@example.net', None),
        ("Ana", None),
    ],
)
async def test_whoever_it_is_from_it_goes_on(
    gateway: Gateway, port: int, sink: Sink, sender: str, answers_to: str | None
) -> None:
    await comes(port, mail(sender, "Is there parking?"))
    [passed_on] = await went_out(sink)
    assert passed_on.recipients == [DESK]
    assert passed_on.mail["Reply-To"] == answers_to
    assert "Is there parking?" in passed_on.body()


# --- what is answered -------------------------------------------------------------------------


async def test_a_mailbox_in_whose_name_strangers_write_is_answered_once_a_day(
    gateway: Gateway, port: int, sink: Sink
) -> None:
    victim = "v.ictim@gmail.com"
    for address in (victim, "victim+1@gmail.com"):
        await gateway.person(f"email:{address}")
    for word in ("STOP", "UNSUBSCRIBE"):
        for sender in (victim, victim.upper(), "victim+1@gmail.com"):
            await comes(port, mail(sender, word))
            gateway.clock.advance(minutes=11)
    await comes(port, mail("nobody@example.com", "STOP"))
    assert [one["state"] for one in await gateway.rows("consent_states")] == ["no"] * 3
    assert len(await gateway.rows("deliveries")) == 1
    gateway.clock.advance(hours=24)
    await comes(port, mail(victim, "STOP"))
    assert [one.recipients for one in await went_out(sink, 2)] == [[victim]] * 2


async def test_who_proves_who_they_are_is_answered_though_never_seen_before(
    gateway: Gateway, port: int, sink: Sink
) -> None:
    await comes(port, mail(ANA, "STOP", proved=True))
    [answer] = await went_out(sink)
    assert (answer.recipients, answer.mail["Auto-Submitted"]) == ([ANA], "auto-replied")
    await comes(port, answer.content, sender=answer.sender)
    assert len(await gateway.rows("deliveries")) == 1, "no answer to an answer"


async def test_a_stop_that_goes_to_the_return_path_is_a_no_and_a_bounce_is_none(gateway: Gateway, port: int) -> None:
    path = "bounces+att_01jd5m00000000000000000000@example.org"
    for name in ("ana", "ben"):
        await gateway.person(f"email:{name}@example.net", consent={"channels": {"email": "yes"}})
    await comes(port, mail(ANA, "STOP"), to=path)
    await comes(port, mail("ben@example.net", "STOP"), to=path, sender="")
    states = [one["consent"]["channels"]["email"]["state"] for one in
              [*await gateway.whose(f"email:{ANA}"), *await gateway.whose("email:ben@example.net")]]  # fmt: skip
    assert states == ["no", "yes"]
