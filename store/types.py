"""Column types that mean the same in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from pydantic_core import PydanticSerializationError, to_json
from sqlalchemy import JSON, DateTime, Dialect, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeDecorator, TypeEngine


def as_json(value: Any) -> str:
    """The text of a JSON value for the database; by the quick way, where it can be said in UTF-8."""
    try:
        return to_json(value).decode()
    except PydanticSerializationError:
        return json.dumps(value)


def _in_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError(f"a time without a time zone cannot be stored: {value.isoformat()}")
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def _as_text(value: datetime | None) -> str | None:
    # In UTC first: on the wall two that are an hour apart can be equal, when the clocks go back.
    return None if value is None else _spelled(_in_utc(value))


@lru_cache(1024)  # most of what is written together has the same few times
def _spelled(value: datetime) -> str:
    return value.replace(tzinfo=None).isoformat(" ", "microseconds")


class UTCDateTime(TypeDecorator[datetime]):
    """A moment, with microseconds, in UTC. Refuses a time without a zone: nobody knows when that was."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        return None if value is None else _in_utc(value)

    def bind_processor(self, dialect: Dialect) -> Callable[[Any], Any] | None:
        """On SQLite the text that SQLAlchemy's own type makes, made in one step: a message has two dozen times."""
        if dialect.name != "sqlite":
            return super().bind_processor(dialect)

        return _as_text

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Key(TypeDecorator[str]):
    """Text that is compared and sorted by its bytes in both databases (PostgreSQL's locales sort otherwise)."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text(collation="C") if dialect.name == "postgresql" else Text())


class Json(TypeDecorator[Any]):
    """A JSON value; None is SQL's NULL."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(JSONB(none_as_null=True))
        return dialect.type_descriptor(JSON(none_as_null=True))
