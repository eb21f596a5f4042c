"""The API reference: the OpenAPI document, and the page for people that is made of it. Both need no key."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from gateway.api.base import Route
from gateway.api.openapi import document, resolved
from gateway.connections import NO_PAGE

_HERE = Path(__file__).parent / "pages"
LINE_CHARS = 60  # of an example


def mount(app: web.Application, routes: Sequence[Route], *, public_url: str) -> None:
    """Serve both; they are made when somebody asks for the first time."""
    whole = cache(partial(document, routes, public_url=public_url))
    page = cache(lambda: _page(whole()))
    as_json = cache(lambda: json.dumps(whole(), ensure_ascii=False, indent=1).encode())

    async def openapi(_request: web.Request) -> web.Response:
        return web.Response(body=as_json(), content_type="application/json")

    async def docs(_request: web.Request) -> web.Response:
        text, policy = page()
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-cache"}
        return web.Response(text=text, content_type="text/html", headers=headers)

    async def top(_request: web.Request) -> web.Response:
        """For whoever follows the address that `optgate serve` prints."""
        return web.Response(status=302, headers={"Location": "docs"})

    app.router.add_get("/", top)
    app.router.add_get("/v1/openapi.json", openapi)
    app.router.add_get("/docs", docs)


def _page(whole: Mapping[str, Any]) -> tuple[str, str]:
    """The page, and the policy under which a browser shows it: nothing is fetched and nothing runs."""
    style = (_HERE / "reference.css").read_text()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"{NO_PAGE}; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    pages = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    pages.filters |= {
        "prose": prose,
        "type": partial(_type, whole=whole),
        "fields": partial(_fields, whole=whole),
        "laid_out": laid_out,
        "anchor": lambda text: re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-"),
    }
    page = pages.get_template("reference.html").render(api=whole, style=Markup(style), sections=_sections(whole))  # noqa: S704 - ours
    return page, policy


def _sections(whole: Mapping[str, Any]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Section → its operations, in the order of the routes."""
    found: dict[str, list[dict[str, Any]]] = {tag["name"]: [] for tag in whole["tags"]}
    for path, operations in whole["paths"].items():
        for method, told in operations.items():
            found[told["tags"][0]].append({"method": method.upper(), "path": path} | told)
    return list(found.items())


def prose(text: str) -> Markup:
    """Paragraphs with `code` and **weight** in them."""
    shown = str(escape(text.strip()))
    shown = re.sub(r"`([^`]+)`", r"<code>\1</code>", shown)
    shown = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", shown)
    return Markup("".join(f"<p>{part}</p>" for part in shown.split("\n\n")))  # noqa: S704 - escaped above


def laid_out(value: Any, indent: str = "") -> str:
    """JSON as somebody would write it by hand: what is short stays on its line."""
    flat = json.dumps(value, ensure_ascii=False)
    if len(indent + flat) <= LINE_CHARS or not isinstance(value, dict | list):
        return flat
    deeper = indent + "  "
    if isinstance(value, dict):
        parts = [f"{json.dumps(name, ensure_ascii=False)}: {laid_out(one, deeper)}" for name, one in value.items()]
    else:
        parts = [laid_out(one, deeper) for one in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n{deeper}" + f",\n{deeper}".join(parts) + f"\n{indent}{closing}"


def _fields(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The members of an object, each with its type in words."""
    of = resolved(schema, whole)
    needed = of.get("required", ())
    return [
        {"name": name, "type": _type(one, whole), "help": one.get("description", ""), "is_needed": name in needed}
        for name, one in of.get("properties", {}).items()
    ]


def _type(schema: Mapping[str, Any], whole: Mapping[str, Any]) -> Markup:
    """What a value may be, in words; an object of a name of its own is a link to it."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return Markup('<a href="#schema-{0}">{0}</a>').format(name)
    if "anyOf" in schema:
        return Markup(" or ").join(_type(one, whole) for one in schema["anyOf"])
    if "const" in schema:
        return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
    if "enum" in schema:
        return Markup(" | ").join(Markup("<code>{}</code>").format(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return Markup("list of {}").format(_type(schema.get("items", {}), whole))
    values = schema.get("additionalProperties")
    if schema.get("type") == "object" and isinstance(values, Mapping):
        return Markup("object: name → {}").format(_type(values, whole))
    return Markup("{}").format({"date-time": "time"}.get(schema.get("format", ""), schema.get("type", "anything")))
