"""Requests as Meta makes them: batches signed over their bytes with the app's secret."""

from __future__ import annotations

import hmac
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from channels.values import WebhookRequest

SAMPLES = Path(__file__).parent / "samples" / "meta"
SECRET = "canary0app0secret0of0the0tests00"
TOKEN = "EAAcanaryaccesstokenofthetests"
VERIFY = "canary-words-of-ours"
NUMBER_ID, OTHER_NUMBER_ID = "106540352242922", "106540352242999"
OURS = "+14155550101"
ANA_ID = "US.13491208655302741918"
PATH = "/webhooks/cloud"


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def parsed(name: str) -> Any:
    return json.loads(sample(name))


def batch(*changes: dict[str, Any]) -> bytes:
    """A body with these changes, in one entry."""
    entry = {"id": "102290129340398", "changes": list(changes)}
    return json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()


def change(field: str = "messages", number_id: str = NUMBER_ID, **value: Any) -> dict[str, Any]:
    metadata = {"display_phone_number": OURS[1:], "phone_number_id": number_id}
    return {"value": {"messaging_product": "whatsapp", "metadata": metadata, **value}, "field": field}


def text(body: str, sender: str = "14155550123", *, id_: str = "wamid.1", at: str = "1795176000") -> dict[str, Any]:
    return {"from": sender.lstrip("+"), "id": id_, "timestamp": at, "type": "text", "text": {"body": body}}


def signature(body: bytes, secret: str = SECRET) -> str:
    return "sha256=" + hmac.new(secret.encode(), body, sha256).hexdigest()


def posted(body: bytes, given: str | None = None, *, path: str = PATH) -> WebhookRequest:
    """A POST with this signature, or with the right one."""
    headers = CIMultiDict({"Content-Type": "application/json", "User-Agent": "facebookexternalua"})
    headers["X-Hub-Signature-256"] = signature(body) if given is None else given
    return WebhookRequest("POST", path, headers, body)


def asked(query: str) -> WebhookRequest:
    """A GET with this query."""
    return WebhookRequest("GET", f"{PATH}?{query}", CIMultiDict(), b"")
