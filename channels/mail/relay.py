"""Connections to a relay: opened with TLS as configured and logged in, used for many mails, closed when they idle."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Literal

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectResponseError,
    SMTPException,
    SMTPHeloError,
    SMTPResponseException,
)

from channels.mail.answers import words

Tls = Literal["starttls", "implicit", "none"]
CONNECT_SECONDS = 10.0  # with TLS and AUTH
ANSWER_SECONDS = 10.0  # to a command
IDLE_SECONDS = 20.0  # then a connection is closed: relays do it after a minute or more
QUIT_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Relay:
    """Where mail is handed over, and how."""

    host: str
    port: int
    tls: Tls
    hello: str  # what we call ourselves
    username: str | None = None
    password: str | None = None


class Unreachable(Exception):
    """No connection came about: nothing was sent. The words say why, without an address or a password."""

    def __init__(self, words: str, *, lasts: bool = False) -> None:
        super().__init__(words)
        self.lasts = lasts  # until an operator does something, or for a while


async def connect(relay: Relay, tls: ssl.SSLContext | None = None) -> SMTP:
    """An open connection, encrypted as configured and logged in; raises Unreachable.

    Where TLS is asked for nothing is said in clear but EHLO and STARTTLS, whatever the relay offers.
    """
    client = SMTP(
        hostname=relay.host,
        port=relay.port,
        local_hostname=relay.hello,
        use_tls=relay.tls == "implicit",
        start_tls=relay.tls == "starttls",
        tls_context=tls,
        timeout=ANSWER_SECONDS,
    )
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            await client.connect()
            await client.ehlo()
            if relay.username is not None:
                await client.login(relay.username, relay.password or "")
    except BaseException as error:
        client.close()
        if isinstance(error, (SMTPException, OSError, ValueError)):  # a TimeoutError and an SSLError are an OSError
            raise _unreachable(error, relay) from error
        raise
    return client


async def look(relay: Relay, *, return_path: str, seconds: float) -> Unreachable | None:
    """Begin a mail from `return_path`, and leave; None: all of it went well."""
    try:
        async with asyncio.timeout(seconds):
            client = await connect(relay)
            try:
                await _begin(client, return_path)
            finally:
                await _quit(client)
    except Unreachable as error:
        return error
    except (SMTPException, OSError) as error:
        return _unreachable(error, relay)
    return None


async def _begin(client: SMTP, return_path: str) -> None:
    """Raises Unreachable where the relay takes no mail from there."""
    options = [] if return_path.isascii() else [b"SMTPUTF8"]
    answer = await client.execute_command(b"MAIL", f"FROM:<{return_path}>".encode(), *options)
    if not 200 <= answer.code < 300:
        raise Unreachable(f"the relay takes no mail from our sender ({answer.code} {words(answer.message)})")
    await client.rset()


def _unreachable(error: Exception, relay: Relay) -> Unreachable:
    match error:
        case SMTPAuthenticationError(code=code) if code >= 500:
            return Unreachable(f"the relay does not accept user name and password ({code})", lasts=True)
        case SMTPAuthenticationError(code=code):
            return Unreachable(f"the relay cannot check user name and password now ({code})", lasts=True)
        case SMTPConnectResponseError(code=code):
            return Unreachable(f"the relay greets with {code}", lasts=True)
        case SMTPHeloError(code=code):
            return Unreachable(f"the relay answers EHLO with {code}", lasts=True)
        case SMTPResponseException(code=code) if code < 0:
            return Unreachable("what answers is no mail relay, or speaks TLS from the first byte", lasts=True)
        case SMTPResponseException(code=code):
            return Unreachable(f"the relay answers {code} before any mail", lasts=True)
        case TimeoutError():
            return Unreachable("the relay did not answer in time")
        case SMTPException() if str(error).startswith("SMTP STARTTLS"):
            return Unreachable("the relay offers no STARTTLS, and tls = 'starttls' sends nothing in clear", lasts=True)
        case SMTPException() if "AUTH" in str(error) or "authentication" in str(error):
            clear = ", at least not without TLS" if relay.tls == "none" else ""
            return Unreachable(f"the relay offers no way to log in that is known here{clear}", lasts=True)
    return Unreachable(f"the relay cannot be reached: {_cause(error)}")


def _cause(error: BaseException) -> str:
    """The system's words for the first of what went wrong."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not believed: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS fails: {error.reason or type(error).__name__}"
    words = error.strerror if isinstance(error, OSError) else None
    return words or type(error).__name__


class Pool:
    """At most `most` connections to one relay. Who is given one has it alone, and gives it back by `keep` or `drop`."""

    def __init__(self, relay: Relay, most: int) -> None:
        self._relay = relay
        self._places = asyncio.Semaphore(most)
        self._idle: dict[SMTP, asyncio.TimerHandle] = {}  # the one used last is taken first
        self._goodbyes: set[asyncio.Task[None]] = set()
        self._tls: ssl.SSLContext | None = None
        self._is_closed = False

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Wait until there may be one more connection in use."""
        async with self._places:
            yield

    def take(self) -> SMTP | None:
        """An idle connection that is open as far as we know."""
        while self._idle:
            client, timer = self._idle.popitem()
            timer.cancel()
            if client.is_connected:
                return client
            client.close()
        return None

    async def open(self) -> SMTP:
        """A new connection; raises Unreachable."""
        if self._tls is None and self._relay.tls != "none":  # to read what this machine believes takes a while
            self._tls = await asyncio.to_thread(ssl.create_default_context)
        return await connect(self._relay, self._tls)

    def keep(self, client: SMTP) -> None:
        """It is free, and no mail is under way on it."""
        if self._is_closed or not client.is_connected:
            self.drop(client)
        else:
            self._idle[client] = asyncio.get_running_loop().call_later(IDLE_SECONDS, self._retire, client)

    def _retire(self, client: SMTP) -> None:
        if self._idle.pop(client, None) is not None:
            self.drop(client)

    def drop(self, client: SMTP) -> None:
        """It is used no more; said goodbye to where that is possible."""
        if not client.is_connected:
            client.close()
            return
        task = asyncio.get_running_loop().create_task(_quit(client))
        self._goodbyes.add(task)
        task.add_done_callback(self._goodbyes.discard)

    async def close(self) -> None:
        """End what is idle; what is in use is ended when it is given back."""
        self._is_closed = True
        while (client := self.take()) is not None:
            self.drop(client)
        while self._goodbyes:
            await asyncio.wait(self._goodbyes)


async def _quit(client: SMTP) -> None:
    try:
        async with asyncio.timeout(QUIT_SECONDS):
            await client.quit()
    except (SMTPException, OSError):
        pass  # it is gone, or says something else: it is used no more
    finally:
        client.close()
