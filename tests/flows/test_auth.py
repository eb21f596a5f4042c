"""Who may do what: a matrix over the route table. A route without a row fails."""

from __future__ import annotations

from typing import Any

from gateway import keys
from gateway.app import ROUTES
from tests.flows.running import ANA, Gateway

BROADCAST = {
    "name": "x",
    "channel": "sms",
    "connection": "box",
    "content": {"body": "x"},
    "audience": {"tag": "nobody"},
}
# Texted to, since not every gateway of the tests sends e-mail.
FORM = {"description": "x", "channel": "sms", "confirmation_message": "x", "button_text": "x"}
# Route → the one scope that opens it (None: any key), and a body that would do something.
MATRIX: dict[tuple[str, str], tuple[str | None, Any]] = {
    ("POST", "/v1/profiles"): ("profiles:write", {"first_name": "Ana"}),
    ("GET", "/v1/profiles"): ("profiles:read", None),
    ("PUT", "/v1/profiles/by-external-id/{external_id}"): ("profiles:write", {}),
    ("GET", "/v1/profiles/{id}"): ("profiles:read", None),
    ("PATCH", "/v1/profiles/{id}"): ("profiles:write", {"first_name": "Eve"}),
    ("DELETE", "/v1/profiles/{id}"): ("profiles:write", None),
    ("PATCH", "/v1/profiles/{id}/consent"): ("consent:write", {"channels": {"sms": "yes"}}),
    ("GET", "/v1/profiles/{id}/history"): ("consent:read", None),
    ("GET", "/v1/profiles/{id}/verdict"): ("consent:read", None),
    ("POST", "/v1/verdicts"): ("consent:read", {"items": [{"channel": "sms", "address": ANA}]}),
    ("POST", "/v1/profiles/batch"): ("profiles:write", {"items": [{"external_id": "b"}]}),
    ("POST", "/v1/profiles/{id}/merge"): ("profiles:write", {"from": "pro_other"}),
    ("POST", "/v1/settings/defaults/apply"): ("admin", None),
    ("GET", "/v1/audit"): ("admin", None),
    ("GET", "/v1/consent-events"): ("consent:read", None),
    ("POST", "/v1/rules"): ("configure", {"channel": "sms", "keyword": "X", "action": "opt_in"}),
    ("GET", "/v1/rules"): ("configure", None),
    ("POST", "/v1/rules/test"): ("configure", {"channel": "sms", "text": "x"}),
    ("GET", "/v1/rules/{id}"): ("configure", None),
    ("PATCH", "/v1/rules/{id}"): ("configure", {"active": False}),
    ("DELETE", "/v1/rules/{id}"): ("configure", None),
    ("GET", "/v1/reviews"): ("consent:read", None),
    ("GET", "/v1/reviews/{id}"): ("consent:read", None),
    ("POST", "/v1/reviews/{id}"): ("consent:write", {"decision": "dismiss"}),
    ("GET", "/v1/settings/defaults"): ("configure", None),
    ("PATCH", "/v1/settings/defaults"): ("configure", {"sms": "yes"}),
    ("POST", "/v1/preferences"): ("configure", {"name": "Drama"}),
    ("GET", "/v1/preferences"): ("configure", None),
    ("POST", "/v1/forms"): ("configure", FORM),
    ("GET", "/v1/forms"): ("configure", None),
    ("POST", "/v1/forms/preview"): ("configure", FORM),
    ("GET", "/v1/forms/{id}"): ("configure", None),
    ("PATCH", "/v1/forms/{id}"): ("configure", {"active": False}),
    ("DELETE", "/v1/forms/{id}"): ("configure", None),
    ("GET", "/v1/forms/{id}/versions"): ("configure", None),
    ("GET", "/v1/forms/{id}/preview"): ("configure", None),
    ("POST", "/v1/forms/{id}/submissions"): ("consent:write", {"address": "ana@example.org"}),
    ("PUT", "/v1/preferences/order"): ("configure", {"names": ["Drama"]}),
    ("GET", "/v1/preferences/{id}"): ("configure", None),
    ("PATCH", "/v1/preferences/{id}"): ("configure", {"active": False}),
    ("DELETE", "/v1/preferences/{id}"): ("configure", None),
    ("GET", "/v1/preferences/{id}/profiles"): ("profiles:read", None),
    ("POST", "/v1/preference-groups"): ("configure", {"headline": "News"}),
    ("GET", "/v1/preference-groups"): ("configure", None),
    ("PUT", "/v1/preference-groups/order"): ("configure", {"ids": ["News"]}),
    ("GET", "/v1/preference-groups/{id}"): ("configure", None),
    ("PATCH", "/v1/preference-groups/{id}"): ("configure", {"active": False}),
    ("DELETE", "/v1/preference-groups/{id}"): ("configure", None),
    ("GET", "/v1/questions"): ("consent:read", None),
    ("POST", "/v1/profiles/{id}/links"): ("consent:write", {}),
    ("GET", "/v1/profiles/{id}/receipts"): ("consent:read", None),
    ("GET", "/v1/profiles/{id}/questions"): ("consent:read", None),
    ("GET", "/v1/settings/terms"): ("configure", None),
    ("PUT", "/v1/settings/terms"): ("configure", {"texts": {"en": {"text": "As our privacy notice says."}}}),
    ("POST", "/v1/dispositions"): ("configure", {"name": "No texts", "changes": [{"kind": "channel", "to": "no"}]}),
    ("GET", "/v1/dispositions"): ("consent:read", None),
    ("PUT", "/v1/dispositions/order"): ("configure", {"ids": ["No texts"]}),
    ("GET", "/v1/dispositions/{id}"): ("consent:read", None),
    ("PATCH", "/v1/dispositions/{id}"): ("configure", {"active": False}),
    ("DELETE", "/v1/dispositions/{id}"): ("configure", None),
    ("POST", "/v1/profiles/{id}/interactions"): ("consent:write", {"disposition": "No texts", "channel": "voice"}),
    ("GET", "/v1/profiles/{id}/interactions"): ("consent:read", None),
    ("POST", "/v1/broadcasts"): ("send", BROADCAST),
    ("GET", "/v1/broadcasts"): ("send", None),
    ("GET", "/v1/broadcasts/{id}"): ("send", None),
    ("GET", "/v1/broadcasts/{id}/deliveries"): ("send", None),
    ("POST", "/v1/broadcasts/{id}/pause"): ("send", None),
    ("POST", "/v1/broadcasts/{id}/resume"): ("send", None),
    ("POST", "/v1/broadcasts/{id}/cancel"): ("send", None),
    # Ana has said yes by now.
    ("POST", "/v1/messages"): (
        "send",
        {"channel": "sms", "connection": "box", "to": {"address": ANA}, "content": {"body": "x"}},
    ),
    ("POST", "/v1/messages/{id}/resend"): ("send", {}),
    ("GET", "/v1/messages"): ("profiles:read", None),
    ("GET", "/v1/messages/{id}"): ("profiles:read", None),
    ("GET", "/v1/sandbox/messages"): ("send", None),
    ("GET", "/v1/forwards"): ("profiles:read", None),
    ("POST", "/v1/forwards/{id}/retry"): ("configure", None),
}
TWO = {"/v1/profiles/{id}/merge": ("profiles:write", "consent:write")}  # what needs a second scope
# What needs no key: the provider signs, the link does, or there is nothing to see.
OPEN = {
    ("GET", "/webhooks/{connection}"),
    ("POST", "/webhooks/{connection}"),
    ("POST", "/webhooks/{connection}/status"),
    ("GET", "/unsubscribe/{token}"),
    ("POST", "/unsubscribe/{token}"),
    ("POST", "/unsubscribe/then"),
    ("GET", "/forms/{id}"),
    ("POST", "/forms/{id}"),
    ("GET", "/embed.js"),
    ("OPTIONS", "/v1/forms/{id}/submissions"),  # a browser's question, before a page of another site posts
    ("GET", "/confirm/{token}"),
    ("POST", "/confirm/{token}"),
    ("GET", "/preferences"),
    ("POST", "/preferences"),
    ("GET", "/preferences/{token}"),
    ("POST", "/preferences/{token}"),
    ("GET", "/preferences/{token}/history"),
    ("GET", "/preferences/{token}/nothing"),
    ("GET", "/preferences/{token}/receipts.json"),
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/v1/openapi.json"),
    ("GET", "/"),
    ("GET", "/docs"),
    ("GET", "/metrics"),  # has a rule of its own: tests/gateway/test_metrics.py
}


QUERIES = {"verdict": "?channel=sms", "profiles": "?state=yes"}  # what must be asked, by the end of the path


def _path(gateway_path: str, ids: dict[str, str]) -> str:
    noun = gateway_path.split("/")[2]
    query = QUERIES.get(gateway_path.rpartition("/")[2], "") if "{id}" in gateway_path else ""
    return gateway_path.replace("{id}", ids.get(noun, "nobody")).replace("{external_id}", "crm-7") + query


async def test_every_route_has_a_row_and_every_row_a_route(gateway: Gateway) -> None:
    assert {(route.method, route.path): route.scope for route in ROUTES} == {at: row[0] for at, row in MATRIX.items()}
    assert all(route.scope for route in ROUTES), "a key opens nothing that its scopes do not name"
    served = {(route.method, route.resource.canonical) for route in gateway.app.router.routes() if route.resource}
    assert {at for at in served if at[0] != "HEAD"} == MATRIX.keys() | OPEN


async def test_without_a_key_or_with_one_that_is_none_every_route_is_401_and_nothing_is_written(
    gateway: Gateway,
) -> None:
    ids = {"profiles": (await gateway.person(f"sms:{ANA}"))["id"]}
    token = await gateway.key()
    before = await gateway.everything()
    for (method, pattern), (_, body) in MATRIX.items():
        for headers in (
            {},
            {"Authorization": ""},
            {"Authorization": "Bearer"},
            {"Authorization": "Bearer og_" + "A" * 43},
            {"Authorization": f"Basic {token}"},
            {"Authorization": token},
            {"Authorization": f"Bearer {token[:-1]}"},
            {"Authorization": f"Bearer {token} {token}"},
            {"X-Api-Key": token},
        ):
            path = _path(pattern, ids)
            got = await gateway.send(method, path, data=None if body is None else b"{", headers=headers)
            assert got.status == 401, (method, pattern, headers)
            assert got.type == "application/problem+json"
            assert got.headers["WWW-Authenticate"].startswith("Bearer")
    assert await gateway.everything() == before


async def test_a_key_opens_what_its_scope_names_and_nothing_else(gateway: Gateway) -> None:
    ids = {"profiles": (await gateway.person(f"sms:{ANA}"))["id"]}
    MATRIX["POST", "/v1/profiles/{id}/merge"][1]["from"] = (await gateway.person())["id"]
    tokens = {scope: await gateway.key(scope) for scope in keys.SCOPES}
    before = await gateway.everything()
    for (method, pattern), (needed, body) in MATRIX.items():
        for scope, token in tokens.items():
            if scope in (needed, "admin") or needed is None:
                continue
            got = await gateway.ask(method, _path(pattern, ids), json=body, key=token)
            assert (got.status, got.type) == (403, "application/problem+json"), (method, pattern, scope)
            assert needed in got.json["detail"]
    assert await gateway.everything() == before
    for (method, pattern), (needed, body) in MATRIX.items():
        if method != "DELETE":
            key = await gateway.key(*TWO[pattern]) if pattern in TWO else tokens[needed or "send"]
            got = await gateway.ask(method, _path(pattern, ids), json=body, key=key)
            assert got.status in (200, 201, 202, 404), (method, pattern, got)


async def test_admin_includes_all_and_a_key_without_scopes_all_but_admin(gateway: Gateway) -> None:
    admin, plain = await gateway.key("admin"), await gateway.key()
    for (method, pattern), (needed, body) in MATRIX.items():
        for token in (admin, plain):
            got = await gateway.ask(method, _path(pattern, {}), json=body, key=token)
            forbidden = got.status == 403 and got.json["type"].endswith("/forbidden")
            assert got.status != 401, (method, pattern, got)
            assert forbidden == (needed == "admin" and token == plain), (method, pattern, got)
    rows = {row["name"]: set(row["scopes"]) for row in await gateway.rows("api_keys")}
    assert rows["crm"] == set(keys.SCOPES) - {"admin"}


async def test_a_revoked_key_is_closed_at_once_and_its_name_is_free(gateway: Gateway) -> None:
    token = await gateway.key()
    assert (await gateway.ask("GET", "/v1/profiles", key=token)).status == 200
    await gateway.house.database.transact(lambda conn: keys.revoke(conn, "crm", now=gateway.clock()))
    assert (await gateway.ask("GET", "/v1/profiles", key=token)).status == 401
    again = await gateway.house.database.transact(lambda conn: keys.create(conn, "crm", now=gateway.clock()))
    assert (await gateway.ask("GET", "/v1/profiles", key=again)).status == 200
    assert (await gateway.ask("GET", "/v1/profiles", key=token)).status == 401


async def test_only_a_hash_of_a_key_is_on_disk(gateway: Gateway) -> None:
    token = await gateway.key()
    assert token.startswith("og_")
    assert all(token not in str(row) for row in await gateway.rows("api_keys"))


async def test_a_key_in_odd_bytes_is_no_key(gateway: Gateway) -> None:
    for token in ("é" * 20, "\udcff\udcfe", "og_" + "x" * 5000):
        got = await gateway.send("GET", "/v1/profiles", headers={"Authorization": f"Bearer {token}"})
        assert got.status == 401, token
