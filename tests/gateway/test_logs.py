"""No personal data and no secret in any log line, whatever happens: canaries through the running gateway."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import text

from gateway import logs
from gateway.settings import Settings
from store.tasks import Woken
from tests.channels.requests_as_sent import TOKEN
from tests.flows.conftest import gateway, settings, twilio  # noqa: F401 - fixtures
from tests.flows.running import OURS, Gateway, eventually
from tests.standins import twilio as answers
from tests.standins.twilio import TwilioStandIn

ROOT = Path(__file__).resolve().parents[2]
NUMBER, OTHER = "+14155550187", "+14155550188"
CANARIES = (
    "4155550187",
    "415-555-0187",
    "5550188",
    "canary-text",
    "Canaria",
    "canary@example.org",
    "crm-canary",
    "canary-attribute",
    "canary-wording",
    "US.CANARY1",
    TOKEN,
    "og_",
)


@pytest.fixture
def log_lines(capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Logs as in production, and all that was written so far, as lines."""
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    logs.set_up(pretty=False)
    written: list[str] = []

    def lines() -> list[str]:
        captured = capsys.readouterr()
        assert captured.out == ""
        written.extend(captured.err.splitlines())
        return written

    yield lines
    structlog.reset_defaults()
    root.handlers[:], root.level = before, level


@pytest.fixture
async def running(log_lines: Any, settings: Settings) -> AsyncIterator[Gateway]:  # noqa: F811
    gateway = Gateway(settings)  # noqa: F811
    await gateway.start()
    yield gateway
    await gateway.stop()


def without_canaries(lines: list[str]) -> list[dict[str, Any]]:
    """The lines, read; fails where one holds a canary."""
    for line in lines:
        for canary in CANARIES:
            assert canary.lower() not in line.lower(), f"{canary} in {line}"
    return [json.loads(line) for line in lines]


async def everybody_does_everything(gateway: Gateway) -> set[int]:  # noqa: F811
    """Requests that are accepted, refused and wrong, full of canaries; returns the statuses that were seen."""
    person = {
        "first_name": "Canaria",
        "external_id": "crm-canary",
        "attributes": {"note": "canary-attribute"},
        "tags": ["canary-text"],
        "addresses": [{"channel": "sms", "value": NUMBER}, {"channel": "email", "value": "canary@example.org"}],
        "consent": {"channels": {"sms": "yes"}, "wording": "canary-wording", "evidence": {"how": "canary-text"}},
    }
    form = gateway.form("canary-text", NUMBER)
    seen = [
        await gateway.ask("POST", "/v1/profiles", json=person),
        await gateway.ask("POST", "/v1/profiles", json=person),
        await gateway.ask("POST", "/v1/profiles", json={"canary-text": NUMBER}),
        await gateway.ask("POST", "/v1/profiles", data=b"canary-text"),
        await gateway.ask(
            "POST", "/v1/profiles", data=b"canary-text", headers={"Content-Encoding": "gzip", "Connection": "close"}
        ),
        await gateway.ask("GET", f"/v1/profiles?address=sms:{NUMBER}&q=Canaria"),
        await gateway.ask("GET", "/v1/profiles/crm-canary"),
        await gateway.ask("GET", "/canary-text/canary@example.org?canary-text"),
        await gateway.ask("GET", "/v1/profiles", key="og_canary"),
        await gateway.ask("PUT", "/v1/profiles/by-external-id/crm-canary", json={"last_name": "Canaria"}),
        await gateway.text_in("canary-text", NUMBER),
        await gateway.text_in("STOP canary-text", NUMBER, City="canary-text"),
        await gateway.whatsapp_in("STOP", "US.CANARY1", ProfileName="Canaria"),
        await gateway.post(form, signed="canary-text"),
        await gateway.post(form, token="canary-text"),
        await gateway.post(gateway.form("canary-text", "")),
        await gateway.post(form, "/webhooks/canary-text"),
        await gateway.post(gateway.form("canary-text" * 30_000, NUMBER)),
        await gateway.sandbox_in("STOP canary-text", OTHER),
        await gateway.ask("POST", "/webhooks/box", data=b'{"from": "canary-text'),
        await gateway.send("GET", "/v1/profiles", headers={"Authorization": "Bearer og_\xff\xfe canary-text"}),
    ]
    return {got.status for got in seen}


async def test_what_is_accepted_refused_or_wrong_leaves_no_canary(
    running: Gateway,
    log_lines: Any,
    twilio: TwilioStandIn,  # noqa: F811
) -> None:
    statuses = await everybody_does_everything(running)
    assert statuses >= {200, 201, 400, 401, 403, 404, 409, 413, 422}
    await running.person(f"sms:{OTHER}", consent={"channels": {"sms": "yes"}})
    await running.person(f"sms:{NUMBER}", first_name="Canaria")
    for answer in (
        answers.error(400, 21610, f"{OTHER} canary-text"),
        answers.odd(f"canary-text {OTHER}".encode()),
        answers.broken(500),
        answers.reset(),
    ):
        twilio.default = answer
        await running.text_in("START", OTHER)
        await running.sent({"all": True}, content={"body": f"canary-text for {OTHER}"})
    await running.stop()
    without_canaries(log_lines())
    await running.start()


async def test_a_webhook_that_cannot_be_understood_is_logged_by_its_fields(running: Gateway, log_lines: Any) -> None:
    assert (await running.post(running.form("canary-text", ""))).status == 400
    assert (await running.ask("POST", "/webhooks/box", data=b'{"from": "canary-text')).status == 400
    lines = without_canaries(log_lines())
    assert [(line["event"], line["connection"]) for line in lines] == [
        ("webhook.malformed", "sms"),
        ("webhook.malformed", "box"),
    ]
    assert "From" in lines[0]["why"]


def spoken() -> list[ast.Call]:
    """Each call in our own code that writes a log line, with a name of its own for the event."""
    calls = [
        call
        for room in ("gateway", "forms", "broadcasts", "inbox", "audience", "outbox", "consent", "profiles", "content",
                     "rules", "channels", "store")
        for file in (ROOT / room).rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text()))
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith(("log.", "level"))
    ]  # fmt: skip
    return [call for call in calls if isinstance(call.args[0], ast.Constant)]


def test_every_event_of_the_log_is_told_of_and_no_field_of_it_is_lost() -> None:
    told = (ROOT / "docs" / "operating.md").read_text().partition("## Logs")[2]
    events = {str(ast.literal_eval(call.args[0])) for call in spoken()}
    loops = {f"{loop.name}.failed" for loop in Woken.__subclasses__()}
    assert len(events) > 10
    assert len(loops) >= 4
    assert sorted(event for event in events | loops if f"`{event}`" not in told) == []
    fields = {keyword.arg for call in spoken() for keyword in call.keywords}
    assert fields - logs.ALLOWED == {"exc_info"}


async def test_a_failure_nobody_foresaw_is_logged_with_its_place_and_without_its_words(
    running: Gateway, log_lines: Any, dialect: str
) -> None:
    """The database itself raises, and quotes the message: 500, never a false success, and the words stay out."""
    refuse = {
        "sqlite": [
            "CREATE TRIGGER refuse BEFORE INSERT ON messages BEGIN SELECT RAISE(ABORT, 'canary-text +14155550187'); END"
        ],
        "postgresql": [
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'canary-text %', NEW.sender; END $$",
            "CREATE TRIGGER refuse BEFORE INSERT ON messages FOR EACH ROW EXECUTE FUNCTION refuse()",
        ],
    }

    async def plant(conn: Any) -> None:
        for statement in refuse[dialect]:
            await conn.execute(text(statement))

    await running.house.database.transact(plant)
    body = running.form("STOP canary-text", NUMBER)
    got = await running.post(body)
    assert (got.status, got.type) == (500, "application/problem+json")
    assert b"canary" not in got.body
    assert NUMBER.encode() not in got.body
    assert await running.rows("consent_events") == [], "nothing of it was kept"
    [line] = [line for line in without_canaries(log_lines()) if line["event"] == "request.failed"]
    assert (line["level"], line["method"], line["route"]) == ("error", "POST", "/webhooks/{connection}")
    assert line["error"].endswith("Error")
    assert "inbox/receive.py:" in line["where"]

    async def mend(conn: Any) -> None:
        await conn.execute(text("DROP TRIGGER refuse" + (" ON messages" if dialect == "postgresql" else "")))

    await running.house.database.transact(mend)
    assert (await running.post(body)).status == 200, "and the provider's retry is taken"


async def test_a_library_that_speaks_is_heard_and_not_quoted(running: Gateway, log_lines: Any) -> None:
    logging.getLogger("twilio.http_client").warning("POST To=%s Body=%s", NUMBER, "canary-text")
    try:
        raise ValueError(f"canary-text {NUMBER}")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error handling request from %s", NUMBER)
    lines = without_canaries(log_lines())
    assert [(line["event"], line["level"]) for line in lines] == [
        ("library.spoke", "warning"),
        ("library.spoke", "error"),
    ]
    assert lines[1]["error"] == "ValueError"


async def test_bytes_that_are_no_http_leave_no_canary(running: Gateway, log_lines: Any) -> None:
    port = int(running.url.rpartition(":")[2])
    for sent in (
        b"GET /canary-text HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01 canary-text +14155550187\r\n\r\n",
        b"GET /v1/profiles?q=canary-text\xff HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /webhooks/sms HTTP/1.1\r\nHost: x\r\nContent-Length: canary-text\r\n\r\n",
        b"POST /webhooks/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ncanary-text",
        b"GET /v1/profiles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfecanary-text\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(), 60)
        assert not answer.startswith((b"HTTP/1.1 5", b"HTTP/1.0 5")), answer
        writer.close()
        await writer.wait_closed()

    async def alive() -> bool:
        return (await running.send("GET", "/healthz")).status == 200

    await eventually(alive)
    await running.text_in("hello", OURS)
    lines = without_canaries(log_lines())
    assert not [line for line in lines if line["event"] in ("database.away", "request.failed")], lines


async def test_many_bad_requests_are_one_line(running: Gateway, log_lines: Any) -> None:
    async def bad() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(b"GET /canary-text HTTP/1.1\r\nHost: x\r\nContent-Length: canary-text\r\n\r\n")
        assert b" 400 Bad Request\r\n" in await asyncio.wait_for(reader.read(), 60)
        writer.close()
        await writer.wait_closed()

    for _ in range(30):
        await bad()
    lines = [line for line in without_canaries(log_lines()) if line["event"] == "library.spoke"]
    assert [(line["count"], line["level"]) for line in lines] == [(1, "error")]


def test_what_a_library_repeats_is_counted_until_it_is_said_again(log_lines: Any) -> None:
    now = 0.0
    library = logging.Logger("library")
    library.addHandler(logs.Foreign(lambda: now))
    for _ in range(5):
        library.warning("canary-text")
    library.error("canary-text", exc_info=ValueError("canary-text"))
    library.error("canary-text", exc_info=KeyError("canary-text"))
    now = logs.QUIET_SECONDS
    library.warning("canary-text")
    lines = without_canaries(log_lines())
    assert [(line["level"], line["count"], line.get("error")) for line in lines] == [
        ("warning", 1, None),
        ("error", 1, "ValueError"),
        ("error", 1, "KeyError"),
        ("warning", 5, None),
    ]


async def test_a_standard_error_that_is_closed_costs_a_line_and_no_request(
    running: Gateway, monkeypatch: pytest.MonkeyPatch, dialect: str
) -> None:
    await running.key()
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    async with running.house.database.write() as conn:
        await conn.execute(text("DROP TABLE rule_replies" + (" CASCADE" if dialect == "postgresql" else "")))
    got = await asyncio.wait_for(running.text_in("STOP", NUMBER), 60)
    assert got.status in (500, 503)
