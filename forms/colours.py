"""A form's own colours and logo, within what everybody can read: contrast as WCAG 2.2 measures it. Pure."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Literal

from forms.catalogue import Looks

Scheme = Literal["light", "dark"]
PAPER: dict[Scheme, str] = {"light": "#ffffff", "dark": "#1d1f23"}  # as pages/style.css has them
GROUND: dict[Scheme, str] = {"light": "#f6f5f2", "dark": "#131417"}  # around the paper, where the page stands alone
INK: dict[Scheme, str] = {"light": "#1c1b19", "dark": "#ecebe8"}
OF_SHAPES = 3.0  # contrast of what must be seen: a button, a border (WCAG 1.4.11)
OF_TEXT = 4.5  # of what must be read (WCAG 1.4.3)
_BLACK, _WHITE = "#000000", "#ffffff"
_RADIUS = {"sharp": "0", "round": ".5rem", "rounder": "1.25rem"}
MOST_OF_A_LOGO = 12_000  # characters of its URL: a page holds 30 kB with everything
_MAGIC = {
    "image/png": lambda data: data.startswith(b"\x89PNG\r\n\x1a\n"),
    "image/jpeg": lambda data: data.startswith(b"\xff\xd8\xff"),
    "image/webp": lambda data: data.startswith(b"RIFF") and data[8:12] == b"WEBP",
}


def contrast(one: str, other: str) -> float:
    """From 1 (the same) to 21 (black on white): https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio"""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def ink_on(paper: str) -> str:
    """Black or white, whichever is read better; always at least 4.5:1."""
    return max(_BLACK, _WHITE, key=lambda ink: contrast(ink, paper))


def wrong_with(looks: Looks) -> dict[str, str]:
    """What cannot be, by field."""
    found: dict[str, str] = {}
    if looks.accent is not None:
        paper = looks.paper or PAPER["light"]
        ratio = contrast(looks.accent, paper)
        if ratio < OF_SHAPES:
            found["accent"] = (
                f"its contrast against the paper {paper} is {ratio:.2f}:1, and a button that must be seen needs 3:1: "
                f"take a {'darker' if ink_on(paper) == _BLACK else 'lighter'} one"
            )
    if looks.logo is not None and (why := _wrong_with_logo(looks.logo)):
        found["logo"] = why
    return found


def css(looks: Looks) -> str:
    """What the page's style is told of these looks; holds nothing but numbers and colours.

    A paper of the form's own is the paper by day and by night.
    """
    rules = [f":root {{ --radius: {_RADIUS[looks.corners]}; }}"] if looks.corners != "round" else []
    if looks.paper is not None:
        rules.append(_Scheme.on(looks.paper).css(looks.accent, whole=True))
    elif looks.accent is not None:
        night = _Scheme.of("dark").css(looks.accent)
        rules += [_Scheme.of("light").css(looks.accent), f"@media (prefers-color-scheme: dark) {{ {night} }}"]
    return "\n".join(rules)


@dataclass(frozen=True, slots=True)
class _Scheme:
    name: Scheme
    paper: str
    ground: str
    ink: str

    @classmethod
    def of(cls, name: Scheme) -> _Scheme:
        return cls(name, PAPER[name], GROUND[name], INK[name])

    @classmethod
    def on(cls, paper: str) -> _Scheme:
        name: Scheme = "light" if ink_on(paper) == _BLACK else "dark"
        return cls(name, paper, paper, _seen(INK[name], OF_TEXT, paper))

    def css(self, accent: str | None, *, whole: bool = False) -> str:
        """The custom properties of style.css; `whole`: all of them, else the accent's alone."""
        values: dict[str, str] = {}
        if whole:
            values |= {
                "color-scheme": self.name,
                "--paper": self.paper,
                "--ground": self.paper,
                "--ink": self.ink,
                "--muted": _seen(_mixed(self.ink, self.paper, 0.3), OF_TEXT, self.paper),
                "--line": _mixed(self.ink, self.paper, 0.75),
                "--edge": _seen(_mixed(self.ink, self.paper, 0.5), OF_SHAPES, self.paper),
                "--wrong": _seen("#a3231a" if self.name == "light" else "#ffb0a8", OF_TEXT, self.paper),
                "--good": _seen("#1f6b3a" if self.name == "light" else "#93dcae", OF_TEXT, self.paper),
                "--focus": _seen("#b35900" if self.name == "light" else "#f5a623", OF_SHAPES, self.paper),
            }
        filled = _seen(accent or ("#1a4fa3" if self.name == "light" else "#9dc1ff"), OF_SHAPES, self.paper)
        values |= {"--accent": filled, "--on-accent": ink_on(filled)}
        said = " ".join(f"{name}: {value};" for name, value in values.items())
        # A colour that can be seen on a button may be too weak for words.
        link = _seen(filled, OF_TEXT, self.paper, self.ground)
        return f":root {{ {said} }} a, button.second, button.quiet {{ color: {link}; }}"


def _seen(colour: str, wanted: float, *papers: str) -> str:
    """The colour, as little darker or lighter as the contrast against each takes."""
    towards = ink_on(papers[0])
    for percent in range(101):
        mixed = _mixed(colour, towards, percent / 100)
        if all(contrast(mixed, paper) >= wanted for paper in papers):
            return mixed
    return towards


def _mixed(one: str, other: str, share: float) -> str:
    """With so much of the other in it."""
    pairs = zip(_channels(one), _channels(other), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)


def _channels(colour: str) -> list[int]:
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


def _luminance(colour: str) -> float:
    parts = [channel / 255 for channel in _channels(colour)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _wrong_with_logo(url: str) -> str | None:
    if len(url) > MOST_OF_A_LOGO:
        return f"at most {MOST_OF_A_LOGO:,} characters, so that the page stays small: make the picture smaller"
    head, comma, data = url.partition(",")
    kind = head.removeprefix("data:").removesuffix(";base64")
    if not comma or head != f"data:{kind};base64" or kind not in _MAGIC:
        return "use a data: URL in base64 of a PNG, a JPEG or a WebP, such as data:image/png;base64,…"
    try:
        raw = base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return "what follows the comma is not base64"
    return None if _MAGIC[kind](raw) else f"it says {kind}, and its bytes are none"
