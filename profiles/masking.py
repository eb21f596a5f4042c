"""Addresses as whoever holds a link may see them: enough for their owner to know them, too little for anybody else."""

from __future__ import annotations

import re

from profiles.addresses import is_number

_HIDDEN = "•••"
_LAST_DIGITS = 3


def masked(channel: str, value: str) -> str:
    """`a•••@e•••.org`, `+1 ••• ••• •123`; of a postal address its first letter."""
    if channel == "email":
        return _mailbox(value)
    return _number(value) if is_number(value) else _word(value)


def masked_name(value: str) -> str:
    """The first letter of each word."""
    return " ".join(map(_word, value.split()))


def _word(text: str) -> str:
    return text[:1] + _HIDDEN


def _mailbox(value: str) -> str:
    local, _, domain = value.rpartition("@")
    name, dot, ending = domain.rpartition(".")
    return f"{_word(local)}@{_word(name or ending)}{dot}{ending if name else ''}"


def _number(value: str) -> str:
    """The country's code as far as it is told apart at a glance, and the last digits."""
    code = re.match(r"\+(1|7|[2-9][0-9])", value)
    return f"{code[0] if code else '+'} ••• ••• •{value[-_LAST_DIGITS:]}"
