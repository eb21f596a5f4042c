"""What `deploy/` and docs/operating.md say fits the code: options, commands, ports, limits; and every file is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from channels.mail import adapter as mail
from channels.meta import adapter as meta
from channels.twilio import adapter as twilio
from gateway.api.bodies import BYTES as BODY_BYTES
from gateway.cli import cli
from gateway.connections import Limits
from gateway.door import BACKLOG, DRAIN_SECONDS, RESERVED_FILES
from gateway.providers.known import PROVIDERS
from gateway.settings import Settings, load
from outbox.lines import CONCURRENCY

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
WRAPPER = (DEPLOY / "optgate").read_text()
UNIT = (DEPLOY / "optgate.service").read_text()
CADDY = (DEPLOY / "Caddyfile").read_text()
OPERATING = (ROOT / "docs" / "operating.md").read_text()
FILES = Limits().connections + RESERVED_FILES + CONCURRENCY + 2 * BACKLOG
GIVEN = {"SITE": "optgate.example.org", "POSTGRES_PASSWORD": "secret"}  # what stands in .env


def filled(text: str) -> str:
    """With the variables of .env, as compose puts them in."""
    return re.sub(r"\$\{(\w+)(:\?[^}]*)?\}", lambda found: GIVEN[found[1]], text)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """The example configuration, under the variables of the compose file."""
    for name in [name for name in os.environ if name.startswith("OPTGATE_")]:
        monkeypatch.delenv(name)
    for name, value in COMPOSE["services"]["optgate"]["environment"].items():
        if name != "OPTGATE_CONFIG":
            monkeypatch.setenv(name, filled(value))
    return load(Path(shutil.copy(ROOT / "config.example.toml", tmp_path / "optgate.toml")))


def test_the_compose_file_configures_the_gateway_behind_its_own_proxy(settings: Settings) -> None:
    assert settings.server.public_url == "https://optgate.example.org"
    assert settings.database.url == "postgresql://optgate:secret@database/optgate"
    [trusted] = settings.server.trusted_proxies
    assert trusted == COMPOSE["services"]["proxy"]["networks"]["front"]["ipv4_address"]
    [front] = COMPOSE["networks"]["front"]["ipam"]["config"]
    assert ip_address(trusted) in ip_network(front["subnet"])
    assert ip_address(trusted) not in ip_network(front["ip_range"]), "nobody else is given the proxy's address"


def test_what_the_compose_file_names_is_there() -> None:
    services = COMPOSE["services"]
    assert (DEPLOY / services["optgate"]["build"] / "Dockerfile").is_file()
    made = {"./optgate.toml"}  # by the operator, as the first lines say
    for service in services.values():
        for source in (volume.split(":")[0] for volume in service.get("volumes", ())):
            assert source in COMPOSE["volumes"] or source in made or (DEPLOY / source).is_file(), source
        assert set(service.get("networks", ())) <= COMPOSE["networks"].keys()
        assert set(service.get("depends_on", ())) <= services.keys()
    for copied in re.findall(r"cp (\S+) optgate.toml", (DEPLOY / "compose.yaml").read_text()):
        assert (DEPLOY / copied).is_file()


def test_ports_and_times_are_those_of_the_image_and_the_code() -> None:
    optgate = COMPOSE["services"]["optgate"]
    exposed = re.search(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE)
    assert exposed
    assert optgate["expose"] == [exposed[1]]
    assert f"reverse_proxy optgate:{exposed[1]}" in CADDY
    assert "ports" not in optgate, "nobody comes past the proxy"
    assert int(optgate["stop_grace_period"].removesuffix("s")) > DRAIN_SECONDS
    assert optgate["ulimits"]["nofile"] >= FILES
    assert "{$SITE}" in CADDY
    assert "SITE" in COMPOSE["services"]["proxy"]["environment"]


def unit(name: str) -> list[str]:
    return re.findall(rf"^{name}=(.*)$", UNIT, re.MULTILINE)


def test_the_unit_runs_a_command_that_there_is_with_files_enough() -> None:
    [start] = unit("ExecStart")
    program, command, *options = shlex.split(start)
    assert program.endswith("/.venv/bin/optgate")
    known = {option for parameter in cli.commands[command].params for option in parameter.opts}
    assert [option for option in options if option.startswith("-")] == ["--config"]
    assert "--config" in known
    assert int(unit("LimitNOFILE")[0]) >= FILES
    assert int(unit("TimeoutStopSec")[0]) > DRAIN_SECONDS
    for copied in re.findall(r"install .*? ((?:deploy/)?\S+) /(?:etc|usr)", UNIT):
        assert (ROOT / copied).is_file(), copied


# --- commands beside it ------------------------------------------------------------------------


def test_a_command_is_run_as_the_unit_runs_the_gateway() -> None:
    """Who it is, where, with which files: all that decides which database is found, and whether it can be written."""
    given = dict(re.findall(r"--property=(\w+)=(\S+)", WRAPPER))
    assert given == {name: unit(name)[0] for name in given}
    assert {"DynamicUser", "User", "StateDirectory", "WorkingDirectory", "LoadCredential", "EnvironmentFile"} <= set(
        given
    )
    program = shlex.split(unit("ExecStart")[0])
    assert f"exec {program[0]} " in WRAPPER
    assert program[-1].replace("%d", "$CREDENTIALS_DIRECTORY") in WRAPPER


_STAND_INS = """set -eu
docker() {  # compose exec [-T] optgate COMMAND…, or compose run --rm optgate ARGUMENTS…, which the entrypoint takes
    local how=$2
    shift 2
    case $1 in -T | --rm) shift ;; esac
    [ "$1" = optgate ]
    shift
    if [ "$how" = run ]; then optgate "$@"; else "$@"; fi
}
"""


def blocks(heading: str) -> list[str]:
    """The shell commands of a section of docs/operating.md."""
    section = OPERATING.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


@pytest.mark.parametrize("how", ["systemd", "compose"])
def test_the_commands_that_operators_are_told_of_work_as_they_are_written(how: str, tmp_path: Path) -> None:
    """Everything but systemd and docker themselves; the folders they keep are folders of ours here."""
    told = [block for block in blocks("Commands beside the gateway") if ("docker" in block) == (how == "compose")]
    assert len(told) >= 2
    bin_, state = tmp_path / "bin", tmp_path / "state"
    for folder in (bin_, state):
        folder.mkdir()
    program = f'#!/bin/sh\nexec {sys.executable} -m gateway.cli "$@"\n'
    if how == "systemd":  # the real wrapper; systemd-run does what it is told, but for the properties
        program = WRAPPER.replace("/opt/optgate/.venv/bin/optgate", f"{sys.executable} -m gateway.cli")
        (bin_ / "systemd-run").write_text(
            f'#!/bin/sh\nwhile case $1 in -*) ;; *) false ;; esac; do shift; done\ncd {state}\nexec "$@"\n'
        )
        (bin_ / "systemd-run").chmod(0o755)
    (bin_ / "optgate").write_text(program)
    (bin_ / "optgate").chmod(0o755)
    (tmp_path / "people.csv").write_text("sms,consent.sms,how\n+14155550123,yes,desk\n")
    (tmp_path / "optgate.toml").write_text(
        f'[server]\npublic_url = "http://127.0.0.1:1"\n[database]\nurl = "sqlite:///{tmp_path}/optgate.db"\n'
        '[connections.sms]\nprovider = "sandbox"\nchannel = "sms"\n'
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPTGATE_")}
    environment |= {
        "PATH": f"{bin_}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "CREDENTIALS_DIRECTORY": str(tmp_path),
    }
    if how == "compose":
        environment["OPTGATE_CONFIG"] = str(tmp_path / "optgate.toml")
    script = "".join(told).replace("/tmp" if how == "compose" else "/var/lib/optgate", str(state))
    subprocess.run([bin_ / "optgate", "migrate"], env=environment, check=True, cwd=tmp_path, capture_output=True)
    done = subprocess.run(
        ["bash", "-c", _STAND_INS + script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The ledger verifies" in done.stdout
    assert "1 rows: 1 created" in done.stdout
    assert "database: it can be written" in done.stdout
    assert (tmp_path / "consent-events.csv").read_text().startswith("seq,id,")
    assert list(state.glob("people*")) == [], "people are not left lying about"


def test_the_wrapper_can_be_executed() -> None:
    assert (DEPLOY / "optgate").stat().st_mode & stat.S_IXUSR


def test_every_command_of_the_page_is_one_that_there_is() -> None:
    commands = re.findall(r"^optgate (\w+)", "".join(re.findall(r"```sh\n(.*?)```", OPERATING, re.DOTALL)), re.M)
    assert set(commands) >= {"key", "check", "ledger"}
    assert set(commands) <= set(cli.commands)


def test_every_variable_that_operators_are_told_of_is_an_option() -> None:
    text = "".join((UNIT, CADDY, OPERATING, (DEPLOY / "compose.yaml").read_text()))
    for section, option in re.findall(r"OPTGATE_([A-Z]+)__([A-Z_]+)", text):
        known = Settings.model_fields[section.lower()].annotation
        if section == "CONNECTIONS":
            secret = option.partition("__")[2].lower()
            assert any(secret in provider.model_fields for provider in PROVIDERS.values()), option
        else:
            assert option.lower() in getattr(known, "model_fields", {}), f"{section}__{option}"


def test_every_limit_that_operators_are_told_of_is_the_code_s() -> None:
    limits = Limits()
    table = OPERATING.split("## Limits and deadlines")[1].split("\n## ")[0]
    for words in (
        f"{limits.head_seconds:.0f} s |",
        f"{limits.body_seconds:.0f} s, and a second more for each {limits.body_bytes_a_second // 1024} KiB",
        f"{limits.answer_seconds:.0f} s | closed",
        f"{limits.idle_seconds:.0f} s | closed",
        f"{limits.connections:,}, or fewer",
        f"{limits.body_bytes // 1024**2} MiB | the oldest",
        f"{BODY_BYTES // 1024**2} MiB | 413",
        f"{twilio.BODY_BYTES // 1024} KiB; of Meta's {meta.BODY_BYTES // 1024**2} MiB; "
        f"of e-mail {mail.BODY_BYTES // 1024**2} MiB | 413",
        f"{DRAIN_SECONDS:.0f} s | cut off",
    ):
        assert words in table, words
    assert f"keeps an idle connection for {limits.idle_seconds:.0f} seconds" in OPERATING


def test_every_file_that_the_page_names_is_there() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", OPERATING):
        assert (ROOT / "docs" / link).exists(), link
    assert (ROOT / "gateway" / "connections.py").is_file()


@pytest.mark.parametrize("kept", ["optgate.toml", ".env"])
def test_what_an_operator_makes_in_deploy_is_never_committed(kept: str) -> None:
    assert kept in (ROOT / ".gitignore").read_text().splitlines()
