"""A gateway that takes mail by SMTP and by LMTP, a real Postfix that brings it, and a relay for what goes out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.providers.smtp import Smtp
from gateway.settings import Settings
from tests.channels.loopback import free_port
from tests.flows.mail.cutting import Cut
from tests.standins import postfix as real
from tests.standins.postfix import Postfix
from tests.standins.smtp import Sink


@dataclass(frozen=True)
class Ports:
    """Where the gateway of each test listens, one after the other, the way that can be cut, and another mail server."""

    smtp: int
    lmtp: int
    cut: int
    theirs: int


@pytest.fixture(scope="session")
def ports() -> Ports:
    return Ports(free_port(), free_port(), free_port(), free_port())


@pytest.fixture(scope="session")
def postfix(ports: Ports) -> Iterator[Postfix]:
    """One for all tests of a worker: mail to smtp.example.org and lmtp.example.org goes to the gateway."""
    if (why := real.why_there_is_none()) is not None:
        pytest.skip(why)
    routes = {
        "smtp.example.org": f"smtp:[127.0.0.1]:{ports.smtp}",
        "lmtp.example.org": f"lmtp:inet:[127.0.0.1]:{ports.lmtp}",
        "cut.example.org": f"smtp:[127.0.0.1]:{ports.cut}",
        "gone.example.net": f"smtp:[127.0.0.1]:{ports.theirs}",
    }
    with real.running(routes) as postfix:
        yield postfix


@pytest.fixture
async def sink() -> AsyncIterator[Sink]:
    """The relay that all mail goes out by."""
    async with Sink() as sink:
        yield sink


@pytest.fixture
def settings(settings: Settings, ports: Ports, sink: Sink) -> Settings:
    """The connection `smtp` takes mail for any address, `lmtp` for lmtp.example.org."""

    def connection(protocol: str, port: int, domain: str | None) -> Smtp:
        options: dict[str, Any] = {
            "provider": "smtp", "channel": "email", "host": "127.0.0.1", "port": sink.port, "tls": "none",
            "from": "Example Theatre <hello@example.org>", "inbound_domain": domain,
            "inbound": {"provider": "smtp", "listen": f"127.0.0.1:{port}", "protocol": protocol,
                        "authserv_id": "mx.example.org"},
        }  # fmt: skip
        return Smtp.model_validate(options)

    organisation = settings.organisation.model_copy(update={"postal_address": "12 Long Lane, London N1"})
    mail = {"smtp": connection("smtp", ports.smtp, None), "lmtp": connection("lmtp", ports.lmtp, "lmtp.example.org")}
    changed = {"connections": {**settings.connections, **mail}, "organisation": organisation}
    return settings.model_copy(update=changed)


@pytest.fixture
async def cut(ports: Ports) -> AsyncIterator[Cut]:
    """The way to the connection `smtp`, on which the answer to a mail is lost, the first time."""
    async with Cut(ports.cut, ports.smtp) as cut:
        yield cut
