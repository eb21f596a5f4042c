"""What every operation of the API shares: its place in the route table, its key, its transaction, its answer."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from aiohttp import web
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway import keys
from gateway.api.answers import JSON, Done, key_of
from gateway.api.bodies import Model, check_text, read_body, with_plus
from gateway.idempotency import Kept, Once, Turns, is_kept, kept_once
from gateway.keys import Key
from gateway.limits import Limit, Standing
from gateway.problems import Problem, from_exception, invalid, unauthorised
from gateway.services import House
from outbox import heed

HOUSE: web.AppKey[House] = web.AppKey("house", House)
TURNS: web.AppKey[Turns] = web.AppKey("turns", Turns)
LIMIT: web.AppKey[Limit] = web.AppKey("limit", Limit)
STANDING: web.RequestKey[Standing] = web.RequestKey("standing", Standing)
MOST_LISTED = 500
Handler = Callable[["Call"], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter of a query."""

    name: str
    help: str
    choices: Sequence[str] = ()
    is_time: bool = False
    is_needed: bool = False
    may_be_empty: bool = False  # and then says nothing
    is_many: bool = False  # may be given more than once: `Call.many` has all


PAGE = (
    Query("limit", f"How many to list, at most {MOST_LISTED}; 50 when absent. A page that grows large may hold fewer."),
    Query("cursor", "The `next` of an earlier answer, to go on behind it.", may_be_empty=True),
)


@dataclass(frozen=True, slots=True)
class Route:
    """One operation: where it is, what it needs, what it does (the handler's docstring)."""

    method: str
    path: str
    handler: Handler
    scope: str | None  # None: any key
    body: type[BaseModel] | None = None
    query: Sequence[Query] = ()
    answers: Mapping[int, type[BaseModel] | None] = field(default_factory=dict)  # of a success, by status
    files: Sequence[str] = ()  # as which other media types a success may come
    example: Mapping[str, Any] | None = None  # a body as somebody would send it
    without_key: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None  # who may come without a key
    problems: Sequence[int] = ()  # the statuses that are its own; those that any operation may answer are added


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an operation: who calls, with what."""

    request: web.Request
    route: Route
    house: House
    key: Key
    received_at: datetime
    once: Once | None = None
    payload: BaseModel | None = None

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

    def query(self) -> dict[str, str]:
        """The query's parameters, as the route names them; raises Problem for what cannot be used."""
        known = {query.name: query for query in self.route.query}
        found: dict[str, str] = {}
        for name, value in self.request.query.items():
            if name not in known:
                names = f"known are {', '.join(known)}" if known else "there are none here"
                raise invalid(name, f"there is no such parameter; {names}")
            if name in found and not known[name].is_many:
                raise invalid(name, "given more than once")
            check_text(value, name)
            if value != "":
                found[name] = with_plus(value) if name == "address" else value
            elif not known[name].may_be_empty:  # a script's empty variable must not mean all of it
                raise invalid(name, "it is empty: leave it out, or say which")
        for name, query in known.items():
            if query.choices and found.get(name, query.choices[0]) not in query.choices:
                raise invalid(name, f"use one of {', '.join(query.choices)}")
            if query.is_needed and name not in found:
                raise invalid(name, f"it is needed: {query.help}")
        return found

    def many(self, name: str) -> list[str]:
        """All values of a parameter that may be given more than once, once `query` has found nothing wrong."""
        return list(dict.fromkeys(self.request.query.getall(name, [])))

    def page(self) -> tuple[str | None, int]:
        """The key to go on behind, and how many to list."""
        query = self.request.query
        asked = query.get("limit", "50")
        limit = int(asked) if re.fullmatch(r"[0-9]{1,9}", asked) else 0
        if not 1 <= limit <= MOST_LISTED:
            raise invalid("limit", f"use a whole number from 1 to {MOST_LISTED}")
        cursor = query.get("cursor") or None
        return (key_of(cursor) if cursor else None), limit

    async def commit(self, work: Callable[[AsyncConnection], Awaitable[Done]]) -> web.Response:
        """Do the work in one transaction, together with what the Idempotency-Key keeps; the answer, once it may be
        given: it is on disk, and nothing begins any more to be sent that it forbids."""

        kept, is_replay = await self.once_only(work, self.once)
        if self.once is not None:
            self.once.is_answered = True
        return await given(self.house, kept, is_replay=is_replay)

    async def once_only(
        self, work: Callable[[AsyncConnection], Awaitable[Done]], once: Once | None
    ) -> tuple[Kept, bool]:
        """Do the work in a transaction, unless it was done under this key: then the first answer, and True."""

        async def keeping(conn: AsyncConnection) -> Kept:
            done = await work(conn)
            return Kept(done.status, JSON, done.body, done.closed)

        return await self.house.database.transact(lambda conn: kept_once(conn, once, keeping))


async def given(house: House, kept: Kept, *, is_replay: bool = False) -> web.Response:
    """An answer that is on disk, as soon as it may be given."""
    await heed.settle(house.database, kept.closed)
    response = web.Response(status=kept.status, body=kept.body)
    if kept.body:
        response.content_type = kept.content_type
    if is_replay:
        response.headers["Idempotency-Replayed"] = "true"
    return response


def mount(app: web.Application, routes: Sequence[Route], *, calls_per_minute: int) -> None:
    app[TURNS] = Turns()
    app[LIMIT] = Limit(calls_per_minute)
    for route in routes:
        app.router.add_route(route.method, route.path, _served(route))


def _served(route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def serve(request: web.Request) -> web.StreamResponse:
        house = request.app[HOUSE]
        received_at = house.now()
        key = await authenticated(request, house)
        if key is None and route.without_key is not None and "Authorization" not in request.headers:
            return await route.without_key(request)
        if key is None:
            raise unauthorised()
        _count(request, key)
        if route.scope is not None:
            require_scope(key, route.scope)
        for value in request.match_info.values():
            check_text(value, "path")
        call = Call(request, route, house, key, received_at)
        name = request.headers.get("Idempotency-Key") if request.method == "POST" else None
        return await _carried_out(call) if name is None else await _carried_out_once(call, name)

    return serve


def _count(request: web.Request, key: Key) -> None:
    """Count the call against its key's limit; raises Problem 429."""
    request[STANDING] = standing = request.app[LIMIT].take(key.id)
    if standing.is_over:
        words = f"a key has {standing.quota:,} calls a minute; {standing.wait_seconds} s from now there is one again"
        headers = {"Retry-After": str(standing.wait_seconds)}
        raise Problem(429, "too-many-calls", "Too many calls with this key", words, headers=headers)


async def _carried_out(call: Call) -> web.StreamResponse:
    call.query()  # what is not known is refused, also where nothing is asked
    model = call.route.body
    payload = await read_body(call.request, model) if model is not None else None
    return await call.route.handler(replace(call, payload=payload))


async def _carried_out_once(call: Call, name: str) -> web.StreamResponse:
    """As the first request with this Idempotency-Key was answered; if this is the first, carry it out."""
    request, house = call.request, call.house
    once = Once(call.key.id, request.path, name, await request.read(), now=call.received_at)
    async with request.app[TURNS].turn(once.place):
        async with house.database.read() as conn:
            first = await once.recall(conn)
        if first is None:
            try:
                response = await _carried_out(replace(call, once=once))
            except Exception as error:
                problem = from_exception(error)
                if problem is None or not is_kept(problem.status) or problem.is_about_key:
                    raise  # what passes, or is about another request, is not the last word on this one
                response = problem.response()
            if once.is_answered or not is_kept(response.status):
                return response
            body = response.body if isinstance(response, web.Response) and isinstance(response.body, bytes) else b""
            kept = Kept(response.status, response.content_type, body)  # it had no effect
            first = await house.database.transact(lambda conn: once.keep_alone(conn, kept))
            if first is None:
                return response
        return await given(house, first, is_replay=True)


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
