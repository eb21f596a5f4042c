"""One Outbound value → one request → one Outcome (twilio.com/docs/messaging/api/message-resource)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from twilio.rest import Client  # type: ignore[import-untyped]

from channels.http import Exchange
from channels.lease import LeaseOver
from channels.outcomes import of_exchange
from channels.twilio import codes
from channels.twilio.client import Seen, seen
from channels.twilio.inbound import WHATSAPP
from channels.values import Accepted, InDoubt, Outbound, Outcome, Rejected

_SID = re.compile(r"[A-Z]{2}[0-9a-fA-F]{32}")  # SM… or MM…


async def send(client: Client, message: Outbound, sending_as: Mapping[str, str], status_callback: str) -> Outcome:
    """Create the message, once.

    The outcome is judged by what was seen on the wire, never by what the library made of it. Raises LeaseOver.
    """
    exchanges: list[Exchange] = []
    token = seen.set(exchanges)
    try:
        await client.messages.create_async(
            to=addressed(message.channel, message.to),
            status_callback=status_callback,
            **sending_as,
            **_content(message),
        )
    except Seen:
        pass
    except LeaseOver:
        raise
    except Exception as error:
        if not exchanges:  # no request was made of it, and none ever will be
            return Rejected("unsendable", type(error).__name__)
    finally:
        seen.reset(token)
    return _judge(exchanges[-1], message.to)


def addressed(channel: str, address: str) -> str:
    """The address as Twilio wants it: WhatsApp's with its prefix, once."""
    return WHATSAPP + address.removeprefix(WHATSAPP) if channel == "whatsapp" else address


def _content(message: Outbound) -> dict[str, str]:
    if message.template is None:
        return {"body": message.body or ""}
    content = {"content_sid": str(message.template["name"])}
    if variables := message.template.get("variables"):
        content["content_variables"] = json.dumps(variables)
    return content


def _judge(exchange: Exchange, to: str) -> Outcome:
    outcome = of_exchange(exchange)
    return _receipt(exchange) if outcome is None else codes.of_refusal(exchange, outcome, to)


def _receipt(exchange: Exchange) -> Accepted | InDoubt:
    try:
        resource = json.loads(exchange.body)
    except (ValueError, RecursionError):
        resource = None
    sid = resource.get("sid") if isinstance(resource, dict) else None
    if not isinstance(resource, dict) or not isinstance(sid, str) or not _SID.fullmatch(sid):
        return InDoubt(f"HTTP {exchange.status} without a message id")
    status = resource.get("status")
    return Accepted(sid, status if isinstance(status, str) else None)
