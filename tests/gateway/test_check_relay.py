"""`optgate check` of a relay: what is wrong with it is said in plain words, and no password with it."""

from __future__ import annotations

from typing import Any

import pytest

from channels.http import open_session
from gateway.checks import providers
from gateway.settings import Settings
from tests.channels.loopback import free_port
from tests.channels.smtp_server import speaking
from tests.standins.smtp import Sink

CANARY = "canary-9f8e7d6c5b4a3f2e1d0c"


async def looked_at(port: int, *, organisation: dict[str, str] | None = None, **more: Any) -> list[str]:
    connection = {"provider": "smtp", "channel": "email", "host": "127.0.0.1", "port": port, "tls": "none",
                  "from": "Example Theatre <hello@example.org>"} | more  # fmt: skip
    settings = Settings.model_validate(
        {
            "server": {"public_url": "https://gw.example.org"},
            "organisation": organisation if organisation is not None else {"postal_address": "12 Long Lane"},
            "connections": {"news": connection},
        }
    )
    async with open_session() as session:
        found = await providers.findings(settings, session, seconds=1.0)
    assert all(one.about == "connection news" for one in found)
    assert CANARY not in str(found)
    return [f"{one.level}: {one.sentence}" for one in found]


async def test_a_relay_that_takes_mail_is_told_and_gets_none() -> None:
    async with Sink(credentials=("optgate", CANARY)) as sink:
        inbound = {"provider": "smtp", "listen": "127.0.0.1:2525", "authserv_id": "mx.example.org"}
        given = {"username": "optgate", "password": CANARY, "inbound_domain": "in.example.org", "inbound": inbound}
        told = await looked_at(sink.port, **given)
        assert told == [
            f"ok: the relay at 127.0.0.1:{sink.port} takes mail, in clear, and accepts user name and password",
            "warn: answers go to hello@example.org, and in.example.org is what comes in: a STOP that answers a mail is "
            "heard only where that mailbox's mail comes here too; let `from` be in in.example.org",
            "ok: not looked at: SPF, DKIM and DMARC of example.org, see docs/operating.md",
            "ok: takes mail for in.example.org by SMTP at 127.0.0.1:2525",
        ]
        assert (sink.log, sink.connections) == ([], 1)
        assert sink.commands == ["MAIL"]


@pytest.mark.parametrize("domain", ["example.org", "Example.ORG", "example.org."])
async def test_where_answers_come_in_there_is_nothing_to_say(domain: str) -> None:
    async with Sink() as sink:
        inbound = {"provider": "mailgun", "signing_key": CANARY}
        told = await looked_at(sink.port, inbound_domain=domain, inbound=inbound)
        assert not [one for one in told if one.startswith("warn")]
        told = await looked_at(sink.port, inbound_domain="in.example.org")
        assert not [one for one in told if "answers go" in one], "nothing comes in at all, and that is said"


@pytest.mark.parametrize(
    ("acts", "more", "word"),
    [
        ({}, {"tls": "starttls"}, "offers no STARTTLS, and tls = 'starttls' sends nothing in clear"),
        ({}, {"username": "optgate", "password": CANARY}, "offers no way to log in that is known here, at least not"),
        ({"EHLO": "250-x\r\n250 AUTH PLAIN", "AUTH": f"535 5.7.8 {CANARY}"}, {"username": "u", "password": CANARY},
         "does not accept user name and password (535)"),
        ({"greeting": "554 5.7.1 go away"}, {}, "greets with 554"),
        ({"greeting": "hang"}, {}, "did not answer in time"),
        ({"greeting": "HTTP/1.1 400 Bad Request"}, {}, "what answers is no mail relay"),
        ({}, {"tls": "implicit"}, "TLS fails"),
        ({"MAIL": "553 5.7.1 <hello@example.org>: not owned by user"}, {},
         "takes no mail from our sender (553 5.7.1 …: not owned by user)"),
    ],
)  # fmt: skip
async def test_what_is_wrong_with_a_relay_is_told(acts: dict[str, Any], more: dict[str, Any], word: str) -> None:
    async with speaking(**acts) as server:
        [first, *_] = await looked_at(server.port, **more)
    assert first.startswith("problem: ")
    assert word in first
    assert f"(127.0.0.1:{server.port}); correct [connections.news], or the relay" in first


async def test_a_relay_that_is_not_there_is_told() -> None:
    [first, *_] = await looked_at(port := free_port())
    assert first.startswith(f"problem: the relay cannot be reached: Connect call failed ('127.0.0.1', {port})")


async def test_what_mail_needs_besides_is_worth_a_look() -> None:
    async with Sink() as sink:
        inbound = {"provider": "mailgun", "signing_key": CANARY}
        told = await looked_at(sink.port, organisation={}, inbound=inbound)
    assert told[1:4] == [
        "warn: [organisation] postal_address is empty: marketing by e-mail is refused without it (CAN-SPAM, CASL)",
        "warn: inbound_domain is not set: bounces go to the address in `from`, and nobody unsubscribes by mail",
        "ok: not looked at: SPF, DKIM and DMARC of example.org, see docs/operating.md",
    ]
    [first, second, *_] = await looked_at(25, host="relay.invalid")
    assert first.startswith("problem: the relay cannot be reached")
    assert second == "warn: tls is none: mail, and the password if there is one, goes to the relay in clear"
