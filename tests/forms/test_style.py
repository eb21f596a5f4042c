"""The one design: it can be read by day and by night, runs from either side, and is small."""

from __future__ import annotations

import re

import pytest

from forms.colours import OF_SHAPES, OF_TEXT, contrast
from forms.look import text_of

OF_PAGES = ["centre.css", "form.css"]  # what some pages have besides
MOST_BYTES = 7_000
TEXTS = ["ink", "muted", "accent", "wrong", "good"]
SHAPES = ["accent", "edge", "focus", "wrong", "good"]  # what a control or a state is known by


def scheme(name: str) -> dict[str, str]:
    """The colours by their custom property."""
    light, dark = text_of("style.css").split("prefers-color-scheme: dark")[:2]
    found = re.findall(r"--([a-z-]+): (#[0-9a-f]+);", light if name == "light" else dark)
    return {one: value if len(value) == 7 else "#" + "".join(2 * sign for sign in value[1:]) for one, value in found}


@pytest.mark.parametrize("name", ["light", "dark"])
def test_all_of_it_is_seen_on_the_paper_and_around_it(name: str) -> None:
    colours = scheme(name)
    ratios = {
        (one, under, wanted): contrast(colours[one], colours[under])
        for wanted, names in ((OF_TEXT, TEXTS), (OF_SHAPES, SHAPES))
        for one in names
        for under in ("paper", "ground")
    }
    ratios["on-accent", "accent", OF_TEXT] = contrast(colours["on-accent"], colours["accent"])
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < pair[2]} == {}


def test_day_and_night_have_the_same_colours_and_every_one_that_is_used_is_there() -> None:
    assert scheme("light").keys() == scheme("dark").keys()
    used = {one for file in ("style.css", *OF_PAGES) for one in re.findall(r"var\(--([a-z-]+)", text_of(file))}
    assert used == scheme("light").keys() | {"radius", "gap", "face"}


@pytest.mark.parametrize("file", ["style.css", *OF_PAGES])
def test_it_runs_from_either_side_and_nothing_moves(file: str) -> None:
    """What says left or right stands on the wrong side in Arabic; what moves makes some people ill."""
    style = text_of(file)
    assert re.findall(r"(?<![a-z])(?:left|right|float|animation|transition)[a-z-]*\s*:", style) == []
    assert re.findall(r":\s*(?:left|right)\b", style) == []
    assert re.findall(r"font(?:-size)?:[^;}]*\dpx", style) == [], "letters grow with what the reader has chosen"


@pytest.mark.parametrize("file", OF_PAGES)
def test_it_is_small(file: str) -> None:
    assert len((text_of("style.css") + text_of(file)).encode()) <= MOST_BYTES
