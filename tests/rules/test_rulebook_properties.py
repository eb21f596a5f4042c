"""What holds for any rules and any text: the index agrees with reading every rule, one by one."""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rules.builtin import PACKS, builtin_rules
from rules.keywords import Rulebook
from rules.normalize import normalize, skeleton, unaccented
from rules.values import Decision, Rule

PIECES = [
    "stop",
    "STOP",
    "ЅТОР",
    "st0p",
    "arrêt",
    "arret",
    "ARRE\u0302T",
    "all",
    "a11",
    "it",
    "no",
    "n0",
    "1",
    "i",
    "l",
]
SEPARATORS = [" ", "  ", ",", "-", "'", "’", "\u2011", "–", "", ". ", "\u200b", " 🛑 ", "_", "\n", "\u0301", "- "]
RECEIVERS = [None, "+1", "whatsapp:+1", "+2"]

words = st.sampled_from(PIECES)
joined = st.lists(st.tuples(words, st.sampled_from(SEPARATORS)), min_size=1, max_size=4).map(
    lambda pairs: "".join(word + separator for word, separator in pairs)
)
texts = joined | st.text(max_size=20) | st.sampled_from(["", "👍", "🇸🇹🇴🇵", "\ud800"])


@st.composite
def rulebooks(draw: st.DrawFn) -> list[Rule]:
    count = draw(st.integers(0, 8))
    return [
        Rule(
            id=f"r{place}",
            channel=draw(st.sampled_from(["sms", "sms", "whatsapp"])),
            keyword=draw(joined | words),
            match=draw(st.sampled_from(["exact", "starts_with"])),
            action=draw(st.sampled_from(["opt_out", "opt_in", "reply_only"])),
            received_on=draw(st.sampled_from(RECEIVERS)),
            active=draw(st.sampled_from([True, True, True, False])),
            builtin=draw(st.sampled_from([None, "en"])),
        )
        for place in draw(st.permutations(range(count)))
    ]


def in_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"


def begins_with_word(text: str, keyword: str) -> bool:
    rest = text[len(keyword) :]
    goes_on = rest and (in_word(rest[0]) or (rest[0] in "-'" and len(rest) > 1 and in_word(rest[1])))
    return text.startswith(keyword) and not goes_on


def readings(text: str) -> set[str]:
    letters = skeleton(text)
    return {letters, letters.translate(str.maketrans("01", "ol")), letters.translate(str.maketrans("01", "oi"))}


def does_match(rule: Rule, text: str) -> bool:
    compare: Callable[[str, str], bool] = str.__eq__ if rule.match == "exact" else begins_with_word
    keyword, plain = unaccented(normalize(rule.keyword)), unaccented(normalize(text))
    if not keyword or not rule.active:
        return False
    if compare(plain, keyword):
        return True
    is_word = sum(character.isalpha() for character in keyword) > 1
    disguised = readings(text) | {plain}
    return rule.action == "opt_out" and is_word and any(compare(one, skeleton(rule.keyword)) for one in disguised)


def scan(rules: list[Rule], text: str, channel: str, receiver: str | None) -> Rule | None:
    """The selection, by the book: every rule is looked at."""
    number = (receiver or "").removeprefix("whatsapp:")
    listening = [
        rule
        for rule in rules
        if rule.channel == channel
        and (rule.received_on is None or rule.received_on.removeprefix("whatsapp:") == number)
    ]
    return min(
        (rule for rule in listening if does_match(rule, text)),
        key=lambda rule: (
            rule.action != "opt_out",
            rule.received_on is None,
            -len(unaccented(normalize(rule.keyword))),
            rule.match != "exact",
            rule.builtin is not None,
            rule.id,
        ),
        default=None,
    )


@settings(max_examples=400, deadline=None)
@given(rulebooks(), texts, st.sampled_from(RECEIVERS), st.none() | texts)
def test_the_index_decides_as_a_scan_of_all_rules_does(
    rules: list[Rule], text: str, receiver: str | None, payload: str | None
) -> None:
    expected = scan(rules, text, "sms", receiver)
    if expected is None and payload:
        expected = scan(rules, payload, "sms", receiver)
    book = Rulebook(rules)
    decided = book.decide(text, channel="sms", receiver=receiver, payload=payload)
    explained = book.explain(text, channel="sms", receiver=receiver, payload=payload)
    assert decided.rule == expected
    assert (explained.rule, explained.normalized) == (decided.rule, decided.normalized)
    assert decided.rule not in [other for other, _ in explained.others]
    assert all(why for _, why in explained.others)
    assert {other.channel for other, _ in explained.others} <= {"sms"}


@settings(deadline=None)
@given(rulebooks(), texts)
def test_every_rule_that_matches_is_explained(rules: list[Rule], text: str) -> None:
    explained = Rulebook(rules).explain(text, channel="sms", receiver="+1")
    mentioned = {explained.rule, *(other for other, _ in explained.others)}
    for rule in rules:
        if rule.channel == "sms" and does_match(rule, text):
            assert rule in mentioned


@settings(deadline=None)
@given(rulebooks(), texts, st.randoms())
def test_the_order_of_the_rules_makes_no_difference(rules: list[Rule], text: str, random: Any) -> None:
    before = Rulebook(rules).explain(text, channel="sms", receiver="+1")
    shuffled = random.sample(rules, len(rules))
    assert Rulebook(shuffled).explain(text, channel="sms", receiver="+1") == before


BUILTIN = Rulebook(builtin_rules(PACKS))


@given(st.text(st.characters(), max_size=100), st.text(st.characters(), max_size=20) | st.none())
def test_no_text_raises(text: str, payload: str | None) -> None:
    decision = BUILTIN.decide(text, channel="whatsapp", receiver=payload, payload=payload)
    assert isinstance(decision, Decision)
    assert BUILTIN.explain(text, channel="whatsapp", receiver=payload, payload=payload).rule == decision.rule


@given(
    st.text(st.characters() | st.sampled_from("stopSTOParАЅТОРʀᴛ🆂🆃🅰🆁🅿01"), max_size=12)
    | st.lists(st.sampled_from(["s", "Ѕ", "t", "т", "a", "а", "r", "ʀ", "n", "о", "u", "p"]), max_size=7).map("".join)
)
def test_only_its_own_letters_opt_in(text: str) -> None:
    won = BUILTIN.decide(text, channel="sms", receiver=None).rule
    if won is not None and won.action == "opt_in":
        assert unaccented(normalize(text)) == won.keyword.lower()


@given(st.text(st.characters(), min_size=1, max_size=40))
def test_what_follows_a_stop_behind_white_space_never_undoes_it(more: str) -> None:
    won = BUILTIN.decide(f"STOP {more}", channel="sms", receiver=None).rule
    marks = unicodedata.category(normalize(f"x {more}")[2:3] or "x")[0] == "M"
    assert marks or (won is not None and won.action == "opt_out")


def calls(work: Callable[[], object]) -> int:
    """Count the calls, of Python and of C, that the work makes."""
    made = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal made
        made += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(before)
    return made


def many(count: int) -> list[Rule]:
    return [
        Rule(f"r{place}", "sms", f"offer {place}", "starts_with" if place % 2 else "exact", "opt_out", f"+{place % 50}")
        for place in range(count)
    ]


@pytest.mark.parametrize("text", ["STOP", "offer 7 please", "J'ai réservé", "please tell me when the doors open"])
def test_a_decision_among_ten_thousand_rules_takes_hardly_more_steps_than_among_ten(text: str) -> None:
    few, lots = Rulebook(many(10)), Rulebook(many(10_000))
    steps = calls(lambda: few.decide(text, channel="sms", receiver="+7"))
    assert calls(lambda: lots.decide(text, channel="sms", receiver="+7")) <= steps + 20


@pytest.mark.parametrize("piece", ["a", "a ", "é", "🛑", "Ѕ ", "\u0300\u0316", " ", "\u200b", ".", "x\n"])
def test_the_steps_taken_do_not_grow_with_a_text_beyond_measure(piece: str) -> None:
    steps = calls(lambda: BUILTIN.decide(piece * 10_000, channel="sms", receiver=None))
    assert calls(lambda: BUILTIN.decide(piece * 300_000, channel="sms", receiver=None)) == steps
