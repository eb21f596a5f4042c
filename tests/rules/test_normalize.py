"""What a text becomes before it is compared."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rules import lookalikes
from rules.normalize import CHARACTERS_READ, normalize, read, skeleton, unaccented

ANY_TEXT = st.text(st.characters(), max_size=60)  # lone surrogates included


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("STOP", "stop"),
        ("  Stop!  ", "stop"),
        ('"STOP"', "stop"),
        ("“Stop”", "stop"),
        ("«stop»", "stop"),
        ("'stop'", "stop"),
        ("`stop´", "stop"),
        ("...stop...", "stop"),
        ("¡BAJA!", "baja"),
        ("🛑 STOP 🛑", "stop"),
        ("STOP👍🏽", "stop"),
        ("STOP 👨‍👩‍👧", "stop"),
        ("❤️stop❤️", "stop"),
        ("STOP\U0001faf7", "stop"),  # an emoji younger than some Unicode tables
        ("stop\r\n", "stop"),
        ("STOP\tALL", "stop all"),
        ("stop \u00a0\u2003 all", "stop all"),
        ("stop\u3000all", "stop all"),
        ("ＳＴＯＰ", "stop"),
        ("S\u200bT\u200cO\u200dP", "stop"),
        ("\ufeffSTOP", "stop"),
        ("ST\u00adOP", "stop"),
        ("\u202eSTOP\u202c", "stop"),
        ("S\u034fT\u034fO\u034fP", "stop"),
        ("S\ufe0fT\ufe0fO\ufe0fP\ufe0f", "stop"),
        ("S\u3164T\u115fOP", "stop"),
        ("ⓢⓣⓞⓟ", "stop"),
        ("ⓈⓉⓄⓅ", "stop"),
        ("🅂🅃🄾🄿", "stop"),
        ("𝐒𝐓𝐎𝐏", "stop"),
        ("𝔖𝔱𝔬𝔭", "stop"),
        ("S\x00T\x00O\x00P\x00", "stop"),
        ("\x02STOP\x03", "stop"),
        ("STOP\ud83d", "stop"),
        ("\udc00STOP", "stop"),
        ("ARRÊT.", "arrêt"),
        ("ARRE\u0302T", "arrêt"),
        ("Straße", "strasse"),
        ("don’t", "don't"),
        ("donʼt", "don't"),
        ("opt\u2010out", "opt-out"),
        ("opt\u2011out", "opt-out"),
        ("opt－out", "opt-out"),
        ("Stop,now", "stop,now"),
        ("1", "1"),
        ("बंद करो", "बंद करो"),  # a vowel sign at the end belongs to the word
        ("", ""),
        ("   ", ""),
        ("👍", ""),
        ("?!…", ""),
        ("\x00", ""),
        ("\ud800", ""),
        ("\u0301\u0301", ""),
    ],
)
def test_the_same_words_read_the_same_however_they_are_typed(text: str, becomes: str) -> None:
    assert normalize(text) == becomes


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("arrêt", "arret"),
        ("désabonner", "desabonner"),
        ("inscrição", "inscricao"),
        ("kündigen", "kundigen"),
        ("i\u0307ptal", "iptal"),
        ("s\u0336t\u0336o\u0336p\u0336", "stop"),
        ("s\u20ddt\u20ddo\u20ddp\u20dd", "stop"),
        ("한국", "한국"),
        ("stop", "stop"),
    ],
)
def test_the_second_comparison_knows_no_accents(text: str, becomes: str) -> None:
    assert unaccented(text) == becomes


@pytest.mark.parametrize(
    "text",
    [
        "ЅТОР",  # Cyrillic
        "SТOP",
        "ѕтор",
        "SΤΟΡ",  # Greek behind a Latin S
        "ՏТՕР",  # Armenian and Cyrillic
        "\u13da\u13a2O\u13e2",  # Cherokee
        "ꓢꓔꓳꓑ",  # Lisu
        "sᴛᴏᴘ",
        "ꜱᴛᴏᴘ",
        "🆂🆃🅾🅿",
        "🅢🅣🅞🅟",
        "🇸🇹🇴🇵",
        "🛑🇸\u200b🇹\u200b🇴\u200b🇵🛑",
        "støp",
        "STØP",
        "Ѕ\u200bТОР!",
        "ＳТ𝐎Р",
    ],
)
def test_a_skeleton_reads_look_alike_letters_as_latin_ones(text: str) -> None:
    assert skeleton(text) == "stop"


def test_the_table_of_look_alikes_holds_no_plain_letter_and_none_that_normalisation_settles() -> None:
    assert [sign for sign in lookalikes.ALL if sign.isascii() or len(sign) != 1] == []
    assert [sign for sign in lookalikes.ALL if unicodedata.normalize("NFKC", sign).isascii()] == []
    assert all(latin in "-abcdefghijklmnopqrstuvwxyz" for latin in lookalikes.TABLE.values())


@pytest.mark.parametrize("text", ["СТОП", "ΣΤΟΠ", "стоп", "停止", "توقف", "ST0P"])
def test_a_skeleton_leaves_what_only_means_the_same(text: str) -> None:
    assert skeleton(text) != "stop"


@pytest.mark.parametrize(("text", "reading"), [("ST0P", "stop"), ("CANCE1", "cancel"), ("QU1T", "quit")])
def test_digits_in_a_text_pass_for_letters(text: str, reading: str) -> None:
    assert reading in read(text).lookalikes


@pytest.mark.parametrize("text", ["Stop please", "J'ai réservé à l'opéra", "🎭 ce soir ?"])
def test_ordinary_text_has_one_reading(text: str) -> None:
    assert read(text).lookalikes == ()


def test_no_format_character_survives() -> None:
    hidden = [chr(c) for c in range(sys.maxunicode + 1) if unicodedata.category(chr(c)) in ("Cf", "Cs")]
    assert normalize("st" + "".join(hidden) + "op") == "stop"
    assert [c for c in hidden if normalize(f"st{c}op") != "stop"] == []


def test_normalising_twice_changes_nothing_for_any_character() -> None:
    every = (chr(c) for c in range(sys.maxunicode + 1))
    once = {c: normalize(f"a {c} b{c}") for c in every if unicodedata.category(c) not in ("Cn", "Co", "Cs")}
    assert [hex(ord(c)) for c, text in once.items() if normalize(text) != text] == []


@given(ANY_TEXT)
@example("a" + "\u0300\u0316" * CHARACTERS_READ)
@example("\ufdfa" * CHARACTERS_READ)
@example("\u0390" * CHARACTERS_READ)
@example("x" * (CHARACTERS_READ - 1) + "´ x")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalize(text)
    assert normalize(once) == once
    assert len(once) <= CHARACTERS_READ


@given(ANY_TEXT)
def test_reading_never_raises_and_skips_what_is_the_same(text: str) -> None:
    reading = read(text)
    assert reading.normalized == normalize(text)
    assert reading.plain not in reading.lookalikes
    skeleton(text)


@given(st.text(st.characters(), max_size=CHARACTERS_READ // 20))
def test_a_short_text_is_read_whole(text: str) -> None:
    assert read(text).whole


@pytest.mark.parametrize("filler", [" ", "\t\n", "\u3000", "\u200b", "\x00", "\ud800", "\ufe0f"])
def test_white_space_and_invisible_characters_are_dropped_before_the_text_is_cut(filler: str) -> None:
    reading = read("CANCEL " + filler * 500_000 + "my booking")
    assert reading.normalized == "cancel my booking"
    assert reading.whole


@pytest.mark.parametrize("piece", ["a", "🛑", "\u0300\u0316", "\ufdfa", "\u0f73", "é ", "1", "Ѕ", ". ´", "\u0390"])
def test_a_megabyte_is_cut_and_says_so(piece: str) -> None:
    reading = read("a" + piece * 1_000_000)
    assert not reading.whole
    assert len(reading.normalized) <= CHARACTERS_READ
