"""Every answer that a test gets from the API is held against the reference: its status is told, and so is its shape."""

from __future__ import annotations

import re

from gateway.api.base import Route
from gateway.api.openapi import document
from gateway.api.shapes import ProblemDocument
from gateway.app import ROUTES

_TOLD = document(ROUTES, public_url="http://127.0.0.1")["paths"]
_PATTERNS = [(re.compile(re.sub(r"{[a-z_]+}", "[^/]+", route.path)), route) for route in ROUTES]


def route_of(method: str, path: str) -> Route | None:
    """The operation that this request is for; the one without a parameter in its path first."""
    fitting = [r for pattern, r in _PATTERNS if r.method == method and pattern.fullmatch(path.partition("?")[0])]
    return min(fitting, key=lambda route: route.path.count("{"), default=None)


def check(method: str, path: str, status: int, type_: str, body: bytes) -> None:
    """Raises AssertionError, or pydantic's ValidationError, where the reference tells otherwise."""
    route = route_of(method, path)
    if route is None or status == 500:  # what no answer should be, only a test that breaks something gets
        return
    assert str(status) in _TOLD[route.path][method.lower()]["responses"], f"{method} {route.path} answers {status}"
    if (status, type_) == (400, "text/plain"):
        return  # the HTTP parser's own: the request did not come as far as the API
    if status >= 400:
        assert type_ == "application/problem+json", f"{method} {route.path}: {type_}"
        ProblemDocument.model_validate_json(body)
    elif type_ == "application/json":
        shape = route.answers[status]
        assert shape is not None, f"{method} {route.path} has a body with {status}"
        shape.model_validate_json(body)
    elif type_ not in route.files:
        assert not body, f"{method} {route.path}: {type_}"
