"""Bytes of a mail → text, whatever they claim to be. Pure, total, and linear in the length.

Only the names in a list made once are looked up: Python remembers every name that it was asked for, and some of its
codecs (punycode, idna) take the square of the length.
"""

from __future__ import annotations

import binascii
import re
from encodings.aliases import aliases

from channels.text import without_nul

_NOT_A_WORD = re.compile(r"[^a-z0-9]+")
_SURROGATES = re.compile("[\ud800-\udfff]")
_NO_CHARSETS = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "mbcs", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
)
_CODECS = frozenset(aliases.values()) - _NO_CHARSETS | {"cp874", "cp1006", "koi8_u", "koi8_t", "utf_8_sig"}
# What mails call so, and what it mostly is (https://encoding.spec.whatwg.org/#names-and-labels).
_MEANT = {
    "latin_1": "cp1252",
    "iso8859_9": "cp1254",
    "iso8859_11": "cp874",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "x_gbk": "gb18030",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "x_sjis": "cp932",
    "windows_874": "cp874",
    "utf8mb4": "utf_8",
    "utf_8": "utf_8",
}
_NAME_LENGTH = 40


def decode(data: bytes, charset: str | None) -> str:
    """The text, without NUL and lone surrogates; what cannot be read comes as U+FFFD.

    Where the name is missing, unknown or says ASCII, bytes that are no UTF-8 are taken as Windows-1252.
    """
    codec = _codec(charset)
    if codec in (None, "ascii", "utf_8"):
        return clean(_utf8_or_western(data))
    try:
        return clean(data.decode(codec or "utf_8", "replace"))
    except (LookupError, ValueError):
        return clean(_utf8_or_western(data))


def clean(text: str) -> str:
    """The text as a database keeps it."""
    return _SURROGATES.sub("\ufffd", without_nul(text))


def from_base64(data: bytes) -> bytes:
    """What the base64 stands for; what is none in it is passed over, and a broken end left out."""
    for padding in (b"", b"=", b"=="):
        try:
            return binascii.a2b_base64(data + padding)
        except binascii.Error:
            continue
    return b""


def from_quoted_printable(data: bytes, *, header: bool = False) -> bytes:
    """What the quoted-printable stands for; in a header an underline is a blank (RFC 2047)."""
    return binascii.a2b_qp(data, header=header)


def _codec(charset: str | None) -> str | None:
    name = _NOT_A_WORD.sub("_", (charset or "")[:_NAME_LENGTH].lower()).strip("_")
    known = aliases.get(name, name)
    meant = _MEANT.get(known, known)
    return meant if meant in _CODECS else None


def _utf8_or_western(data: bytes) -> str:
    """UTF-8 where anything beyond ASCII can be read as such; a broken character or two are borne."""
    text = data.decode("utf-8", "replace")
    if "\ufffd" not in text or any(character > "\x7f" for character in text.replace("\ufffd", "")):
        return text
    return data.decode("cp1252", "replace")
