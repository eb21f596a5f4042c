"""What a mail client sends, taken apart: command lines, and the texts of mails. A line ends with CR LF.

Whoever takes a lone LF or CR for the end of a line sees other commands, and other ends of mails, than its neighbour:
that is how a mail is smuggled into another (RFC 5321, 2.3.8 and 4.1.1.4). So a lone one ends nothing, and is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

CHUNK_BYTES = 65_536
_END = b"\r\n.\r\n"


class NoLine(Exception):
    """What came is no command line: it is too long, or ends or goes on with a lone CR or LF. Holds the answer."""


class Wire:
    """The bytes of one client, in order. Raises ConnectionError where there are no more."""

    def __init__(self, reader: asyncio.StreamReader, *, line_bytes: int) -> None:
        self._reader = reader
        self._line_bytes = line_bytes
        self._ahead = bytearray()  # what came and is not read yet

    async def line(self) -> bytes:
        """The next command, with its CR LF; raises NoLine."""
        while (end := self._ahead.find(b"\n")) < 0 and len(self._ahead) <= self._line_bytes:
            self._ahead += await self._more()
        if not 0 <= end < self._line_bytes:
            raise NoLine("500 5.5.2 The line is too long")
        line = bytes(self._ahead[: end + 1])
        del self._ahead[: end + 1]
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise NoLine("521 5.5.2 A line ends with CR LF")
        return line

    async def text(self, take: Callable[[int], bool]) -> bytes | None:
        """The text of a mail, up to the line that holds one dot; without the dots put before others (RFC 5321, 4.5.2).

        `take` is asked for room for so many bytes more, and for each part that came. Where it has none the text is
        read to its end all the same, so that the client hears why, and None comes back.
        """
        kept = bytearray(b"\r\n")  # of the command's own line: the first line may be the dot
        came, has_room = bytes(self._ahead), True
        self._ahead.clear()
        while True:
            has_room = has_room and take(len(came))
            if not has_room:
                del kept[: -len(_END)]  # what may be the beginning of the end
            looked_at = max(0, len(kept) - len(_END) + 1)
            kept += came
            if (end := kept.find(_END, looked_at)) >= 0:
                self._ahead += kept[end + len(_END) :]
                del kept[end + 2 :]
                return _without_dots(kept) if has_room else None
            came = await self._more()

    async def _more(self) -> bytes:
        came = await self._reader.read(CHUNK_BYTES)
        if not came:
            raise ConnectionResetError("the client has gone")
        return came


def has_lone_ends(text: bytes) -> bool:
    """Whether a CR or LF in it is no part of a CR LF."""
    return not text.count(b"\r\n") == text.count(b"\r") == text.count(b"\n")


def _without_dots(kept: bytearray) -> bytes:
    """What was written, of the text behind a first CR LF; `kept` is empty afterwards: a mail may be large."""
    plain = kept.replace(b"\r\n.", b"\r\n")
    kept.clear()
    return bytes(memoryview(plain)[2:])
