"""A mail as it goes over the wire: RFC 5322 and MIME, made of values. Pure but for the clock that it is given.

The standard library of 3.11 folds long words of a header as encoded words, which makes a List-Unsubscribe that no mail
program understands, and lets a line break in a quoted name through (CVE-2024-6923). So every header is made here, of
printable ASCII or not at all, and the library puts the message together.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from email import policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from channels.mail.told import BOUNCES, UNSUBSCRIBE
from channels.values import Mail, Outbound

_POLICY = policy.SMTP.clone(cte_type="7bit")
_POLICY_UTF8 = policy.SMTPUTF8.clone(cte_type="7bit")
_PRINTABLE = re.compile(r"[ -~]*(\r\n [ -~]+)*")
_PRINTABLE_UTF8 = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(\r\n [ -~]+)*")
_BOUNDARY = "=_optgate"  # in neither quoted-printable nor base64: there no = is followed by _
_NOT_IN_AN_ADDRESS = re.compile(r"[\s<>(),:;\[\]\\\"@\x00-\x1f\x7f-\x9f]")
_SPECIALS = re.compile(r'[][\\()<>@,:;".]')
_LONGEST_NAME = 60  # of a header's name and value together that is not folded


@dataclass(frozen=True, slots=True)
class Posted:
    """What the relay is handed."""

    return_path: str
    to: str
    message_id: str  # without its angle brackets
    needs_utf8: bool  # an address is not ASCII: RFC 6531
    content: bytes  # lines end with CR LF, dots are not doubled


class _Line(str):
    """A header that is finished: the library adds its name, and leaves it as it is."""

    max_count = 1
    __slots__ = ("name",)
    name: str

    def fold(self, *, policy: policy.EmailPolicy) -> str:
        return f"{self.name}: {self}{policy.linesep}"


def compose(message: Outbound, mail: Mail, *, sender: str, inbound_domain: str | None, now: datetime) -> Posted:
    """The mail from `sender` (`Example Theatre <hello@example.org>`); raises ValueError for what no mail can hold."""
    name, address, domain = _parts(sender)
    needs_utf8 = not (message.to.isascii() and address.isascii())
    message_id = f"{message.tag}@{domain}"
    headers = [
        ("From", _mailbox(mail.from_name or name, address)),
        ("To", _address(message.to)),
        ("Subject", _words("Subject", mail.subject)),
        ("Date", format_datetime(now)),
        ("Message-ID", f"<{message_id}>"),
    ]
    if mail.reply_to is not None:
        headers.append(("Reply-To", _mailbox(*parseaddr(mail.reply_to))))
    headers += _unsubscribing(mail, inbound_domain)
    if mail.is_reply or mail.is_passed_on:
        headers.append(("Auto-Submitted", "auto-replied" if mail.is_reply else "auto-generated"))
    posted = _message(headers, mail, utf8=needs_utf8)
    return_path = f"{BOUNCES}+{message.tag}@{inbound_domain}" if inbound_domain else address
    return Posted(_address(return_path), _address(message.to), message_id, needs_utf8, posted)


def _unsubscribing(mail: Mail, inbound_domain: str | None) -> list[tuple[str, str]]:
    """How mail programs unsubscribe: RFC 2369, and with one click RFC 8058."""
    if mail.unsubscribe_url is None:
        return []
    ways = [f"<{mail.unsubscribe_url}>"]
    if inbound_domain and mail.unsubscribe_token:
        ways.append(f"<mailto:{UNSUBSCRIBE}+{mail.unsubscribe_token}@{inbound_domain}?subject=unsubscribe>")
    return [("List-Unsubscribe", ",\r\n ".join(ways)), ("List-Unsubscribe-Post", "List-Unsubscribe=One-Click")]


# --- headers ----------------------------------------------------------------------------------


def _line(name: str, value: str, *, utf8: bool = False) -> _Line:
    if not (_PRINTABLE_UTF8 if utf8 else _PRINTABLE).fullmatch(value) or max(map(len, value.split("\r\n"))) > 900:
        raise ValueError(f"{name} holds what no header may")
    made = _Line(value)
    made.name = name
    return made


@lru_cache(maxsize=256)
def _words(name: str, text: str) -> str:
    """Text in a header, encoded (RFC 2047) where it is not plain, or could be taken for encoded."""
    if _PRINTABLE.fullmatch(text) and "=?" not in text and "\r" not in text:
        return text
    clean = "".join(char if char.isprintable() else " " for char in text)
    return Header(clean, "utf-8", header_name=name).encode(linesep="\r\n")


@lru_cache(maxsize=256)
def _mailbox(name: str, address: str) -> str:
    """A name and where mail to it goes."""
    if not name:
        return _address(address)
    words = _words("Reply-To", name)  # the longest name of those headers that hold one
    if words == name and _SPECIALS.search(name):
        words = '"' + re.sub(r'([\\"])', r"\\\1", name) + '"'
    between = "\r\n " if len(words.rpartition("\n")[2]) + len(address) > _LONGEST_NAME else " "
    return f"{words}{between}<{_address(address)}>"


def _address(address: str) -> str:
    """An address that is one, so that nothing can stand behind it, in a header or in a command."""
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or _NOT_IN_AN_ADDRESS.search(local + domain):
        raise ValueError("not an address that mail can go to")
    return address


@lru_cache(maxsize=64)
def _parts(sender: str) -> tuple[str, str, str]:
    """Of a mailbox its name, its address, and the address's domain in ASCII."""
    name, address = parseaddr(sender)
    return name, address, address.rpartition("@")[2].encode("idna").decode().lower()


# --- the message ------------------------------------------------------------------------------


def _message(headers: list[tuple[str, str]], mail: Mail, *, utf8: bool) -> bytes:
    rules = _POLICY_UTF8 if utf8 else _POLICY
    made = EmailMessage(policy=rules)
    for name, value in [*headers, ("MIME-Version", "1.0")]:
        made.set_raw(name, _line(name, value, utf8=utf8))
    if mail.html is None:
        kind, body = _part("plain", mail.text)
    else:
        kind = [("Content-Type", f'multipart/alternative; boundary="{_BOUNDARY}"')]
        parts = [_whole(*_part("plain", mail.text)), _whole(*_part("html", mail.html))]
        body = b"".join(b"--%b\r\n%b\r\n" % (_BOUNDARY.encode(), part) for part in parts)
        body += b"--%b--\r\n" % _BOUNDARY.encode()
    for name, value in kind:
        made.set_raw(name, _line(name, value))
    # The body is finished, too: the library would write it line by line, which takes longer than all else.
    return b"".join(rules.fold_binary(name, value) for name, value in made.raw_items()) + b"\r\n" + body


def _whole(headers: list[tuple[str, str]], body: bytes) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("ascii") + b"\r\n" + body


def _part(kind: str, text: str) -> tuple[list[tuple[str, str]], bytes]:
    """The text, in lines of at most 76 characters of ASCII: no relay has to change it, and break its signature."""
    payload = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").encode("utf-8", "replace") + b"\n"
    sample = payload[:4096]
    foreign = len(sample) - len(sample.decode("ascii", "ignore"))
    encoding = "base64" if 6 * foreign > len(sample) else "quoted-printable"
    encoded = _base64(payload) if encoding == "base64" else binascii.b2a_qp(payload).replace(b"\n", b"\r\n")
    headers = [("Content-Type", f'text/{kind}; charset="utf-8"'), ("Content-Transfer-Encoding", encoding)]
    return headers, encoded


def _base64(payload: bytes) -> bytes:
    payload = payload.replace(b"\n", b"\r\n")  # text is canonical before it is encoded: RFC 2046, 4.1.1
    lines = (binascii.b2a_base64(payload[at : at + 57], newline=False) for at in range(0, len(payload), 57))
    return b"".join(line + b"\r\n" for line in lines)
