"""One client of the mail listener: the commands of SMTP (RFC 5321) or LMTP (RFC 2033), which aiosmtpd reads.

What differs from aiosmtpd: lines are strict (`wire`); a mail is read in large pieces, within limits, and answered when
it is kept; there is no command that a mail need not have; and silence, a mail and the whole have their time-outs.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from aiosmtpd.smtp import MISSING, SMTP, Envelope

from channels.mail.limits import Place
from channels.mail.wire import NoLine, Wire, has_lone_ends

if TYPE_CHECKING:
    from channels.mail.listener import Listener

# Not this machine's name: a relay on the same machine would take a greeting in its own name for a loop.
_NAME = "optgate"
_NULL = "<>"  # the null path: aiosmtpd takes "" for a missing address
# <local@domain>, perhaps behind a source route (RFC 5321, 4.1.2), or nothing; and the parameters.
_PATH = re.compile(r'<(?:@[^<>":\s]+:)?([^<>"@\s]+@[^<>"@\s]+|"(?:[^"\\]|\\.)+"@[^<>"@\s]+|)>(?:\s+(.*)|)')
_UNCODED = re.compile(r"(?!220)([245])\d\d (?!\1\.\d)")  # a reply without an enhanced status code (RFC 2034)
STOPPING = "421 4.3.2 Stopping, try again"


class _Recipients:
    """aiosmtpd's hook for RCPT."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name for it
        self, _server: SMTP, _session: Any, envelope: Envelope, address: str, _options: list[str]
    ) -> Any:
        if len(envelope.rcpt_tos) >= self._listener.limits.recipients:
            return "452 4.5.3 Too many recipients"
        return MISSING if self._listener.has(address) else "550 5.1.1 No address of ours, and nothing is passed on"


class Session(SMTP):
    """A client that speaks SMTP."""

    protocol = "ESMTP"
    commands: Sequence[str] = ("HELO", "EHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "QUIT")
    answers_each = False  # of the recipients

    def __init__(self, listener: Listener, loop: asyncio.AbstractEventLoop) -> None:
        limits = self._limits = listener.limits
        super().__init__(
            _Recipients(listener),
            data_size_limit=limits.mail_bytes,
            enable_SMTPUTF8=True,
            hostname=_NAME,
            ident=self.protocol,
            timeout=limits.idle_seconds,
            command_call_limit={"*": limits.commands, **dict.fromkeys(("MAIL", "RCPT", "DATA"), 10 * limits.commands)},
            loop=loop,
        )
        self._listener = listener
        self._smtp_methods = {name: getattr(self, f"smtp_{name}") for name in self.commands}
        self.command_size_limit = limits.line_bytes
        self.command_size_limits = defaultdict(lambda: limits.line_bytes)  # aiosmtpd's is one for all sessions
        self._ends_at = self._mail_ends_at = loop.time() + limits.session_seconds
        self._is_receiving = False
        self._is_ending = False

    # --- how it begins and ends -------------------------------------------------------------------

    def peer(self) -> str | None:
        """The client's IP address; None where it has gone already."""
        name = self._writer.get_extra_info("peername")
        return str(name[0]) if name else None

    def dismiss(self) -> asyncio.Task[None]:
        """End it: at once, or when the mail that is on its way has been answered; the task ends with it."""
        assert self._handler_coroutine is not None  # noqa: S101 - it is connected
        self._is_ending = True
        if not self._is_receiving:
            self._hang_up(STOPPING)
        return self._handler_coroutine

    def abort(self) -> None:
        """End it, whatever is on its way."""
        self._writer.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._listener.leave(self)

    def _cb_client_connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super()._cb_client_connected(reader, writer)
        self._wire = Wire(reader, line_bytes=self._limits.line_bytes)
        self._reader = self  # type: ignore[assignment]  # of it aiosmtpd wants command lines, by `readuntil`

    async def _handle_client(self) -> None:
        try:
            if refusal := self._listener.admit(self):
                self._hang_up(refusal)
            else:
                await super()._handle_client()
        except ConnectionError:
            self.abort()  # the client has gone

    async def readuntil(self) -> bytes:
        """The next command line; the task ends where there is to be none."""
        if self._is_ending or self._writer.is_closing():
            self._hang_up(STOPPING)
            raise asyncio.CancelledError
        try:
            return await self._wire.line()
        except NoLine as error:
            self._hang_up(str(error))
            raise asyncio.CancelledError from error

    def _hang_up(self, last_words: str) -> None:
        """Say this, and end. What has not been read by then is not read at all."""
        if not self._writer.is_closing():
            self._writer.write(f"{last_words}\r\n".encode())
            self._writer.close()

    # --- how long it takes ------------------------------------------------------------------------

    def _reset_timeout(self, duration: float | None = None) -> None:
        """From now on it may be silent for so long, but not beyond the end of the mail's time, or the session's."""
        left = min(self._ends_at, self._mail_ends_at) - self.loop.time()
        super()._reset_timeout(max(0.001, min(duration or self._limits.idle_seconds, left)))

    def _timeout_cb(self) -> None:
        self._hang_up("421 4.4.2 That took too long")
        self.abort()  # also where the client takes nothing of what it is told

    # --- what it says -----------------------------------------------------------------------------

    async def push(self, status: Any) -> None:
        if isinstance(status, str) and (uncoded := _UNCODED.match(status)):
            status = f"{status[:4]}{uncoded[1]}.0.0 {status[4:]}"
        await super().push(status)

    async def handle_exception(self, error: Exception) -> str:
        """Nothing of it is told: the client may come again."""
        self._listener.amiss(error)
        return "451 4.3.0 Something went wrong here, try again"

    def _getaddr(self, arg: str) -> tuple[str | None, str | None]:
        """The address, and the parameters behind it; None for what is no path."""
        found = _PATH.fullmatch(arg)
        if found is None or not found[1].isprintable():
            return None, None
        return found[1] or _NULL, found[2] or ""

    async def smtp_EHLO(self, hostname: str) -> None:  # noqa: N802
        if not hostname:
            await self.push("501 5.5.4 Say who you are")
            return
        self._begin_anew()
        assert self.session is not None  # noqa: S101 - it is connected
        self.session.extended_smtp = True
        self.session.host_name = hostname
        can = (f"SIZE {self._limits.mail_bytes}", "8BITMIME", "SMTPUTF8", "PIPELINING", "ENHANCEDSTATUSCODES")
        await self.push("\r\n".join([f"250-{_NAME}", *(f"250-{one}" for one in can[:-1]), f"250 {can[-1]}"]))

    async def smtp_VRFY(self, arg: str) -> None:  # noqa: N802, ARG002
        await self.push("252 2.5.2 Try it")

    # --- a mail -----------------------------------------------------------------------------------

    async def smtp_DATA(self, arg: str) -> None:  # noqa: N802
        envelope = self.envelope
        if envelope is None or not envelope.rcpt_tos:
            await self.push("503 5.5.1 Say for whom first, by MAIL and RCPT")
            return
        if arg:
            await self.push("501 5.5.4 DATA stands alone")
            return
        self._is_receiving = True
        try:
            await self.push("354 End with a dot on a line of its own")
            answer = await self._receive(envelope)
            await self.push("\r\n".join([answer] * (len(envelope.rcpt_tos) if self.answers_each else 1)))
        finally:
            self._is_receiving = False
            self._begin_anew()

    async def _receive(self, envelope: Envelope) -> str:
        """Read a mail, and have it kept; returns the answer to it."""
        with ExitStack() as until_it_is_handed_over:
            place = until_it_is_handed_over.enter_context(self._listener.room.place())
            raw = await self._text(place)
            if raw is None:
                return place.refusal
            if len(raw) > self._limits.mail_bytes:
                return place.too_large
            if has_lone_ends(raw):
                return "550 5.6.0 A line ends with CR LF, and a CR or LF alone is in the mail"
            until_it_is_handed_over.pop_all()
            return await self._kept(raw, envelope, place)

    async def _text(self, place: Place) -> bytes | None:
        def take(count: int) -> bool:
            self._reset_timeout()
            return not place.refusal and place.take(count)

        self._mail_ends_at = self.loop.time() + self._limits.mail_seconds
        try:
            return await self._wire.text(take)
        finally:
            self._mail_ends_at = self._ends_at

    async def _kept(self, raw: bytes, envelope: Envelope, place: Place) -> str:
        assert self._timeout_handle is not None  # noqa: S101 - it was set
        self._timeout_handle.cancel()  # it is we who take our time
        sender = "" if envelope.mail_from == _NULL else envelope.mail_from or ""
        recipients = tuple(dict.fromkeys(envelope.rcpt_tos))
        keeping = self._listener.keep(raw, place, envelope_from=sender, recipients=recipients)
        is_kept = await asyncio.shield(keeping)  # to its end, also where the client does not wait for it
        self._reset_timeout()
        return "250 2.6.0 Kept" if is_kept else "451 4.3.0 It could not be kept, try again"

    def _begin_anew(self) -> None:
        self._set_rset_state()  # type: ignore[no-untyped-call]


class LmtpSession(Session):
    """A client that speaks LMTP: it hears for each recipient what became of the mail."""

    protocol = "LMTP"
    commands = ("LHLO", "MAIL", "RCPT", "DATA", "RSET", "NOOP", "VRFY", "QUIT")
    answers_each = True

    async def smtp_LHLO(self, hostname: str) -> None:  # noqa: N802
        await self.smtp_EHLO(hostname)
