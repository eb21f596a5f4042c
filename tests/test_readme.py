"""What the README says, done: its first steps word for word, its tables against the code."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.app import ROUTES
from gateway.cli import cli

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()


def blocks(heading: str) -> list[str]:
    """The shell commands of a section, block by block."""
    section = README.split(f"## {heading}\n")[1].split("\n## ")[0]
    return re.findall(r"```sh\n(.*?)```", section, re.DOTALL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.timeout(120)
def test_the_first_steps_work_as_they_are_written(tmp_path: Path) -> None:
    run, *steps = blocks("Try it")
    assert run.strip() == "python3 dev.py run"
    port = free_port()  # 8080 may be taken; nothing else of the text is changed
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("OPTGATE_")},
        "OPTGATE_SERVER__PORT": str(port),
        "OPTGATE_SERVER__PUBLIC_URL": f"http://127.0.0.1:{port}",
        "OPTGATE_DATABASE__URL": f"sqlite:///{tmp_path / 'optgate.db'}",
    }
    with (
        (tmp_path / "errors").open("w") as errors,
        subprocess.Popen(
            [sys.executable, "dev.py", "run"],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as gateway,
    ):
        try:
            assert gateway.stdout is not None
            until = time.monotonic() + 100
            lines: list[str] = []
            while not any("listens on" in line for line in lines):
                assert time.monotonic() < until
                line = gateway.stdout.readline()
                assert line, (tmp_path / "errors").read_text()
                lines.append(line)
            assert f"http://127.0.0.1:{port}" in lines[-1]
            script = "set -eu\n" + "".join(steps).replace("127.0.0.1:8080", f"127.0.0.1:{port}")
            done = subprocess.run(
                ["bash", "-c", script],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        finally:
            gateway.send_signal(signal.SIGTERM)
            gateway.communicate(timeout=30)
    assert gateway.returncode == 0
    said = done.stdout
    assert "you are unsubscribed" in said
    assert '"source": "keyword"' in said
    assert '"text": "STOP"' in said
    assert re.search(r'"by_status": \{\s*"accepted": 1\s*\}', said)
    assert re.search(r'"by_reason": \{\s*"opted_out_channel": 1\s*\}', said)
    assert '"body": "The autumn season is on sale."' in said
    assert "STOP (starts_with, built-in rule" in said


def test_every_command_that_the_readme_names_exists() -> None:
    for words in re.findall(r"optgate ((?:[a-z]+ ?)+)", README):
        command = cli
        for word in words.split():
            found = getattr(command, "commands", {}).get(word)
            if found is None:
                break
            command = found
        assert command is not cli or not words.split(), f"there is no command `optgate {words}`"


def test_every_path_of_the_api_that_the_readme_names_is_served_and_all_that_is_served_is_named() -> None:
    section = README.split("## The API\n")[1].split("\n## ")[0]
    named = {path.split("?")[0] for path in re.findall(r"(/v1/[^\s`,]+)", section)}
    served = {route.path for route in ROUTES} | {"/v1/openapi.json"}
    assert named <= served
    tops = {"/".join(path.split("/")[:3]) for path in served}
    assert tops <= {"/".join(path.split("/")[:3]) for path in named}
