"""The OpenAPI 3.1 document: made of the route table and the models, so that it cannot say anything else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from inspect import getdoc
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gateway.api.base import PAGE, Query, Route
from gateway.api.shapes import ProblemDocument
from gateway.version import VERSION

REF = "#/components/schemas/{model}"
PROBLEM = "application/problem+json"

ABOUT = """\
Who said yes, to what, when, and how we know; and nothing goes out to anyone who did not.

**Keys.** Every call carries `Authorization: Bearer KEY`; `optgate key create NAME --scope SCOPE` makes one. Without a
key that is live the answer is 401; where the key lacks the operation's scope it is 403.

**Forms.** JSON in UTF-8; names in `snake_case`; times as RFC 3339 in UTC; ids are opaque strings. Unknown fields are
refused. An address is `channel:value` where it stands alone, such as `sms:+14155550123`.

**Lists** come a page at a time: `{"items": […], "next": CURSOR}`. Give `next` as `cursor` to go on; at the end it is
null.

**Errors** are problem documents (RFC 9457): `type` names the kind, `detail` says what to do, and a 422 lists the
fields.

**Idempotency-Key.** On any POST: the same key with the same body gets the first answer, with the header
`Idempotency-Replayed: true`, and has no second effect, for 24 hours. With another body it is 409. One that finds the
first still running waits for it, 10 s at most.

**Limits.** `RateLimit-Policy` says how many calls (`q`) a key has in a window of `w` seconds, `RateLimit` how many are
left (`r`), and in how many seconds they are whole again (`t`). Beyond them the answer is 429 with `Retry-After`.
"""

# What any operation may answer.
_ALWAYS = {
    401: "There is no live key in `Authorization`.",
    403: "The key lacks the scope.",
    422: "Something in the request cannot be used; `errors` names the fields.",
    429: "Too many calls with this key; `Retry-After` says when there may be more.",
    503: "The database cannot be reached: it may have been written or not. Try again, best with an Idempotency-Key.",
}
_OTHERS = {
    400: "The body, or the Idempotency-Key, cannot be read.",
    404: "There is none.",
    409: "It stands otherwise than the request takes for granted; `type` says how.",
    413: "The body is too large.",
}


def document(routes: Sequence[Route], *, public_url: str) -> dict[str, Any]:
    """The whole of it, as it is served."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Optgate", "version": VERSION, "description": ABOUT},
        "servers": [{"url": public_url}],
        "security": [{"key": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(map(_tag, routes))],
        "paths": paths,
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": _schemas(routes),
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    summary, _, more = (getdoc(route.handler) or "").partition("\n")
    told: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "tags": [_tag(route)],
        "summary": summary,
        "parameters": list(_parameters(route)),
        "responses": _responses(route),
    }
    if more.strip():
        told["description"] = more.strip()
    if route.scope is not None:
        told["x-scope"] = route.scope
    if route.without_key is not None:
        told["security"] = [{"key": []}, {}]
    if route.body is not None:
        content = {"schema": _ref(route.body), "example": route.example}
        told["requestBody"] = {"required": True, "content": {"application/json": content}}
    return told


def _tag(route: Route) -> str:
    """The section it stands in: the module of its handler."""
    return route.handler.__module__.rpartition(".")[2].replace("_", " ").capitalize()


def _parameters(route: Route) -> Iterable[dict[str, Any]]:
    for name in re.findall(r"{([a-z_]+)}", route.path):
        yield {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for query in route.query:
        schema = _query_schema(query)
        told = {"name": query.name, "in": "query", "description": query.help, "schema": schema}
        yield told | ({"required": True} if query.is_needed else {})
    if route.method == "POST":
        words = "Carry the request out once, however often it comes."
        schema = {"type": "string", "minLength": 1, "maxLength": 255}
        yield {"name": "Idempotency-Key", "in": "header", "description": words, "schema": schema}


def _query_schema(query: Query) -> dict[str, Any]:
    if query == PAGE[0]:
        return {"type": "integer", "minimum": 1, "maximum": 500, "default": 50}
    if query.choices:
        return {"type": "string", "enum": list(query.choices)}
    if query.is_time:
        return {"type": "string", "format": "date-time"}
    if query.is_many:
        return {"type": "array", "items": {"type": "string", "minLength": 1}}
    return {"type": "string"} | ({} if query.may_be_empty else {"minLength": 1})


def _responses(route: Route) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, model in sorted(route.answers.items()):
        found[str(status)] = {"description": _first_line(model) if model is not None else "Done."}
        content = {"application/json": {"schema": _ref(model)}} if model is not None else {}
        content |= {file: {"schema": {"type": "string"}} for file in route.files}
        if content:
            found[str(status)]["content"] = content
    for status, words in sorted(_problems(route).items()):
        content = {PROBLEM: {"schema": _ref(ProblemDocument)}}
        found[str(status)] = {"description": words, "content": content}
    return found


def _problems(route: Route) -> dict[int, str]:
    own = set(route.problems)
    if route.method == "POST":
        own |= {400, 409, 413}  # of an Idempotency-Key
    if route.body is not None:
        own |= {400, 413}
    return _ALWAYS | {status: (_ALWAYS | _OTHERS)[status] for status in own}


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or f"The {model.__name__.lower()}.").strip().partition("\n")[0]


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": REF.format(model=model.__name__)}


def _schemas(routes: Sequence[Route]) -> dict[str, Any]:
    asked = _defined(route.body for route in routes)
    answered = _defined(model for route in routes for model in (*route.answers.values(), ProblemDocument))
    for schema in answered.values():
        schema.pop("additionalProperties", None)  # an answer may hold more in time to come
    if clashes := asked.keys() & answered.keys():
        raise ValueError(f"two models of one name: {sorted(clashes)}")
    return dict(sorted((answered | asked).items()))


def _defined(models: Iterable[type[BaseModel] | None]) -> dict[str, Any]:
    wanted = dict.fromkeys(model for model in models if model is not None)
    _, found = models_json_schema([(model, "validation") for model in wanted], ref_template=REF)
    for schema in found["$defs"].values():
        for member in schema.get("properties", {}).values():
            member.pop("title", None)  # its name again
    return dict(found["$defs"])


def resolved(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema, or the one that it refers to."""
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = whole["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found
