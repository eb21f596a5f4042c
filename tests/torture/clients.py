"""Those who call the gateway while it dies: people by way of the provider, the marketer, and the organisation's other
system; each act is recorded."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import aiohttp

from tests.channels.requests_as_sent import ACCOUNT, FORM, signature
from tests.torture.nursery import AT, BOX
from tests.torture.records import Act, Batch, Control, Merge, Record, Replay, Send, now_ns

OURS = "+14155550100"
# What a gateway may say to a client whose request was in order; anything else is a finding.
EXPECTED = {
    "message": (202, 403),
    "broadcast": (202,),
    "control": (200, 202, 204, 409),
    "webhook": (200,),
    "merge": (200,),
    "batch": (200,),
}


@dataclass
class Got:
    status: int | None  # None: the connection ended without an answer
    body: bytes
    answered_ns: int


@dataclass
class Clients:
    session: aiohttp.ClientSession
    url: str
    key: str
    record: Record
    gateway_clock: Callable[[], datetime]

    async def ask(self, what: Act | Merge | Batch) -> bool:
        """Post it once; whether it is acknowledged. What comes again is held against the first answer."""
        what.sent_ns = what.sent_ns or now_ns()
        got = await self._post(what)
        if got.status == 200:
            if what.is_acknowledged:
                self.record.replays.append(Replay(what.name, what.answer, got.body))
            else:
                what.answered_ns, what.answer = got.answered_ns, got.body
        self._expect("webhook" if isinstance(what, Act) else type(what).__name__.lower(), got)
        return what.is_acknowledged

    async def _post(self, what: Act | Merge | Batch) -> Got:
        if isinstance(what, Act):
            return await (self._post_twilio(what) if what.channel == "sms" else self._post_box(what))
        headers = self._with_key() | {"Idempotency-Key": what.name}
        return await self._ask("POST", what.path, json.dumps(what.body).encode(), headers)

    # --- people -----------------------------------------------------------------------------------

    async def _post_twilio(self, act: Act) -> Got:
        form = {"MessageSid": act.sid, "AccountSid": ACCOUNT, "From": act.number, "To": OURS, "Body": act.body}
        body = urlencode(form | {"NumMedia": "0", "ApiVersion": "2010-04-01"}).encode()
        return await self._ask(
            "POST", "/webhooks/sms", body, {"Content-Type": FORM, "X-Twilio-Signature": signature(body)}
        )

    async def _post_box(self, act: Act) -> Got:
        body = json.dumps({"from": act.number, "to": OURS, "body": act.body, "message_id": act.sid}).encode()
        at = {AT: act.said_at.isoformat()} if act.said_at else {}
        return await self._ask("POST", f"/webhooks/{BOX}", body, self._with_key() | at)

    # --- the marketer -----------------------------------------------------------------------------

    async def broadcast(self, text: str, audience: dict[str, Any], *, later: timedelta | None = None) -> Send:
        """Ask for a broadcast, at once or so much later; only once: who got no answer knows nothing of it."""
        asked: dict[str, Any] = {
            "name": text,
            "channel": "sms",
            "connection": "sms",
            "content": {"body": text},
            "audience": audience,
        }
        if later is not None:
            asked["send_at"] = (self.gateway_clock() + later).isoformat()
        return await self._send("/v1/broadcasts", asked, Send(text, "broadcast"))

    async def message(self, text: str, to: str, *, transactional: bool) -> Send:
        asked = {"channel": "sms", "connection": "sms", "to": {"address": to}, "content": {"body": text}}
        asked["require_opt_in"] = not transactional
        return await self._send(
            "/v1/messages", asked, Send(text, "transactional" if transactional else "marketing", to=to)
        )

    async def _send(self, path: str, asked: dict[str, Any], send: Send) -> Send:
        self.record.sends.append(send)
        got = await self._ask("POST", path, json.dumps(asked).encode(), self._with_key())
        self._expect("broadcast" if send.kind == "broadcast" else "message", got)
        if got.status == 202:
            send.id = json.loads(got.body)["id"]
        return send

    async def control(self, send: Send, verb: str) -> None:
        """Pause, resume or cancel a broadcast that is known."""
        control = Control(verb, now_ns())  # written down first: what is cut off may be heeded all the same
        send.controls.append(control)
        got = await self._ask("POST", f"/v1/broadcasts/{send.id}/{verb}", b"", self._with_key())
        if got.status is not None and got.status < 300:
            control.answered_ns = got.answered_ns
        self._expect("control", got)

    async def look(self, path: str) -> Any:
        got = await self._ask("GET", path, b"", self._with_key())
        return json.loads(got.body) if got.status == 200 else None

    # --- the wire ---------------------------------------------------------------------------------

    def _with_key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}

    async def _ask(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Got:
        try:
            async with self.session.request(method, self.url + path, data=body or None, headers=headers) as answer:
                answered = now_ns()
                return Got(answer.status, await answer.read(), answered)
        except (aiohttp.ClientError, OSError, TimeoutError):
            return Got(None, b"", 0)

    def _expect(self, what: str, got: Got) -> None:
        if got.status is not None and got.status not in (*EXPECTED[what], 503):
            self.record.refusals.append(f"a {what} was answered {got.status}: {got.body[:300]!r}")
