"""The head of a mail, or of a part of it: bytes → fields, and what stands in them (RFC 5322, 2045, 2047). Pure.

Nothing here raises: what cannot be read is passed over. Each step is linear in what is read, and that is limited.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from channels.mail.charsets import clean, decode, from_base64, from_quoted_printable

HEAD_BYTES = 262_144  # of a head, beyond which it is not read
MOST_FIELDS = 1_000
VALUE_CHARS = 16_384  # of one field, unfolded
_PARAMETER_CHARS = 4_096

_LINE_END = re.compile(rb"\r\n|\r|\n")  # a lone one too: whoever checks a signature may see a header there
_FIELD = re.compile(rb"([!-9;-~]{1,200})[ \t]*:(.*)", re.DOTALL)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_WORD = re.compile(r"=\?([^?\s*]{1,40})(?:\*[^?\s]{0,40})?\?([bBqQ])\?([^?]*)\?=")
_PARAMETER = re.compile(r';\s*([^\s=;"]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^;"]*))', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Head:
    """The fields in order, unfolded, with their values as they came."""

    fields: tuple[tuple[str, str], ...]
    whole: bool = True  # False: there was more than is read

    def all(self, name: str) -> list[str]:
        """The values of every field of this name, in any case."""
        wanted = name.lower()
        return [value for key, value in self.fields if key.lower() == wanted]

    def first(self, name: str) -> str | None:
        return next(iter(self.all(name)), None)

    def decoded(self) -> tuple[tuple[str, str], ...]:
        """The fields as they are to be read: encoded words decoded, nothing in them that ends a line."""
        return tuple((name, plain(value)) for name, value in self.fields)


def read(data: bytes, most: int = HEAD_BYTES) -> Head:
    """The head in these bytes, which end where it does."""
    fields: list[tuple[str, list[bytes]]] = []
    for line in _LINE_END.split(data[:most]):
        if line[:1] in (b" ", b"\t"):
            if fields:
                fields[-1][1].append(line)
        elif found := _FIELD.fullmatch(line):
            if len(fields) == MOST_FIELDS:
                return _head(fields, whole=False)
            fields.append((found[1].decode("ascii"), [found[2]]))
    return _head(fields, whole=len(data) <= most)


def of_pairs(pairs: Iterable[tuple[str, str]]) -> Head:
    """The head of which somebody else has made names and values."""
    given = list(pairs)
    fields = [(clean(name), clean(value[:VALUE_CHARS])) for name, value in given[:MOST_FIELDS]]
    return Head(tuple(fields), len(given) <= MOST_FIELDS and all(len(value) <= VALUE_CHARS for _, value in given))


def _head(fields: Sequence[tuple[str, list[bytes]]], *, whole: bool) -> Head:
    read_: list[tuple[str, str]] = []
    for name, lines in fields:
        value = decode(b"".join(lines), None)
        whole = whole and len(value) <= VALUE_CHARS
        read_.append((name, value[:VALUE_CHARS].strip()))
    return Head(tuple(read_), whole)


def plain(value: str) -> str:
    """The value with its encoded words decoded (RFC 2047), and a blank for what ends a line or controls a terminal."""
    return _CONTROLS.sub(" ", clean(_words_decoded(value))).strip()


def parameters(value: str) -> tuple[str, Mapping[str, str]]:
    """What `main; name=value; name="value"` is made of; the main part and the names in lower case."""
    value = value[:_PARAMETER_CHARS]
    found: dict[str, str] = {}
    for match in _PARAMETER.finditer(value):
        quoted, bare = match[2], match[3]
        found.setdefault(match[1].lower(), bare.strip() if quoted is None else _ESCAPED.sub(r"\1", quoted))
    return value.partition(";")[0].strip().lower(), found


def _words_decoded(value: str) -> str:
    """Neighbours of one character set are decoded together: some who write them cut a character in two."""
    out: list[str] = []
    charset, held, at = "", bytearray(), 0
    for match in _WORD.finditer(value):
        between = value[at : match.start()]
        if between.strip() or not at or match[1].lower() != charset:
            out.append(decode(bytes(held), charset))
            held.clear()
            if between.strip() or not at:
                out.append(between)
        charset, at = match[1].lower(), match.end()
        held += _word(match[2], match[3])
    out.append(decode(bytes(held), charset))
    return "".join(out) + value[at:]


def _word(how: str, text: str) -> bytes:
    data = text.encode("ascii", "replace")
    return from_base64(data) if how in "bB" else from_quoted_printable(data, header=True)
