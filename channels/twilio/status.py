"""The parameters of a genuine status callback → a Report value.

Source: twilio.com/docs/messaging/guides/track-outbound-message-status.
"""

from __future__ import annotations

import re
from typing import Final, Literal
from urllib.parse import parse_qs, urlsplit

from multidict import MultiDict

from channels.twilio.codes import OPTED_OUT, UNDELIVERABLE
from channels.twilio.inbound import is_ours, message_id, single
from channels.values import Forged, Malformed, Report

Status = Literal["accepted", "sent", "delivered", "read", "undelivered", "failed"]
_STATUSES: Final[dict[str, Status]] = {
    "accepted": "accepted",
    "scheduled": "accepted",
    "queued": "accepted",
    "sending": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "undelivered": "undelivered",
    "failed": "failed",
    "canceled": "failed",
}
_TAG = re.compile(r"[a-z0-9_]{1,64}")


def read(form: MultiDict[str], account: str, raw_path: str) -> Report:
    """The report in the form; its tag stands in the URL, which is signed as well.

    Raises Forged where it is for another account, Malformed where tag, message or status are missing or unknown.
    """
    if not is_ours(form, account):
        raise Forged("another account")
    tags = parse_qs(urlsplit(raw_path).query).get("tag", [])
    if len(tags) != 1 or not _TAG.fullmatch(tags[0]):
        raise Malformed("missing or unreadable: tag")
    word = single(form, "MessageStatus") or single(form, "SmsStatus")
    code = single(form, "ErrorCode")
    told = meaning(tags[0], message_id(form), word, int(code) if code.isdecimal() and len(code) <= 6 else None)
    if told is None:
        raise Malformed("missing or unknown: MessageStatus")
    return told


def meaning(tag: str, sid: str, word: str, code: int | None) -> Report | None:
    """What a message's status and error code say of it, here or in the message list; None for an unknown status."""
    status = _STATUSES.get(word)
    if status is None:
        return None
    failed = status in ("undelivered", "failed")
    return Report(
        tag=tag,
        provider_id=sid,
        status=status,
        code=str(code) if code is not None else None,
        opted_out=failed and code in OPTED_OUT,
        undeliverable=failed and code in UNDELIVERABLE,
    )
