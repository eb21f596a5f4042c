"""The reference: made of the code, readable, and without a request to anybody else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html import unescape
from typing import Any

import jsonschema_rs
import pytest

from gateway.api.openapi import document
from gateway.app import ROUTES
from tests.flows.running import ANA, CLEO, Gateway
from tests.flows.test_resends import REFUSED
from tests.flows.test_single_messages import ended
from tests.standins.twilio import TwilioStandIn

WHOLE = document(ROUTES, public_url="http://127.0.0.1:8080")
TAGS = [tag["name"] for tag in WHOLE["tags"]]


async def test_it_needs_no_key(gateway: Gateway) -> None:
    got = await gateway.send("GET", "/v1/openapi.json")
    assert (got.status, got.type, got.json["openapi"]) == (200, "application/json", "3.1.0")
    assert got.json["servers"] == [{"url": gateway.settings.server.public_url}]
    assert got.json["paths"] == WHOLE["paths"]


async def test_every_operation_of_the_api_is_in_it_and_on_the_page(gateway: Gateway) -> None:
    served = {
        (route.method, route.resource.canonical)
        for route in gateway.app.router.routes()
        if route.resource is not None
        and route.resource.canonical.startswith("/v1/")
        and route.method not in ("HEAD", "OPTIONS")
    }
    told = {(method.upper(), path) for path, operations in WHOLE["paths"].items() for method in operations}
    assert told == served - {("GET", "/v1/openapi.json")}
    page = (await gateway.send("GET", "/docs")).body.decode()
    for operations in WHOLE["paths"].values():
        for operation in operations.values():
            assert f'id="{operation["operationId"]}"' in page


async def test_the_page_asks_nobody_for_anything_and_runs_nothing(gateway: Gateway) -> None:
    top = await gateway.send("GET", "/", follow=False)
    assert (top.status, top.headers["Location"]) == (302, "docs"), "what `optgate serve` prints leads there"
    got = await gateway.send("GET", "/docs")
    policy = got.headers["Content-Security-Policy"]
    assert re.fullmatch(
        r"default-src 'none'; frame-ancestors 'none'; style-src 'sha256-[A-Za-z0-9+/=]+'; base-uri 'none'; "
        r"form-action 'none'",
        policy,
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


# --- examples ----------------------------------------------------------------------------------


def examples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path, and the media type of what is sent: its schema and its example."""
    for path, operations in WHOLE["paths"].items():
        for method, told in operations.items():
            if "requestBody" in told:
                yield method.upper(), path, told["requestBody"]["content"]["application/json"]


def test_every_example_is_what_its_schema_asks_for() -> None:
    found = list(examples())
    assert len(found) > 10
    for method, path, content in found:
        fits = jsonschema_rs.validator_for(content["schema"] | {"components": WHOLE["components"]})
        assert content["example"], (method, path)
        fits.validate(content["example"])
        with pytest.raises(jsonschema_rs.ValidationError):
            fits.validate(content["example"] | {"unheard_of": 1})


async def test_every_example_is_on_the_page(gateway: Gateway) -> None:
    page = (await gateway.send("GET", "/docs")).body.decode()
    shown = [json.loads(unescape(one)) for one in re.findall("<pre><code>(.*?)</code></pre>", page, re.DOTALL)]
    by_section = sorted(examples(), key=lambda one: TAGS.index(WHOLE["paths"][one[1]][one[0].lower()]["tags"][0]))
    assert shown == [content["example"] for _, _, content in by_section]


async def test_the_examples_can_be_carried_out_one_after_another(gateway: Gateway, twilio: TwilioStandIn) -> None:
    """Only what others are told by their ids is filled in; and the message fails, so that it can be sent again."""
    twilio.on[ANA] = REFUSED
    made: dict[str, Any] = {}
    await gateway.text_in("leave me alone", CLEO)
    made["/v1/reviews"] = (await gateway.api("GET", "/v1/reviews"))["items"][0]
    preferences_first = sorted(examples(), key=lambda one: one[1] != "/v1/preferences")
    for method, path, content in preferences_first:
        example = dict(content["example"])
        if path.endswith("/merge"):
            example["from"] = made["/v1/profiles/batch"]["items"][1]["profile"]["id"]
        if path.endswith("/resend"):
            await ended(gateway, made["/v1/messages"]["id"])
        collection, has_id, _ = path.partition("/{id}")
        filled = path.replace("{id}", made[collection]["id"] if has_id else "").replace("{external_id}", "crm-1042")
        answer = await gateway.api(method, filled, json=example)
        made.setdefault(path, answer)
    assert [one["status"] for one in made["/v1/profiles/batch"]["items"]] == [200, 201]
    assert made["/v1/verdicts"]["items"][0] == {"allowed": True, "reason": "opted_in", "address": ANA}


def _refs(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [ref for below in value.values() for ref in _refs(below)]
    return [ref for below in value for ref in _refs(below)] if isinstance(value, list) else []
