"""A mail listener of our own: what it takes, from whom, and what it lets through that it should not."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from gateway.checks.findings import Finding, ok, problem, warn
from gateway.providers.smtp import Smtp, SmtpIn


def findings(name: str, connection: Smtp, inbound: SmtpIn) -> Iterator[Finding]:
    """What is to be said of the listener of this connection."""
    about, option = f"connection {name}", f"[connections.{name}.inbound]"
    domain = connection.inbound_domain
    yield ok(about, f"takes mail for {domain or 'any address'} by {inbound.protocol.upper()} at {inbound.listen}")
    if domain is None:
        yield warn(about, f"[connections.{name}] inbound_domain is not set: mail to any address is taken for yours")
    if not inbound.authserv_id:
        sentence = (
            f"{option} authserv_id is not set: no mail is proved to be from its sender, so nobody can opt in by one"
        )
        yield warn(about, sentence)
    if any(ip_network(one, strict=False).prefixlen == 0 for one in inbound.trusted):
        sentence = (
            f"{option} trusted lets everybody in: who reaches the port can write in anybody's name; name the mail"
        )
        yield problem(about, f"{sentence} server alone")
    if not _is_loopback(inbound.place[0]):
        sentence = f"{option} listens at {inbound.listen}, unencrypted: let no one but the mail server reach that port"
        yield warn(about, sentence)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
