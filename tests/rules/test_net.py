"""Patterns of words, found in one walk."""

from __future__ import annotations

import random

import pytest

from rules import net as net_module
from rules.net import BadPattern, Match, Net, parse

SHARED = {"me": parse("(me | us all)")}


def found(pattern: str, text: str) -> bool:
    net = Net([("it", parse(pattern), SHARED)], spell=str.split, marks=(".",))
    is_found = any(net.find(text.split()))
    assert net.stands_in(text.split()) == is_found
    return is_found


@pytest.mark.parametrize(
    ("pattern", "there", "not_there"),
    [
        ("no more", "please no more of it", "no and more"),
        ("(a | b c) d", "x b c d", "b d"),
        ("a b? c", "a c", "a b b c"),
        ("a (b | c d)? e", "a c d e", "a c e"),
        ("a *2 b", "a x y b", "a x y z b"),
        ("a *2 b", "a b", "a . b"),
        ("leave {me} alone", "leave us all alone", "leave all alone"),
        ("stop {me}?", "stop", "us all"),
        (". stop .", "no . stop .", ". stop it ."),
        ("(a | (b | c) d?) e", "c d e", "a d e"),
        ("a | b", "x b", "c"),
    ],
)
def test_a_pattern_stands_where_it_says(pattern: str, there: str, not_there: str) -> None:
    pattern = pattern if "|" not in pattern or pattern.startswith("(") or "(" in pattern else f"({pattern})"
    assert found(pattern, there)
    assert not found(pattern, not_there)


@pytest.mark.parametrize("pattern", ["", "a (b", "a) b", "a | b", "?", "(a | ) b", "{nobody} a", "a?", "* a", "!"])
def test_what_is_no_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(BadPattern):
        Net([("it", parse(pattern), SHARED)], spell=lambda word: word.split("!")[0].split())


def test_every_match_says_where_it_stands() -> None:
    net = Net([("no", parse("no *1 more"), {}), ("more", parse("more"), {})], spell=str.split)
    assert set(net.find(["so", "no", "no", "more"])) == {Match("no", 1, 4), Match("no", 2, 4), Match("more", 3, 4)}


def test_whether_anything_with_a_name_stands_in_a_text_is_what_a_search_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over ever other texts, and while what is remembered is forgotten again and again."""
    monkeypatch.setattr(net_module, "_MOST_HELD", 50)
    patterns = ["a *3 b", "(a | b c) *2 d", "b b? c", "c *3 a a"]
    named = [(one, parse(one), {}) for one in patterns]
    net = Net([*named, (None, parse("(x | b a)"), {})], spell=str.split, marks=(".",))
    chance = random.Random(5)
    seen = set()
    for _ in range(3_000):
        words = [chance.choice("abcdxyz.") for _ in range(chance.randrange(12))]
        there = any(match.name is not None for match in net.find(words))
        assert net.stands_in(words) == there, words
        seen.add(there)
    assert seen == {True, False}
    assert net._held <= 50 + len(net._words) + 1
