"""What a request carries, read: JSON bodies, times, texts that a database can keep."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from gateway.problems import Problem, invalid

BYTES = 8 * 1024 * 1024
MOST_VALUES = 600_000  # in a body: a quarter of a second, in which nobody else is served
# A plus may arrive as a blank: `sms: 14155550123`.
_BLANK_PLUS = re.compile(r"(?<=^sms:) (?=[0-9])|(?<=^voice:) (?=[0-9])|(?<=^whatsapp:) (?=[0-9])|^ (?=[0-9])")

Model = TypeVar("Model", bound=BaseModel)


class Body(BaseModel):
    """A request's body: unknown fields are refused, types are not guessed."""

    model_config = ConfigDict(
        extra="forbid", strict=True, populate_by_name=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


def not_null(body: Body, *names: str) -> None:
    """Raise Problem where one of these fields of a PATCH is given as null: there is no emptying it."""
    for name in names:
        if name in body.model_fields_set and getattr(body, name) is None:
            raise invalid(name, "cannot be null")


async def read_body(request: web.Request, model: type[Model]) -> Model:
    """The JSON body as a model; raises Problem 400 or 422, or pydantic's ValidationError."""
    return parse_body(await request.read(), model)


def parse_body(raw: bytes, model: type[Model]) -> Model:
    """A JSON body as a model; raises as `read_body` does."""
    if sum(map(raw.count, (b",", b"[", b"{"))) > MOST_VALUES:  # in texts too: nothing that may be said holds so many
        raise invalid("", f"it holds more than {MOST_VALUES:,} values")
    try:
        value = json.loads(raw.decode())
        if isinstance(value, dict):
            _check_storable(value, "")
    except (ValueError, RecursionError):
        raise Problem(400, "not-json", "The body is not JSON", "send one JSON object, in UTF-8") from None
    if not isinstance(value, dict):
        raise Problem(400, "not-json", "The body is not a JSON object")
    return model.model_validate_json(raw)


def with_plus(address: str) -> str:
    """An address whose plus may have arrived as a blank."""
    return _BLANK_PLUS.sub("+", address)


def check_text(text: str, field: str) -> None:
    """Refuse what no database keeps."""
    if "\x00" in text:
        raise invalid(field, "a NUL character cannot be stored")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise invalid(field, "it holds half of a character (a lone surrogate)") from None


def _check_storable(value: Any, at: str) -> None:
    """Refuse what no database keeps, wherever it stands; what is empty or a whole number is passed over at once."""
    if isinstance(value, str):
        check_text(value, at)
    elif isinstance(value, dict):
        for name, below in value.items():
            check_text(name, at)
            if below and not isinstance(below, int):
                _check_storable(below, f"{at}.{name}" if at else name)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            if below and not isinstance(below, int):
                _check_storable(below, f"{at}.{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise invalid(at, "not a number that can be stored")


def parse_time(text: str, field: str) -> datetime:
    """An RFC 3339 time with a zone; raises Problem."""
    try:
        # A plus in a query may arrive as a blank.
        at = datetime.fromisoformat(text.replace(" ", "+") if text.count(" ") == 1 and "T" in text else text)
    except ValueError:
        raise invalid(field, "use an RFC 3339 time, such as 2026-11-22T09:30:00Z") from None
    if at.tzinfo is None:
        raise invalid(field, "the time needs a zone, such as Z or +01:00")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise invalid(field, "the time is out of range") from None
