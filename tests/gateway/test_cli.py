"""The commands, as an operator runs them, beside a running gateway that is a process of its own."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from gateway.cli import cli
from tests.gateway.warm import Parent
from tests.test_commands import commands

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_SECONDS = 60
ANA = "+14155550123"
LIBC = ctypes.CDLL(None)


def _with_rights_that_count() -> None:
    """Let files be closed to root too: the capabilities that override their rights end with the next exec.

    And let SIGINT be heard, which whoever started the tests may have had ignored.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if os.geteuid() == 0 and sys.platform == "linux":
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH; 24 is PR_CAPBSET_DROP
            LIBC.prctl(24, capability, 0, 0, 0)


@cache
def _parent() -> Parent:
    return Parent(_with_rights_that_count)


class Operator:
    """A folder with a configuration, and a shell in it."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.variables: dict[str, str] = {}
        self.write(url)

    def write(self, url: str, port: int = 0) -> None:
        sandbox = '[connections.sms]\nprovider = "sandbox"\nchannel = "sms"\ndelay_seconds = 1.0\n'
        (self.folder / "optgate.toml").write_text(
            f'[server]\nport = {port}\n[database]\nurl = "{url}"\n{sandbox}',
        )

    @property
    def environment(self) -> dict[str, str]:
        # PYTHONDONTWRITEBYTECODE would have every process compile the libraries anew, for seconds.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPTGATE_", "PYTHON"))}
        return kept | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"} | self.variables

    def command(self, *words: str | bytes) -> tuple[list[str | bytes], dict[str, Any]]:
        how = {"cwd": self.folder, "env": self.environment, "text": True, "preexec_fn": _with_rights_that_count}
        return [sys.executable, "-m", "gateway.cli", *words], how

    def run(self, *words: str | bytes) -> subprocess.CompletedProcess[str]:
        if any(not name.startswith("OPTGATE_") for name in self.variables):
            return self.run_cold(*words)  # libraries may read it when they are imported
        return _parent().run(words, self.folder, self.environment, PATIENCE_SECONDS)

    def run_cold(self, *words: str | bytes) -> subprocess.CompletedProcess[str]:
        """In a process that has imported nothing yet."""
        command, how = self.command(*words)
        return subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE_SECONDS, **how)

    @contextmanager
    def serving(self, *words: str) -> Iterator[Serving]:
        command, how = self.command("serve", *words)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
        serving = Serving(process)
        try:
            serving.wait_for_address()
            yield serving
        finally:
            process.kill()
            process.communicate()


class Serving:
    """A gateway that runs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.url = ""

    def wait_for_address(self) -> None:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line.startswith("Optgate listens on http://127.0.0.1:"), line + self.errors()
        self.url = line.split()[-1]

    def errors(self) -> str:
        self.process.kill()
        return self.process.communicate()[1]

    def stop(self) -> tuple[int, str]:
        """SIGTERM; returns the exit status and what was on standard error."""
        self.process.send_signal(signal.SIGTERM)
        errors = self.process.communicate(timeout=PATIENCE_SECONDS)[1]
        return self.process.returncode, errors

    def ask(self, path: str, *, key: str | None = None, body: Any = None) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        data = json.dumps(body).encode() if body is not None else None
        try:
            with urlopen(Request(self.url + path, data=data, headers=headers), timeout=PATIENCE_SECONDS) as answer:
                return answer.status, json.loads(answer.read())
        except HTTPError as error:
            with error:
                return error.code, json.loads(error.read())


@pytest.fixture
def operator(tmp_path: Path, make_database_url: Callable[..., str]) -> Operator:
    return Operator(tmp_path, make_database_url(migrated=False))


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Operator:
    return Operator(tmp_path, "sqlite:///optgate.db")


def said(done: subprocess.CompletedProcess[str], status: int) -> str:
    """What a command that ended so said; a failure says one thing, on standard error."""
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if status:
        assert done.stdout == ""
        return done.stderr
    return done.stdout


def test_commands_beside_a_running_gateway_take_effect_at_once(operator: Operator) -> None:
    with operator.serving() as gateway:
        key = said(operator.run("key", "create", "crm"), 0)
        assert key.strip() == key[:-1]
        assert key.startswith("og_"), "alone on standard output"
        key = key.strip()
        assert gateway.ask("/v1/profiles", key=key) == (200, {"items": [], "next": None})
        again = said(operator.run("key", "create", "crm"), 1)
        assert "there is a key named crm" in again
        reader = said(operator.run("key", "create", "reader", "--scope", "profiles:read", "--scope", "send"), 0).strip()
        assert gateway.ask("/v1/consent-events", key=reader)[0] == 403
        rows = [json.loads(line) for line in said(operator.run("key", "list", "--json"), 0).splitlines()]
        assert {row["name"]: row["scopes"] for row in rows}["reader"] == ["profiles:read", "send"]
        assert "admin" not in rows[0]["scopes"]
        said(operator.run("key", "revoke", "crm"), 0)
        assert gateway.ask("/v1/profiles", key=key)[0] == 401
        assert "no key named crm" in said(operator.run("key", "revoke", "crm"), 1)
        assert "no key named" in said(operator.run("key", "revoke", b"a\xff"), 1)
        assert gateway.ask("/webhooks/sms", body={"from": ANA, "to": "1", "body": "STOP"})[0] == 200
        assert "verifies" in said(operator.run("ledger", "verify"), 0)
        status, errors = gateway.stop()
        assert (status, "Traceback" in errors) == (0, False), errors


def test_a_request_under_way_is_answered_when_sigterm_comes(operator: Operator) -> None:
    """A send takes a second here; a STOP meanwhile waits for it, and is answered although the end has come."""
    with operator.serving() as gateway:
        key = said(operator.run("key", "create", "crm"), 0).strip()
        person = {"addresses": [{"channel": "sms", "value": ANA}], "consent": {"channels": {"sms": "yes"}}}
        assert gateway.ask("/v1/profiles", key=key, body=person)[0] == 201
        broadcast = {"name": "x", "channel": "sms", "content": {"body": "x"}, "audience": {"all": True}}
        made = gateway.ask("/v1/broadcasts", key=key, body=broadcast)[1]

        def is_sending() -> bool:
            shown = gateway.ask(f"/v1/broadcasts/{made['id']}", key=key)[1]
            return "sending" in shown["counts"]["by_status"]

        until = time.monotonic() + PATIENCE_SECONDS
        while not is_sending():
            assert time.monotonic() < until
            time.sleep(0.01)
        answers: list[tuple[int, Any]] = []
        stop = {"from": ANA, "to": "1", "body": "STOP"}
        texting = threading.Thread(target=lambda: answers.append(gateway.ask("/webhooks/sms", body=stop)))
        texting.start()
        time.sleep(0.15)  # it is on its way
        status, errors = gateway.stop()
        texting.join(PATIENCE_SECONDS)
        assert (status, [code for code, _ in answers]) == (0, [200]), errors
    with operator.serving() as gateway:
        shown = gateway.ask(f"/v1/broadcasts/{made['id']}", key=key)[1]
        assert shown["counts"]["by_status"] == {"accepted": 1}, "what was under way was written down"
        assert gateway.ask("/v1/consent-events", key=key)[1]["items"][0]["to"] == "no"


def test_one_gateway_serves_a_sqlite_file(on_sqlite: Operator) -> None:
    with on_sqlite.serving() as gateway:
        refused = said(on_sqlite.run("serve"), 1)
        assert "another gateway serves optgate.db: stop it first, or use PostgreSQL" in refused
        # A worker is for more machines on one PostgreSQL.
        assert "a worker needs PostgreSQL" in said(on_sqlite.run_cold("worker"), 1)
        assert gateway.ask("/readyz") == (200, {"status": "ready"})
        gateway.process.kill()  # and no lock outlives its process
        gateway.process.wait(PATIENCE_SECONDS)
    with on_sqlite.serving() as gateway:
        assert gateway.stop()[0] == 0


@pytest.mark.parametrize("dialect", ["postgresql"])  # on SQLite the one gateway does all the work
def test_a_worker_sends_what_is_queued_listens_to_nobody_and_ends_with_zero(operator: Operator) -> None:
    with operator.serving() as gateway:
        key = said(operator.run("key", "create", "crm"), 0).strip()
        person = {"addresses": [{"channel": "sms", "value": ANA}], "consent": {"channels": {"sms": "yes"}}}
        assert gateway.ask("/v1/profiles", key=key, body=person)[0] == 201
        later = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        broadcast = {"name": "x", "channel": "sms", "content": {"body": "x"}, "audience": {"all": True}}
        assert gateway.ask("/v1/broadcasts", key=key, body=broadcast | {"send_at": later})[0] == 202
        assert gateway.stop()[0] == 0
    command, how = operator.command("worker")
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how) as worker:
        assert worker.stdout
        assert worker.stdout.readline() == "Optgate's worker is at work\n"
        time.sleep(6)  # it is due after three, and a sandbox takes one
        worker.send_signal(signal.SIGTERM)
        rest, errors = worker.communicate(timeout=PATIENCE_SECONDS)
    assert (worker.returncode, rest, "Traceback" in errors) == (0, "", False), errors
    with operator.serving() as gateway:
        [sent] = gateway.ask("/v1/broadcasts", key=key)[1]["items"]
        assert sent["counts"]["by_status"] == {"accepted": 1}


def test_a_port_that_is_taken_is_said_so(on_sqlite: Operator) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        on_sqlite.write("sqlite:///optgate.db", port)
        assert f"port {port} is in use: set [server] port, or OPTGATE_SERVER__PORT" in said(on_sqlite.run("serve"), 1)


def test_a_new_database_is_migrated_checked_and_verified(on_sqlite: Operator) -> None:
    assert "up to date now" in said(on_sqlite.run("migrate"), 0)
    checked = said(on_sqlite.run("check"), 0)
    assert "optgate.toml can be used, 1 connection: sms" in checked
    assert "can be read, and is up to date" in checked
    assert "ledger: it verifies" in checked
    assert "equal the history's fold" in said(on_sqlite.run("ledger", "rebuild", "--check"), 0)
    assert "No violation of" in said(on_sqlite.run("verify"), 0)


COLD = (
    ("migrate",),
    ("check",),
    ("key", "create", "crm"),
    ("key", "list"),
    ("key", "revoke", "crm"),
    ("import", "people.csv"),
    ("export", "profiles"),
    ("rules", "test", "--channel", "sms", "stop"),
    ("ledger", "verify"),
    ("ledger", "rebuild"),
    ("verify",),
)


def test_each_command_does_its_work_in_a_process_of_its_own(on_sqlite: Operator) -> None:
    """What it imports, it imports itself; the other tests run commands in a process that has imported all."""
    (on_sqlite.folder / "people.csv").write_text("sms\n+14155550123\n")
    for words in COLD:
        said(on_sqlite.run_cold(*words), 0)
    known = {" ".join(words).split(" --")[0] for words in COLD}
    for name, _ in commands(cli):
        assert name in ("serve", "worker", "demo") or any(one.startswith(name) for one in known), name


def test_rules_are_tried_on_the_command_line(on_sqlite: Operator) -> None:
    said(on_sqlite.run("migrate"), 0)
    told = said(on_sqlite.run("rules", "test", "--channel", "sms", "stop it"), 0)
    assert "STOP (starts_with, built-in rule rul_builtin_sms_stop) wins: opt out" in told
    assert "channel sms becomes no" in told
    assert "reply: Example Theatre: you are unsubscribed" in told
    tried = json.loads(said(on_sqlite.run("rules", "test", "--channel", "sms", "--json", "hello"), 0))
    assert (tried["matched"], tried["normalized"], tried["review"]) == (None, "hello", False)
    words = ["rules", "test", "--channel", "sms", "please don't text me again"]
    assert "It reads like a no: marketing to the sender is held" in said(on_sqlite.run(*words), 0)
    assert json.loads(said(on_sqlite.run(*words, "--json"), 0))["review"] is True


def test_a_wrong_configuration_ends_every_command_with_two(on_sqlite: Operator) -> None:
    on_sqlite.write("sqlite:///optgate.db", port=70_000)
    for words in (["serve"], ["key", "list"]):
        assert "optgate.toml: [server] port: Input should be less than" in said(on_sqlite.run(*words), 2)
    assert "gone.toml: there is no such configuration file" in said(
        on_sqlite.run("migrate", "--config", "gone.toml"), 2
    )
    assert "No such command" in said(on_sqlite.run("serv"), 2)


def test_a_key_for_a_database_that_is_new_says_so_and_where(on_sqlite: Operator) -> None:
    """In the wrong folder it would be a key that opens nothing of the gateway's."""
    made = on_sqlite.run("key", "create", "crm")
    assert made.stdout.startswith("og_"), made
    assert f"A new database was made at sqlite:///optgate.db in {on_sqlite.folder}" in made.stderr
    assert "--config FILE" in made.stderr
    assert on_sqlite.run("key", "create", "another").stderr == ""


def test_a_key_that_cannot_be_makes_nothing(on_sqlite: Operator) -> None:
    for name in (" ", "x" * 101, "crm for sadie", "two\tparts", "two\nlines", b"a\xff", "\u202ecrm"):
        assert "a key needs a name" in said(on_sqlite.run("key", "create", name), 2), name
    assert "Invalid value for '--scope'" in said(on_sqlite.run("key", "create", "x", "--scope", "all"), 2)
    assert not (on_sqlite.folder / "optgate.db").exists()
