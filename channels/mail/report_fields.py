"""Fields as in a mail's header, in the parts that are for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

READ: Final = 64 * 1024  # characters of a part; a header is seldom longer than a tenth
_GROUPS: Final = 200
_ONCE: Final = frozenset(("final-recipient", "original-recipient"))


def groups(text: str) -> list[Mapping[str, str]]:
    """The fields by their names in lower case, unfolded; in groups, as blank lines part them.

    Of a name the first counts; a second recipient begins a group of its own, where a blank line was forgotten.
    """
    found: list[Mapping[str, str]] = []
    group: dict[str, str] = {}
    for name, value in _fields(text):
        if group and (not name or (name in _ONCE and name in group)):
            found.append(group)
            group = {}
            if len(found) == _GROUPS:
                return found
        if name:
            group.setdefault(name, value)
    return [*found, group] if group else found


def header(text: str, name: str) -> str | None:
    """The first field of this name in a mail, or in what is returned of one."""
    return next((value for key, value in _fields(text) if key == name), None)


def message_id(value: str | None) -> str | None:
    """The first message id in a field's value, without its angle brackets."""
    _, opened, rest = (value or "").partition("<")
    found = (rest.partition(">")[0] if opened else value or "").strip()
    return found or None


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Each field's name in lower case and its value; for a blank line an empty name."""
    name, values = "", list[str]()
    for line in text[:READ].replace("\r", "").split("\n"):
        if line[:1] in (" ", "\t") and line.strip():
            values.append(line.strip())
            continue
        if name:
            yield name, " ".join(values).strip()
        key, colon, value = line.partition(":")
        name, values = (key.strip().lower(), [value.strip()]) if colon else ("", [])
        if not line.strip():
            yield "", ""
    if name:
        yield name, " ".join(values).strip()
