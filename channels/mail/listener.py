"""The gateway's own SMTP or LMTP listener, behind an organisation's mail server: mail in without a provider.

It believes what the mail server found out about a mail, so it speaks to nobody else (`trusted`). It passes nothing on.
A mail is answered 250 when it is on disk and settled. What could not be kept, for whatever reason, is answered 451: the
mail server has it still, and brings it again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal

import structlog

from channels.mail import identity, mime, told
from channels.mail.limits import Limits, Place, Room
from channels.mail.session import STOPPING, LmtpSession, Session
from channels.values import Deliver, Forged, Told, WebhookRequest

log = structlog.get_logger("mail")

Network = IPv4Network | IPv6Network
SMALL_BYTES = 16_384  # what is read at once; a larger mail in a thread, so that others are served meanwhile
LARGE_AT_A_TIME = 2


class Listener:
    """The way in by SMTP or LMTP of one connection (a `WayIn`, and `Listening`)."""

    def __init__(
        self,
        *,
        name: str,
        host: str,
        port: int,
        protocol: Literal["smtp", "lmtp"],
        domain: str | None,
        authserv_id: str | None,
        trusted: Sequence[Network],
        limits: Limits | None = None,
    ) -> None:
        """Mail is taken for every address of `domain`; for any at all where it is None."""
        self.account = f"smtp:{name}"
        self.limits = limits or Limits()
        self.room = Room(self.limits)
        self._name = name
        self._where = (host, port)
        self._speaks = LmtpSession if protocol == "lmtp" else Session
        self._domain = _ascii(domain) if domain else None
        self._authserv_id = authserv_id
        self._trusted = trusted
        self._server: asyncio.Server | None = None
        self._is_stopping = False
        self._sessions: set[Session] = set()
        self._keeping: set[asyncio.Future[bool]] = set()
        self._large = asyncio.Semaphore(LARGE_AT_A_TIME)

    # --- a way in -----------------------------------------------------------------------------------

    def receive(self, request: WebhookRequest) -> Sequence[Told]:  # noqa: ARG002
        raise Forged("mail comes in by SMTP here, and nothing by a webhook")

    def report(self, request: WebhookRequest) -> Sequence[Told]:
        return self.receive(request)

    async def listen(self, deliver: Deliver) -> None:
        """Begin to take mail; raises OSError."""
        loop = asyncio.get_running_loop()
        self._deliver = deliver
        self._server = await loop.create_server(lambda: self._speaks(self, loop), *self._where)
        log.info("mail.listening", connection=self._name)

    @property
    def port(self) -> int:
        """Where it listens, which the system chose where 0 was asked for."""
        assert self._server is not None  # noqa: S101 - it listens
        return int(self._server.sockets[0].getsockname()[1])

    async def close(self) -> None:
        """Take no more; mails that are on their way are finished, if they come within `drain_seconds`."""
        if self._server is None:
            return
        self._is_stopping = True
        self._server.close()
        if tasks := [session.dismiss() for session in tuple(self._sessions)]:
            await asyncio.wait(tasks, timeout=self.limits.drain_seconds)
        for session in tuple(self._sessions):
            session.abort()
        if self._keeping:
            await asyncio.wait(self._keeping)
        await self._server.wait_closed()

    # --- what a session asks ------------------------------------------------------------------------

    def admit(self, session: Session) -> str | None:
        """Let it in, until `leave`; or the words with which it is turned away.

        For now, and not for good: so no mail is lost while the configuration is mended.
        """
        if not self._trusts(session.peer()):
            return "421 4.7.1 Only the organisation's own mail server speaks to this one: see `trusted`"
        if self._is_stopping:
            return STOPPING
        if len(self._sessions) >= self.limits.connections:
            return "421 4.3.2 Too many connections, try again"
        self._sessions.add(session)
        return None

    def leave(self, session: Session) -> None:
        self._sessions.discard(session)

    def has(self, recipient: str) -> bool:
        """Whether it is an address of ours."""
        _, at, domain = recipient.rpartition("@")
        return bool(at) and (self._domain is None or self._domain == _ascii(domain))

    def amiss(self, error: Exception) -> None:
        """A fault in the dialogue with a client, which is told to come again."""
        log.error("mail.failed", connection=self._name, exc_info=error)

    def keep(self, raw: bytes, place: Place, *, envelope_from: str, recipients: Sequence[str]) -> asyncio.Future[bool]:
        """Have a mail on disk, and settled, whether or not anybody waits for it; False: it may not be.

        Its `place` is left then.
        """
        keeping = asyncio.ensure_future(self._keep(raw, place, envelope_from, recipients))
        self._keeping.add(keeping)
        keeping.add_done_callback(self._keeping.discard)
        return keeping

    def _trusts(self, peer: str | None) -> bool:
        if peer is None:
            return False
        address = ip_address(peer.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        return any(address in network for network in self._trusted)

    # --- a mail -------------------------------------------------------------------------------------

    async def _keep(self, raw: bytes, place: Place, envelope_from: str, recipients: Sequence[str]) -> bool:
        with place:
            try:
                if len(raw) <= SMALL_BYTES:
                    found = self._read(raw, envelope_from, recipients)
                else:
                    async with self._large:
                        found = await asyncio.to_thread(self._read, raw, envelope_from, recipients)
                await self._deliver(found)
            except Exception as error:
                log.warning("mail.put_off", connection=self._name, exc_info=error)
                return False
        return True

    def _read(self, raw: bytes, envelope_from: str, recipients: Sequence[str]) -> Sequence[Told]:
        """What the mail tells."""
        letter = mime.read(
            raw,
            envelope_from=envelope_from,
            recipients=recipients,
            authserv_id=self._authserv_id,
            provider_id=identity.of_mail(raw, envelope_from=envelope_from, recipients=recipients),
        )
        return told.read(letter, connection=self._name, account=self.account)


def _ascii(domain: str) -> str:
    """A domain in the one form to compare it in."""
    try:
        return domain.rstrip(".").encode("idna").decode().lower()
    except UnicodeError:
        return domain.rstrip(".").lower()
