"""Mail out by SMTP. A send begins with DATA: until then nothing was sent.

    lost, or no answer in time                      outcome
    while connecting, at MAIL, at RCPT, at DATA     not sent: nothing of the mail was written
    once the mail is written                        in doubt

What is written goes to the system with its final dot in one piece, so that nobody can tell how far it came: a relay
that has all of it may have taken it, though its answer is lost. What answers mean is told in `answers`.
"""

from __future__ import annotations

from datetime import UTC, datetime

from aiosmtplib import SMTP, SMTPException, SMTPResponseException, SMTPServerDisconnected

from channels import lease
from channels.lease import LeaseOver, boottime
from channels.mail import answers
from channels.mail.compose import Posted, compose
from channels.mail.relay import Pool, Relay, Unreachable
from channels.values import InDoubt, Mail, NotSent, Outbound, Outcome, Rejected

DATA_SECONDS = 40.0  # for the answer to the whole mail; an attempt without an end is in doubt after 60
PATIENCE_SECONDS = 1.0  # of a claim: a relay that takes longer over MAIL and RCPT gets none
RETRY_SECONDS = 5.0  # where no connection came about
_TROUBLE = (SMTPException, OSError)  # a TimeoutError is an OSError


class SmtpSender:
    """Hands mails to one relay."""

    def __init__(self, relay: Relay, *, sender: str, inbound_domain: str | None = None, connections: int = 10) -> None:
        """`sender` as in `Example Theatre <hello@example.org>`."""
        self._pool = Pool(relay, connections)
        self._sender = sender
        self._inbound_domain = inbound_domain

    async def send(self, message: Outbound) -> Outcome:
        """Hand over one mail; raises LeaseOver when the claim ended before DATA."""
        mail = message.mail or Mail(subject="", text=message.body or "")
        try:
            posted = compose(
                message, mail, sender=self._sender, inbound_domain=self._inbound_domain, now=datetime.now(UTC)
            )
        except ValueError:
            return Rejected("compose", "its address or one of its headers is none that mail can have")
        async with self._pool.place():
            lease.check()
            return await self._hand_over(posted)

    async def close(self) -> None:
        """End what is open to the relay; sends that are under way end by themselves."""
        await self._pool.close()

    async def _hand_over(self, posted: Posted) -> Outcome:
        if (client := self._pool.take()) is not None:
            outcome = await self._post(client, posted)
            if outcome is not None:
                return outcome
        try:
            client = await self._pool.open()
        except Unreachable as error:
            why = str(error)
            if error.lasts:
                return NotSent(why, answers.REST_SECONDS, slow_down=True, to_mend=why)
            return NotSent(why, RETRY_SECONDS, slow_down=True)
        return await self._post(client, posted) or NotSent("the relay closes connections at once", slow_down=True)

    async def _post(self, client: SMTP, posted: Posted) -> Outcome | None:
        """Hand it over on this connection; None: it was closed already, with nothing said."""
        posting = _Posting(client, posted)
        try:
            outcome = await posting.run()
        finally:
            (self._pool.keep if posting.is_done else self._pool.drop)(client)
        return outcome


class _Posting:
    """One mail on one connection. `is_done`: the connection is ready for another."""

    def __init__(self, client: SMTP, posted: Posted) -> None:
        self._client, self._posted = client, posted
        # A line that begins with a dot gets another one: RFC 5321, 4.5.2.
        stuffed = posted.content.removesuffix(b"\r\n").replace(b"\r\n.", b"\r\n..")
        self._content = stuffed + b"\r\n.\r\n"
        self._began = boottime()
        self._stage = "MAIL"
        self.is_done = False

    async def run(self) -> Outcome | None:
        try:
            refusal = await self._envelope()
            if refusal is None and (refusal := await self._may_begin()) is None:
                return await self._data()
        except SMTPResponseException as error:
            if self._stage == "MAIL" and error.code == 421:  # what an idle connection is told when it is closed
                return None
            refusal = answers.before_the_mail(self._stage, error.code, error.message)
            if error.code > 0:  # what is no answer at all is out of step with what we say
                await self._reset()
        except SMTPServerDisconnected:
            return None if self._stage == "MAIL" else NotSent(f"{self._stage}: the relay closed the connection")
        except _TROUBLE as error:
            late = isinstance(error, TimeoutError)
            why = "the relay did not answer in time" if late else type(error).__name__
            refusal = NotSent(f"{self._stage}: {why}", slow_down=late)
        return refusal

    async def _envelope(self) -> Outcome | None:
        posted, client = self._posted, self._client
        options = [f"SIZE={len(posted.content)}"] if client.supports_extension("size") else []
        if posted.needs_utf8:
            if not client.supports_extension("smtputf8"):
                self.is_done = True
                return Rejected("smtputf8", "the relay carries nothing to addresses that are not ASCII")
            options.append("SMTPUTF8")
        await self._say(b"MAIL", f"FROM:<{posted.return_path}>".encode(), *(option.encode() for option in options))
        self._stage = "RCPT"
        await self._say(b"RCPT", f"TO:<{posted.to}>".encode())
        return None

    async def _say(self, *words: bytes) -> None:
        """Raises SMTPResponseException for what is no 2xx. The library's own `mail` and `rcpt` parse every address."""
        answer = await self._client.execute_command(*words)
        if not 200 <= answer.code < 300:
            raise SMTPResponseException(answer.code, answer.message)

    async def _may_begin(self) -> NotSent | None:
        """The last act before DATA. Raises LeaseOver, with the connection as good as before.

        A relay that takes longer over MAIL and RCPT than a claim lasts would have every claim given back, for ever.
        """
        try:
            lease.check()
        except LeaseOver:
            took = boottime() - self._began
            await self._reset()
            if took > PATIENCE_SECONDS:
                return NotSent(f"the relay took {took:.1f} seconds over MAIL and RCPT, and may take one")
            raise
        return None

    async def _data(self) -> Outcome:
        self._stage = "DATA"
        answer = await self._client.execute_command(b"DATA")
        protocol = self._client.protocol
        if answer.code != 354:
            raise SMTPResponseException(answer.code, answer.message)
        if protocol is None:
            raise SMTPServerDisconnected("after 354")
        protocol.write(
            self._content
        )  # raises where nothing can be written any more; from here on it may have been sent
        try:
            answer = await protocol.read_response(timeout=DATA_SECONDS)
        except _TROUBLE as error:
            self._client.close()
            return InDoubt(f"the mail was written, then {_what(error)}")
        self.is_done = 200 <= answer.code < 300
        return answers.to_the_final_dot(answer.code, answer.message, message_id=self._posted.message_id)

    async def _reset(self) -> None:
        """Let the relay forget what it was told."""
        try:
            await self._client.rset()
        except _TROUBLE:
            return
        self.is_done = True


def _what(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the relay did not answer in time"
    if isinstance(error, SMTPResponseException):
        return "the relay's answer was none"
    return "the connection was lost"
