"""The rules that are there from the start."""

from __future__ import annotations

from collections import Counter

import pytest

from rules.builtin import PACKS, builtin_rules
from rules.keywords import Rulebook, check_keyword
from rules.values import Rule

ALL = builtin_rules(PACKS)
BOOK = Rulebook(ALL)

STARTS_WITH = ["STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "OPTOUT", "OPT OUT", "OPT-OUT", "REVOKE"]
EXACT = ["CANCEL", "END", "QUIT", "REMOVE"]


@pytest.mark.parametrize("channel", ["sms", "whatsapp"])
def test_the_english_pack_is_as_carriers_and_the_law_know_it(channel: str) -> None:
    rows = {(r.keyword, r.match, r.action) for r in builtin_rules(["en"]) if r.channel == channel}
    assert rows == {
        *((word, "starts_with", "opt_out") for word in STARTS_WITH),
        *((word, "exact", "opt_out") for word in EXACT),
        *((word, "exact", "opt_in") for word in ("START", "UNSTOP")),
        *((word, "exact", "reply_only") for word in ("HELP", "INFO")),
    }


def test_every_row_is_on_for_any_number_and_marked_with_its_pack() -> None:
    for row in ALL:
        assert row.active
        assert row.received_on is None
        assert row.reply is None
        assert row.subject_kind == "channel"
        assert row.builtin in PACKS
        assert row.channel in ("sms", "whatsapp", "email")
        assert check_keyword(row.keyword)


def test_ids_are_plain_never_change_and_never_repeat() -> None:
    ids = [row.id for row in ALL]
    assert [i for i, times in Counter(ids).items() if times > 1] == []
    assert all(i.isascii() and " " not in i for i in ids)
    assert {
        "rul_builtin_sms_stop",
        "rul_builtin_sms_stop_all",
        "rul_builtin_sms_stopall",
        "rul_builtin_sms_opt_out",
        "rul_builtin_sms_opt-out",
        "rul_builtin_whatsapp_start",
        "rul_builtin_sms_fr_arret",
        "rul_builtin_sms_pt_cancelar_inscricao",
    } <= set(ids)


def test_the_same_packs_give_the_same_rules_once_each() -> None:
    assert builtin_rules(["en", "fr", "en"]) == builtin_rules(["en", "fr"])
    assert builtin_rules([]) == ()
    assert {row.builtin for row in builtin_rules(["fr", "it"])} == {"fr", "it"}


def test_other_languages_only_opt_out_and_only_where_the_word_is_all() -> None:
    assert {(r.match, r.action) for r in ALL if r.builtin != "en"} == {("exact", "opt_out")}
    assert {r.builtin for r in ALL} == {"en", "fr", "es", "de", "pt", "it"}


def test_an_unknown_pack_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'nl'") as refused:
        builtin_rules(["en", "nl"])
    assert "en, fr, es, de, pt, it" in str(refused.value)


@pytest.mark.parametrize("row", ALL, ids=lambda row: row.id)
def test_every_row_does_what_it_says(row: Rule) -> None:
    for text in (row.keyword, row.keyword.lower(), f" {row.keyword.title()}! "):
        won = BOOK.decide(text, channel=row.channel, receiver="+14155550100").rule
        assert won is not None
        assert (won.action, won.channel) == (row.action, row.channel)


@pytest.mark.parametrize("word", ["Arrêt", "ARRET", "baja", "stopp", "Abmelden", "parar", "Sair", "desabonner", "Fin."])
def test_opting_out_is_easy_in_every_language(word: str) -> None:
    won = BOOK.decide(word, channel="whatsapp", receiver=None).rule
    assert won is not None
    assert won.action == "opt_out"


@pytest.mark.parametrize(
    "text",
    [
        "Cancel my booking",
        "Cancelar mi reserva",
        "Annuler ma place",
        "Quit kidding",
        "End of the show?",
        "remove one ticket",
        "Fine",
        "fine thanks",
        "YES",
        "yes",
        "y",
        "ok",
        "Start at 8?",
        "start please",
        "help me with my booking",
        "stopped by yesterday",
        "the non-stop show",
        "Stopping at 5?",
        "Ende gut",
        "alto volume",
        "stop's",
        "thanks",
        "salir a las 8",
    ],
)
def test_an_ordinary_message_meets_no_built_in_rule(text: str) -> None:
    assert BOOK.decide(text, channel="sms", receiver=None).rule is None


@pytest.mark.parametrize(
    ("text", "keyword"),
    [
        ("STOP", "STOP"),
        ("stop all", "STOP ALL"),
        ("stopall", "STOPALL"),
        ("Unsubscribe me", "UNSUBSCRIBE"),
        ("opt out", "OPT OUT"),
        ("opt-out please", "OPT-OUT"),
        ("optout", "OPTOUT"),
        ("revoke my consent", "REVOKE"),
        ("START", "START"),
        ("unstop", "UNSTOP"),
        ("HELP?", "HELP"),
        ("Info", "INFO"),
        ("Stop. Start. Stop.", "STOP"),
    ],
)
def test_a_usual_message_meets_its_rule(text: str, keyword: str) -> None:
    won = BOOK.decide(text, channel="sms", receiver=None).rule
    assert won is not None
    assert won.keyword == keyword
