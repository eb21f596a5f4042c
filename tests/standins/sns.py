"""Amazon's hosts on loopback, over real TLS by an authority of our own: the certificate, and confirmations.

What leads there is a resolver and the authority's certificate, both of the test's client: nothing in the gateway knows.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.channels.loopback import Arrival, serving
from tests.channels.mails_as_sent import CERTIFICATE_PATH, HOST, Amazon, certificate


class SnsStandIn:
    """Serves the certificate of `amazon`, or what `pem` is instead, and says yes to all else; with this `status`."""

    def __init__(self, amazon: Amazon, authority: bytes) -> None:
        self.amazon = amazon
        self.pem: bytes | None = amazon.pem
        self.status = 200
        self.everywhere = False  # the certificate is there by any name
        self.arrivals: list[Arrival] = []
        self.port = 0
        self.trust = ssl.create_default_context(cadata=authority.decode())

    @property
    def asked(self) -> list[str]:
        """The path of every request."""
        return [arrival.head.split(b" ")[1].decode() for arrival in self.arrivals]

    def redirect(self, session: aiohttp.ClientSession) -> aiohttp.ClientSession:
        """Make a session find Amazon here, and nothing else anywhere."""
        connector = session.connector
        assert isinstance(connector, aiohttp.TCPConnector)
        connector._resolver = _Here(self.port)
        connector._ssl = self.trust
        return session

    async def behave(self, arrival: Arrival, writer: asyncio.StreamWriter) -> None:
        wanted = b"GET /Simple" if self.everywhere else f"GET {CERTIFICATE_PATH} ".encode()
        is_certificate = arrival.head.startswith(wanted)
        body = (self.pem or b"") if is_certificate else b"<ConfirmSubscriptionResponse/>"
        head = f"HTTP/1.1 {self.status} X\r\nLocation: https://evil.example/\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)


class _Here(AbstractResolver):
    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        if host != HOST:
            raise OSError("only Amazon is here")
        return [
            ResolveResult(
                hostname=host, host="127.0.0.1", port=self._port, family=socket.AF_INET, proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]  # fmt: skip

    async def close(self) -> None:
        pass


@asynccontextmanager
async def standing_in(amazon: Amazon, folder: Path) -> AsyncIterator[SnsStandIn]:
    """Amazon, with certificates made for the occasion."""
    root_key, key = (rsa.generate_private_key(65537, 2048) for _ in range(2))
    root = certificate("an authority of the tests", root_key)
    chain = folder / "amazon.pem"
    chain.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate(HOST, key, (root, root_key)).public_bytes(Encoding.PEM)
    )
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(chain)
    standin = SnsStandIn(amazon, root.public_bytes(Encoding.PEM))
    async with serving(standin.behave, tls) as server:
        standin.port = int(server.url.rpartition(":")[2])
        standin.arrivals = server.arrivals
        yield standin
