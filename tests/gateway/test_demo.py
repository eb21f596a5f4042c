"""`optgate demo`: the story is told by the real gateway, and nothing is left of it."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.gateway.test_cli import PATIENCE_SECONDS, Operator, Serving, said


@pytest.fixture
def visitor(tmp_path: Path) -> Operator:
    """Somebody in a folder with a configuration of their own, and an empty place for what is temporary."""
    (tmp_path / "here").mkdir()
    (tmp_path / "temporary").mkdir()
    visitor = Operator(tmp_path / "here", "sqlite:///mine.db")
    visitor.variables["TMPDIR"] = str(tmp_path / "temporary")
    return visitor


def nothing_is_left(visitor: Operator) -> bool:
    left = [*visitor.folder.iterdir(), *Path(visitor.variables["TMPDIR"]).iterdir()]
    return [file.name for file in left] == ["optgate.toml"]


@contextmanager
def running(visitor: Operator, *words: str) -> Iterator[subprocess.Popen[str]]:
    command, how = visitor.command("demo", *words)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_the_story_is_told_to_its_end_and_nothing_is_left(visitor: Operator) -> None:
    with (visitor.folder / "optgate.toml").open("a") as file:
        file.write('[organisation]\nname = "The Globe"\n')
    done = visitor.run("demo")
    told = said(done, 0)
    assert done.stderr == ""
    assert max(map(len, told.splitlines())) <= 80
    assert "\x1b" not in told, "no colours where nobody sees them"
    words = " ".join(told.split())
    assert "how a call may end: No more texts, No more calls, Do not contact, Wrong number" in words
    assert "Cleo texts START is answered The Globe: you are subscribed" in words
    first, second = re.findall(r"to everybody .*?(?=\d\. )", words)
    assert "Ana sent Ben skipped: opted_out_everything" in first
    assert "Cleo sent Diego skipped: not_opted_in" in first
    assert "Ana texts Stop, please! is answered The Globe: you are unsubscribed" in words
    assert "Ana skipped: opted_out_channel (said no to SMS)" in second
    assert 'sms: yes becomes no, by keyword proof "Stop, please!"' in words
    assert "All 4 lines hold: none is altered, missing or added" in words
    assert nothing_is_left(visitor)


def test_it_goes_on_running_until_it_is_stopped(visitor: Operator) -> None:
    with running(visitor, "--keep-running") as process:
        assert process.stdout is not None
        lines: list[str] = []
        while not any("Authorization" in line for line in lines):
            lines.append(process.stdout.readline())
            assert lines[-1], process.communicate()[1]
        serving = Serving(process)
        [serving.url] = [line.split()[1] for line in lines if line.startswith("  URL ")]
        [key] = [line.split()[1] for line in lines if line.startswith("  key ")]
        assert len(serving.ask("/v1/profiles", key=key)[1]["items"]) == 4
        assert serving.ask("/webhooks/sms", body={"from": "+14155550101", "to": "1", "body": "STOP"})[0] == 200
        process.send_signal(signal.SIGINT)
        errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
        assert (process.returncode, errors) == (0, "")
    assert nothing_is_left(visitor)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_has_seen_enough_leaves_nothing_either(visitor: Operator, number: signal.Signals) -> None:
    with running(visitor) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("Optgate:")
        process.send_signal(number)
        errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
        assert (process.returncode, errors) == (130, "")
    assert nothing_is_left(visitor)
