"""Delivery status notifications (RFC 3464 and the common odd ones). Pure.

A bounce is hard only where it is the address that is wrong, for then nothing will ever reach it. What is refused for
what we are or sent (5.7.x: policy, spam, authentication; size; content) or for now (a full mailbox) is soft.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from channels.mail import boilerplate, markup, report_fields
from channels.mail.letter import Letter

_STATUS: Final = frozenset(("message/delivery-status", "message/global-delivery-status"))
_RETURNED: Final = frozenset(
    ("message/rfc822", "text/rfc822-headers", "message/rfc822-headers", "message/global", "message/global-headers")
)
_RECIPIENTS: Final = 100  # a mail of ours has one; RFC 5321 lets servers refuse more than a hundred
_SAID: Final = 2000  # characters of what a server said
_NOTHING_FAILED: Final = frozenset(("delayed", "delivered", "relayed", "expanded"))

_ENHANCED = re.compile(r"(?<![\w.])[245]\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)")
_BASIC = re.compile(r"(?<![\w.])[45]\d\d(?![\w.])")

# RFC 3463 and its registry: no such mailbox, system or syntax; ambiguous; moved; disabled; a null MX (RFC 7505).
_ADDRESS_IS_WRONG: Final = frozenset(("5.1.0", "5.1.1", "5.1.2", "5.1.3", "5.1.4", "5.1.6", "5.1.10", "5.2.1", "5.4.4"))
# By code not the address's fault, whatever is said beside it: our sender's, size, the system, content, policy.
_OTHERWISE: Final = ("5.1.7", "5.1.8", "5.1.9", "5.2.2", "5.2.3", "5.2.4", "5.3.", "5.6.", "5.7.")
# What servers say, in what they say it by; the second beats the first, and most codes.
_NO_SUCH_ADDRESS: Final = (
    "user unknown", "unknown user", "no such user", "nosuchuser", "no such recipient", "no such mailbox",
    "no such address", "no such person", "recipient unknown", "unknown recipient", "unknown or illegal alias",
    "mailbox not found", "mailbox unavailable", "does not exist", "doesn't exist", "doesn't have a", "user not found",
    "recipient not found", "recipientnotfound", "recipnotfound", "address not found", "couldn't be found",
    "wasn't found at", "not listed in", "invalid recipient", "invalid mailbox", "bad destination mailbox",
    "addressee unknown", "address unknown", "unknown address", "unknown local", "unrouteable address",
    "unroutable address", "host not found", "domain not found", "null mx", "not a valid mailbox",
    "no mailbox here by that name", "unknown mailbox", "is disabled", "been disabled", "mailbox disabled",
    "account is inactive", "mailbox is inactive", "account inactive", "is no longer valid", "no longer available",
    "undeliverable address", "no mailbox by that name", "no valid recipients",
)  # fmt: skip
_NOT_ITS_FAULT: Final = (
    "quota", "mailbox full", "mailbox is full", "inbox is full", "out of storage", "storage space", "exceeded storage",
    "spam", "blocklist", "block list", "blacklist", "black list", "denylist", "blocked", "reputation", "rate limit",
    "rate that", "too many", "too fast", "greylist", "graylist", "try again", "temporar", "policy", "dmarc", "spf ",
    "dkim", "too large", "too big", "message size", "exceeds", "virus", "malware", "sender address rejected",
    "sender denied", "sender rejected", "sender verify", "sender domain", "not authorized", "not permitted",
    "unable to relay", "relaying", "relay access", "authentication required", "unsolicited", "mail loop",
)  # fmt: skip

# Of notifications in plain words: where the copy of our mail begins, and what tells a failure from a delay.
_COPY: Final = (
    "--- below this line is a copy", "------ this is a copy of", "----- original message -----",
    "--- original message follows", "----- message header follows", "----- unsent message follows",
    "--- undelivered message follows", "original message headers:", "------ headers", "--- message headers follow",
    "--- enclosed is a copy", "original message header", "----- transcript of message follows",
)  # fmt: skip
_FAILED: Final = (
    "permanent error", "permanent fatal error", "could not be delivered", "couldn't be delivered", "not delivered",
    "wasn't delivered", "did not reach", "undeliverable", "delivery failed", "failed permanently", "unable to deliver",
    "wasn't able to deliver", "not able to deliver", "has failed", "failure notice", "returned to sender",
    "returned mail", "delivery failure", "cannot be delivered", "nicht zugestellt", "unzustellbar", "pas pu être",
    "no se pudo entregar", "no se ha podido entregar", "non è stato possibile", "não foi entregue", "не доставлено",
)  # fmt: skip
_DELAYED: Final = (
    "warning message only", "delayed", "has not yet been", "will be retried", "continue to try", "will keep trying",
    "still being retried", "do not need to resend", "delivery status notification (delay)", "nicht erneut senden",
)  # fmt: skip
_ADDRESS = re.compile(r"^\s{0,20}<?([^\s<>@\",;:()]{1,64}@[^\s<>@\",;:()]{1,255})>?(?=[:,;.\s]|$)")
_XTEXT = re.compile(r"\+(2B|3D)")


@dataclass(frozen=True, slots=True)
class Bounce:
    """That a mail of ours did not reach a recipient."""

    address: str | None  # the recipient as we wrote it, where it is told
    is_hard: bool  # 5.x.x, and it is the address that is wrong, not our message
    code: str | None  # the enhanced status code (RFC 3463), else what comes next to it
    message_id: str | None = None  # of the mail that bounced, without its angle brackets


def read(letter: Letter) -> Sequence[Bounce]:
    """The failures in a notification, none where it is no notification or tells of no failure (delayed, relayed)."""
    told = [group for part in letter.parts if part.content_type in _STATUS for group in report_fields.groups(part.text)]
    recipients = [group for group in told if not group.keys().isdisjoint(("final-recipient", "original-recipient"))]
    if not recipients:
        return list(_in_words(letter))
    message_id = _returned(letter)
    return [_bounce(group, message_id) for group in recipients[:_RECIPIENTS] if _has_failed(group)]


# --- for machines ----------------------------------------------------------------------------------


def _has_failed(group: Mapping[str, str]) -> bool:
    action = group.get("action", "").partition(" ")[0].lower()
    if action in _NOTHING_FAILED:
        return False
    return action.startswith("fail") or group.get("status", "").startswith("5")


def _bounce(group: Mapping[str, str], message_id: str | None) -> Bounce:
    said = group.get("diagnostic-code", "")[:_SAID]
    code = _code(group.get("status", ""), said)
    address = _address(group.get("original-recipient")) or _address(group.get("final-recipient"))
    return Bounce(address, _is_hard(code, said), code, message_id)


def _address(field: str | None) -> str | None:
    """The mailbox of `rfc822;ana@example.org`, without xtext (RFC 3461 §4) of what may stand in one."""
    address = (field or "").rpartition(";")[2].strip().strip("<>").strip()
    if "@" not in address or " " in address:
        return None
    return _XTEXT.sub(lambda found: "+" if found[1] == "2B" else "=", address)


def _code(status: str, said: str) -> str | None:
    """The status code; the server's own where the status says no more than that it failed."""
    told, own = _ENHANCED.search(status[:_SAID]), _ENHANCED.search(said)
    if told and not (own and told[0].endswith(".0.0") and told[0][0] == own[0][0]):
        return told[0]
    basic = _BASIC.search(said)
    return own[0] if own else basic[0] if basic else None


def _is_hard(code: str | None, said: str) -> bool:
    """Whether it is the address that is wrong."""
    if code is not None and (code[0] != "5" or code.startswith(_OTHERWISE)):
        return False
    words = " ".join(word for word in said.lower().split() if "@" not in word and "//" not in word)
    if any(phrase in words for phrase in _NOT_ITS_FAULT):
        return False
    # Office 365 says 5.4.1 of who is in no directory of the domain, before it takes the mail in.
    is_unlisted = code == "5.4.1" and "recipient address rejected: access denied" in words
    return is_unlisted or code in _ADDRESS_IS_WRONG or any(phrase in words for phrase in _NO_SUCH_ADDRESS)


# --- for people ------------------------------------------------------------------------------------


def _in_words(letter: Letter) -> Iterator[Bounce]:
    """The failures that a notification tells in plain words, as qmail, Exim and old Exchange servers do."""
    named = [one.strip() for one in (letter.header("X-Failed-Recipients") or "")[:_SAID].split(",") if "@" in one]
    if (not named and not _is_by_a_server(letter)) or boilerplate.is_automatic_subject(letter.subject):
        return
    report, copy = _parted(letter)
    told = f"{letter.subject}\n{report}".lower()
    if not any(phrase in told for phrase in _FAILED) or any(phrase in told for phrase in _DELAYED):
        return
    message_id = report_fields.message_id(report_fields.header(copy, "message-id")) or _returned(letter)
    said = _by_address(report)
    for address in (named or list(said))[:_RECIPIENTS]:
        words = said.get(address) or report[:_SAID]
        code = _code("", words)
        yield Bounce(address, _is_hard(code, words), code, message_id)


def _is_by_a_server(letter: Letter) -> bool:
    name = letter.sender.partition("@")[0].lower()
    return letter.envelope_from == "" or name in ("mailer-daemon", "postmaster", "mdaemon")


def _parted(letter: Letter) -> tuple[str, str]:
    """What the server says, and what it returns of our mail below."""
    text = letter.text
    if text is None:
        text = "\n".join(line for _, line in markup.read((letter.html or "")[: report_fields.READ]))
    lines = text[: report_fields.READ].replace("\r\n", "\n").split("\n")
    at = next((at for at, line in enumerate(lines) if line.strip().lower().startswith(_COPY)), len(lines))
    return "\n".join(lines[:at]), "\n".join(lines[at + 1 :])


def _by_address(report: str) -> dict[str, str]:
    """What is said of each address that begins a line, up to the next."""
    said: dict[str, str] = {}
    address = None
    for line in report.split("\n"):
        found = _ADDRESS.match(line[:_SAID])
        if found and len(said) < _RECIPIENTS:
            address = found[1].rstrip(".")
        if address is not None:
            said[address] = f"{said.get(address, '')} {line[:_SAID].strip()}"[:_SAID]
    return said


def _returned(letter: Letter) -> str | None:
    """The id of our mail: out of what is returned of it, else of what the notification answers."""
    for part in letter.parts:
        told = report_fields.header(part.text, "message-id") if part.content_type in _RETURNED else None
        if found := report_fields.message_id(told):
            return found
    answered = report_fields.message_id(letter.header("In-Reply-To"))
    return answered or report_fields.message_id(letter.header("References"))
