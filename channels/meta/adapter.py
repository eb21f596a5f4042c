"""One configured connection at Meta."""

from __future__ import annotations

import re
from collections.abc import Sequence

import aiohttp

from channels.http import require_plain
from channels.meta import batch, signature
from channels.meta.send import API_URL, VERSION, Sender
from channels.values import HttpAnswer, Inbound, Outbound, Outcome, Sought, Told, WebhookRequest

_TOKEN = re.compile(r"[!-~]+")
BODY_BYTES = 3 * 1024 * 1024  # a webhook's, by …/webhooks/overview


class Meta:
    """A WhatsApp number at the Cloud API (an `Adapter`, and `Challenged`).

    `number` is the number itself, where it is known: nobody who writes from it is replied to. `api_url` replaces
    https://graph.facebook.com; Meta's own paths are appended. Raises ValueError for what can never work.
    """

    provider = "meta"
    channel = "whatsapp"
    body_bytes = BODY_BYTES
    replies_in_answer = False

    def __init__(
        self,
        *,
        name: str,
        app_secret: str,
        access_token: str,
        verify_token: str,
        phone_number_id: str,
        session: aiohttp.ClientSession,
        number: str | None = None,
        api_url: str | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        if not app_secret or not verify_token:
            raise ValueError("app_secret and verify_token are needed: anyone could sign with an empty one")
        if not _TOKEN.fullmatch(access_token):
            raise ValueError("access_token holds something that no token does, such as a blank or a line's end")
        require_plain(api_url or API_URL)
        self.name = name
        self.account = batch.account(phone_number_id)
        self.own_addresses = frozenset({number} if number else ())
        self._ours = batch.Ours(name, phone_number_id)
        self._secret, self._verify_token = app_secret.encode(), verify_token
        self._sender = Sender(
            session,
            f"{(api_url or API_URL).rstrip('/')}/{VERSION}/{phone_number_id}/messages",
            {"Authorization": f"Bearer {access_token}", "Content-Type": "application/json"},
            timeout_seconds,
        )

    def challenge(self, request: WebhookRequest) -> HttpAnswer:
        """The challenge, for whoever knows the verify token; raises Forged."""
        return signature.answer(request, self._verify_token)

    def receive(self, request: WebhookRequest) -> list[Told]:
        """All that a signed request holds; raises Forged, and Malformed only for what is known to be Meta's."""
        signature.check(request, self._secret)
        return batch.read(request.body, self._ours)

    def report(self, request: WebhookRequest) -> Sequence[Told]:
        """The same: Meta has one URL for all."""
        return self.receive(request)

    def answer(self, message: Inbound, reply: str | None) -> HttpAnswer:  # noqa: ARG002
        """Nothing but the success; the reply is a message of its own."""
        return HttpAnswer("text/plain", b"")

    async def send(self, message: Outbound) -> Outcome:
        """Hand one message to Meta, once; raises LeaseOver."""
        return await self._sender.send(message)

    async def look_up(self, sought: Sought) -> None:
        """Meta has no list of messages: what is in doubt is settled by a status, which bears the attempt's tag."""
