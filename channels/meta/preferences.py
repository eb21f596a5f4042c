"""That a person stopped or resumed marketing in WhatsApp itself → AddressReport values.

The field `user_preferences` of the webhook; Meta gives these events no id.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256

from channels.meta.reading import Table, Unreadable, address, as_table, moment, word
from channels.values import AddressReport

_MARKETING = "marketing_messages"


def read(preference: Table, *, account: str, contact: Table) -> Iterator[AddressReport]:
    """The word, once for each address that the person is known by: number and business-scoped id are two.

    Nothing for another category, and for a value that is neither stop nor resume. Raises Unreadable where it is
    nobody's.
    """
    value = word(preference, "value")
    if word(preference, "category") != _MARKETING or value not in ("stop", "resume"):
        return
    whose = list(dict.fromkeys(_addresses(preference) or _addresses(contact)))
    if not whose:
        raise Unreadable("wa_id")
    for one in whose:
        yield AddressReport(
            account=account,
            event_id=f"{value}:{word(preference, 'timestamp')[:20]}:{sha256(one.encode()).hexdigest()[:32]}",
            channel="whatsapp",
            kind="stop" if value == "stop" else "resume",
            address=one,
            at=moment(preference),
        )


def _addresses(holder: Table) -> list[str]:
    given = word(holder, "wa_id"), word(holder, "user_id") or word(holder, "parent_user_id")
    return [one for value in given if (one := address(value)) is not None]


def is_stop(preference: object) -> bool:
    return word(as_table(preference), "value") == "stop"
