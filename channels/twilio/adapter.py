"""One configured connection at Twilio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote
from xml.sax.saxutils import escape

import aiohttp

from channels.http import require_plain
from channels.text import for_xml
from channels.twilio import inbound, status
from channels.twilio.client import open_client
from channels.twilio.lookup import MessageList
from channels.twilio.send import addressed, send
from channels.twilio.signature import Signature
from channels.values import (
    HttpAnswer,
    Inbound,
    Listed,
    Malformed,
    Outbound,
    Outcome,
    Report,
    Sought,
    Unanswered,
    WebhookRequest,
)

BODY_BYTES = 262_144
_TWIML = '<?xml version="1.0" encoding="UTF-8"?>'


class Twilio:
    """A number, a WhatsApp sender or a Messaging Service of one account (an `Adapter`).

    `public_url` is what stands before `/webhooks/…` for the world, with the path prefix that a proxy takes away, if
    any. `api_url` replaces https://api.twilio.com; Twilio's own paths are appended. Raises ValueError for what can
    never work.
    """

    provider = "twilio"
    body_bytes = BODY_BYTES
    replies_in_answer = True

    def __init__(
        self,
        *,
        name: str,
        channel: str,
        account_sid: str,
        auth_token: str,
        public_url: str,
        session: aiohttp.ClientSession,
        sender: str | None = None,
        messaging_service_sid: str | None = None,
        api_url: str | None = None,
        timeout_seconds: float = 10.0,
        signing_keys: Mapping[str, str] | None = None,
    ) -> None:
        if channel not in ("sms", "whatsapp"):
            raise ValueError("Twilio carries sms and whatsapp")
        if not (sender or messaging_service_sid):
            raise ValueError("a sender or a messaging_service_sid is needed")
        if not auth_token:
            raise ValueError("auth_token is empty: anyone could sign with it")
        for url in filter(None, (public_url, api_url)):
            require_plain(url)
        self.name = name
        self.channel = channel
        self.account = account_sid
        self.own_addresses = frozenset({sender.removeprefix(inbound.WHATSAPP)} if sender else ())
        self._sender, self._service = sender, messaging_service_sid
        self._status_callback = f"{public_url.rstrip('/')}/webhooks/{quote(name, safe='')}/status?tag="
        self._signature = Signature(public_url, auth_token, signing_keys)
        self._client = open_client(session, account_sid, auth_token, seconds=timeout_seconds, api_url=api_url)
        self._list = MessageList(
            session,
            account_sid,
            auth_token,
            sender=sender,
            service=messaging_service_sid,
            api_url=api_url,
        )

    def receive(self, request: WebhookRequest) -> list[Inbound]:
        """The message in a signed request; raises Forged, and Malformed only for what is known to be Twilio's."""
        form = self._signature.check(request)
        if form is None:
            raise Malformed("not a form")
        if len(request.body) > BODY_BYTES:
            raise Malformed("too large")
        return [inbound.read(form, self.name, self.account)]

    def report(self, request: WebhookRequest) -> list[Report]:
        """The signed status callback; raises Forged and Malformed."""
        form = self._signature.check(request)
        if form is None:
            raise Malformed("not a form")
        return [status.read(form, self.account, request.raw_path)]

    def answer(self, message: Inbound, reply: str | None) -> HttpAnswer:  # noqa: ARG002
        """TwiML: the reply in one <Message>, or an empty <Response/>."""
        text = escape(for_xml(reply or ""))
        response = f"<Response><Message>{text}</Message></Response>" if text else "<Response/>"
        return HttpAnswer("application/xml", (_TWIML + response).encode())

    async def send(self, message: Outbound) -> Outcome:
        """Hand one message to Twilio; the attempt's tag stands in the status callback's URL. Raises LeaseOver."""
        return await send(
            self._client,
            message,
            self._sending_as(message.channel),
            self._status_callback + quote(message.tag, safe=""),
        )

    async def look_up(self, sought: Sought) -> Sequence[Listed] | Unanswered:
        """What Twilio's message list has of ours for the address and time."""
        return await self._list.look_up(sought)

    def _sending_as(self, channel: str) -> dict[str, str]:
        service = {"messaging_service_sid": self._service} if self._service else {}
        return service | ({"from_": addressed(channel, self._sender)} if self._sender else {})
