"""docs/commands.md against the commands: each command and each of its options once, and none that is not there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click

from audience.exporting import EXPORTS
from gateway.cli import cli
from gateway.files import WHAT

PAGE = (Path(__file__).parent.parent / "docs" / "commands.md").read_text()
OF_ALL = {"--config", "-h", "--help"}  # said once, at the top


def commands(group: click.Group, *before: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *before, name)
        else:
            yield " ".join((*before, name)), command


def sections() -> list[tuple[str, str]]:
    """Each command's heading, and what stands below it."""
    parts = re.split(r"^### optgate (.+)$", PAGE, flags=re.MULTILINE)
    return list(zip(parts[1::2], (part.split("\n## ")[0] for part in parts[2::2]), strict=True))


def test_each_command_is_described_once_and_none_that_is_not_there() -> None:
    assert sorted(name for name, _ in sections()) == sorted(name for name, _ in commands(cli))


def test_each_option_is_described_once_and_none_that_is_not_there() -> None:
    described = dict(sections())
    for name, command in commands(cli):
        options = [o for parameter in command.params if isinstance(parameter, click.Option) for o in parameter.opts]
        rows = re.findall(r"^\| `(-[^`]+)` \|", described[name], flags=re.MULTILINE)
        assert sorted(rows) == sorted(set(options) - OF_ALL), name


def test_what_every_command_takes_is_said_at_the_top() -> None:
    top = PAGE.split("\n## ")[0]
    assert all(option in top for option in OF_ALL)
    for name, command in commands(cli):
        taken = {o for parameter in command.params for o in parameter.opts}
        assert "--config" in taken, name


def test_what_can_be_exported_is_what_is_described() -> None:
    described = dict(sections())["export"]
    assert set(WHAT) == set(EXPORTS)
    assert all(f"`{what}`" in described for what in WHAT)
