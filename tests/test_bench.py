"""The measurements are asked for by name; what they measure is told in docs/benchmarks.md."""

from __future__ import annotations

import inspect

import pytest

from bench.__main__ import NAMES, asked


def test_all_are_run_where_none_is_named() -> None:
    modules, chosen = asked([])
    assert list(chosen) == list(NAMES)
    for module in modules.values():
        assert list(inspect.signature(module.main).parameters) == ["chosen"]


@pytest.mark.parametrize("name", NAMES)
def test_one_is_run_by_its_name(name: str) -> None:
    modules, chosen = asked([name, "--json", "figures.jsonl"])
    assert list(chosen) == [name]
    assert str(chosen[name].json) == "figures.jsonl"
    assert modules[name].__doc__
