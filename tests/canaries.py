"""What must stand in no log line and in no metric: who people are, what they said, and every secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import structlog

from gateway import logs
from tests.channels.requests_as_sent import TOKEN

# Fields of a request that hold somebody's words, or who they are.
PERSONAL = frozenset(
    {"first_name", "last_name", "external_id", "value", "address", "from", "body", "subject", "html", "wording", "note",
     "how", "text"}
)  # fmt: skip
SHORTEST = 6  # of what is looked for word for word: "Hi" and "start" stand in many a line
ALWAYS = re.compile(
    r"415[-. ()]*555[-. ]*\d{4}"  # every number of the tests, however it is written
    r"|og_[\w-]{8,}"  # every API key
    r"|[\w.+-]+@[\w-]+\.[a-z]{2,}"  # every e-mail address
    rf"|{TOKEN}|f{{32}}"  # the tokens of both accounts
)
_planted: set[str] = set()


def plant(value: Any, field: str = "") -> None:
    """From here on what is personal in this must not be seen again."""
    if isinstance(value, dict):
        for name, below in value.items():
            plant(below, name)
    elif isinstance(value, list):
        for below in value:
            plant(below, field)
    elif isinstance(value, str) and field in PERSONAL and len(value) >= SHORTEST:
        _planted.add(value)


def must_not_stand_in(lines: Iterable[str]) -> None:
    """Fails where a line holds a canary."""
    for line in lines:
        found = ALWAYS.search(line)
        assert found is None, f"{found[0]} in: {line}"
        for canary in _planted:
            assert canary not in line, f"{canary!r} in: {line}"


@contextmanager
def listening() -> Iterator[list[str]]:
    """Logs as in production, and every line that is written meanwhile."""
    _planted.clear()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    written: list[str] = []

    def note(_logger: Any, _name: str, line: Any) -> Any:
        written.append(str(line))
        return line

    logs.set_up(pretty=False)
    structlog.configure(processors=[*structlog.get_config()["processors"], note])
    yield written
    structlog.reset_defaults()
    root.handlers[:], root.level = before, level
