"""What a relay's answer means for a mail (RFC 5321, and the enhanced codes of RFC 3463). Pure.

answer                                          outcome
2xx to the final dot                            accepted
4xx, to whatever                                not sent; the connection rests, unless it is about this recipient
530 to whatever (log in first)                  not sent: every mail would fail, and somebody must mend it
5xx with 5.1.x of the recipient                 rejected, and the address is undeliverable
any other 5xx                                   rejected
what is no answer, before the mail was written  not sent
what is no answer, to the final dot             in doubt
"""

from __future__ import annotations

import re

from channels.values import Accepted, InDoubt, NotSent, Outcome, Rejected

REST_SECONDS = 60.0  # where an operator has to do something
# RFC 3463, 3.2: of X.1.7 and X.1.8 the sender is to blame, and X.1.0 does not tell. A bare 550 does not either: a relay
# that carries nothing for us (550 relay not permitted) would make every address undeliverable.
_NO_SUCH_ADDRESS = re.compile(r"5\.1\.(?:1|2|3|4|6|9|10)")
_OF_THE_RECIPIENT = re.compile(r"[45]\.[12]\.\d")
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_QUEUED = re.compile(r"(?:queued as|\bid=|\bOk:?\s+(?=[\w.-]{8,}$))\s*([\w.-]{4,100})", re.IGNORECASE | re.ASCII)
_ADDRESSES = re.compile(r"<[^<>]{0,320}>|\S{1,64}@\S{1,255}|https?://\S+", re.IGNORECASE)
_MOST_WORDS = 200


def before_the_mail(stage: str, code: int, message: str) -> NotSent | Rejected:
    """What the answer to a command means that is no success; nothing of the mail was written."""
    said = f"{stage}: {code} {words(message)}".rstrip()
    if code == 530:
        return NotSent(said, REST_SECONDS, slow_down=True)
    if 500 <= code < 600:
        return Rejected(str(code), words(message) or stage, undeliverable=stage != "MAIL" and is_no_address(message))
    if 400 <= code < 500:
        return NotSent(said, slow_down=code == 421 or _OF_THE_RECIPIENT.match(message.strip()) is None)
    return NotSent(f"{stage}: the relay's answer is none ({code})", slow_down=True)


def to_the_final_dot(code: int, message: str, *, message_id: str) -> Outcome:
    """What the answer means that the relay gives when it has all of the mail."""
    if 200 <= code < 300:
        found = _QUEUED.search(message[:1000])
        return Accepted(found[1] if found else message_id)
    if 400 <= code < 600:
        return before_the_mail("the mail", code, message)
    return InDoubt(f"the relay's answer to the whole mail is none ({code})")


def is_no_address(message: str) -> bool:
    """Whether it says that nothing can reach the recipient."""
    found = _ENHANCED.match(message.strip())
    return found is not None and _NO_SUCH_ADDRESS.fullmatch(found[0]) is not None


def words(message: str) -> str:
    """What the relay says, on one line, without addresses and links: they are somebody's."""
    plain = "".join(char if char.isprintable() else " " for char in message[:1000])
    return " ".join(_ADDRESSES.sub("…", plain).split())[:_MOST_WORDS]
