"""What a customer's browser is shown where nothing else can be: in words, in their language, framed by nobody."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from forms.desk import page

_OURS = ("/forms", "/preferences", "/unsubscribe", "/confirm")


def wants_page(request: web.Request) -> bool:
    """Whether a browser asks for one of the public pages."""
    ours = any(request.path == path or request.path.startswith(f"{path}/") for path in _OURS)
    return ours and "text/html" in request.headers.get("Accept", "")


def shown(request: web.Request, status: int, headers: Mapping[str, str]) -> web.Response:
    """The page for a status that is an error."""
    response = page(request, "trouble.html", status=status)
    response.headers.update(headers)
    return response
