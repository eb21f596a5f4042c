"""A mail server that speaks to our listener, word by word."""

from __future__ import annotations

import asyncio
import contextlib

ANA = "ana@example.net"
STOP = b"From: ana@example.net\r\nTo: hello@example.org\r\nSubject: STOP\r\n\r\nSTOP\r\n"


class Client:
    """One connection of it."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Client:
        self._reader, self.writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self.writer.close()
        with contextlib.suppress(ConnectionError):
            await self.writer.wait_closed()

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def hear(self) -> str:
        """One reply, of one line or more; "" when there is none and the connection is closed."""
        heard = ""
        async with asyncio.timeout(60):
            while line := (await self._reader.readline()).decode():
                heard += line
                if line[3] == " ":
                    break
        return heard.replace("\r\n", "\n").rstrip()

    async def say(self, line: str | bytes) -> str:
        self.send((line.encode() if isinstance(line, str) else line) + b"\r\n")
        return await self.hear()

    async def begin(self, *recipients: str, sender: str = ANA, hello: str = "EHLO mx.example.org") -> Client:
        """Up to where a mail may be said."""
        assert (await self.hear()).startswith("220 ")
        assert (await self.say(hello)).startswith("250")
        await self.address(*recipients, sender=sender)
        return self

    async def address(self, *recipients: str, sender: str = ANA) -> None:
        assert await self.say(f"MAIL FROM:<{sender}>") == "250 2.0.0 OK"
        for recipient in recipients or ("hello@example.org",):
            assert await self.say(f"RCPT TO:<{recipient}>") == "250 2.0.0 OK"

    async def mail(self, text: bytes = STOP) -> str:
        """Say a mail, which has to end with a line's end; returns the answer to it."""
        assert (await self.say("DATA")).startswith("354 ")
        self.send(text + b".\r\n")
        return await self.hear()
