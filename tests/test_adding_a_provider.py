"""docs/adding-a-provider.md, followed to the letter in a copy of this house: what it says is enough, and it works."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.flows.running import ANA, BEN, CLEO, eventually
from tests.standins.lark import ACCOUNT, SECRET, TOKEN, LarkStandIn

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CHECKED = ROOT / ".mypy_cache"  # what the linters left, if they have run
ROOMS: list[str] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["root_packages"]
PAGE = (ROOT / "docs" / "adding-a-provider.md").read_text()
CAPTIONED = re.compile(r"^`([\w./]+)`(, changed)?[^`\n]*:\n\n```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CONFIG = """\
[server]
port = {port}
public_url = "http://127.0.0.1:{port}"
[sending]
quiet_hours = "off"
[connections.lark]
provider = "lark"
channel = "sms"
account = "{account}"
api_token = "{token}"
signing_secret = "{secret}"
from = "+14155550100"
stop_notice = "never"
api_url = "{api_url}"
"""


def changed(text: str, diff: str) -> str:
    """The text with the lines that the diff takes away replaced by those that it puts in."""
    lines = diff.splitlines(keepends=True)
    before, after = ("".join(line[1:] or "\n" for line in lines if line[:1] in kept) for kept in (" -\n", " +\n"))
    assert text.count(before) == 1, f"this stands there no more:\n{before}"
    return text.replace(before, after)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of this house, and in it what the page says; nothing else is changed."""
    house = tmp_path_factory.mktemp("house")
    for name in (*ROOMS, "tests"):
        shutil.copytree(ROOT / name, house / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "config.example.toml"):
        shutil.copy(ROOT / name, house)
    written = CAPTIONED.findall(PAGE)
    assert len(written) == PAGE.count("\n```") / 2, "every block has its file's name above it"
    for name, is_change, language, block in written:
        file = house / name
        assert file.exists() == (language == "diff") == bool(is_change), name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(changed(file.read_text(), block) if is_change else block)
    return house


def environment(house: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPTGATE_", "PY"))}
    return kept | {"PYTHONPATH": str(house), "PYTHONWARNINGS": "error"}


def run(house: Path, *command: str | Path, cwd: Path | None = None) -> str:
    """What a command prints that ends well."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, cwd=cwd or house, env=environment(house), capture_output=True, text=True, timeout=200, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --- the code of the page ----------------------------------------------------------------------


@pytest.mark.timeout(240)
def test_the_code_of_the_page_passes_every_linter_of_the_house(house: Path) -> None:
    files = [name for name, _, language, _ in CAPTIONED.findall(PAGE) if name.endswith(".py")]
    assert len(files) == 5
    rooms = [name for name in files if not name.startswith("tests/")]
    if CHECKED.is_dir():  # mypy takes of it what is the same here and there: all but this house's changes
        shutil.copytree(CHECKED, house / CHECKED.name)
    run(house, BIN / "mypy", "--strict", *rooms, "gateway/services.py", "gateway/checks")
    run(house, BIN / "ruff", "check", "--no-cache", *files)
    run(house, BIN / "ruff", "format", "--no-cache", "--check", *files)
    run(house, BIN / "lint-imports", "--no-cache")


@pytest.mark.timeout(240)
def test_the_tests_of_the_page_pass_and_so_do_those_of_the_configuration(house: Path) -> None:
    files = ["tests/channels/test_lark.py", "tests/flows/test_lark.py", "tests/gateway/test_settings.py"]
    told = run(house, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", "not postgresql", *files)
    assert "failed" not in told


# --- a gateway with Lark -----------------------------------------------------------------------


@dataclass
class Gateway:
    """A gateway of the copy in a process of its own; `ask` is another system."""

    folder: Path
    house: Path
    url: str
    session: aiohttp.ClientSession

    @property
    def webhook(self) -> str:
        return f"{self.url}/webhooks/lark"

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        async with self.session.request(method, self.url + path, json=body) as answer:
            told = await answer.json()
            assert answer.status < 300, told
            return told

    async def person(self, number: str, state: str = "yes") -> str:
        """Somebody new, and what they said to texts; returns the id."""
        address = {"channel": "sms", "value": number}
        made = await self.ask("POST", "/v1/profiles", {"addresses": [address], "consent": {"channels": {"sms": state}}})
        return str(made["id"])

    async def flag(self, number: str) -> str:
        [person] = (await self.ask("GET", f"/v1/profiles?address=sms:%2B{number[1:]}"))["items"]
        return str(person["consent"]["channels"]["sms"]["state"])

    async def broadcast(self, *people: str) -> str:
        wanted = {"name": "Autumn", "channel": "sms", "content": {"body": "On sale."}, "audience": {"profiles": people}}
        return str((await self.ask("POST", "/v1/broadcasts", wanted))["id"])

    async def becomes(self, broadcast: str, person: str, status: str) -> dict[str, Any]:
        """The person's delivery, once it stands like this."""

        async def look() -> dict[str, Any] | None:
            found = (await self.ask("GET", f"/v1/broadcasts/{broadcast}/deliveries"))["items"]
            return next((one for one in found if (one["profile_id"], one["status"]) == (person, status)), None)

        return await eventually(look)  # type: ignore[return-value]

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table but the one that tells when a key was used."""
        with sqlite3.connect(f"file:{self.folder / 'optgate.db'}?mode=ro", uri=True) as database:
            tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            kept = [name for name in tables if name != "api_keys"]
            return {name: sorted(map(str, database.execute(f'SELECT * FROM "{name}"'))) for name in kept}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def lark() -> AsyncIterator[LarkStandIn]:
    async with LarkStandIn() as one:
        yield one


@pytest.fixture
def served(house: Path, tmp_path: Path, lark: LarkStandIn) -> Iterator[str]:
    """The address of a running gateway of the copy."""
    port = free_port()
    (tmp_path / "optgate.toml").write_text(
        CONFIG.format(port=port, account=ACCOUNT, token=TOKEN, secret=SECRET, api_url=lark.url)
    )
    command = [sys.executable, "-m", "gateway.cli", "serve"]
    with (
        (tmp_path / "log").open("w") as log,
        subprocess.Popen(
            command, cwd=tmp_path, env=environment(house), stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Optgate listens on"), (tmp_path / "log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
    levels = [json.loads(line)["level"] for line in (tmp_path / "log").read_text().splitlines()]
    assert "error" not in levels


@pytest.fixture
async def gateway(house: Path, tmp_path: Path, served: str) -> AsyncIterator[Gateway]:
    key = await asyncio.to_thread(optgate, house, tmp_path, "key", "create", "crm")
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {key.strip()}"}) as session:
        yield Gateway(tmp_path, house, served, session)


def optgate(house: Path, folder: Path, *words: str) -> str:
    return run(house, sys.executable, "-m", "gateway.cli", *words, cwd=folder)


async def test_a_stop_by_way_of_lark_turns_the_flag_and_is_answered_once(gateway: Gateway, lark: LarkStandIn) -> None:
    await gateway.person(ANA)
    answered = await lark.text_in(gateway.webhook, "STOP", ANA, id_="lm_1")
    assert answered == (200, b'{"received":true}')
    assert await gateway.flag(ANA) == "no"
    assert "you are unsubscribed" in (await lark.sent_to(ANA))["text"]
    replay = await lark.text_in(gateway.webhook, "STOP", ANA, id_="lm_1")
    assert replay == answered
    [person] = (await gateway.ask("GET", f"/v1/profiles?address=sms:%2B{ANA[1:]}"))["items"]
    history = (await gateway.ask("GET", f"/v1/profiles/{person['id']}/history"))["items"]
    assert [(line["from"], line["to"]) for line in history] == [("yes", "no"), ("not_asked", "yes")]
    assert len(lark.log) == 1


async def test_what_lark_did_not_sign_is_403_and_nothing_is_written(gateway: Gateway, lark: LarkStandIn) -> None:
    await gateway.person(ANA)
    before = gateway.rows()
    status, _ = await lark.text_in(gateway.webhook, "STOP", ANA, id_="lm_1", secret="another secret")
    assert status == 403
    assert gateway.rows() == before
    assert await gateway.flag(ANA) == "yes"


async def test_a_broadcast_goes_to_who_said_yes_and_a_report_makes_it_delivered(
    gateway: Gateway, lark: LarkStandIn
) -> None:
    ana, ben = await gateway.person(ANA), await gateway.person(BEN, "no")
    broadcast = await gateway.broadcast(ana, ben)
    await gateway.becomes(broadcast, ana, "accepted")
    assert (await gateway.becomes(broadcast, ben, "skipped"))["reason"] == "opted_out_channel"
    message = await lark.sent_to(ANA, "On sale.")
    assert await lark.report(message, "delivered") == 200
    await gateway.becomes(broadcast, ana, "delivered")
    assert [one["to"] for one in lark.log] == [ANA]


async def test_a_5xx_is_in_doubt_never_sent_again_and_settled_by_a_report(gateway: Gateway, lark: LarkStandIn) -> None:
    lark.on[CLEO] = 503
    cleo = await gateway.person(CLEO)
    broadcast = await gateway.broadcast(cleo)
    delivery = await gateway.becomes(broadcast, cleo, "in_doubt")
    assert [attempt["state"] for attempt in delivery["attempts"]][-1:] == ["in_doubt"]
    await asyncio.sleep(3)  # longer than a first try that was certainly not sent would wait
    assert len(lark.log) == 1
    assert await lark.report(await lark.sent_to(CLEO), "sent") == 200
    await gateway.becomes(broadcast, cleo, "sent")


async def test_a_no_in_a_report_turns_the_flag(gateway: Gateway, lark: LarkStandIn) -> None:
    ana = await gateway.person(ANA)
    broadcast = await gateway.broadcast(ana)
    message = await lark.sent_to(ANA)
    assert await lark.report(message, "failed", error="recipient_opted_out") == 200
    await gateway.becomes(broadcast, ana, "failed")
    assert await gateway.flag(ANA) == "no"


async def test_check_says_what_to_give_to_lark(gateway: Gateway, house: Path, tmp_path: Path) -> None:
    told = await asyncio.to_thread(optgate, house, tmp_path, "check")
    assert f"connection lark: give lark this URL for incoming messages: {gateway.webhook}\n" in told
    assert SECRET not in told
    assert TOKEN not in told
