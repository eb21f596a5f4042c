"""Statements compiled once for all databases of a process, as in a gateway that lives long, and not once a test."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Engine, event


class _Compiled(dict[Any, Any]):
    """What SQLAlchemy has compiled. Its keys begin with the engine's own dialect, these with what dialect that is."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_of_all(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_of_all(key), compiled)


def _of_all(key: Any) -> Any:
    dialect, *statement = key
    return dialect.name, dialect.driver, *statement


def share() -> None:
    """From here on, what is compiled for one engine of this process is there for every other."""
    shared = _Compiled()

    @event.listens_for(Engine, "engine_connect")
    def connected(connection: Connection) -> None:
        connection.execution_options(compiled_cache=shared)
