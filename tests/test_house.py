"""What the house promises: pinned and free of hosts, rooms on floors, one tool that every alias leads to."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CONFIG: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS: list[str] = CONFIG["tool"]["importlinter"]["root_packages"]
REQUIREMENTS = [ROOT / "requirements" / "run.txt", ROOT / "requirements" / "dev.txt"]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+)", re.MULTILINE)
HASHED = re.compile(r"[a-z0-9-]+==\S+( ; [^;]+?)?( +--hash=sha256:[0-9a-f]{64})+")


@pytest.fixture(scope="module")
def dev() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dev", ROOT / "dev.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)


# --- what is installed -------------------------------------------------------------------------


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_requirements_name_no_host(file: Path) -> None:
    assert not re.search(r"://|www\.|index|find-links|trusted", file.read_text())


@pytest.mark.parametrize("file", REQUIREMENTS, ids=lambda file: file.name)
def test_every_requirement_is_pinned_and_hashed(file: Path) -> None:
    requirements = file.read_text().replace("\\\n", " ").splitlines()
    assert requirements
    for requirement in requirements:
        assert HASHED.fullmatch(requirement), requirement[:60]


def test_the_tests_run_what_users_run() -> None:
    run_pins, dev_pins = (dict(PIN.findall(file.read_text())) for file in REQUIREMENTS)
    assert run_pins.items() <= dev_pins.items()


def test_nothing_that_users_run_is_copyleft() -> None:
    for name, _ in PIN.findall((ROOT / "requirements" / "run.txt").read_text()):
        about = importlib.metadata.metadata(name)
        licences = [*(about.get_all("License-Expression") or []), *(about.get_all("License") or [])]
        licences += [line for line in about.get_all("Classifier") or [] if line.startswith("License ::")]
        assert licences, f"{name} does not state its licence"
        assert not re.search(r"\b[AL]?GPL|GNU", " ".join(licences)), f"{name}: {licences}"


# --- rooms and floors --------------------------------------------------------------------------


def test_every_room_is_known_to_every_tool() -> None:
    packages = {file.parent.name for file in ROOT.glob("*/__init__.py")} - {"bench", "tests"}
    layers = CONFIG["tool"]["importlinter"]["contracts"][0]["layers"]
    on_a_floor = {room for layer in layers for room in layer.split(" | ") if not room.startswith("(")}
    assert packages == set(ROOMS) == on_a_floor
    assert packages <= set(CONFIG["tool"]["mypy"]["files"])
    assert packages == {name.rstrip("*") for name in CONFIG["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert packages <= {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}


@pytest.mark.parametrize("room", ROOMS)
def test_a_package_opens_with_a_docstring_and_nothing_else(room: str) -> None:
    for file in (ROOT / room).rglob("__init__.py"):
        tree = ast.parse(file.read_text())
        assert ast.get_docstring(tree), file
        assert len(tree.body) == 1, file


def test_rooms_import_only_rooms_on_floors_below() -> None:
    linted = run(BIN / "lint-imports", "--no-cache")
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize(
    ("room", "planted", "contract"),
    [
        ("rules", "import store", "Each room imports only rooms on floors below"),
        ("profiles", "import consent", "Each room imports only rooms on floors below"),
        ("outbox", "import gateway", "Each room imports only rooms on floors below"),
        ("forms", "from consent import ledger", "One pen"),
        ("gateway", "def late():\n    import consent.ledger", "One pen"),
        ("rules", "import sqlalchemy", "Rules are pure"),
    ],
)
def test_an_import_that_breaks_a_contract_is_caught(tmp_path: Path, room: str, planted: str, contract: str) -> None:
    for name in ROOMS:
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / room / "planted.py").write_text(planted + "\n")
    linted = run(BIN / "lint-imports", "--no-cache", cwd=tmp_path)
    assert linted.returncode == 1
    broken = [line for line in linted.stdout.splitlines() if line.endswith("BROKEN")]
    assert len(broken) == 1, linted.stdout
    assert broken[0].startswith(contract)
    assert f"{room}.planted" in linted.stdout


# --- the ways in -------------------------------------------------------------------------------


def test_dev_py_can_be_read_by_an_old_python() -> None:
    ast.parse((ROOT / "dev.py").read_text(), feature_version=(3, 6))


@pytest.mark.parametrize(("platform", "remedy"), [("linux", "apt-get install -y git python3-venv"), ("darwin", "brew")])
def test_an_old_python_is_told_what_to_do(
    dev: ModuleType, monkeypatch: pytest.MonkeyPatch, platform: str, remedy: str
) -> None:
    monkeypatch.setenv("PATH", "")
    told = dev.too_old((3, 9, 2), platform)
    assert told.startswith("Optgate needs Python 3.11 or newer; this is 3.9.2.\n")
    assert remedy in told


def test_an_old_python_is_told_of_a_newer_one(dev: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    newer = tmp_path / "python3.12"
    newer.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert dev.too_old((3, 9, 2), "linux").endswith("python3.12 dev.py")


def test_a_python_without_venv_is_told_what_to_do(dev: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dev.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="apt-get install -y git python3-venv"):
        dev.create()


GATEWAY = """\
import sys

def main():
    print(*sys.argv[1:], sep="|")
    return 7
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A house that requires nothing, set up: what dev.py does by itself, without an installation's minute."""
    house = tmp_path_factory.mktemp("house") / "with blanks"
    for folder in ("requirements", "gateway"):
        (house / folder).mkdir(parents=True)
    shutil.copy(ROOT / "dev.py", house)
    (house / "requirements" / "run.txt").touch()
    (house / "gateway" / "cli.py").write_text(GATEWAY)
    set_up = run(sys.executable, "dev.py", "setup", "--run-only", cwd=house)
    assert set_up.returncode == 0, set_up.stdout + set_up.stderr
    return house


def test_setup_makes_optgate_a_command(house: Path) -> None:
    called = run(house / ".venv" / "bin" / "optgate", "key", "create", "a name", cwd=house.parent)
    assert (called.stdout, called.returncode) == ("key|create|a name\n", 7)


def test_run_starts_the_gateway_with_the_first_steps_and_what_was_asked(house: Path) -> None:
    called = run(sys.executable, "dev.py", "run", "--config", "my.toml", cwd=house)
    assert (called.stdout, called.returncode) == ("serve|--first-steps|--config|my.toml\n", 7)


def test_setup_does_nothing_twice(house: Path) -> None:
    again = run(sys.executable, "dev.py", "setup", "--run-only", cwd=house)
    assert again.stdout.splitlines() == [f"Ready: {house / '.venv' / 'bin' / 'optgate'}"]


def test_setup_starts_over_after_one_that_was_cut_short(house: Path, tmp_path: Path) -> None:
    shutil.copytree(house, tmp_path / "house", symlinks=True)
    (tmp_path / "house" / ".venv" / "optgate-stamp").write_text("")
    again = run(sys.executable, "dev.py", "setup", "--run-only", cwd=tmp_path / "house")
    assert again.stdout.startswith("Making .venv"), again.stderr
    assert run(tmp_path / "house" / ".venv" / "bin" / "optgate").returncode == 7


def test_make_targets_are_commands_of_dev_py() -> None:
    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    listed = run(sys.executable, "dev.py", "--help").stdout
    for target in phony[1].split():
        assert re.search(rf"^    {target} ", listed, re.MULTILINE)
        assert run(sys.executable, "dev.py", target, "--help").returncode == 0


def test_the_dockerfile_passes_hadolint() -> None:
    linted = run(BIN / "hadolint", "Dockerfile")
    assert linted.returncode == 0, linted.stdout


def test_ci_is_a_script_that_can_be_run() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert run("bash", "-n", script).returncode == 0
