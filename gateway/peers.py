"""Whom a request comes from: the peer of its connection, or whom a trusted proxy says it speaks for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from aiohttp import web

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Proxies:
    """What is known of the proxies between us and those who ask."""

    trusted: tuple[Network, ...] = ()
    ruled_out: bool = False  # the public URL is this machine's own: nobody comes from elsewhere


PROXIES: web.AppKey[Proxies] = web.AppKey("proxies", Proxies)
# What a proxy leaves on a request. One of these, and it is not the peer that asks.
_FORWARDED = (
    "Forwarded",
    "Via",
    "X-Forwarded",
    "X-Forwarded-For",
    "X-Forwarded-Host",
    "X-Forwarded-Proto",
    "X-Forwarded-Server",
    "X-Original-Forwarded-For",
    "X-Real-IP",
    "X-Client-IP",
    "CF-Connecting-IP",
    "True-Client-IP",
)


def networks(written: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks as the configuration writes them; raises ValueError."""
    return tuple(ip_network(one, strict=False) for one in written)


def client_address(request: web.Request) -> Address | None:
    """Who asks: the peer, or, behind proxies that are trusted, the nearest hop that is not one of them.

    X-Forwarded-For is read from the right, where our own proxies write: what stands further left the client may have
    written itself. None when a trusted proxy names something that is no address.
    """
    found = _address(request.remote or "")
    hops = _hops(request)
    while found is not None and _is_trusted(request, found):
        hop = next(hops, None)
        if hop is None:
            return found
        found = _address(hop)
    return found


def is_local(request: web.Request) -> bool:
    """Whether a program on this very machine asks, and no proxy does so for somebody else.

    A proxy that leaves no trace cannot be told from a program: nginx's bare `proxy_pass` adds no header and writes our
    own address as the Host. So what comes from here without a trace is local only where a proxy is ruled out (the
    public URL itself is this machine's) or known to leave one (it is trusted). With a trace, the proxy must be trusted
    and name a client on this machine.
    """
    peer = _address(request.remote or "")
    if peer is None or not peer.is_loopback:
        return False
    trusted = _is_trusted(request, peer)
    if not any(name in request.headers for name in _FORWARDED):
        # Another name is a page's in somebody's browser here, by way of a name that was made to lead here.
        return (trusted or request.app[PROXIES].ruled_out) and _is_loopback_name(request.host)
    client = client_address(request) if trusted and "X-Forwarded-For" in request.headers else None
    return client is not None and client.is_loopback


def _hops(request: web.Request) -> Iterator[str]:
    """The addresses of X-Forwarded-For, from the right."""
    return reversed([hop for line in request.headers.getall("X-Forwarded-For", ()) for hop in line.split(",")])


def _is_trusted(request: web.Request, address: Address) -> bool:
    return any(address in network for network in request.app[PROXIES].trusted)


def _is_loopback_name(host: str) -> bool:
    """Whether a Host header names this machine."""
    address = _address(host)
    return address.is_loopback if address is not None else host.partition(":")[0].lower() == "localhost"


def _address(text: str) -> Address | None:
    """An address as proxies write it, with or without a port; an IPv4 address in IPv6's clothes is the former."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ip_address(text)
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found
