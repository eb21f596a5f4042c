"""Where the parts of a multipart body begin and end (RFC 2046, 5.1), in mail and in forms alike. Pure.

Nothing is copied: a place is a span of the one buffer. What a stranger sends is looked at once, from left to right.
"""

from __future__ import annotations

from dataclasses import dataclass

_DELIMITERS = 10_000  # lines that begin as one, looked at in one body
BOUNDARY_CHARS = 200  # RFC 2046 has 70


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a buffer."""

    start: int
    end: int


def split(buffer: bytes, body: Span, boundary: str, most: int) -> list[Span]:
    """The parts between the delimiters, `most` at most; none where there is no delimiter. A missing end is borne."""
    if not boundary or len(boundary) > BOUNDARY_CHARS:
        return []
    delimiter = b"--" + boundary.encode("utf-8", "replace")
    parts: list[Span] = []
    begun: int | None = None
    at = body.start
    if not buffer.startswith(delimiter, body.start, body.end):
        at = _next(buffer, delimiter, at, body)
    for _ in range(_DELIMITERS):
        if at < 0 or len(parts) == most:
            break
        after = at + len(delimiter)
        line = _line_end(buffer, after, body.end)
        rest = buffer[after : min(line, after + 200)].strip()
        if rest in (b"", b"--"):
            if begun is not None:
                parts.append(Span(begun, max(begun, _before(buffer, at))))
            if rest:
                return parts
            begun = min(line + 1, body.end)
        at = _next(buffer, delimiter, line, body)
    if begun is not None and at < 0 and len(parts) < most:
        parts.append(Span(begun, body.end))
    return parts


def head_and_body(buffer: bytes, part: Span) -> tuple[Span, Span]:
    """The head of a part, and what follows the blank line; without one all is head."""
    if buffer.startswith((b"\n", b"\r\n"), part.start, part.end):
        return Span(part.start, part.start), Span(_line_end(buffer, part.start, part.end) + 1, part.end)
    found = [(at, length) for end, length in ((b"\n\r\n", 3), (b"\n\n", 2)) if (at := _find(buffer, end, part)) >= 0]
    if not found:
        return part, Span(part.end, part.end)
    at, length = min(found)
    return Span(part.start, at + 1), Span(at + length, part.end)


def _find(buffer: bytes, wanted: bytes, part: Span) -> int:
    return buffer.find(wanted, part.start, part.end)


def _next(buffer: bytes, delimiter: bytes, start: int, body: Span) -> int:
    """Where the next line begins so; -1 for nowhere."""
    found = buffer.find(b"\n" + delimiter, start, body.end)
    return found + 1 if found >= 0 else -1


def _line_end(buffer: bytes, start: int, end: int) -> int:
    found = buffer.find(b"\n", start, end)
    return found if found >= 0 else end


def _before(buffer: bytes, delimiter_at: int) -> int:
    """The end of what stands before a delimiter: the line break belongs to the delimiter."""
    at = delimiter_at - 1
    return at - 1 if at > 0 and buffer[at - 1 : at] == b"\r" else at
