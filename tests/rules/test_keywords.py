"""Which texts a keyword matches, and which rule wins."""

from __future__ import annotations

from typing import Any

import pytest

from rules.builtin import PACKS, builtin_rules
from rules.keywords import LONGEST_KEYWORD, Rulebook, check_keyword
from rules.values import Rule

BUILTIN = Rulebook(builtin_rules(PACKS))


def rule(rule_id: str, keyword: str, **fields: Any) -> Rule:
    return Rule(
        **{"id": rule_id, "channel": "sms", "keyword": keyword, "match": "exact", "action": "opt_out", **fields}
    )


def winner(rules: Rulebook | list[Rule], text: str, receiver: str | None = None, **more: Any) -> str | None:
    book = rules if isinstance(rules, Rulebook) else Rulebook(rules)
    won = book.decide(text, channel=more.pop("channel", "sms"), receiver=receiver, **more).rule
    return won.id if won else None


def matches(keyword: str, text: str, **fields: Any) -> bool:
    return winner([rule("it", keyword, **fields)], text) == "it"


@pytest.mark.parametrize(
    "text",
    [
        "STOP",
        "stop",
        "Stop",
        " stop ",
        "STOP!",
        "STOP!!!",
        "stop.",
        "«Stop»",
        "'STOP'",
        "'STOP' please",
        '"stop" please',
        "stop please",
        "Stop, please",
        "stop,now",
        "STOP. I mean it",
        "STOP\nI mean it",
        "STOP\tplease",
        "stop\u00a0please",
        "stop… now",
        "stop—please",
        "stop–please",
        "stop--please",
        "stop - please",
        "stop- please",
        "STOP/START",
        "STOP(all)",
        "stop:please",
        "STOP🛑please",
        "🛑🛑🛑 STOP 🛑🛑🛑",
        "STOP_IT",
        "stop 2 me",
        "#stop",
        "*STOP*",
        "STOP" + "!" * 1_000_000,
        "STOP" + " please" * 200_000,
        "STOP" + " 🛑" * 200_000,
    ],
)
def test_stop_matches_at_a_words_end(text: str) -> None:
    assert matches("STOP", text, match="starts_with")


@pytest.mark.parametrize(
    "text",
    [
        "stopped",
        "stops",
        "non-stop",
        "nonstop",
        "stop-start",
        "STOP\u2010START",
        "stop\u2011start",
        "stop's",
        "stop’s over",
        "stopʼs",
        "stop1",
        "stopé",
        "stopाp",
        "please stop",
        "st op",
        "s.t.o.p",
        "sto",
        "",
        " ",
        "!",
        "🛑",
        "\x00",
        "\ud83d",
        "STOP" + "P" * 1_000_000,
        "STOP" + "\u0301" * 5_000 + "PED",
        "停止",
    ],
)
def test_stop_does_not_match_inside_a_word_or_behind_one(text: str) -> None:
    assert not matches("STOP", text, match="starts_with")


@pytest.mark.parametrize(
    "text",
    ["CANCEL", "cancel!", " Cancel. ", "“cancel”", "CANCEL 👋", "c\u200bancel", "CÁNCEL", "CANCEL" + "!" * 5_000],
)
def test_exact_matches_the_whole_message(text: str) -> None:
    assert matches("CANCEL", text)


@pytest.mark.parametrize(
    "text",
    [
        "Cancel my booking",
        "cancel, my booking",
        "CANCEL" + " " * 500 + "my booking",
        "CANCEL" + " " * 5_000_000 + "my booking",
        "CANCEL" + "\u200b" * 5_000 + " my booking",
        "CANCEL" + "\n" * 5_000 + "my booking",
        "CANCEL" + "!" * 5_000 + "my booking",
        "CANCEL" + "🛑" * 5_000 + "my booking",
        "CANCEL" + "\u0301" * 5_000 + " my booking",
        "CANCEL" + "\ufdfa" * 5_000,
        "CANCEL cancel",
        "cancel-it",
        "please cancel",
    ],
)
def test_exact_never_matches_a_message_that_goes_on_however_far_away(text: str) -> None:
    assert not matches("CANCEL", text)
    assert winner(BUILTIN, text) is None


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("ARRÊT", "arret"),
        ("ARRET", "Arrêt."),
        ("arre\u0302t", "ARRÊT"),
        ("DÉSABONNER", "desabonner"),
        ("INSCRIÇÃO", "inscricao"),
        ("KÜNDIGEN", "kundigen!"),
        ("iptal", "İPTAL"),
        ("stop", "s\u0336t\u0336o\u0336p\u0336"),
        ("STRASSE", "Straße"),
        ("N'ÉCRIVEZ PLUS", "n’écrivez plus"),
    ],
)
@pytest.mark.parametrize("action", ["opt_out", "opt_in", "reply_only"])
@pytest.mark.parametrize("match", ["exact", "starts_with"])
def test_accents_make_no_difference_in_either_direction(keyword: str, text: str, action: str, match: str) -> None:
    assert matches(keyword, text, action=action, match=match)
    assert matches(keyword, text + " merci", match="starts_with")


W12 = ["ＳＴＯＰ", "S\u200bTOP", "ⓢⓣⓞⓟ"]
LOOKALIKES = ["ЅТОР", "ѕтор", "SΤΟΡ", "sᴛᴏᴘ", "🆂🆃🅾🅿", "🇸🇹🇴🇵", "🅢🅣🅞🅟", "ST0P", "st0p", "STØP"]


@pytest.mark.parametrize("text", W12 + LOOKALIKES)
@pytest.mark.parametrize("more", ["", "!", " please", ",now"])
def test_a_stop_in_disguise_is_a_stop(text: str, more: str) -> None:
    assert winner(BUILTIN, text + more) == "rul_builtin_sms_stop"


@pytest.mark.parametrize("text", ["ЅТОРРЕD", "ST0PPED", "ST0P-START", "🆂🆃🅾🅿s", "nоn-stop"])
def test_look_alikes_keep_to_words_as_well(text: str) -> None:
    assert winner(BUILTIN, text) is None


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("CANCEL", "CANCE1"),
        ("QUIT", "QU1T"),
        ("OPT-OUT", "OPT–OUT"),
        ("OPT-OUT", "0PT-0UT"),
        ("STOP ALL", "ST0P A11"),
        ("STOP ALL", "🆂🆃🅾🅿 🅰🅻🅻"),
        ("ЅТОР", "stop"),  # the look-alike may be in the keyword
        ("ЅТОР", "sᴛᴏᴘ"),
    ],
)
def test_look_alikes_count_for_opt_out_words(keyword: str, text: str) -> None:
    assert matches(keyword, text)
    assert matches(keyword, text + " please", match="starts_with")


@pytest.mark.parametrize("text", ["ЅТАRТ", "🆂🆃🅰🆁🆃", "sᴛᴀʀᴛ", "STΑRT", "🇸🇹🇦🇷🇹"])
@pytest.mark.parametrize("action", ["opt_in", "reply_only"])
def test_look_alikes_never_opt_in(text: str, action: str) -> None:
    assert not matches("START", text, action=action)
    assert not matches("START", text, action=action, match="starts_with")
    assert winner(BUILTIN, text) is None


@pytest.mark.parametrize("text", ["J01N", "JO1N", "j0in"])
def test_digits_never_opt_in(text: str) -> None:
    assert not matches("JOIN", text, action="opt_in")


@pytest.mark.parametrize(
    ("keyword", "text"),
    [
        ("1", "I would like two tickets"),
        ("1", "l"),
        ("0", "o que?"),
        ("I", "1"),
        ("STOP 1", "stop i mean it"),
        ("MAIL", "mall"),
        ("MAIL", "mall opening at 10"),
    ],
)
def test_a_plain_letter_never_passes_for_a_digit_or_another_letter(keyword: str, text: str) -> None:
    assert not matches(keyword, text, match="starts_with")


@pytest.mark.parametrize(
    "text", ["stop all", "STOP   ALL", "Stop\nall", "stop\u00a0\u3000all!", "stop\u2028all", " stop\tall "]
)
def test_a_keyword_of_several_words_matches_across_any_white_space(text: str) -> None:
    assert matches("STOP ALL", text)
    assert matches("  stop \n all ", text, match="starts_with")


@pytest.mark.parametrize("text", ["stopall", "stop, all", "stop-all", "stop", "all"])
def test_a_keyword_of_several_words_needs_white_space(text: str) -> None:
    assert not matches("STOP ALL", text)


@pytest.mark.parametrize("keyword", ["OPT-OUT", "opt\u2011out", "OPT－OUT"])
@pytest.mark.parametrize("text", ["opt-out", "OPT-OUT!", "Opt\u2010out please", "opt\u2011out, now"])
def test_a_keyword_may_have_a_hyphen(keyword: str, text: str) -> None:
    assert matches(keyword, text, match="starts_with")


ORDER = [  # each rule wins over all that stand below it
    rule("receiver-long", "stop it now", received_on="+1", match="starts_with"),
    rule("receiver-exact", "stop it", received_on="+1"),
    rule("receiver", "stop it", received_on="+1", match="starts_with"),
    rule("any-long", "stop it now", match="starts_with"),
    rule("any-exact", "stop it"),
    rule("any", "stop it", match="starts_with"),
    rule("any-short", "stop", match="starts_with"),
    rule("in-receiver-long", "stop it now", received_on="+1", action="opt_in", match="starts_with"),
    rule("in-receiver-exact", "stop it", received_on="+1", action="opt_in"),
    rule("reply-receiver", "stop it", received_on="+1", action="reply_only", match="starts_with"),
    rule("in-any-exact", "stop it", action="opt_in"),
    rule("in-any-short", "stop", action="opt_in", match="starts_with"),
]


@pytest.mark.parametrize(("better", "place"), [(better, place) for place, better in enumerate(ORDER)])
@pytest.mark.parametrize("text", ["Stop it!", "stop it now"])
def test_the_selection_order_is_kept_whatever_the_order_of_rules(better: Rule, place: int, text: str) -> None:
    if winner([better], text, "+1") is None:
        return
    for worse in ORDER[place + 1 :]:
        assert winner([worse, better], text, "+1") == better.id
        assert winner([better, worse], text, "+1") == better.id
    assert winner([*ORDER[:place:-1], better], text, "+1") == better.id


def test_a_short_opt_out_for_any_number_wins_over_a_long_opt_in_for_this_one() -> None:
    rules = [
        rule("out", "no", match="starts_with"),
        rule("in", "no wait yes please", action="opt_in", received_on="+1"),
    ]
    assert winner(rules, "No, wait yes please", "+1") == "out"


def test_your_own_rule_wins_over_a_built_in_one_and_then_the_id_decides() -> None:
    own, other, built_in = rule("z", "STOP"), rule("y", "STOP"), rule("a", "STOP", builtin="en")
    assert winner([built_in, own], "stop") == "z"
    assert winner([built_in, own, other], "stop") == winner([other, own, built_in], "stop") == "y"


@pytest.mark.parametrize(
    ("received_on", "receiver", "matched"),
    [
        (None, "+14155550100", True),
        (None, None, True),
        ("", "+14155550100", True),
        ("+14155550100", "+14155550100", True),
        ("whatsapp:+14155550100", "+14155550100", True),
        ("+14155550100", "WhatsApp:+14155550100", True),
        (" +1 415 555 0100 ", "+14155550100", True),
        ("+14155550100", "whatsapp: 14155550100", False),
        ("+14155550100", "+14155550101", False),
        ("+14155550100", None, False),
        ("News@example.org", "news@example.org", True),
    ],
)
def test_a_rule_listens_on_its_number(received_on: str | None, receiver: str | None, matched: bool) -> None:
    assert (winner([rule("it", "STOP", received_on=received_on)], "stop", receiver) == "it") is matched


def test_a_rule_listens_on_its_channel_only() -> None:
    rules = [rule("sms", "STOP"), rule("whatsapp", "STOP", channel="whatsapp")]
    assert winner(rules, "stop", channel="whatsapp") == "whatsapp"
    assert winner(rules, "stop", channel="email") is None


def test_an_inactive_rule_never_matches() -> None:
    assert winner([rule("off", "STOP", active=False)], "stop") is None
    assert winner([rule("off", "STOP", active=False), rule("on", "STOP", match="starts_with")], "stop") == "on"


def test_a_payload_is_tried_only_when_no_rule_matches_the_text() -> None:
    rules = [rule("out", "STOP"), rule("in", "JOIN", action="opt_in")]
    assert winner(rules, "No more offers", payload="STOP") == "out"
    assert winner(rules, "Join", payload="STOP") == "in"
    assert winner(rules, "", payload="stop!") == "out"
    assert winner(rules, "Maybe", payload="later") is None
    assert winner(rules, "Maybe", payload="") is None


def test_the_decision_shows_the_text_that_was_compared() -> None:
    book = Rulebook([rule("out", "STOP")])
    assert book.decide(" Arrêt! ", channel="sms", receiver=None).normalized == "arrêt"
    assert book.decide("No more", channel="sms", receiver=None, payload="Stop!").normalized == "stop"
    assert book.decide("No more", channel="sms", receiver=None, payload="Later!").normalized == "no more"


@pytest.mark.parametrize("text", ["", " ", "👍", "🙏🏽", "…", "?!", "\u200b", "\x00\x00", "\ud83d\ud83d"])
def test_a_message_without_words_meets_no_rule(text: str) -> None:
    decision = BUILTIN.decide(text, channel="sms", receiver="+1")
    assert decision.rule is None
    assert decision.normalized == ""


@pytest.mark.parametrize("keyword", ["", "  ", "!", "👍", "\u200b", "…?", "\x00"])
def test_a_keyword_without_words_is_refused_by_name(keyword: str) -> None:
    with pytest.raises(ValueError, match="has no letter or digit") as refused:
        check_keyword(keyword)
    assert repr(keyword) in str(refused.value)


def test_a_keyword_has_a_longest_length() -> None:
    assert check_keyword("A" * LONGEST_KEYWORD) == "a" * LONGEST_KEYWORD
    with pytest.raises(ValueError, match="longer than 160"):
        check_keyword("A" * (LONGEST_KEYWORD + 1))


def test_a_checked_keyword_comes_back_as_it_is_compared() -> None:
    assert check_keyword(" Stop \n ALL! ") == "stop all"


@pytest.mark.parametrize("keyword", ["", "👍", "x" * 5_000])
def test_a_bad_keyword_among_the_rules_leaves_the_others_at_work(keyword: str) -> None:
    rules = [rule("bad", keyword, match="starts_with"), rule("good", "STOP")]
    assert winner(rules, "stop") == "good"
    assert winner(rules, "👍") is None
    assert winner(rules, "x" * 5_000) is None
    assert winner([], "stop") is None
