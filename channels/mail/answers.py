"""What a relay's answer means for a mail (RFC 5321, and the enhanced codes of RFC 3463). Pure.

answer                                          outcome
2xx to the final dot                            accepted
about us, to whatever                           not sent: every mail would fail, and somebody must mend it
any other 4xx                                   not sent; the connection rests, unless it is about this recipient
5xx with 5.1.x of the recipient                 rejected, and the address is undeliverable
any other 5xx                                   rejected
what is no answer, before the mail was written  not sent
what is no answer, to the final dot             in doubt

About us is what comes for every mail: log in first (530), a sender that is refused (X.1.7, X.1.8; Postfix says so to
RCPT), no relaying for us (told by words alone: the code is that of any policy, 5.7.1), a limit that is used up (5.4.5),
and all 5xx to MAIL but those on this mail's size or letters: MAIL says nothing else that differs from mail to mail.
"""

from __future__ import annotations

import re

from channels.values import Accepted, InDoubt, NotSent, Outcome, Rejected

REST_SECONDS = 60.0  # where an operator has to do something
# RFC 3463, 3.2: of X.1.7 and X.1.8 the sender is to blame, and X.1.0 does not tell. A bare 550 does not either: a relay
# that carries nothing for us (550 relay not permitted) would make every address undeliverable.
_NO_SUCH_ADDRESS = re.compile(r"5\.1\.(?:1|2|3|4|6|9|10)")
_OF_THE_RECIPIENT = re.compile(r"[45]\.[12]\.\d")
_OF_US = re.compile(r"[45]\.1\.[78]|5\.4\.5")
_OF_THE_MAIL = re.compile(r"5\.(?:2\.3|3\.4|6\.\d{1,3})")  # too large; or letters that the relay cannot carry on
_TOO_LARGE = 552
_OF_THE_RELAY = re.compile(r"4\.(?:3\.\d{1,3}|4\.5)")
_POLICY = re.compile(r"[45]\.7\.\d{1,3}")
# Of Postfix, Sendmail, Exim, Exchange, Gmail and IIS.
_NO_RELAYING = re.compile(
    r"\brelay(?:ing)? (?:access )?(?:is )?(?:denied|not (?:permitted|allowed)|prohibited)"
    r"|\b(?:unable|not (?:permitted|allowed|authori[sz]ed)) to relay\b",
    re.IGNORECASE,
)
_GREYLISTED = re.compile(r"gr[ae]y-?\s?list", re.IGNORECASE)
_ENHANCED = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})(?=\s|$)")
_QUEUED = re.compile(r"(?:queued as|\bid=|\bOk:?\s+(?=[\w.-]{8,}$))\s*([\w.-]{4,100})", re.IGNORECASE | re.ASCII)
_ADDRESSES = re.compile(r"<[^<>]{0,320}>|\S{1,64}@\S{1,255}|https?://\S+", re.IGNORECASE)
_MOST_WORDS = 200


def before_the_mail(stage: str, code: int, message: str) -> NotSent | Rejected:
    """What the answer to a command means that is no success; nothing of the mail was written."""
    said = f"{stage}: {code} {words(message)}".rstrip()
    if 400 <= code < 600 and _is_about_us(stage, code, message):
        return NotSent(
            said, REST_SECONDS, slow_down=True, to_mend=f"the relay refuses what we send: {_bare(stage, code, message)}"
        )
    if 500 <= code < 600:
        return Rejected(str(code), words(message) or stage, undeliverable=stage != "MAIL" and is_no_address(message))
    if 400 <= code < 500:
        return NotSent(said, slow_down=_is_about_all(stage, code, message))
    return NotSent(f"{stage}: the relay's answer is none ({code})", slow_down=True)


def to_the_final_dot(code: int, message: str, *, message_id: str) -> Outcome:
    """What the answer means that the relay gives when it has all of the mail."""
    if 200 <= code < 300:
        found = _QUEUED.search(message[:1000])
        return Accepted(found[1] if found else message_id)
    if 400 <= code < 600:
        return before_the_mail("the mail", code, message)
    return InDoubt(f"the relay's answer to the whole mail is none ({code})")


def _is_about_us(stage: str, code: int, message: str) -> bool:
    """Whether every mail of ours would be answered so, until somebody mends it."""
    enhanced = _enhanced(message)
    if code == 530 or _OF_US.fullmatch(enhanced):
        return True
    if _NO_RELAYING.search(message[:1000]) and (not enhanced or _POLICY.fullmatch(enhanced)):
        return True
    return stage == "MAIL" and code >= 500 and code != _TOO_LARGE and not _OF_THE_MAIL.fullmatch(enhanced)


def _is_about_all(stage: str, code: int, message: str) -> bool:
    """Whether a 4xx puts off more than this mail. To RCPT that is what the relay says of itself: what is greylisted, or
    has no room, is one recipient, whatever the code (450, 451, 452, with 4.7.1 or with none).
    """
    if code == 421:  # it closes the connection
        return True
    if _GREYLISTED.search(message[:1000]):
        return False
    if stage == "RCPT":
        return code == 454 or _OF_THE_RELAY.fullmatch(_enhanced(message)) is not None
    return _OF_THE_RECIPIENT.match(message.strip()) is None


def _enhanced(message: str) -> str:
    """The enhanced code that it begins with; "" where there is none."""
    found = _ENHANCED.match(message.strip())
    return found[0] if found is not None else ""


def _bare(stage: str, code: int, message: str) -> str:
    """What is answered to what, without a word of it."""
    return f"{code} {_enhanced(message)}".rstrip() + f" to {stage}"


def is_no_address(message: str) -> bool:
    """Whether it says that nothing can reach the recipient."""
    return _NO_SUCH_ADDRESS.fullmatch(_enhanced(message)) is not None


def words(message: str) -> str:
    """What the relay says, on one line, without addresses and links: they are somebody's."""
    plain = "".join(char if char.isprintable() else " " for char in message[:1000])
    return " ".join(_ADDRESSES.sub("…", plain).split())[:_MOST_WORDS]
