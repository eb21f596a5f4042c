"""`optgate check`: what is wrong is said in a line, what is right too, and no secret with it."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import ssl
import subprocess
import tomllib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.checks import forwards, history, listening, reviews, storage
from gateway.checks.findings import Finding
from gateway.providers.smtp import Smtp, SmtpIn
from store import tables
from store.clock import utcnow
from store.engine import Database
from store.ids import new_id
from tests.channels.loopback import OK, Behaviour, free_port, greeting, hangs, says, serving
from tests.channels.meta_requests import NUMBER_ID
from tests.channels.requests_as_sent import ACCOUNT
from tests.gateway.test_cli import Operator, said
from tests.standins import meta as meta_answers
from tests.standins import twilio as standin
from tests.standins.meta import MetaStandIn
from tests.standins.twilio import Answer, TwilioStandIn

CANARY = "canary-9f8e7d6c5b4a3f2e1d0c"
OURS = b'HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n{"status": "ok"}'
NAMED = '[organisation]\nname = "Globe"\ncontact = "x@example.org"\n'


@pytest.fixture
def operator(tmp_path: Path, make_database_url: Callable[..., str]) -> Operator:
    return Operator(tmp_path, make_database_url())


@pytest.fixture
def on_sqlite(tmp_path: Path, sqlite_template: Path) -> Operator:
    shutil.copyfile(sqlite_template, tmp_path / "optgate.db")
    return Operator(tmp_path, "sqlite:///optgate.db")


@pytest.fixture
async def twilio() -> AsyncIterator[TwilioStandIn]:
    async with TwilioStandIn(ACCOUNT, CANARY) as one:
        yield one


def configure(operator: Operator, api_url: str, *, public_url: str = "", more: str = "", token: str = CANARY) -> None:
    """A connection at Twilio, beside what the operator has."""
    file = operator.folder / "optgate.toml"
    database = file.read_text().partition("[database]")[2].partition("[")[0]
    server = f'[server]\nsecret = "{CANARY}"\n' + (f'public_url = "{public_url}"\n' if public_url else "")
    file.write_text(
        f"{server}[database]{database}{more}[connections.sms]\n"
        f'channel = "sms"\nprovider = "twilio"\naccount_sid = "{ACCOUNT}"\nauth_token = "{token}"\n'
        f'from = "+14155550100"\napi_url = "{api_url}"\n'
    )


async def check(operator: Operator, *, status: int) -> list[Finding]:
    """What it finds; the words hold no secret."""
    done = await asyncio.to_thread(operator.run, "check", "--json")
    assert done.returncode == status, done.stdout + done.stderr
    assert CANARY not in done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["ok"] is (status == 0)
    return [Finding(**one) for one in told["findings"]]


def about(found: list[Finding], name: str) -> list[str]:
    """`level: sentence` of what was found about one thing."""
    return [f"{one.level}: {one.sentence}" for one in found if one.about == name]


async def test_all_is_well_beside_a_running_gateway(operator: Operator, twilio: TwilioStandIn) -> None:
    port = free_port()
    configure(operator, twilio.url, public_url=f"http://127.0.0.1:{port}", more=NAMED)
    operator.variables["OPTGATE_SERVER__PORT"] = str(port)

    def work() -> str:
        with operator.serving():
            return said(operator.run("check"), 0)

    lines = (await asyncio.to_thread(work)).splitlines()
    # The tests' own PostgreSQL does without fsync, and is told so.
    assert all(line.startswith("ok      ") or "could be lost" in line for line in lines), lines
    told = "\n".join(lines)
    assert "configuration: optgate.toml can be used, 1 connection: sms" in told
    assert "database: it can be written" in told
    assert "ledger: it verifies: none of its 0 lines is altered, missing or added" in told
    assert "connection sms: Twilio accepts the credentials, and the account is active" in told
    assert f"HTTP POST: http://127.0.0.1:{port}/webhooks/sms#rc=5&rp=all" in told
    assert f"public url: http://127.0.0.1:{port}/healthz answers, and it is an Optgate" in told
    assert "clock: within 5 seconds of the provider's" in told
    assert CANARY not in told
    assert twilio.log == [], "it sends nothing"


# --- configuration -----------------------------------------------------------------------------


async def test_what_was_left_at_a_risky_default_is_worth_a_look(on_sqlite: Operator) -> None:
    risky = '[sending]\nquiet_hours = "off"\n[defaults]\nsms = "yes"\n'
    configure(on_sqlite, f"http://twilio.invalid:{free_port()}", more=risky)
    told = about(await check(on_sqlite, status=1), "configuration")
    assert told[0] == "ok: optgate.toml can be used, 1 connection: sms"
    assert told[1].startswith("warn: [organisation] name is not set: people are answered in the name of 'Example")
    assert told[2].startswith("warn: [organisation] contact is empty")
    assert told[3].startswith("problem: [server] public_url is http://127.0.0.1:8080, where no provider can reach")
    assert told[4].startswith("warn: [sending] quiet_hours is off")
    assert told[5].startswith("warn: [defaults] sms: who was never asked is sent marketing")
    configure(on_sqlite, "http://twilio.invalid", public_url="http://optgate.invalid", more=NAMED)
    told = about(await check(on_sqlite, status=1), "configuration")
    assert told[1:] == ["warn: [server] public_url is http://optgate.invalid: what people write comes in unencrypted; "
                        "put https in front"]  # fmt: skip


async def test_without_a_file_the_built_in_sandboxes_are_looked_at(on_sqlite: Operator) -> None:
    (on_sqlite.folder / "optgate.toml").unlink()
    on_sqlite.variables["OPTGATE_SERVER__PUBLIC_URL"] = f"http://127.0.0.1:{free_port()}"
    found = await check(on_sqlite, status=0)
    assert about(found, "configuration")[0].startswith("warn: no file is named, and none is here")
    assert about(found, "connection email") == ["ok: sandbox: nothing leaves this machine"]
    [line] = about(found, "public url")
    assert line.endswith("nothing listens there. Is the gateway running, and does your proxy lead to it?")


async def test_a_wrong_configuration_ends_it_with_two(on_sqlite: Operator) -> None:
    on_sqlite.variables["OPTGATE_SERVER__PROT"] = CANARY
    done = await asyncio.to_thread(on_sqlite.run, "check")
    assert (done.returncode, done.stdout) == (2, "")
    assert CANARY not in done.stderr


# --- database and ledger -----------------------------------------------------------------------


async def test_the_database_is_described(database: Database) -> None:
    told = [f"{one.level}: {one.sentence}" for one in await storage.findings(database)]
    assert "ok: it can be written" in told
    if database.dialect == "postgresql":
        assert any(line.startswith("ok: PostgreSQL 1") for line in told)
    else:
        assert any("with a write-ahead log" in line for line in told)
        assert any("on the disk at /" in line and line.endswith("free") for line in told)


async def test_a_disk_that_is_nearly_full_is_told(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    if database.dialect == "postgresql":
        return
    monkeypatch.setattr(storage, "LOW_BYTES", 10**18)
    assert any(one.level == "problem" and "when it is full" in one.sentence for one in await storage.findings(database))


async def test_a_database_that_is_not_there_does_not_keep_the_rest_from_being_looked_at(
    on_sqlite: Operator, twilio: TwilioStandIn
) -> None:
    (on_sqlite.folder / "optgate.db").unlink()
    configure(on_sqlite, twilio.url)
    found = await check(on_sqlite, status=1)
    assert about(found, "database")[0].startswith("problem: there is no database at sqlite:///optgate.db")
    assert about(found, "ledger") == []
    assert about(found, "connection sms")[0] == "ok: Twilio accepts the credentials, and the account is active"
    assert not (on_sqlite.folder / "optgate.db").exists()


async def test_a_line_that_was_altered_is_a_problem(on_sqlite: Operator) -> None:
    file = on_sqlite.folder / "people.csv"
    file.write_text("sms,consent.sms,how\n+14155550123,yes,desk\n")
    said(on_sqlite.run("serve", "--help"), 0)
    (on_sqlite.folder / "optgate.db").unlink()
    said(on_sqlite.run("migrate"), 0)
    said(on_sqlite.run("import", "people.csv"), 0)
    with sqlite3.connect(on_sqlite.folder / "optgate.db") as database:
        database.execute("DROP TRIGGER consent_events_no_update")
        database.execute("UPDATE consent_events SET to_state = 'no'")
    [line] = about(await check(on_sqlite, status=1), "ledger")
    assert line == "problem: 1 faults: it is not as it was written; `optgate ledger verify` names them"


async def test_a_ledger_too_long_for_the_time_is_not_said_to_be_whole(database: Database) -> None:
    heard: list[int] = []
    [told] = await history.findings(database, seconds=0.0, told=heard.append)
    assert (told.level, heard) == ("warn", [])
    assert "there was no time for more; `optgate ledger verify` reads all of them" in told.sentence
    [told] = await history.findings(database, seconds=30.0, told=heard.append)
    assert told.level == "ok", "and the connection is as good as new"


async def test_what_is_undecided_for_longer_than_the_law_allows_is_a_warning(database: Database) -> None:
    now = utcnow()
    [told] = await reviews.findings(database, now=now)
    assert told.level == "ok"

    async def wrote(conn: AsyncConnection, came_at: datetime) -> None:
        row = {"id": new_id("rev"), "message_id": new_id("msg"), "address_id": new_id("adr"), "channel": "sms"}
        row |= {"phrase": "en_spam", "status": "open", "due_at": came_at + timedelta(days=7), "created_at": came_at}
        await conn.execute(insert(tables.reviews), [row])

    await database.transact(lambda conn: wrote(conn, now - timedelta(days=6)))
    [told] = await reviews.findings(database, now=now)
    assert (told.level, told.sentence.split(",")[0]) == ("ok", "1 open")
    await database.transact(lambda conn: wrote(conn, now - timedelta(days=17)))
    [told] = await reviews.findings(database, now=now)
    assert (told.level, told.sentence.split(",")[0]) == ("warn", "2 open")
    assert "10 business days (47 CFR 64.1200(a)(10))" in told.sentence


async def test_a_message_that_goes_nowhere_is_a_warning(database: Database) -> None:
    async def goes_on(conn: AsyncConnection, connection: str, status: str) -> None:
        row = {"id": new_id("fwd"), "message_id": new_id("msg"), "connection": connection, "status": status}
        await conn.execute(insert(tables.forwards), [row | {"due_at": utcnow(), "created_at": utcnow()}])

    for connection, status in (("sms", "queued"), ("sms", "done"), ("renamed", "done")):
        await database.transact(partial(goes_on, connection=connection, status=status))
    [told] = await forwards.findings(database, going_on={"sms"})
    assert (told.level, told.sentence) == ("ok", "none is parked, 1 on the way")
    for connection, status in (("renamed", "queued"), ("sms", "parked")):
        await database.transact(partial(goes_on, connection=connection, status=status))
    renamed, sms = await forwards.findings(database, going_on={"sms"})
    assert renamed.level == sms.level == "warn"
    assert renamed.sentence.startswith("1 wait for connection renamed, which forwards nothing any more")
    assert sms.sentence.startswith("1 of connection sms were taken by nobody for three days")


# --- the provider ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (standin.error(401, 20003, "Authenticate"), "problem: Twilio does not accept the account SID with this auth"),
        (standin.error(404, 20404, "not found"), "problem: Twilio knows no such account: correct account_sid in"),
        (standin.error(429, 20429, "Too Many"), "warn: Twilio answers 429 and does not tell"),
        (standin.broken(503), "warn: Twilio answers 503 and does not tell"),
        (standin.odd(b"<html>", 200), "problem: what answers for Twilio is not its API (200): correct api_url"),
        (standin.odd(b'{"sid": "AC1"}', 200), "problem: what answers for Twilio is not its API (200)"),
        (standin.redirect("http://127.0.0.1:1/", 302), "problem: what answers for Twilio is not its API (302)"),
        (standin.reset(), "problem: Twilio cannot be reached: the connection broke"),
        (standin.odd(b"x" * 100_000, 200), "problem: what answers for Twilio is not its API (200)"),
    ],
    ids=lambda value: value.name if isinstance(value, Answer) else "",
)
async def test_what_twilio_answers_is_said_plainly(
    on_sqlite: Operator, twilio: TwilioStandIn, answer: Answer, told: str
) -> None:
    twilio.decide_account = lambda query: answer
    configure(on_sqlite, twilio.url)
    found = await check(on_sqlite, status=0 if told.startswith("warn") else 1)
    assert about(found, "connection sms")[0].startswith(told)


async def test_a_wrong_token_is_said_plainly(on_sqlite: Operator, twilio: TwilioStandIn) -> None:
    configure(on_sqlite, twilio.url, token=CANARY[::-1])
    found = await check(on_sqlite, status=1)
    assert about(found, "connection sms")[0] == (
        "problem: Twilio does not accept the account SID with this auth token: correct them in [connections.sms]; "
        "the token stands in Twilio's console"
    )
    assert CANARY[::-1] not in str(found)


async def test_an_account_that_cannot_send_or_not_to_everybody_is_told(
    on_sqlite: Operator, twilio: TwilioStandIn
) -> None:
    configure(on_sqlite, twilio.url)
    twilio.account = {"status": "suspended", "type": "Full"}
    found = await check(on_sqlite, status=1)
    assert about(found, "connection sms")[0].startswith("problem: the account at Twilio is suspended")
    twilio.account = {"status": "active", "type": "Trial"}
    found = await check(on_sqlite, status=0)
    assert about(found, "connection sms")[0].startswith("warn: Twilio accepts the credentials; a trial account sends")


async def test_nobody_at_twilios_address_is_told(on_sqlite: Operator) -> None:
    configure(on_sqlite, f"http://127.0.0.1:{free_port()}")
    found = await check(on_sqlite, status=1)
    assert about(found, "connection sms")[0] == "problem: Twilio cannot be reached: nothing listens there"


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [(-3, "ok", "within 5"), (-30, "warn", "ahead of the provider's"), (3600, "problem", "behind the provider's")],
)
async def test_a_clock_that_differs_from_the_providers_is_told(
    on_sqlite: Operator, twilio: TwilioStandIn, ahead: int, level: str, words: str
) -> None:
    def theirs() -> str:
        return format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)

    twilio.decide_account = lambda query: Answer("account", 200, headers={"Date": theirs()})
    configure(on_sqlite, twilio.url)
    [line] = about(await check(on_sqlite, status=1 if level == "problem" else 0), "clock")
    assert line.startswith(level)
    assert words in line


# --- a mail listener ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("domain", "inbound", "told"),
    [
        (
            "reply.example.org",
            'listen = "127.0.0.1:2525", authserv_id = "mx"',
            ["ok: takes mail for reply.example.org by SMTP at 127.0.0.1:2525"],
        ),
        (
            "",
            'listen = "0.0.0.0:24", protocol = "lmtp", trusted = ["10.0.0.5", "::/0"]',
            [
                "ok: takes mail for any address by LMTP at 0.0.0.0:24",
                "warn: [connections.mail] inbound_domain is not set",
                "warn: [connections.mail.inbound] authserv_id is not set: no mail is proved to be from its sender",
                "problem: [connections.mail.inbound] trusted lets everybody in",
                "warn: [connections.mail.inbound] listens at 0.0.0.0:24, unencrypted",
            ],
        ),
    ],
)
def test_what_a_mail_listener_takes_and_lets_through_is_told(domain: str, inbound: str, told: list[str]) -> None:
    connection = Smtp.model_validate(
        {
            "provider": "smtp",
            "channel": "email",
            "host": "smtp.example.org",
            "from": "hello@example.org",
            "inbound_domain": domain or None,
            "inbound": tomllib.loads(f'x = {{ provider = "smtp", {inbound} }}')["x"],
        }
    )
    assert isinstance(connection.inbound, SmtpIn)
    found = about(list(listening.findings("mail", connection, connection.inbound)), "connection mail")
    assert len(found) == len(told)
    assert all(one.startswith(words) for one, words in zip(found, told, strict=True)), found


# --- the public URL ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("behave", "told"),
    [
        (says(OURS), "ok: {url} answers, and it is an Optgate"),
        (says(OK), "problem: {url} is answered by something else (200)"),
        (says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "problem: {url} is answered by something else"),
        (says(b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n"), "problem: {url} asks for a login (401)"),
        (says(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n"), "warn: {url} is answered by a proxy that"),
        (says(b"HTTP/1.1 301 Moved\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n"), "problem: {url} leads elsewhere"),
        (says(b"220 smtp ready\r\n", then_close=True), "warn: {url} was asked in vain: the connection broke"),
    ],
)
async def test_who_answers_at_the_public_url_is_told(on_sqlite: Operator, behave: Behaviour, told: str) -> None:
    async with serving(behave) as server:
        on_sqlite.variables["OPTGATE_SERVER__PUBLIC_URL"] = server.url + "/here"
        found = await check(on_sqlite, status=1 if told.startswith("problem") else 0)
        assert server.arrivals[0].head.startswith(b"GET /here/healthz ")
    [line] = about(found, "public url")
    assert line.startswith(told.format(url=server.url + "/here/healthz"))


def certificate(folder: Path, name: str, *more: str) -> ssl.SSLContext:
    """A self-signed certificate for `name`, and a server's context with it."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-subj", "/CN=optgate", "-addext", f"subjectAltName={name}", "-keyout", folder / "key.pem",
               "-out", folder / "cert.pem", *(more or ("-days", "2"))]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return tls


@pytest.mark.parametrize(
    ("name", "believed", "told"),
    [
        ("IP:127.0.0.1", True, "ok: "),
        ("IP:127.0.0.1", False, "its certificate is self-signed, which nobody else believes"),
        ("DNS:another.example.org", True, "its certificate is for another name"),
    ],
)
async def test_trouble_with_the_certificate_is_told(
    on_sqlite: Operator, tmp_path: Path, name: str, believed: bool, told: str
) -> None:
    tls = certificate(tmp_path, name)
    if believed:
        on_sqlite.variables["SSL_CERT_FILE"] = str(tmp_path / "cert.pem")
    async with serving(says(OURS), tls) as server:
        on_sqlite.variables["OPTGATE_SERVER__PUBLIC_URL"] = server.url
        found = await check(on_sqlite, status=0 if told == "ok: " else 1)
    [line] = about(found, "public url")
    assert told in line


async def test_an_http_server_under_https_is_told(on_sqlite: Operator) -> None:
    async with greeting(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n") as port:
        on_sqlite.variables["OPTGATE_SERVER__PUBLIC_URL"] = f"https://127.0.0.1:{port}"
        [line] = about(await check(on_sqlite, status=1), "public url")
    assert "it does not speak https on that port" in line


async def test_each_answer_is_waited_for_so_long_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    from channels.http import open_session
    from gateway.checks import providers, reach
    from gateway.settings import Settings

    async with serving(hangs()) as server, open_session() as session:
        connection: dict[str, Any] = {"provider": "twilio", "channel": "sms", "account_sid": ACCOUNT,
                                      "auth_token": CANARY, "from": "+14155550100", "api_url": server.url}  # fmt: skip
        settings = Settings.model_validate({"server": {"public_url": server.url}, "connections": {"sms": connection}})
        asked = [providers.findings(settings, session, seconds=0.2), reach.findings(settings, session, seconds=0.2)]
        credentials, public = await asyncio.gather(*asked)
    assert credentials[0].sentence == "Twilio did not answer within 0.2 seconds; a firewall, perhaps"
    assert "there was no answer in time" in public[0].sentence


# --- Meta --------------------------------------------------------------------------------------


@pytest.fixture
async def meta() -> AsyncIterator[MetaStandIn]:
    async with MetaStandIn(NUMBER_ID, CANARY) as one:
        yield one


def at_meta(operator: Operator, api_url: str, *, token: str = CANARY, more: str = "") -> None:
    """A connection at Meta, beside what the operator has."""
    file = operator.folder / "optgate.toml"
    database = file.read_text().partition("[database]")[2].partition("[")[0]
    file.write_text(
        f'[server]\nsecret = "{CANARY}"\npublic_url = "https://gw.invalid"\n[database]{database}{NAMED}'
        f'[connections.cloud]\nchannel = "whatsapp"\nprovider = "meta"\nphone_number_id = "{NUMBER_ID}"\n'
        f'app_secret = "{CANARY}s"\nverify_token = "{CANARY}v"\naccess_token = "{token}"\napi_url = "{api_url}"\n{more}'
    )


async def test_meta_is_asked_and_what_to_enter_there_is_said(on_sqlite: Operator, meta: MetaStandIn) -> None:
    at_meta(on_sqlite, meta.url)
    found = await check(on_sqlite, status=0)
    assert about(found, "connection cloud") == [
        "ok: Meta accepts the access token, and it opens the number +1 415-555-0101",
        "ok: paste at Meta, under the app's WhatsApp, Configuration, Callback URL: https://gw.invalid/webhooks/cloud",
        "ok: and as Verify token what verify_token in [connections.cloud] says",
        "ok: there, subscribe to the fields messages, user_preferences and standby; no other URL is needed",
    ]
    assert about(found, "clock") == ["ok: within 5 seconds of the provider's"]
    assert meta.log == [], "it sends nothing"


async def test_numbers_that_share_an_app_are_told_to_have_urls_of_their_own(
    on_sqlite: Operator, meta: MetaStandIn
) -> None:
    second = (
        f'[connections.second]\nchannel = "whatsapp"\nprovider = "meta"\nphone_number_id = "{NUMBER_ID}"\n'
        f'app_secret = "{CANARY}s"\nverify_token = "v"\naccess_token = "{CANARY}"\napi_url = "{meta.url}"\n'
    )
    at_meta(on_sqlite, meta.url, more=second)
    last = about(await check(on_sqlite, status=0), "connection cloud")[-1]
    assert last.startswith("warn: shares its app with second: give each number its own URL")


AT_META = {
    "a wrong token": (meta_answers.NO_TOKEN, "problem: Meta does not accept access_token in [connections.cloud]"),
    "an expired one": (meta_answers.error(400, 190, "x"), "problem: Meta does not accept access_token in"),
    "no such number": (meta_answers.NO_OBJECT, "problem: there is no such number, or the token may not use it"),
    "not allowed": (meta_answers.error(403, 10, "x"), "problem: there is no such number, or the token may not use it"),
    "busy": (meta_answers.error(503, 2, "x"), "warn: Meta answers 503 and does not tell"),
    "too often": (meta_answers.error(429, 4, "x"), "warn: Meta answers 429 and does not tell"),
    "something else": (meta_answers.odd(b"<html>", 200), "problem: what answers for Meta is not its API (200)"),
    "a proxy": (meta_answers.odd(b"<html>", 403), "problem: what answers for Meta is not its API (403)"),
    "another number": (meta_answers.odd(b'{"id": "1"}', 200), "problem: what answers for Meta is not its API (200)"),
}


@pytest.mark.parametrize(("answer", "line"), AT_META.values(), ids=AT_META)
async def test_what_meta_says_is_told_in_plain_words(
    on_sqlite: Operator, meta: MetaStandIn, answer: meta_answers.Answer, line: str
) -> None:
    meta.on_look = answer
    at_meta(on_sqlite, meta.url)
    first = about(await check(on_sqlite, status=int(line.startswith("problem"))), "connection cloud")[0]
    assert first.startswith(line)


async def test_meta_that_is_not_there_is_a_problem(on_sqlite: Operator) -> None:
    at_meta(on_sqlite, f"http://127.0.0.1:{free_port()}")
    first = about(await check(on_sqlite, status=1), "connection cloud")[0]
    assert first == "problem: Meta cannot be reached: nothing listens there"
