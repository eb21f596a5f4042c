"""The proof of work: what is a solution, and what is none whatever stands in it."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import altcha
import pytest

from forms import work
from tests.flows.posting import worked

KEY = b"k" * 32
NOW = datetime.now(UTC)  # the library looks at the time itself
ABOUT = {"form": "frm_1", "nonce": "n"}


def challenge(**more: Any) -> altcha.Challenge:
    asked = {"about": ABOUT, "expires_at": NOW + timedelta(hours=1)} | more
    return altcha.Challenge.from_dict(json.loads(work.challenge(KEY, **asked)))


@cache
def solution() -> str:
    return worked(challenge())


def told() -> dict[str, Any]:
    return dict(json.loads(b64decode(solution())))


def spelled(said: object) -> str:
    return b64encode(json.dumps(said).encode()).decode()


def is_done(text: str, *, key: bytes = KEY, now: datetime = NOW, **about: str) -> bool:
    return work.is_done(key, text, about=ABOUT | about, now=now)


def test_a_solution_is_one_for_what_it_was_asked_for_until_it_expires() -> None:
    assert is_done(solution())
    assert not is_done(solution(), form="frm_2")
    assert not is_done(solution(), nonce="m")
    assert not is_done(solution(), key=b"l" * 32)
    assert is_done(solution(), now=NOW + timedelta(minutes=59))
    assert not is_done(solution(), now=NOW + timedelta(minutes=61))


def test_nobody_is_let_off_with_few_tries() -> None:
    tries = [altcha.solve_challenge(challenge()) for _ in range(3)]
    assert all(one is not None and work.FEWEST <= one.counter < work.MOST for one in tries)


def changed(*path: str, to: object) -> Callable[[dict[str, Any]], None]:
    def change(said: dict[str, Any]) -> None:
        for name in path[:-1]:
            said = said[name]
        said[path[-1]] = to

    return change


@pytest.mark.parametrize(
    "change",
    [
        changed("solution", "derivedKey", to="00" * 32),
        changed("solution", "derivedKey", to=None),
        changed("solution", to=1),
        changed("challenge", to="x"),
        changed("challenge", "signature", to="0" * 64),
        changed("challenge", "signature", to=None),
        changed("challenge", "parameters", "cost", to=1),
        changed("challenge", "parameters", "cost", to="9" * 500),
        changed("challenge", "parameters", "keyPrefix", to=""),
        changed("challenge", "parameters", "keySignature", to=None),
        changed("challenge", "parameters", "expiresAt", to=4_000_000_000),
        changed("challenge", "parameters", "expiresAt", to="soon"),
        changed("challenge", "parameters", "expiresAt", to=None),
        changed("challenge", "parameters", "data", to={"__proto__": 1}),
        changed("challenge", "parameters", "data", to=None),
        changed("challenge", "parameters", "salt", to="not hex"),
        changed("challenge", "parameters", to=[]),
    ],
)
def test_what_was_changed_is_none(change: Callable[[dict[str, Any]], None]) -> None:
    said = told()
    change(said)
    assert not is_done(spelled(said))


NONE = ["", "x", "\u00e9", "bnVsbA==", "W10=", "Int9Ig==", "A" * 100_000, b64encode(b"[" * 1000).decode()]


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_solution_is_none(text: str) -> None:
    assert not is_done(text)
