"""One Outbound value → one request → one Outcome (…/whatsapp/cloud-api/reference/messages)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp

from channels.http import Exchange, post
from channels.meta import codes
from channels.meta.reading import as_table, rows, table, word
from channels.outcomes import of_exchange
from channels.values import Accepted, InDoubt, Outbound, Outcome, Rejected

API_URL = "https://graph.facebook.com"
VERSION = "v25.0"  # served until July 2028; a version that is no more is answered as the oldest that is
_NUMBERED = re.compile(r"[1-9]\d{0,3}", re.ASCII)
_ID = re.compile(r"[!-~]{1,256}")


@dataclass(frozen=True, slots=True)
class Sender:
    """A number that sends: where to, and in whose name."""

    session: aiohttp.ClientSession
    url: str
    headers: Mapping[str, str]
    seconds: float

    async def send(self, message: Outbound) -> Outcome:
        """Hand one message to Meta, once. Raises LeaseOver."""
        if message.template is not None and not message.template.get("language"):
            return Rejected("unsendable", "Meta knows a template by name and language: its language is not given")
        body = json.dumps(request(message)).encode()
        exchange = await post(self.session, self.url, data=body, headers=self.headers, seconds=self.seconds)
        outcome = of_exchange(exchange)
        return _receipt(exchange) if outcome is None else codes.of_refusal(exchange, outcome, message.to)


def request(message: Outbound) -> dict[str, object]:
    """The JSON that Meta is posted. A person without a number is the `recipient`, under their business-scoped id."""
    asked: dict[str, object] = {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to" if message.to.startswith("+") else "recipient": message.to,
        "biz_opaque_callback_data": message.tag,
    }
    if message.template is None:
        return asked | {"type": "text", "text": {"body": message.body or ""}}
    return asked | {"type": "template", "template": _template(message.template)}


def _template(template: Mapping[str, object]) -> dict[str, object]:
    found: dict[str, object] = {"name": template["name"], "language": {"code": template["language"]}}
    if parameters := _parameters(table(template, "variables")):
        found["components"] = [{"type": "body", "parameters": parameters}]
    return found


def _parameters(variables: Mapping[str, object]) -> list[dict[str, object]]:
    """The variables of the body: {{1}}, {{2}} go by their place, {{first_name}} by its name."""
    if all(_NUMBERED.fullmatch(name) for name in variables):
        return [{"type": "text", "text": variables[name]} for name in sorted(variables, key=int)]
    return [{"type": "text", "parameter_name": name, "text": text} for name, text in variables.items()]


def _receipt(exchange: Exchange) -> Accepted | InDoubt:
    """`{"messages": [{"id": "wamid.…", "message_status"?}]}`."""
    try:
        [message] = rows(as_table(json.loads(exchange.body)), "messages")
    except (ValueError, RecursionError):
        message = None
    id_ = word(as_table(message), "id")
    if not _ID.fullmatch(id_):
        return InDoubt(f"HTTP {exchange.status} without a message id")
    return Accepted(id_, word(as_table(message), "message_status") or None)
