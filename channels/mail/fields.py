"""The fields of a form that a provider posts, urlencoded or multipart/form-data: bytes in, nothing decoded yet. Pure.

A form may come from anyone until its signature is checked, and that stands in a field: so a field is found without
decoding the others, and one is decoded only when it is asked for, and only so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_to_bytes

from channels.mail import headers, multipart
from channels.mail.multipart import Span

MOST = 1_000  # fields and files in a form
NAME_CHARS = 200
_HEAD_BYTES = 1_024

URLENCODED, MULTIPART = "application/x-www-form-urlencoded", "multipart/form-data"


class NoForm(Exception):
    """It is no form, or one with too much in it to look at."""


@dataclass(frozen=True, slots=True)
class File:
    """A file in a form."""

    content_type: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Fields:
    """Of a name given several times the last counts: what comes before may be a stranger's (Mailgun repeats as fields
    what headers a mail has).

    `unmixed`: no name stands twice, and nothing behind the end. Where the boundary is always the same, as SendGrid's
    is, what stands in a mail can look like further fields.
    """

    raw: Mapping[str, bytes]
    files: tuple[File, ...] = field(default=())
    encoded: bool = False
    unmixed: bool = True

    def get(self, name: str, most: int) -> bytes | None:
        """The value, as far as it is made of the first `most` bytes that came."""
        value = self.raw.get(name)
        if value is None:
            return None
        return unquote_to_bytes(value[:most].replace(b"+", b" ")) if self.encoded else value[:most]

    def text(self, name: str, most: int = 100_000) -> str:
        """The value as UTF-8, "" where there is none."""
        return (self.get(name, most) or b"").decode("utf-8", "replace")


def read(content_type: str, body: bytes) -> Fields:
    """The form in a body; raises NoForm."""
    kind, given = headers.parameters(content_type)
    if kind == URLENCODED:
        return _urlencoded(body)
    if kind == MULTIPART:
        return _multipart(body, given.get("boundary", ""))
    raise NoForm("neither urlencoded nor multipart/form-data")


def _urlencoded(body: bytes) -> Fields:
    if body.count(b"&") >= MOST:
        raise NoForm("too many fields")
    raw: dict[str, bytes] = {}
    for pair in body.split(b"&"):
        coded, _, value = pair.partition(b"=")
        raw[unquote_to_bytes(coded[: 3 * NAME_CHARS].replace(b"+", b" ")).decode("utf-8", "replace")] = value
    return Fields(raw, encoded=True, unmixed=False)


def _multipart(body: bytes, boundary: str) -> Fields:
    raw: dict[str, bytes] = {}
    files: list[File] = []
    parts = multipart.split(body, Span(0, len(body)), boundary, MOST + 1)
    if not parts or len(parts) > MOST:
        raise NoForm("no parts, or too many")
    end = b"--" + boundary.encode("utf-8", "replace") + b"--"
    unmixed = not body[body.find(end) + len(end) :].strip()
    for part in parts:
        head_at, place = multipart.head_and_body(body, part)
        head = headers.read(body[head_at.start : head_at.end], _HEAD_BYTES)
        kind, given = headers.parameters(head.first("Content-Disposition") or "")
        value = body[place.start : place.end]
        if "filename" in given or "filename*" in given:
            files.append(File(head.first("Content-Type") or "", value))
        elif kind == "form-data":
            name = given.get("name", "")[:NAME_CHARS]
            unmixed = unmixed and name not in raw
            raw[name] = value
    return Fields(raw, tuple(files), unmixed=unmixed)
