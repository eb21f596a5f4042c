"""What people write when they have had enough: the table, and what the list makes of it.

The table was written in four goes, and its `kind` says which. `usual` was there before the list. `odd` was written to
find what the first list missed (it read 17 % of it), and the list learned from it. `learned` was written after that, as
`fresh` is now: last, before the list learned from the rows before it, and nothing was changed for it. Its figures are
what a stranger's message may expect, as far as maintainers write like strangers. `read_as` is what the list says now.
Whoever changes the list writes that column anew, and adds fresh rows first; those of before become `learned`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import phrases
from rules.builtin import PACKS, builtin_rules
from rules.keywords import Rulebook
from rules.phrases import reads_like_no

LANGUAGES = ("en", "fr", "es", "de", "pt", "it", "nl", "ar")
KINDS = ("usual", "odd", "learned", "fresh")


@dataclass(frozen=True)
class Row:
    kind: str
    language: str
    verdict: str  # no | ordinary
    read_as: str  # a phrase's id | ordinary
    text: str


def _rows() -> Iterator[Row]:
    lines = Path(__file__).with_name("phrases.tsv").read_text(encoding="utf-8").splitlines()
    return (Row(*line.split("\t")) for line in lines[1:])


TABLE = tuple(_rows())


@dataclass(frozen=True)
class Figures:
    """How often the list is right when it holds a message, and how many of those it should hold it does."""

    precision: float
    recall: float


def figures(rows: list[Row]) -> Figures:
    noes = {row.text for row in rows if row.verdict == "no"}
    held = {row.text for row in rows if reads_like_no(row.text) is not None}
    return Figures(round(len(noes & held) / len(held), 3), round(len(noes & held) / len(noes), 3))


# --- the figures, as they were found ----------------------------------------------------------

AS_FOUND = {
    "all": Figures(precision=0.982, recall=0.933),
    "usual": Figures(precision=0.995, recall=1.0),
    "odd": Figures(precision=1.0, recall=1.0),
    "learned": Figures(precision=1.0, recall=1.0),
    "fresh": Figures(precision=0.919, recall=0.712),
    "en": Figures(precision=0.979, recall=0.933),
    "fr": Figures(precision=0.981, recall=0.981),
    "es": Figures(precision=1.0, recall=0.925),
    "de": Figures(precision=1.0, recall=0.906),
    "pt": Figures(precision=0.978, recall=0.978),
    "it": Figures(precision=0.953, recall=0.891),
    "nl": Figures(precision=0.966, recall=0.903),
    "ar": Figures(precision=1.0, recall=0.935),
}


def test_the_table_is_large_in_every_language_and_half_of_it_harmless() -> None:
    assert len(TABLE) >= 300
    ordinary = sum(row.verdict == "ordinary" for row in TABLE)
    assert abs(ordinary - len(TABLE) / 2) < 5
    for kind, language, verdict in product(KINDS, LANGUAGES, ("no", "ordinary")):
        assert any((row.kind, row.language, row.verdict) == (kind, language, verdict) for row in TABLE)


def test_no_row_meets_a_rule_for_then_nobody_would_ask() -> None:
    book = Rulebook(builtin_rules(PACKS))
    assert [row.text for row in TABLE if book.decide(row.text, channel="sms", receiver=None).rule] == []


@pytest.mark.parametrize("part", AS_FOUND)
def test_precision_and_recall_are_what_they_were_found_to_be(part: str) -> None:
    rows = [row for row in TABLE if part in ("all", row.kind, row.language)]
    now = figures(rows)
    print(f"{part}: precision {now.precision:.3f}, recall {now.recall:.3f}, of {len(rows)} phrases")
    assert now == AS_FOUND[part]


def test_what_is_missed_and_what_is_held_for_nothing_is_named() -> None:
    for row in TABLE:
        now = reads_like_no(row.text) or "ordinary"
        if (now == "ordinary") != (row.verdict == "ordinary"):
            print(f"{'missed' if row.verdict == 'no' else f'held as {now}'}: {row.text}")
        assert now == row.read_as, row.text


# --- the list ---------------------------------------------------------------------------------


def test_every_phrase_has_its_language_and_its_reason() -> None:
    listed = phrases.phrases()
    assert {phrase.language for phrase in listed.values()} == set(LANGUAGES)
    for id_, phrase in listed.items():
        assert id_.startswith(f"{phrase.language}_")
        assert phrase.why.endswith(".")
        assert phrase.says


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("PLEASE DON’T TEXT ME AGAIN!!!", "en_do_not_contact_me"),
        ("please dont text me again", "en_do_not_contact_me"),
        ("ｐｌｅａｓｅ take me off your list", "en_off_the_list"),
        ("plеаsе tаkе mе оff уоur lіst", "en_off_the_list"),  # with Cyrillic letters in it
        ("Hello,\nplease take me off\nyour list.\nJoan", "en_off_the_list"),
        ("Danke!\nAbmelden\nGruß, Hans", "de_abmelden"),
        ("Nice show. No more messages, please. See you!", "en_no_more_messages"),
        ("لا تُرسِلوا لي رسائل", "ar_la_tursilu"),
        ("Cancel my booking", "en_weak_keyword"),
        ("CANCEL!", "en_weak_keyword"),  # by e-mail no rule matches that
        ("I had to cancel my booking", None),
        ("I don't. Text me the address", None),
        ("Don't stop texting me", None),
        ("", None),
        ("?!", None),
        ("🙂", None),
    ],
)
def test_it_is_read_whatever_its_dress(text: str, phrase: str | None) -> None:
    assert reads_like_no(text) == phrase


COURTESIES = {
    "en": ("please", "thanks"),
    "fr": ("svp", "merci"),
    "es": ("por favor", "gracias"),
    "de": ("bitte", "danke"),
    "pt": ("por favor", "obrigado"),
    "it": ("per favore", "grazie"),
}
KEYWORDS = sorted({(str(r.builtin), r.keyword) for r in builtin_rules(PACKS) if r.action == "opt_out"})


@pytest.mark.parametrize(("pack", "keyword"), KEYWORDS)
def test_an_opt_out_keyword_is_held_where_its_rule_does_not_reach_it(pack: str, keyword: str) -> None:
    """Below a greeting, above a name, beside a courtesy; and by e-mail, where only some of them are rules."""
    asked, thanked = COURTESIES[pack]
    texts = [keyword, f"Anna!\n{keyword}\nJohn", f"{keyword.lower()}, {asked}!", f"{keyword} {thanked}"]
    texts.append(f"{asked} {keyword.lower()}")
    assert [text for text in texts if reads_like_no(text) is None] == []


def test_who_is_on_leave_is_not_held() -> None:
    assert reads_like_no("Quiero darme de baja por favor") == "es_baja"
    assert reads_like_no("Estoy de baja por maternidad hasta mayo") is None


# --- whatever comes ---------------------------------------------------------------------------


@given(st.text(max_size=400))
def test_any_text_is_read(text: str) -> None:
    found = reads_like_no(text)
    assert found is None or found in phrases.phrases()


@pytest.mark.parametrize(
    "unit", ["no more ", "don't ever please ", "stop the ", ". ", "take me ", "a ", "i do not want to "]
)
def test_the_places_to_look_at_do_not_grow_with_the_text(unit: str) -> None:
    net = phrases.the_list().net
    most = [max(map(len, net.walk((unit * times).split()))) for times in (20, 200, 2000)]
    assert most[0] == most[1] == most[2] < 200


def test_a_megabyte_is_read_as_far_as_it_matters() -> None:
    assert reads_like_no("please take me off your list. " + "no more " * 200_000) == "en_off_the_list"
    assert reads_like_no("x" * 1_000_000) is None
    assert reads_like_no("\n" * 1_000_000) is None
    assert reads_like_no("e\u0301" * 500_000) is None
