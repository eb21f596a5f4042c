"""A gateway that takes mail by SMTP and by LMTP, and a real Postfix that brings it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from gateway.providers.smtp import Smtp
from gateway.settings import Settings
from tests.channels.loopback import free_port
from tests.flows.mail.cutting import Cut
from tests.flows.running import Gateway
from tests.standins import postfix as real
from tests.standins.postfix import Postfix


@dataclass(frozen=True)
class Ports:
    """Where the gateway of each test listens, one after the other, and the way that can be cut."""

    smtp: int
    lmtp: int
    cut: int


@pytest.fixture(scope="session")
def ports() -> Ports:
    return Ports(free_port(), free_port(), free_port())


@pytest.fixture(scope="session")
def postfix(ports: Ports) -> Iterator[Postfix]:
    """One for all tests of a worker: mail to smtp.example.org and lmtp.example.org goes to the gateway."""
    if (why := real.why_there_is_none()) is not None:
        pytest.skip(why)
    routes = {
        "smtp.example.org": f"smtp:[127.0.0.1]:{ports.smtp}",
        "lmtp.example.org": f"lmtp:inet:[127.0.0.1]:{ports.lmtp}",
        "cut.example.org": f"smtp:[127.0.0.1]:{ports.cut}",
    }
    with real.running(routes) as postfix:
        yield postfix


@pytest.fixture
def relay_port() -> int:
    """Where mail goes out to: nobody is there."""
    return free_port()


@pytest.fixture
def settings(settings: Settings, ports: Ports, relay_port: int) -> Settings:
    """The connection `smtp` takes mail for any address, `lmtp` for lmtp.example.org."""

    def connection(protocol: str, port: int, domain: str | None) -> Smtp:
        options: dict[str, Any] = {
            "provider": "smtp", "channel": "email", "host": "127.0.0.1", "port": relay_port, "tls": "none",
            "from": "Example Theatre <hello@example.org>", "inbound_domain": domain,
            "inbound": {"provider": "smtp", "listen": f"127.0.0.1:{port}", "protocol": protocol,
                        "authserv_id": "mx.example.org"},
        }  # fmt: skip
        return Smtp.model_validate(options)

    mail = {"smtp": connection("smtp", ports.smtp, None), "lmtp": connection("lmtp", ports.lmtp, "lmtp.example.org")}
    return settings.model_copy(update={"connections": {**settings.connections, **mail}})


@pytest.fixture
async def gateway(gateway: Gateway) -> Gateway:
    await stop_stops(gateway)
    return gateway


async def stop_stops(gateway: Gateway) -> None:
    """See that there is a rule for STOP by e-mail."""
    known = await gateway.api("GET", "/v1/rules?limit=500")
    if not any(rule["channel"] == "email" and rule["keyword"] == "STOP" for rule in known["items"]):
        rule = {"channel": "email", "keyword": "STOP", "match": "exact", "action": "opt_out", "reply": "You are out."}
        await gateway.api("POST", "/v1/rules", json=rule)


@pytest.fixture
async def cut(ports: Ports) -> AsyncIterator[Cut]:
    """The way to the connection `smtp`, on which the answer to a mail is lost, the first time."""
    async with Cut(ports.cut, ports.smtp) as cut:
        yield cut
