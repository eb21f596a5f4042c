"""What is wrong is said as a problem document, wherever it happens; and nothing anybody sends is a 5xx."""

from __future__ import annotations

from typing import Any

from gateway.api.bodies import BYTES as BODY_BYTES
from gateway.app import ROUTES
from tests.flows.running import ANA, BEN, Gateway, Got
from tests.flows.test_auth import MATRIX


def is_problem(got: Got, status: int | None = None) -> dict[str, Any]:
    """The document, checked for its shape (RFC 9457)."""
    assert got.type == "application/problem+json", got
    problem: dict[str, Any] = got.json
    assert problem["status"] == got.status
    assert status in (None, got.status), got
    assert problem["type"].startswith("https://")
    assert isinstance(problem["title"], str)
    assert problem["title"]
    if got.status == 422:
        assert problem["errors"]
        assert all(error.keys() == {"field", "message"} for error in problem["errors"])
        assert all(isinstance(error["field"], str) and error["message"] for error in problem["errors"])
    return problem


async def test_a_problem_is_a_problem_document_everywhere(gateway: Gateway) -> None:
    await gateway.key()
    for path in (
        "/v1",
        "/v1/",
        "/v1/nothing",
        "/v1/profiles/",
        "/webhooks",
        "/webhooks/sms/more/still",
        "/healthz/x",
        "//",
        "/%00",
        "/v1/profiles/a/b",
    ):
        is_problem(await gateway.ask("GET", path), 404)
    for method, path, allow in (
        ("DELETE", "/v1/profiles", "GET,POST"),
        ("PUT", "/v1/broadcasts", "GET,POST"),
        ("POST", "/healthz", "GET,HEAD"),
        ("GET", "/webhooks/sms", "POST"),
    ):
        got = await gateway.ask(method, path)
        is_problem(got, 405)
        assert set(got.headers["Allow"].split(",")) == set(allow.split(",")), path
    is_problem(await gateway.ask("POST", "/v1/profiles", data=b" " * (BODY_BYTES + 1)), 413)
    is_problem(await gateway.send("GET", "/v1/profiles"), 401)
    is_problem(await gateway.ask("GET", "/v1/profiles/pro_nobody"), 404)
    is_problem(await gateway.ask("GET", "/v1/profiles?limit=0"), 422)


def wrong_bodies() -> dict[str, tuple[bytes, set[int]]]:
    deep = {
        f"{depth} deep": (b'{"attributes": ' + b'{"a":' * depth + b"1" + b"}" * depth + b"}", {400, 422})
        for depth in (300, 900, 985, 20_000)
    }
    lists = {
        f"{depth} lists": (b'{"a":' + b"[" * depth + b"]" * depth + b"}", {400, 422})
        for depth in (300, 900, 985, 200_000)
    }
    return deep | lists | {
        "empty": (b"", {400}),
        "blank": (b" \n", {400}),
        "no JSON": (b"first_name=Ana", {400}),
        "half": (b'{"first_name": "A', {400}),
        "two": (b"{} {}", {400}),
        "an array": (b"[]", {400}),
        "an array of it": (b'[{"first_name": "Ana"}]', {400}),
        "a string": (b'"x"', {400}),
        "null": (b"null", {400}),
        "a number": (b"7", {400}),
        "not UTF-8": (b'{"first_name": "\xff\xfe"}', {400}),
        "half of UTF-8": (b'{"first_name": "\xc3"}', {400}),
        "UTF-16": ('{"first_name": "Ana"}'.encode("utf-16"), {400}),
        "a byte order mark": (b"\xef\xbb\xbf{}", {400}),
        "NUL": (b'{"a\\u0000": 1}', {422}),
        "a raw NUL": (b'{"a": "\x00"}', {400, 422}),
        "a lone surrogate": (b'{"first_name": "\\ud800"}', {422}),
        "a lone surrogate as a name": (b'{"\\udfff": 1}', {422}),
        "unknown fields": (b'{"nobody_knows": 1}', {422}),
        "digits without end": (b'{"a": ' + b"9" * 6000 + b"}", {400, 422}),
        "beyond a float": (b'{"a": 1e999}', {400, 422}),
        "not a number": (b'{"a": NaN}', {400, 422}),
    }  # fmt: skip


async def test_no_body_is_a_5xx_on_any_route(gateway: Gateway) -> None:
    ids = {"profiles": (await gateway.person(f"sms:{ANA}"))["id"], "rules": "rul_builtin_sms_stop"}
    before = await gateway.everything()
    bodies = wrong_bodies()
    checked = 0
    for route in ROUTES:
        if route.body is None:
            continue
        path = route.path.replace("{id}", ids.get(route.path.split("/")[2], "x")).replace("{external_id}", "crm-9")
        for name, (body, expected) in bodies.items():
            got = await gateway.ask(route.method, path, data=body)
            assert got.status in expected, (route.method, route.path, name, got)
            is_problem(got)
            checked += 1
    assert checked == len([r for r in ROUTES if r.body is not None]) * len(bodies)
    assert await gateway.everything() == before


async def test_every_field_of_every_body_survives_every_type(gateway: Gateway) -> None:
    """Each known field with each kind of wrong value: 4xx, or taken; never a 5xx."""
    values: list[Any] = [
        None, True, -1, 10**400, "", "x" * 20_000, "\ufffe\ufdd0\U0010ffff", [None], ["", 7], {"": ""},
        {"a": {"b": [None]}}, "0001-01-01T00:00:00+14:00",
    ]  # fmt: skip
    for route in ROUTES:
        if route.body is None:
            continue
        ids = {"profiles": (await gateway.person(f"sms:{ANA}"))["id"], "rules": "rul_builtin_sms_stop"}
        path = route.path.replace("{id}", ids.get(route.path.split("/")[2], "x")).replace("{external_id}", "crm-9")
        base = MATRIX[route.method, route.path][1]
        for field in route.body.model_fields:
            for value in values:
                got = await gateway.ask(route.method, path, json=base | {field: value})
                assert got.status < 500, (route.method, route.path, field, str(value)[:50], got)
                if got.status >= 400:
                    is_problem(got)


async def test_odd_values_inside_what_is_free_form_are_kept_or_refused(gateway: Gateway) -> None:
    ana = (await gateway.person(f"sms:{ANA}"))["id"]
    odd: list[tuple[str, int]] = [
        ('{"attributes": {"a": 1e999}}', 422),
        ('{"attributes": {"a": -1e999}}', 422),
        ('{"attributes": {"a": NaN}}', 422),
        ('{"attributes": {"a": Infinity}}', 422),
        ('{"attributes": {"a": ' + "9" * 400 + "}}", 200),
        ('{"attributes": {"a": 0.1, "b": 1e300, "c": -0.0, "": "blank name", "ключ": "🎭"}}', 200),
        ('{"attributes": {"a": ' + "[" * 50 + "]" * 50 + "}}", 200),
        ('{"attributes": {"a": 1, "a": 2}}', 200),
    ]
    for body, status in odd:
        got = await gateway.ask("PATCH", f"/v1/profiles/{ana}", data=body.encode())
        assert got.status in ((200,) if status == 200 else (400, 422)), (body[:60], got)
    assert (await gateway.profile(ana))["attributes"]["ключ"] == "🎭"
    for evidence in (
        '{"a": 1e999}',
        '{"a": NaN}',
        '{"obtained_at": 20260101, "how": {}}',
        '{"obtained_at": [], "how": 1}',
    ):
        got = await gateway.ask(
            "PATCH",
            f"/v1/profiles/{ana}/consent",
            data=b'{"channels": {"sms": "no"}, "evidence": ' + evidence.encode() + b"}",
        )
        assert got.status in (400, 422), (evidence, got)
    ends = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00")
    for at in ends:
        for field in ("at", "expires_at"):
            got = await gateway.ask(
                "PATCH", f"/v1/profiles/{ana}/consent", json={field: at, "channels": {"sms": "yes"}}
            )
            assert got.status in (200, 422), (field, at, got)
        got = await gateway.ask(
            "PATCH",
            f"/v1/profiles/{ana}/consent",
            json={"evidence": {"obtained_at": at, "how": "x"}, "channels": {"sms": "yes"}},
        )
        assert got.status in (200, 422), (at, got)


async def test_what_is_left_empty_is_refused_and_does_not_mean_them_all(gateway: Gateway) -> None:
    """As a script asks whose variable is empty: it would take somebody else for the person it meant."""
    admin = await gateway.key("admin")
    for route in ROUTES:
        for query in route.query:
            if query.name not in ("q", "cursor"):
                path = route.path.replace("{id}", "nobody")
                got = await gateway.ask("GET", f"{path}?{query.name}=", key=admin)
                assert (got.status, got.json["errors"][0]["field"]) == (422, query.name), path


async def test_a_body_of_millions_of_values_is_refused_before_it_is_read(gateway: Gateway) -> None:
    """To read one takes seconds, in which no webhook is answered."""
    for many in (b"0," * 600_001 + b"0", b"[[[[0]]]]," * 200_000 + b"0", b'{"":{}},' * 300_000 + b"0"):
        got = await gateway.ask("POST", "/v1/profiles", data=b'{"attributes": {"a": [' + many + b"]}}")
        assert (got.status, got.json["errors"]) == (
            422,
            [{"field": "", "message": "it holds more than 600,000 values"}],
        )


async def test_to_search_for_no_words_is_to_list_everybody(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    assert (await gateway.api("GET", "/v1/profiles?q=&cursor="))["items"] == [ana]


async def test_no_query_and_no_path_is_a_5xx(gateway: Gateway) -> None:
    ana = (await gateway.person(f"sms:{ANA}"))["id"]
    odd = (
        "%00",
        "%FF",
        "%ED%A0%80",
        "a" * 3000,
        "%E2%80%8B",
        "+",
        "'%3B%20DROP%20TABLE%20profiles",
        "%25",
        "%F0%9F%8E%AD",
        "-1",
        "9" * 40,
        "%0d%0a",
        "1e3",
        "%D9%A3",
    )
    for method, path in (
        ("GET", "/v1/profiles?q={}"),
        ("GET", "/v1/profiles?address={}"),
        ("GET", "/v1/profiles?address=sms:{}"),
        ("GET", "/v1/profiles?address=post:{}"),
        ("GET", "/v1/profiles?address=email:{}@example.org"),
        ("GET", "/v1/profiles?external_id={}"),
        ("GET", "/v1/profiles?tag={}"),
        ("GET", "/v1/profiles?limit={}"),
        ("GET", "/v1/profiles?cursor={}"),
        ("GET", "/v1/consent-events?cursor={}"),
        ("GET", "/v1/messages?cursor={}"),
        ("GET", "/v1/broadcasts?cursor={}"),
        ("GET", "/v1/consent-events?since={}"),
        ("GET", "/v1/consent-events?actor={}"),
        ("GET", "/v1/profiles?{}=1"),
        ("GET", "/v1/profiles/{}"),
        ("GET", "/v1/profiles/{}/history"),
        ("DELETE", "/v1/profiles/{}"),
        ("GET", f"/v1/profiles/{ana}/verdict?channel={{}}"),
        ("GET", f"/v1/profiles/{ana}/verdict?channel=sms&address={{}}"),
        ("GET", f"/v1/profiles/{ana}/verdict?channel=sms&preference={{}}"),
        ("GET", "/v1/rules/{}"),
        ("GET", "/v1/messages/{}"),
        ("GET", "/v1/messages?profile_id={}"),
        ("GET", "/v1/sandbox/messages?to={}"),
        ("GET", "/v1/broadcasts/{}/deliveries?reason={}"),
        ("POST", "/webhooks/{}"),
    ):
        for value in odd:
            got = await gateway.ask(method, path.replace("{}", value))
            assert got.status < 500, (method, path, value, got)
            if got.status >= 400:
                is_problem(got)
    for at in ("0001-01-01T00:00:00%2B14:00", "9999-12-31T23:59:59-14:00"):
        got = await gateway.ask("GET", f"/v1/consent-events?since={at}&until={at}")
        assert got.status in (200, 422), (at, got)
    assert [p["id"] for p in (await gateway.api("GET", "/v1/profiles"))["items"]] == [ana]


async def test_a_problem_never_quotes_a_secret_or_a_person(gateway: Gateway) -> None:
    key = await gateway.key()
    for body in (
        {"first_name": 7, "last_name": "Canary"},
        {"canary": "Canary"},
        {"addresses": [{"channel": "Canary", "value": "Canary"}]},
        {"timezone": "Canary"},
        {"locale": "Canary Row"},
        {"phones": ["Canary"]},
    ):
        got = await gateway.ask("POST", "/v1/profiles", json=body)
        assert got.status == 422
        assert b"Canary" not in got.body
        assert key.encode() not in got.body


async def test_every_answer_carries_the_headers_that_keep_it_private(gateway: Gateway) -> None:
    for got in (
        await gateway.ask("GET", "/v1/profiles"),
        await gateway.ask("GET", "/v1/nothing"),
        await gateway.text_in("STOP", BEN),
        await gateway.send("GET", "/healthz"),
    ):
        assert got.headers["X-Content-Type-Options"] == "nosniff"
        assert got.headers["Cache-Control"] == "no-store"
        assert got.headers["Server"] == "optgate"


async def test_a_body_that_is_wrong_throughout_is_refused_without_naming_it_all(gateway: Gateway) -> None:
    addresses = {"name": "x", "channel": "sms", "content": {"body": "x"}, "audience": {"addresses": [1] * 100_000}}
    for path, body in (("/v1/broadcasts", addresses), ("/v1/profiles", {f"x{n}": 1 for n in range(50_000)})):
        got = await gateway.ask("POST", path, json=body)
        assert (got.status, [error["field"] for error in got.json["errors"]]) == (422, [""])
        assert "things in it are wrong" in got.json["detail"]
