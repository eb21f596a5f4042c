"""A server that speaks SMTP by hand, so that it can end a conversation wherever a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from tests.channels.loopback import listening

Act = str | bytes  # an answer, or one of: close, reset, hang


@dataclass
class Server:
    """What was said to it. `acts` by what is said: greeting, EHLO, MAIL, RCPT, DATA, BODY (the mail), RSET, QUIT."""

    acts: Mapping[str, Act]
    port: int = 0
    heard: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0


_USUAL: Mapping[str, Act] = {
    "greeting": "220 relay ESMTP",
    "EHLO": "250-relay\r\n250 SIZE 1000000",
    "MAIL": "250 2.1.0 Ok",
    "RCPT": "250 2.1.5 Ok",
    "DATA": "354 go on",
    "BODY": "250 2.0.0 Ok: queued as Q0000001",
    "RSET": "250 2.0.0 Ok",
    "QUIT": "221 2.0.0 Bye",
}


@contextlib.asynccontextmanager
async def speaking(tls: ssl.SSLContext | None = None, **acts: Act) -> AsyncIterator[Server]:
    """A relay that does as usual but where `acts` says otherwise: answers so, or `close`, `reset`, `hang`."""
    server = Server(_USUAL | acts)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        if not await _act(server, "greeting", writer):
            return
        while line := await reader.readline():
            verb = line.split()[0].decode().upper()
            server.heard.append(verb)
            if not await _act(server, verb, writer):
                return
            if verb == "DATA" and str(server.acts["DATA"]).startswith("354"):
                if server.acts["BODY"] == "reset early":  # with the mail half read
                    await reader.read(10)
                    await _end("reset", writer)
                    return
                server.bodies.append(await reader.readuntil(b"\r\n.\r\n"))
                if not await _act(server, "BODY", writer):
                    return
            if verb == "QUIT":
                return

    async with listening(connected, tls) as port:
        server.port = port
        yield server


async def _act(server: Server, what: str, writer: asyncio.StreamWriter) -> bool:
    """Answer, or end the conversation: then False."""
    act = server.acts.get(what, "500 5.5.1 no such command")
    if act in ("close", "reset", "hang"):
        await _end(str(act), writer)
        return False
    writer.write((act.encode() if isinstance(act, str) else act) + b"\r\n")
    await writer.drain()
    return True


async def _end(how: str, writer: asyncio.StreamWriter) -> None:
    if how == "hang":
        await asyncio.sleep(60)
    elif how == "reset":
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    writer.close()
