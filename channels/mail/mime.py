"""The bytes of a mail → a Letter (RFC 5322, 2045–2047, 6532). Pure, and raises nothing, whatever it is given.

Only what is read is decoded: the one text and HTML that a person would see first, and the parts for machines. Bounds:
MAIL_BYTES of a mail, HEAD_BYTES and MOST_FIELDS of its head, DEPTH and MOST_PARTS of its structure, TEXT_BYTES and
TEXT_CHARS of a text. What lies beyond them is not read, and a mail whose head goes beyond proves no sender.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from channels.mail import authentication, headers, identity, mailbox, multipart
from channels.mail.charsets import clean, decode, from_base64, from_quoted_printable
from channels.mail.headers import Head, parameters, plain
from channels.mail.letter import Letter, Part
from channels.mail.multipart import Span

MAIL_BYTES = 26_214_400
DEPTH = 10
MOST_PARTS = 200
PART_HEAD_BYTES = 8_192
TEXT_BYTES = 1_048_576  # of a text as it came
TEXT_CHARS = 200_000
MACHINE_PARTS = 20
MACHINE_CHARS = 65_536
RECIPIENTS = 100
_SUBJECT_CHARS = 2_000
_ID_CHARS = 250

# What bounces, complaints and receipts are made of (RFC 3464, 5965, 6533, 8098).
MACHINE_TYPES = frozenset(
    {
        "message/delivery-status",
        "message/global-delivery-status",
        "message/feedback-report",
        "message/disposition-notification",
        "message/rfc822",
        "message/global",
        "text/rfc822-headers",
        "message/global-headers",
    }
)

# Whether mail from this domain is proved to be from it, by a word that the sender cannot have written.
Proves = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Words:
    """What a person would read."""

    text: str | None = None
    html: str | None = None

    def __bool__(self) -> bool:
        return self.text is not None or self.html is not None


def read(
    raw: bytes,
    *,
    envelope_from: str | None,
    recipients: Sequence[str],
    authserv_id: str | None,
    provider_id: str | None = None,
    proves: Proves | None = None,
) -> Letter:
    """The mail in these bytes.

    `authserv_id` names the relay whose Authentication-Results is believed, None: no one's is. A provider that has
    verdicts of its own says by `proves` what they are worth. Without `provider_id` it is told from others by its
    Message-ID together with what it says: the same mail by another way is the same, another one under a copied
    Message-ID is not.
    """
    raw = raw[:MAIL_BYTES]
    head_at, body = multipart.head_and_body(raw, Span(0, len(raw)))
    head = headers.read(raw[head_at.start : head_at.end])
    walk = _Walk(raw)
    words = walk.words(head, body, 0) or walk.attached

    def relay_proves(domain: str) -> bool:
        return bool(authserv_id) and authentication.dmarc_passed(head, authserv_id or "", domain)

    return assemble(
        head,
        words,
        walk.parts,
        envelope_from=envelope_from,
        recipients=recipients,
        proves=proves or relay_proves,
        provider_id=provider_id,
    )


def assemble(
    head: Head,
    words: Words,
    parts: Sequence[Part],
    *,
    envelope_from: str | None,
    recipients: Sequence[str],
    proves: Proves | None = None,
    provider_id: str | None = None,
) -> Letter:
    """The mail that is made of these, wherever each came from."""
    author = mailbox.author(head.all("From"))
    to = recipients or [one for name in ("To", "Cc") for value in head.all(name) for one in mailbox.found_in(value)]
    letter = Letter(
        provider_id="",
        headers=head.decoded(),
        envelope_from=None if envelope_from is None else _bare(envelope_from),
        recipients=tuple(dict.fromkeys(bare for one in to[:RECIPIENTS] if (bare := _bare(one)))),
        sender=author.address,
        subject=plain(head.first("Subject") or "")[:_SUBJECT_CHARS],
        sender_name=author.name,
        text=words.text,
        html=words.html,
        parts=tuple(parts[:MACHINE_PARTS]),
        dmarc_pass=proves is not None and author.sure and head.whole and proves(author.domain),
    )
    return _identified(letter, provider_id)


def as_text(data: bytes, charset: str | None) -> str | None:
    """A text as far as it is read; None for one in which nothing stands."""
    text = decode(data[:TEXT_BYTES], charset)[:TEXT_CHARS]
    return text if text.strip() else None


def machine_part(content_type: str, data: bytes) -> Part | None:
    """The part, where it is one for machines."""
    kind = parameters(content_type)[0]
    return Part(kind, decode(data[: 4 * MACHINE_CHARS], "utf-8")[:MACHINE_CHARS]) if kind in MACHINE_TYPES else None


@dataclass(slots=True)
class _Walk:
    """The way through the structure of a mail, every part once."""

    raw: bytes
    parts: list[Part] = field(default_factory=list)
    attached: Words = Words()  # the first text that is an attachment: gateways of MMS send texts so
    seen: int = 0

    def words(self, head: Head, body: Span, depth: int) -> Words:
        """What is to be read in a part and below."""
        self.seen += 1
        kind, given = parameters(head.first("Content-Type") or "text/plain")
        if kind.startswith("multipart/"):
            if depth == DEPTH:
                return Words()
            below = multipart.split(self.raw, body, given.get("boundary", ""), MOST_PARTS - self.seen)
            if below:
                return _chosen(kind, [self._part(one, depth + 1) for one in below if self.seen < MOST_PARTS])
        if kind in MACHINE_TYPES:
            self._keep(kind, self._data(head, body, 4 * MACHINE_CHARS))
            return Words()
        if kind == "text/html":
            words = Words(html=as_text(self._data(head, body, TEXT_BYTES), given.get("charset")))
        elif kind.partition("/")[0] in ("text", "multipart") or "/" not in kind:  # RFC 2045, 5.2: what is no type
            words = Words(text=as_text(self._data(head, body, TEXT_BYTES), given.get("charset")))
        else:
            return Words()
        if parameters(head.first("Content-Disposition") or "")[0] != "attachment":
            return words
        self.attached = self.attached or (words if kind == "text/plain" else Words())
        return Words()

    def _part(self, place: Span, depth: int) -> Words:
        head_at, body = multipart.head_and_body(self.raw, place)
        head = headers.read(self.raw[head_at.start : head_at.end], PART_HEAD_BYTES)
        return self.words(head, body, depth)

    def _keep(self, kind: str, data: bytes) -> None:
        part = machine_part(kind, data)
        if part is not None and len(self.parts) < MACHINE_PARTS:
            self.parts.append(part)

    def _data(self, head: Head, body: Span, most: int) -> bytes:
        data = self.raw[body.start : min(body.end, body.start + most)]
        match (head.first("Content-Transfer-Encoding") or "").strip().lower():
            case "base64":
                return from_base64(data)
            case "quoted-printable":
                return from_quoted_printable(data)
            case _:
                return data


def _chosen(kind: str, below: Sequence[Words]) -> Words:
    """Of alternatives each kind once; else the first that says anything: what follows it was put there by others."""
    if kind != "multipart/alternative":
        return next((words for words in below if words), Words())
    return Words(
        next((words.text for words in below if words.text is not None), None),
        next((words.html for words in below if words.html is not None), None),
    )


def _bare(address: str) -> str:
    return clean(address)[: mailbox.MAILBOX_CHARS + 2].strip(" \t\r\n<>")


def _identified(letter: Letter, provider_id: str | None) -> Letter:
    """With the provider's id, else with one of its own, made as `identity` does: an address of ours that says something
    is a part of it, and so is its head; of that the traces of its way where nothing else makes it one of a kind.
    """
    if provider_id is not None:
        return replace(letter, provider_id=clean(provider_id)[:_ID_CHARS])
    message_id = (letter.header("Message-ID") or "").strip(" <>")
    is_one_of_a_kind = bool(message_id and letter.header("Date"))
    head = [(name.lower(), value) for name, value in letter.headers]
    said = [letter.sender, letter.subject, letter.text, letter.html]
    said += [f"{name}:{value}" for name, value in head if not (is_one_of_a_kind and name in identity.TRACES)]
    said += sorted(one.lower() for one in letter.recipients if "+" in one)
    digest = hashlib.sha256("\0".join([message_id, *(one or "" for one in said)]).encode()).hexdigest()[:32]
    return replace(letter, provider_id=f"{message_id[:_ID_CHARS]}#{digest}")
