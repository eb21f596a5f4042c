"""The reference: made of the code, readable, and without a request to anybody else."""

from __future__ import annotations

import re
from typing import Any

from gateway.api.openapi import document
from gateway.app import ROUTES
from tests.flows.running import Gateway

WHOLE = document(ROUTES, public_url="http://127.0.0.1:8080")


async def test_it_needs_no_key(gateway: Gateway) -> None:
    got = await gateway.send("GET", "/v1/openapi.json")
    assert (got.status, got.type, got.json["openapi"]) == (200, "application/json", "3.1.0")
    assert got.json["servers"] == [{"url": gateway.settings.server.public_url}]
    assert got.json["paths"] == WHOLE["paths"]


async def test_every_operation_of_the_api_is_in_it_and_on_the_page(gateway: Gateway) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in gateway.app.router.routes()
        if route.resource is not None and route.resource.canonical.startswith("/v1/") and route.method != "HEAD"
    }
    told = {(method.upper(), path) for path, operations in WHOLE["paths"].items() for method in operations}
    assert told == served - {("GET", "/v1/openapi.json")}
    page = (await gateway.send("GET", "/docs")).body.decode()
    for operations in WHOLE["paths"].values():
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in page


async def test_the_page_asks_nobody_for_anything_and_runs_nothing(gateway: Gateway) -> None:
    got = await gateway.send("GET", "/docs")
    policy = got.headers["Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; base-uri 'none'; form-action 'none'", policy
    )
    page = got.body.decode()
    assert not re.search(r"<script|<link|<img|@import|url\(|style=|\son[a-z]+=", page)
    assert not re.search(r'(?:href|src)="(?!#|/v1/openapi\.json")', page)


async def test_every_link_on_the_page_leads_somewhere(gateway: Gateway) -> None:
    page = (await gateway.send("GET", "/docs")).body.decode()
    ids = re.findall(r'id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(ids)


def test_every_operation_says_what_it_does_and_what_it_answers() -> None:
    ids = []
    for path, operations in WHOLE["paths"].items():
        for method, told in operations.items():
            ids.append(told["operationId"])
            assert told["summary"].endswith("."), (method, path)
            assert any(status.startswith("2") for status in told["responses"]), (method, path)
    assert len(ids) == len(set(ids))


def test_every_reference_is_to_something_that_is_there() -> None:
    known = set(WHOLE["components"]["schemas"])
    assert set(_refs(WHOLE)) == {f"#/components/schemas/{name}" for name in known}


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for below in value.values() for ref in _refs(below)]
    return [ref for below in value for ref in _refs(below)] if isinstance(value, list) else []
