"""What every operation of the API shares: its place in the route table, its key, its body, its answer."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from gateway import keys
from gateway.keys import Key
from gateway.problems import Problem, invalid, unauthorised
from gateway.services import House

HOUSE: web.AppKey[House] = web.AppKey("house", House)
BODY_BYTES = 8 * 1024 * 1024
MOST_LISTED = 500
# A plus may arrive as a blank: `sms: 14155550123`.
_BLANK_PLUS = re.compile(r"(?<=^sms:) (?=[0-9])|(?<=^voice:) (?=[0-9])|(?<=^whatsapp:) (?=[0-9])|^ (?=[0-9])")

Model = TypeVar("Model", bound=BaseModel)


class Body(BaseModel):
    """A request's body: unknown fields are refused, types are not guessed."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True, hide_input_in_errors=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation: who calls, with what."""

    request: web.Request
    house: House
    key: Key
    payload: BaseModel | None
    received_at: datetime

    def body(self, model: type[Model]) -> Model:
        """The body as the model that the route names."""
        if not isinstance(self.payload, model):
            raise TypeError("the route names another model")
        return self.payload

    @property
    def actor(self) -> str:
        return f"key:{self.key.name}"

    @property
    def id(self) -> str:
        return self.request.match_info["id"]

    def query(self, *known: str) -> dict[str, str]:
        """The query's parameters; raises Problem for one that is unknown, repeated or cannot be kept."""
        found: dict[str, str] = {}
        for name, value in self.request.query.items():
            if name not in (*known, "limit", "cursor"):
                raise invalid(name, f"there is no such parameter; known are {', '.join((*known, 'limit', 'cursor'))}")
            if name in found:
                raise invalid(name, "given more than once")
            check_text(value, name)
            if value != "":
                found[name] = with_plus(value) if name == "address" else value
        return found

    def page(self) -> tuple[str | None, int]:
        """The key to go on behind, and how many to list."""
        query = self.request.query
        asked = query.get("limit", "50")
        limit = int(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else 0
        if not 1 <= limit <= MOST_LISTED:
            raise invalid("limit", f"use a whole number from 1 to {MOST_LISTED}")
        cursor = query.get("cursor") or None
        return (_decoded(cursor) if cursor else None), limit


Handler = Callable[[Call], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: where it is, what it needs, what it does (the first line of the handler's docstring)."""

    method: str
    path: str
    handler: Handler
    scope: str | None  # None: any key
    body: type[BaseModel] | None = None
    answers: Sequence[int] = (200,)


def mount(app: web.Application, routes: Sequence[Route]) -> None:
    for route in routes:
        app.router.add_route(route.method, route.path, _served(route))


def _served(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        house = request.app[HOUSE]
        received_at = house.now()
        key = await authenticated(request, house)
        if key is None:
            raise unauthorised()
        if route.scope is not None:
            require_scope(key, route.scope)
        for value in request.match_info.values():
            check_text(value, "path")
        payload = await read_body(request, route.body) if route.body is not None else None
        return await route.handler(Call(request, house, key, payload, received_at))

    return serve


def require_scope(key: Key, scope: str) -> None:
    """Raises Problem 403 for a key that does not open this."""
    if not key.may(scope):
        raise Problem(403, "forbidden", "The key does not open this", f"it lacks the scope {scope}")


async def authenticated(request: web.Request, house: House) -> Key | None:
    """The key that the request carries, if it is a live one."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip() or not token.isascii():
        return None
    async with house.database.read() as conn:
        return await keys.find(conn, token.strip())


async def read_body(request: web.Request, model: type[Model]) -> Model:
    """The JSON body as a model; raises Problem 400 or pydantic's ValidationError."""
    raw = await request.read()
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
    if isinstance(value, str):
        check_text(value, at)
    elif isinstance(value, dict):
        for name, below in value.items():
            check_text(name, at)
            _check_storable(below, f"{at}.{name}" if at else name)
    elif isinstance(value, list):
        for index, below in enumerate(value):
            _check_storable(below, f"{at}.{index}")
    elif isinstance(value, float) and not math.isfinite(value):
        raise invalid(at, "not a number that can be stored")


# --- answers ----------------------------------------------------------------------------------


def spelled(value: Any) -> Any:
    """A value as JSON spells it here: times as RFC 3339 in UTC."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} cannot be answered")


def answer(value: Any, *, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=json.dumps(value, default=spelled, ensure_ascii=False).encode() + b"\n",
        content_type="application/json",
    )


def listing(items: Sequence[Any], keys_: Sequence[str], limit: int) -> web.Response:
    """A page: `next` leads on while the page is full."""
    return answer({"items": list(items), "next": _encoded(keys_[-1]) if len(keys_) == limit else None})


def _encoded(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")


def _decoded(cursor: str) -> str:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    if not re.fullmatch(r"[!-~]+", text) or _encoded(text) != cursor:
        raise invalid("cursor", "use the `next` of an earlier answer as it is")
    return text


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
