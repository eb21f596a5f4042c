"""CSV as spreadsheets write it: read as a stream, written so that no cell becomes a formula.

UTF-8, with or without a byte order mark, commas between the cells, the first row names the columns. A file is read
twice: once to see that all of it can be read, and to know it again; once for what it says.

A cell that a spreadsheet would calculate (it begins with = + - @, a tab or a carriage return) is written behind an
apostrophe, which reading takes away; a cell that only looks so already gets one more. Phone numbers stay as they are:
other systems read them, and a plus and digits calculate nothing. See https://owasp.org/www-community/attacks/CSV_Injection
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

LINE_BYTES = 1 << 20  # of one line: what is longer is no table, or one whose quotes never close
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NUMBERS = re.compile(r"\+[0-9]{5,15}(\|\+[0-9]{5,15})*", re.ASCII)


class Unreadable(Exception):
    """The file is no table that can be read; the message says where and why, and quotes no cell."""


@dataclass(frozen=True, slots=True)
class Spreadsheet:
    """A file that can be read to its end."""

    path: Path
    size: int  # in bytes
    sha256: str  # of its content: the same file is known again
    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Record:
    """One row below the names."""

    line: int  # where it begins, from 1
    position: int  # in bytes, behind it
    cells: tuple[str, ...]


def inspect(path: Path) -> Spreadsheet:
    """Read the whole file once; raises Unreadable, OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        rows = _records(file, digest)
        first = next(rows, None)
        if first is None:
            raise Unreadable("the file is empty: its first row names the columns")
        for _ in rows:
            pass
        columns = tuple(cell.strip() for cell in first.cells)
        size = file.tell()
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise Unreadable(f"the column {twice[0] or '(without a name)'} is there twice")
    return Spreadsheet(path, size, digest.hexdigest(), columns)


def records(sheet: Spreadsheet) -> Iterator[Record]:
    """The rows below the names, one at a time; raises Unreadable where the file has changed meanwhile."""
    digest = hashlib.sha256()
    with sheet.path.open("rb") as file:
        rows = _records(file, digest)
        next(rows, None)
        yield from rows
    if digest.hexdigest() != sheet.sha256:
        raise Unreadable("the file was changed while it was read: import it again")


def _records(file: BinaryIO, digest: hashlib._Hash) -> Iterator[Record]:
    reader = csv.reader(_lines(file, digest), strict=True)
    before = 0
    try:
        for cells in reader:
            if cells:
                yield Record(before + 1, file.tell(), tuple(map(unguarded, cells)))
            before = reader.line_num
    except csv.Error as error:
        raise Unreadable(f"line {before + 1} is not CSV: {error}") from error


def _lines(file: BinaryIO, digest: hashlib._Hash) -> Iterator[str]:
    number = 0
    while line := file.readline(LINE_BYTES + 1):
        number += 1
        digest.update(line)
        if len(line) > LINE_BYTES:
            raise Unreadable(f"line {number} is longer than 1 MiB: it is no table, or its lines do not end")
        if number == 1:
            line = line.removeprefix(codecs.BOM_UTF8)
        try:
            yield line.decode()
        except UnicodeDecodeError as error:
            raise Unreadable(
                f"line {number} is not UTF-8: save the file as UTF-8 (in a spreadsheet: CSV UTF-8)"
            ) from error


# --- cells -------------------------------------------------------------------------------------


def encoded(rows: Iterable[Iterable[str]]) -> bytes:
    """Rows as a part of a file."""
    out = io.StringIO()
    csv.writer(out).writerows(map(written, rows))
    return out.getvalue().encode()


def written(cells: Iterable[str]) -> list[str]:
    """The cells as they are written."""
    return [guarded(cell) for cell in cells]


def guarded(cell: str) -> str:
    return "'" + cell if _FORMULA.match(cell) and not _NUMBERS.fullmatch(cell) else cell


def unguarded(cell: str) -> str:
    """The cell as it was before it was written."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def joined(items: Sequence[str]) -> str:
    """Several things in one cell, with | between them."""
    return "|".join(item.replace("\\", "\\\\").replace("|", "\\|") for item in items)


def separated(cell: str) -> list[str]:
    """What `joined` put together; blank ones are left out. A | that is part of a thing is written \\|."""
    items = re.findall(r"(?:\\.|[^|\\]|\\$)+", cell, re.DOTALL)
    return [plain for item in items if (plain := re.sub(r"\\(.)", r"\1", item, flags=re.DOTALL).strip())]
