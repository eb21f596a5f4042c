"""One connection of a client: what it is at, and since when it keeps us waiting for what.

aiohttp's server waits for ever for the end of a request's headers, of its body, and for a client that takes nothing of
an answer. So each connection notes its state; the door looks after those that overstay (`gateway.door`).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, cast

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from gateway.problems import Problem, internal

if TYPE_CHECKING:
    from gateway.door import Door

# What is no page is shown as none, and in nobody's frame: of errors, too.
NO_PAGE = "default-src 'none'; frame-ancestors 'none'"
ON_EVERY_ANSWER = {"Server": "optgate", "X-Content-Type-Options": "nosniff"}
_TOO_SLOW = (
    b"HTTP/1.1 408 Request Timeout\r\nServer: optgate\r\nConnection: close\r\nContent-Length: 0\r\n"
    b"Cache-Control: no-store\r\n\r\n"
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How long a client may keep us waiting, and how many may be connected."""

    head_seconds: float = 10.0  # from the opening, or a request's first byte, to the end of its headers
    body_seconds: float = 20.0  # for a body; and a second more
    body_bytes_a_second: int = 32_768  # for so many bytes of it that came
    answer_seconds: float = 30.0  # in which a client takes nothing of its answer
    # Between two requests. Longer than proxies keep a connection: what we close as they send, they cannot send again.
    # nginx 60 s, Amazon's load balancer 60 s, Caddy 120 s.
    idle_seconds: float = 150.0
    connections: int = 4096
    body_bytes: int = 256 * 1024 * 1024  # of all bodies together that are on their way


class State(Enum):
    """What a connection is at. Where there is no room left, who stands further up goes first."""

    WAITING = auto()  # for a request: idle, or in the middle of its headers
    RECEIVING = auto()  # a body
    WORKING = auto()  # the request is here, its answer on the way
    CLOSING = auto()


class Connection(web.RequestHandler):
    """aiohttp's own, with a sense of time."""

    __slots__ = ("_body", "_door", "_has_asked", "_head_since", "_limits", "_stuck_since", "_time", "_wire", "_writer",
                 "came", "since", "state")  # fmt: skip

    def __init__(self, door: Door, server: web.Server, limits: Limits, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]  # there is none, as AppRunner has it
            keepalive_timeout=2 * limits.idle_seconds,  # the door's comes first
            lingering_time=limits.head_seconds,  # for the rest of a body that was answered before its end
        )
        self._door = door
        self._limits = limits
        self._time = loop.time
        self._wire: asyncio.Transport | None = None
        self._body: StreamReader = EMPTY_PAYLOAD
        self._writer: AbstractStreamWriter | None = None
        self._has_asked = False
        self._head_since: float | None = None
        self._stuck_since: float | None = None
        self.state = State.WAITING
        self.since = self._time()
        self.came = 0  # bytes, since the last answer

    # --- what happens to it -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.Transport, transport)
        if self._door.admits(self):
            super().connection_made(transport)
        else:
            self._wire.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        self._door.leaves(self)

    def data_received(self, data: bytes) -> None:
        self.came += len(data)
        if data and self._head_since is None and self.state is State.WAITING:
            self._head_since = self._time()
        super().data_received(data)
        if self.state is State.RECEIVING and self._body.is_eof():
            self._door.moves(self, State.WORKING)

    def begins(self, body: StreamReader, writer: AbstractStreamWriter) -> None:
        """A request's headers are here, and it is taken up."""
        self._body, self._writer = body, writer
        self._has_asked = True
        self._head_since = None
        self._door.moves(self, State.WORKING if body.is_eof() else State.RECEIVING)

    def log_access(self, request: web.BaseRequest, response: web.StreamResponse, time: float | None) -> None:
        """The answer is written: aiohttp calls this whether or not there is a log."""
        super().log_access(request, response, time)
        self._body, self._writer = EMPTY_PAYLOAD, None
        self.came = 0
        self._door.moves(self, State.WAITING)

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """What is no HTTP, or cannot be unpacked: a problem document, which repeats nothing of it."""
        super().handle_error(request, status, exc, message)  # which logs it
        if status < 500:
            words = "it is no HTTP/1.1, or comes in an encoding that is not known here"
            response = Problem(status, "malformed", "The request cannot be read", words).response()
        else:
            response = internal().response()
        response.headers.update(ON_EVERY_ANSWER | {"Cache-Control": "no-store", "Content-Security-Policy": NO_PAGE})
        response.force_close()
        return response

    def resume_writing(self) -> None:
        self._stuck_since = None
        super().resume_writing()

    def enters(self, state: State) -> None:
        """It is at something else, from now on."""
        self.state, self.since = state, self._time()

    # --- how long it takes ------------------------------------------------------------------------

    def overstays(self, now: float, elapsed: float) -> str | None:
        """Why it is to be closed; `elapsed` seconds after it was last asked."""
        limits, wire = self._limits, self._wire
        if wire is None:
            return None
        if self.writing_paused or wire.is_closing():
            self._stuck_since = self._stuck_since or now
            return "slow_reader" if now - self._stuck_since > limits.answer_seconds else None
        match self.state:
            case State.WAITING if self._head_since is not None or not self._has_asked:
                began = self._head_since if self._head_since is not None else self.since
                return "slow_head" if now - began > limits.head_seconds else None
            case State.WAITING:
                return "idle" if now - self.since > limits.idle_seconds else None
            case State.RECEIVING if not wire.is_reading():  # it is we who take our time
                self.since += elapsed
            case State.RECEIVING:
                allowed = limits.body_seconds + self.came / limits.body_bytes_a_second
                return "slow_body" if now - self.since > allowed else None
        return None

    def dismiss(self, *, at_once: bool) -> None:
        """Close it. Who is in the middle of a request is told that it took too long, unless it is to be `at_once`."""
        wire = self._wire
        if wire is None:
            return
        if at_once:
            wire.abort()
            return
        in_body = self._writer is not None and self._writer.output_size == 0
        if (in_body or self._head_since is not None) and not wire.is_closing():
            wire.write(_TOO_SLOW)
        self.force_close()
        wire.close()
