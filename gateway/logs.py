"""Structured logs on standard error, without personal data.

An allow-list: only fields named here are written as they are; of any other only that it was there. Exceptions are
written as type and place, never with their message, which may quote what a person wrote.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections import Counter
from collections.abc import Callable, MutableMapping
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Any

import structlog

ALLOWED = frozenset(
    {"event", "level", "logger", "timestamp", "connection", "error", "again_in_seconds", "attempt", "broadcast",
     "status", "method", "route", "milliseconds", "address", "database", "count", "reason", "where", "version", "pid",
     "task", "why", "items", "submission"}
)  # fmt: skip

QUIET_SECONDS = 10.0

_HERE = Path(__file__).resolve().parents[1]


def _without_personal_data(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    trouble = event.pop("exc_info", None)
    if trouble:
        error = trouble if isinstance(trouble, BaseException) else sys.exc_info()[1]
        if error is not None:
            event["error"] = type(error).__name__
            event["where"] = _where(error)
    return {name: value if name in ALLOWED else "[not logged]" for name, value in event.items()}


def _where(error: BaseException) -> str:
    """Where it was raised, and the last of our own places on the way there."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/" in frame.filename]
    ours = [frame for frame in frames[:-1] if Path(frame.filename).parents[0].is_relative_to(_HERE)]
    ours = [frame for frame in ours if "site-packages" not in Path(frame.filename).relative_to(_HERE).parts]
    return " < ".join(
        f"{Path(frame.filename).parent.name}/{Path(frame.filename).name}:{frame.lineno}"
        for frame in reversed(ours[-5:] + frames[-1:])
    )


class _Printer(structlog.PrintLogger):
    """Lines on standard error. Where that is closed or broken a line is lost, and no request with it."""

    def msg(self, message: str) -> None:
        with suppress(OSError, ValueError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


class Foreign(logging.Handler):
    """Libraries' own log lines: that they spoke, and how loud; their words may quote a request.

    The same is said once in QUIET_SECONDS, with how often it was (`count`, with those that were passed over since the
    last): one bad request is one such line, and whoever sends many must not fill the disk.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said_at: dict[tuple[str, int, type | None], float] = {}
        self._unsaid: Counter[tuple[str, int, type | None]] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        same, now = (record.name, record.levelno, type(error) if error is not None else None), self._clock()
        self._unsaid[same] += 1
        if now - self._said_at.get(same, -QUIET_SECONDS) < QUIET_SECONDS:
            return
        self._said_at[same] = now
        more = {"exc_info": error} if error is not None else {}
        structlog.get_logger(record.name).log(record.levelno, "library.spoke", count=self._unsaid.pop(same), **more)


def set_up(*, pretty: bool | None = None) -> None:
    """JSON lines, or for a terminal something to read."""
    terminal = sys.stderr.isatty() if pretty is None else pretty
    renderer: Any = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(sort_keys=True)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_personal_data,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: _Printer(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[Foreign()], level=logging.WARNING, force=True)
