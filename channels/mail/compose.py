"""A mail as it goes over the wire: RFC 5322 and MIME, made of values. Pure but for the clock that it is given.

The standard library of 3.11 folds long words of a header as encoded words, which makes a List-Unsubscribe that no mail
program understands, and lets a line break in a quoted name through (CVE-2024-6923). So every header is made here, of
printable ASCII or not at all. What is finished the library would only put together, for as long as all else takes.
"""

from __future__ import annotations

import binascii
import re
from dataclasses import dataclass
from datetime import datetime
from email.header import Header
from email.utils import format_datetime, parseaddr
from functools import lru_cache

from channels.mail.told import BOUNCES, UNSUBSCRIBE
from channels.values import Mail, Outbound

_PRINTABLE = re.compile(r"[ -~]*(\r\n [ -~]+)*")
_PRINTABLE_UTF8 = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]*(\r\n [ -~]+)*")
_BOUNDARY = b"=_optgate"  # in neither quoted-printable nor base64: there no = is followed by _
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
    if mail.answers is not None:  # so that it stands below what it answers: RFC 5322, 3.6.4
        headers += [("In-Reply-To", mail.answers), ("References", mail.answers)]
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


def _line(name: str, value: str, *, utf8: bool = False) -> str:
    """A header as it stands in the mail; raises ValueError for what could be read as another one."""
    if not (_PRINTABLE_UTF8 if utf8 else _PRINTABLE).fullmatch(value) or max(map(len, value.split("\r\n"))) > 900:
        raise ValueError(f"{name} holds what no header may")
    return f"{name}: {value}\r\n"


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
    """An address that is one, so that nothing can stand behind it, in a header or in a command. Dots that it may not
    have (RFC 5321, 4.1.2), as mailboxes of Japanese carriers do, it may have in quotes.
    """
    local, at, domain = address.rpartition("@")
    if not at or not local or not domain or _NOT_IN_AN_ADDRESS.search(local + domain):
        raise ValueError("not an address that mail can go to")
    return f'"{local}"@{domain}' if "" in local.split(".") else address


@lru_cache(maxsize=64)
def _parts(sender: str) -> tuple[str, str, str]:
    """Of a mailbox its name, its address, and the address's domain in ASCII."""
    name, address = parseaddr(sender)
    return name, address, address.rpartition("@")[2].encode("idna").decode().lower()


# --- the message ------------------------------------------------------------------------------


def _message(headers: list[tuple[str, str]], mail: Mail, *, utf8: bool) -> bytes:
    lines = [_line(name, value, utf8=utf8) for name, value in [*headers, ("MIME-Version", "1.0")]]
    plain = _part("plain", mail.text)
    if mail.html is None:
        return "".join(lines).encode() + plain
    lines.append(f'Content-Type: multipart/alternative; boundary="{_BOUNDARY.decode()}"\r\n\r\n')
    return b"%b--%b\r\n%b\r\n--%b\r\n%b\r\n--%b--\r\n" % (
        "".join(lines).encode(),
        _BOUNDARY,
        plain,
        _BOUNDARY,
        _part("html", mail.html, mail.html_end),
        _BOUNDARY,
    )


def _part(kind: str, text: str, end: str = "") -> bytes:
    """Its headers, and the text in lines of at most 76 characters of ASCII.

    No relay has to change it then, and break its signature. What stands above an `end` is many people's.
    """
    sample = text[:4096].encode("utf-8", "replace")
    foreign = len(sample) - len(sample.decode("ascii", "ignore"))
    if 6 * foreign > len(sample):
        encoding, encoded = "base64", _base64(text + end)
    elif end:
        encoding, encoded = "quoted-printable", _quoted_once(text) + _quoted(end)
    else:
        encoding, encoded = "quoted-printable", _quoted(text)
    headers = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n'
    return headers.encode() + encoded


def _quoted(text: str) -> bytes:
    return binascii.b2a_qp(_lines(text)).replace(b"\n", b"\r\n")


_quoted_once = lru_cache(maxsize=16)(_quoted)


def _lines(text: str) -> bytes:
    """The text in bytes, of which the last ends a line, as each does."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n").encode("utf-8", "replace") + b"\n"


def _base64(text: str) -> bytes:
    payload = _lines(text).replace(b"\n", b"\r\n")  # text is canonical before it is encoded: RFC 2046, 4.1.1
    lines = (binascii.b2a_base64(payload[at : at + 57], newline=False) for at in range(0, len(payload), 57))
    return b"".join(line + b"\r\n" for line in lines)
