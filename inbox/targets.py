"""Where ordinary messages go on to: a URL, signed the Standard Webhooks way, or a mailbox."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import aiohttp

from channels import http, outcomes, standard_webhooks
from channels.lease import boottime, lease
from channels.values import Accepted, Adapter, Mail, NotSent, Outbound
from content.mail import is_mailbox
from inbox.forwards import Ended, Forward
from inbox.mailbox import Message

SECONDS = 15.0
_CHANNELS = {"sms": "SMS", "whatsapp": "WhatsApp", "email": "E-mail"}


class ToUrl:
    """Posts each message as the event `message.received`. Only a 2xx is success; a redirect is none."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, secret: str, *, spell: Callable[[Any], Any] = str
    ) -> None:
        """`spell`: how JSON spells what it has no word for, such as times."""
        self._session, self._url, self._spell = session, url, spell
        self._key = standard_webhooks.read_secret(secret)

    async def hand_over(self, forward: Forward, message: Message, shown: Mapping[str, Any], at: datetime) -> Ended:
        event = {"type": "message.received", "timestamp": message.created_at, "data": shown}
        body = json.dumps(event, default=self._spell, ensure_ascii=False).encode()
        signed = standard_webhooks.headers(self._key, event_id=forward.id, timestamp=int(at.timestamp()), body=body)
        exchange = await http.post(self._session, self._url, data=body, headers=signed, seconds=SECONDS)
        if exchange.status is not None and 200 <= exchange.status < 300:
            return Ended(forward, None)
        if exchange.status is None:
            return Ended(forward, f"no answer: {type(exchange.error).__name__}")
        wish = outcomes.retry_after_seconds(exchange.headers.get("Retry-After"), outcomes.their_clock(exchange.headers))
        return Ended(forward, f"HTTP {exchange.status}", wish)


class ToMailbox:
    """Mails each message by an e-mail connection, so that an answer to an e-mail goes to who wrote it.

    Where that mailbox comes back to us, by whatever way, the mail is a machine's there, and goes on no further.
    """

    def __init__(self, adapter: Adapter, to: str) -> None:
        self._adapter, self._to = adapter, to

    async def hand_over(self, forward: Forward, message: Message, shown: Mapping[str, Any], at: datetime) -> Ended:  # noqa: ARG002
        with lease(boottime() + SECONDS):
            outcome = await self._adapter.send(
                Outbound(tag=forward.id, channel="email", to=self._to, mail=_mail(message))
            )
        if isinstance(outcome, Accepted):
            return Ended(forward, None)
        if isinstance(outcome, NotSent):
            return Ended(forward, outcome.why, outcome.retry_after_seconds)
        return Ended(forward, getattr(outcome, "why", None) or getattr(outcome, "reason", "") or "refused")


def _mail(message: Message) -> Mail:
    """The message as a mail. Not every sender can be answered: such a one is told in the text alone."""
    kind = _CHANNELS.get(message.channel, message.channel)
    sender = message.sender or "an unknown sender"
    head = [
        f"From: {sender}",
        f"To: {message.receiver}",
        f"By: {kind}, connection {message.connection}",
        f"At: {message.created_at.isoformat(timespec='seconds')}",
        *([f"Subject: {message.content['subject']}"] if message.content.get("subject") else []),
    ]
    return Mail(
        subject=f"{kind} from {sender}",
        text="\n".join([*head, "", message.content.get("body") or ""]),
        reply_to=sender if message.channel == "email" and is_mailbox(sender) else None,
        is_passed_on=True,
    )
