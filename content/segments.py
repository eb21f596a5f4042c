"""How many SMS segments a text takes: what carriers count, limit and bill. Pure.

Source: 3GPP TS 23.038 §6.2.1 (the GSM 7-bit alphabet and its extension table) and TS 23.040 §9.2.3.24 (concatenation:
six octets of header in each part). A character of the extension table takes two septets, one outside the BMP two
UTF-16 units; neither is cut in two at the end of a part.
"""

from __future__ import annotations

from collections.abc import Iterable

_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
_SEPTETS, _SEPTETS_OF_PART = 160, 153
_UNITS, _UNITS_OF_PART = 70, 67  # UTF-16 code units


def is_gsm(text: str) -> bool:
    """Whether the whole text can be written in the GSM 7-bit alphabet."""
    return all(char in _BASIC or char in _EXTENSION for char in text)


def segments(text: str) -> int:
    """The number of segments, at least one."""
    if is_gsm(text):
        return _parts([2 if char in _EXTENSION else 1 for char in text], _SEPTETS, _SEPTETS_OF_PART)
    return _parts([2 if ord(char) > 0xFFFF else 1 for char in text], _UNITS, _UNITS_OF_PART)


def _parts(sizes: Iterable[int], alone: int, of_part: int) -> int:
    sizes = list(sizes)
    if sum(sizes) <= alone:
        return 1
    parts, left = 1, of_part
    for size in sizes:
        if size > left:
            parts, left = parts + 1, of_part
        left -= size
    return parts
