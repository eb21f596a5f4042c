"""Which language somebody is spoken to in: what was chosen, then what is known, then what the browser says."""

from __future__ import annotations

import time

import pytest

from content.languages import KNOWN, NAMES, choose, language


@pytest.mark.parametrize(
    ("wished", "accepted", "spoken"),
    [
        ((), None, "en"),
        ((), "", "en"),
        ((None, ""), None, "en"),
        (("fr",), "de", "fr"),
        ((None, "fr"), "de", "fr"),
        (("it", "fr"), "de", "it"),
        (("nl", "fr"), "de", "fr"),
        (("nl",), "de", "de"),
        (("en",), "de", "en"),
        # locales, however they are written
        (("pt-BR",), None, "pt"),
        (("pt_PT",), None, "pt"),
        (("DE-at",), None, "de"),
        (("ar-EG-u-nu-latn",), None, "ar"),
        ((" es ",), None, "es"),
        (("french",), None, "en"),
        (("e",), None, "en"),
        # what browsers send
        ((), "fr-CH, fr;q=0.9, en;q=0.8, de;q=0.7, *;q=0.5", "fr"),
        ((), "nl, de;q=0.8, fr;q=0.9", "fr"),
        ((), "de;q=0.5,fr;q=0.5", "de"),
        ((), "de;q=0.7, it", "it"),
        ((), "nl-NL,nl;q=0.9", "en"),
        ((), "*", "en"),
        ((), "*, fr;q=0.1", "fr"),
        ((), "fr;q=0", "en"),
        ((), "fr;q=0, de;q=0.001", "de"),
        ((), "fr;q=0.0, de;q=0.000", "en"),
        ((), "AR", "ar"),
        ((), "es ; q=0.9 , it;q=1.0", "it"),
        ((), "zh-Hans-CN, pt-BR;q=0.2", "pt"),
        # what nobody should send
        ((), "fr;q=2, de", "de"),
        ((), "fr;q=-1, de", "de"),
        ((), "fr;q=0.12345, de;q=0.1", "de"),
        ((), "fr;q=nan, de;q=0.1", "de"),
        ((), "fr;q=1e3, de;q=0.1", "de"),
        ((), "fr;q, de;q=0.1", "de"),
        ((), ";;;,,,;q=1,de", "de"),
        ((), "fr\x00, de", "de"),
        ((), "<script>alert(1)</script>, it", "it"),
        ((), "../../etc/passwd, it", "it"),
        ((), "ſr, ｆｒ, it;q=0.1", "it"),
        ((), "fr;q=١, it;q=0.1", "it"),
        (("../fr", "fr/../de", "f\x00r", "%66r"), "it", "it"),
        (("x" * 100_000,), "it", "it"),
    ],
)
def test_the_first_that_we_speak_is_taken(wished: tuple[str | None, ...], accepted: str | None, spoken: str) -> None:
    assert choose(*wished, accepted=accepted).code == spoken


@pytest.mark.parametrize(
    "header",
    [
        "fr," * 100_000,
        "a" * 1_000_000,
        "fr;q=0." + "0" * 1_000_000,
        " " * 1_000_000,
        "fr" + " ;" * 500_000,
    ],
    ids=["many", "long", "precise", "empty", "parts"],
)
def test_a_header_of_any_size_costs_next_to_nothing(header: str) -> None:
    began = time.process_time()
    assert choose(accepted=header).code in KNOWN
    assert time.process_time() - began < 0.05


def test_only_the_first_wishes_of_a_browser_count() -> None:
    assert choose(accepted=",".join(["nl"] * 19 + ["de"])).code == "de"
    assert choose(accepted=",".join(["nl"] * 20 + ["de"])).code == "en"


def test_each_language_has_its_own_name_and_its_own_side() -> None:
    assert list(NAMES) == list(KNOWN)
    assert {code: language(code).direction for code in KNOWN if language(code).direction != "ltr"} == {"ar": "rtl"}
    with pytest.raises(KeyError):
        language("nl")
