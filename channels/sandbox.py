"""A provider that is not there: messages come in as JSON and go out into a list that anyone may read.

For first steps, tests and demonstrations; who may post to it is the HTTP layer's business.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from channels import lease
from channels.mail.typed import what_was_typed
from channels.text import without_nul
from channels.values import (
    Accepted,
    HttpAnswer,
    Inbound,
    InDoubt,
    Malformed,
    NotSent,
    Outbound,
    Outcome,
    Rejected,
    Report,
    Sought,
    WebhookRequest,
)

BODY_BYTES = 262_144
CHANNELS = ("sms", "whatsapp", "email")
_WHATSAPP = "whatsapp:"
_SENDERS = {"sms": "+12025550100", "whatsapp": "+12025550100", "email": "sandbox@example.org"}
# The outcomes that can be asked for, in the order in which they share the hashes.
_FAILURES: dict[str, Outcome] = {
    "rejected": Rejected("rejected", "the sandbox was asked to"),
    "opted_out": Rejected("opted_out", "the sandbox was asked to", opted_out=True),
    "undeliverable": Rejected("undeliverable", "the sandbox was asked to", undeliverable=True),
    "not_sent": NotSent("the sandbox was asked to"),
    "slow_down": NotSent("the sandbox was asked to", retry_after_seconds=1.0, slow_down=True),
    "in_doubt": InDoubt("the sandbox was asked to"),  # and the message is not kept
    "in_doubt_sent": InDoubt("the sandbox was asked to"),  # and the message is kept
}


@dataclass(frozen=True, slots=True)
class SandboxMessage:
    """What would have been sent."""

    connection: str
    sender: str
    to: str
    body: str
    tag: str


class _Posted(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    sender: Annotated[str, Field(alias="from", min_length=1, max_length=255)]
    to: Annotated[str, Field(max_length=255)]
    body: str
    subject: Annotated[str | None, Field(max_length=998)] = None
    message_id: Annotated[str | None, Field(pattern=r"^[!-~]{1,200}$")] = None


class Sandbox:
    """A sandbox connection (an `Adapter`).

    `keep` stores a sent message; when it raises, the message is in doubt. `failures` gives shares from 0 to 1, by
    outcome (`rejected`, `opted_out`, `undeliverable`, `not_sent`, `slow_down`, `in_doubt`, `in_doubt_sent`); which
    message fails is a hash of its tag, so `fate(tag)` foretells it.
    """

    provider = "sandbox"
    body_bytes = BODY_BYTES
    replies_in_answer = False

    def __init__(
        self,
        *,
        name: str,
        channel: str,
        keep: Callable[[SandboxMessage], Awaitable[object]],
        sender: str | None = None,
        delay_seconds: float = 0.0,
        failures: Mapping[str, float] | None = None,
        new_id: Callable[[], str] = lambda: uuid4().hex,
    ) -> None:
        if channel not in CHANNELS:
            raise ValueError(f"the sandbox carries {', '.join(CHANNELS)}")
        shares = dict(failures or {})
        if unknown := set(shares) - set(_FAILURES):
            raise ValueError(f"no such failures: {', '.join(sorted(unknown))}")
        if any(share < 0 for share in shares.values()) or sum(shares.values()) > 1:
            raise ValueError("failures are shares from 0 to 1, together at most 1")
        self.name = name
        self.channel = channel
        self.account = f"sandbox:{name}"
        self.sender = sender or _SENDERS[channel]
        self.own_addresses = frozenset({self.sender})
        self._keep, self._delay_seconds, self._shares, self._new_id = keep, delay_seconds, shares, new_id

    def receive(self, request: WebhookRequest) -> list[Inbound]:
        """The message in `{"from", "to", "body", "subject"?, "message_id"?}`; raises Malformed, naming the fields."""
        if len(request.body) > BODY_BYTES:
            raise Malformed("too large")
        try:
            posted = _Posted.model_validate_json(request.body)
        except ValidationError as error:
            raise Malformed(_named(error)) from None
        prefixed = posted.sender.startswith(_WHATSAPP)
        if prefixed and self.channel == "email":
            raise Malformed("from: an e-mail connection carries no whatsapp")
        whatsapp = prefixed or self.channel == "whatsapp"
        mail = self.channel == "email"
        if posted.subject is not None and not mail:
            raise Malformed("subject: only an e-mail has one")
        text = without_nul(posted.body)
        return [
            Inbound(
                connection=self.name,
                channel="whatsapp" if whatsapp else self.channel,
                account=self.account,
                provider_id=posted.message_id or self._new_id(),
                sender=without_nul(posted.sender).removeprefix(_WHATSAPP),
                receiver=without_nul(posted.to).removeprefix(_WHATSAPP),
                text=text,
                subject=without_nul(posted.subject or "") if mail else None,
                typed=what_was_typed(text, None) if mail else None,
            )
        ]

    def report(self, request: WebhookRequest) -> list[Report]:  # noqa: ARG002
        """The sandbox knows at once how a message ended: it has no reports."""
        raise Malformed("the sandbox makes no delivery reports")

    def answer(self, message: Inbound, reply: str | None) -> HttpAnswer:
        """`{"message_id", "reply"}`."""
        answer = {"message_id": message.provider_id, "reply": reply}
        return HttpAnswer("application/json", json.dumps(answer, separators=(",", ":")).encode())

    async def send(self, message: Outbound) -> Outcome:
        """Keep the message, after the configured delay, unless it is fated to fail. Raises LeaseOver at once."""
        lease.check()
        await asyncio.sleep(self._delay_seconds)
        fate = self.fate(message.tag)
        if fate is not None and fate != "in_doubt_sent":
            return _FAILURES[fate]
        try:
            await self._keep(SandboxMessage(self.name, self.sender, message.to, _body(message), message.tag))
        except Exception as error:
            return InDoubt(f"not kept: {type(error).__name__}")
        return Accepted(f"sbx_{message.tag}") if fate is None else _FAILURES[fate]

    async def look_up(self, sought: Sought) -> None:
        """The sandbox keeps what it sent for its readers only: it cannot tell."""

    def fate(self, tag: str) -> str | None:
        """Which failure the message with this tag will meet; None: it will be accepted."""
        point = int.from_bytes(hashlib.sha256(tag.encode(errors="replace")).digest()[:8], "big") / 2**64
        for failure in _FAILURES:
            point -= self._shares.get(failure, 0.0)
            if point < 0:
                return failure
        return None


def _named(error: ValidationError) -> str:
    """Which fields are wrong and how; never what was in them."""
    wrong = {f"{'.'.join(map(str, one['loc']))[:60] or 'body'}: {one['type']}" for one in error.errors()[:10]}
    return ", ".join(sorted(wrong))


def _body(message: Outbound) -> str:
    if message.mail is not None:
        return message.mail.text
    if message.body is not None or message.template is None:
        return message.body or ""
    variables = json.dumps(message.template.get("variables") or {}, default=str, sort_keys=True)
    return f"[template {message.template.get('name')}] {variables}"
