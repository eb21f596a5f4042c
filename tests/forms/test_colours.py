"""A form's colours can be read whatever they are, by day and by night."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.catalogue import Looks
from forms.colours import GROUND, INK, PAPER, contrast, css, ink_on, wrong_with
from forms.look import text_of

COLOURS = st.integers(0, 0xFFFFFF).map(lambda number: f"#{number:06x}")


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#000000", "#ffffff", 21.0),
        ("#ffffff", "#ffffff", 1.0),
        ("#767676", "#ffffff", 4.54),
        ("#ff0000", "#ffffff", 4.0),
    ],
)
def test_contrast_is_as_wcag_measures_it(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


@given(COLOURS)
def test_black_or_white_can_be_read_on_every_colour(colour: str) -> None:
    assert contrast(ink_on(colour), colour) >= 4.5


def test_the_papers_are_those_of_the_page() -> None:
    style = text_of("style.css")
    light, dark = style.split("prefers-color-scheme: dark")[:2]
    for scheme, part in (("light", light), ("dark", dark)):
        values = dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]+);", part))
        whole = {
            name: value if len(value) == 7 else "#" + "".join(2 * sign for sign in value[1:])
            for name, value in values.items()
        }
        assert [whole[f"--{one}"] for one in ("paper", "ground", "ink")] == [PAPER[scheme], GROUND[scheme], INK[scheme]]  # type: ignore[index]


def schemes(looks: Looks) -> list[tuple[str, dict[str, str], str]]:
    """For day and night: the paper, the properties, and the colour of words with a link in them."""
    found = css(looks)
    parts = found.split("@media (prefers-color-scheme: dark)")
    papers = [looks.paper] if looks.paper else [PAPER["light"], PAPER["dark"]]
    assert len(parts) == len(papers)
    return [
        (
            paper,
            dict(re.findall(r"(--[a-z-]+): (#[0-9a-f]{6});", part)),
            re.findall(r"color: (#[0-9a-f]{6}); }", part)[-1],
        )
        for paper, part in zip(papers, parts, strict=True)
    ]


@given(COLOURS, st.none() | COLOURS)
def test_whatever_the_colours_are_buttons_are_seen_and_words_are_read(accent: str, paper: str | None) -> None:
    looks = Looks(accent=accent, paper=paper)
    if wrong_with(looks):
        assert contrast(accent, paper or "#ffffff") < 3
        return
    for behind, told, link in schemes(looks):
        assert contrast(told["--accent"], behind) >= 3
        assert contrast(told["--on-accent"], told["--accent"]) >= 4.5
        assert contrast(link, behind) >= 4.5
        grounds = (
            [looks.paper]
            if looks.paper
            else [ground for on, ground in zip(PAPER.values(), GROUND.values(), strict=True) if on == behind]
        )
        assert all(contrast(link, ground) >= 4.5 for ground in grounds)
        for name in ("--ink", "--muted", "--wrong", "--good") if paper else ():
            assert contrast(told[name], behind) >= 4.5, name
        for name in ("--edge", "--focus") if paper else ():
            assert contrast(told[name], behind) >= 3, name
    by_day = schemes(looks)[0][1]
    assert by_day["--accent"] == accent, "by day it is the organisation's own colour"


def test_a_form_without_wishes_adds_nothing() -> None:
    assert css(Looks()) == ""
    assert css(Looks(corners="sharp")) == ":root { --radius: 0; }"
