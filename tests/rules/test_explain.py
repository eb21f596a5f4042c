"""Why the other rules lost."""

from __future__ import annotations

from typing import Any

import pytest

from rules.builtin import PACKS, builtin_rules
from rules.keywords import Rulebook
from rules.values import Rule


def rule(rule_id: str, keyword: str, **fields: Any) -> Rule:
    return Rule(
        **{"id": rule_id, "channel": "sms", "keyword": keyword, "match": "exact", "action": "opt_out", **fields}
    )


def reasons(rules: list[Rule], text: str, receiver: str | None = "+1", payload: str | None = None) -> dict[str, str]:
    explained = Rulebook(rules).explain(text, channel="sms", receiver=receiver, payload=payload)
    return {other.id: why for other, why in explained.others}


WINS = rule("wins", "stop it", received_on="+1")


@pytest.mark.parametrize(
    ("loser", "text", "why"),
    [
        (rule("it", "stop it", action="opt_in"), "stop it", "an opt-out rule wins"),
        (rule("it", "stop it", action="reply_only", received_on="+1"), "stop it", "an opt-out rule wins"),
        (rule("it", "stop it"), "stop it", "a rule for this number wins"),
        (rule("it", "stop", match="starts_with", received_on="+1"), "stop it", "shorter keyword"),
        (rule("it", "stop it", match="starts_with", received_on="+1"), "stop it", "exact wins"),
        (
            rule("it", "stop it", received_on="+1", builtin="en"),
            "stop it",
            "a rule of your own wins over a built-in one",
        ),
        (rule("xit", "stop it", received_on="+1"), "stop it", "another rule for the same keyword comes first"),
        (rule("it", "stop it", active=False), "stop it", "inactive"),
        (rule("it", "stop it", active=False, received_on="+2"), "stop it", "inactive"),
        (rule("it", "stop it", received_on="+2"), "stop it", "for another number"),
        (rule("it", "stop"), "stop it", "the message goes on after the keyword, and the rule is exact"),
        (rule("it", "st", match="starts_with"), "stop it", "the keyword is only the beginning of a word"),
        (rule("it", "it", match="starts_with"), "stop it", "the message does not begin with the keyword"),
        (rule("it", "stop it", action="opt_in"), "ЅТОР it", "look-alike letters count for opt-out words only"),
    ],
)
def test_a_loser_hears_why(loser: Rule, text: str, why: str) -> None:
    assert reasons([loser, WINS], text) == {loser.id: why}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Cancel my booking", {"it": "the message goes on after the keyword, and the rule is exact"}),
        ("cancelled", {"it": "the keyword is only the beginning of a word"}),
        ("please cancel!", {"it": "the message does not begin with the keyword"}),
        ("please cancel, now", {"it": "the message does not begin with the keyword"}),
        ("please cancelled", {}),
        ("something else", {}),
        ("", {}),
        ("CANCEL" + " " * 5_000 + "x" * 5_000, {"it": "the message goes on after the keyword, and the rule is exact"}),
    ],
)
def test_a_near_miss_is_explained_though_nothing_matches(text: str, why: dict[str, str]) -> None:
    assert reasons([rule("it", "CANCEL")], text) == why


def test_a_mailbox_is_no_number() -> None:
    rules = [rule("it", "STOP", channel="email", received_on="a@example.org")]
    explained = Rulebook(rules).explain("stop", channel="email", receiver="b@example.org")
    assert [why for _, why in explained.others] == ["for another mailbox"]


def test_rules_of_other_channels_are_not_mentioned() -> None:
    assert reasons([rule("it", "STOP"), rule("whatsapp", "STOP", channel="whatsapp")], "stop") == {}


def test_a_payload_that_decides_is_what_the_others_are_held_against() -> None:
    rules = [rule("out", "STOP", match="starts_with"), rule("exact", "STOP"), rule("offers", "NO MORE OFFERS PLEASE")]
    assert reasons(rules, "No more offers", payload="stop now") == {
        "exact": "the message goes on after the keyword, and the rule is exact"
    }


def test_those_that_matched_stand_before_those_that_nearly_did() -> None:
    explained = Rulebook(builtin_rules(PACKS)).explain("Stop all this", channel="sms", receiver=None)
    assert explained.rule is not None
    assert explained.rule.keyword == "STOP ALL"
    assert [(other.keyword, why) for other, why in explained.others] == [("STOP", "shorter keyword")]
    explained = Rulebook([rule("a", "no"), rule("b", "no thanks", active=False)]).explain(
        "no thanks", channel="sms", receiver=None
    )
    assert [(other.id, why) for other, why in explained.others] == [
        ("b", "inactive"),
        ("a", "the message goes on after the keyword, and the rule is exact"),
    ]


def test_decide_tells_no_reasons() -> None:
    assert Rulebook([WINS, rule("it", "stop it")]).decide("stop it", channel="sms", receiver="+1").others == ()
