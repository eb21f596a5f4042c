"""What became of a message of ours → a Report value.

`biz_opaque_callback_data` comes back as we sent it: the attempt's tag. Where it is missing, the message's id has to do.
"""

from __future__ import annotations

import re
from typing import Final, Literal

from channels.meta.codes import OPTED_OUT
from channels.meta.reading import Table, Unreadable, as_table, message_id, rows, word
from channels.values import Report

_STATUSES: Final[dict[str, Literal["accepted", "sent", "delivered", "read", "failed"]]] = {
    "accepted": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "played": "read",  # a voice message
    "failed": "failed",
}
_TAG = re.compile(r"[a-z0-9_]{1,64}")
_CODE = re.compile(r"\d{1,7}", re.ASCII)


def read(status: Table) -> Report | None:
    """The report; None for a message to a group, and for a status that says nothing of the way (`deleted`).

    Its tag is empty where Meta tells none, or one that is not ours: another system sends from this number as well.
    Raises Unreadable where it names no message or no status.
    """
    word_of_it = word(status, "status")
    if not word_of_it:
        raise Unreadable("status")
    provider_id = message_id(status)
    known = _STATUSES.get(word_of_it)
    if known is None or word(status, "recipient_type") == "group":
        return None
    tag = word(status, "biz_opaque_callback_data")
    codes = [code for one in rows(status, "errors") if _CODE.fullmatch(code := word(as_table(one), "code"))]
    noes = [code for code in codes if known == "failed" and int(code) in OPTED_OUT]
    return Report(
        tag=tag if _TAG.fullmatch(tag) else "",
        provider_id=provider_id,
        status=known,
        code=next(iter(noes + codes), None),
        opted_out=bool(noes),
        marketing_only=bool(noes),
    )
