"""Letters and signs that pass for a Latin letter: our own small table, after the idea of the UTS 39 skeleton.

Only true look-alikes stand here, each under the letter it is taken for, capitals by the shape of the capital (Greek
capital Eta passes for H, its small letter for n). What compatibility normalisation already turns into a Latin letter
(full-width, circled, squared, mathematical letters) and what removing accents does are left out.
"""

from __future__ import annotations

from string import ascii_lowercase
from typing import Final

# in each line: Latin with strokes and hooks and small capitals, Greek, Cyrillic, Armenian, Cherokee, Lisu
_PASSES_FOR: Final = {
    "a": "ɑᴀⱥΑαАаᎪꓮ",
    "b": "ʙƀɓΒВвЬьᏴꓐ",
    "c": "ᴄƈȼϹϲСсᏟꓚ",
    "d": "ᴅđɗԀԁᎠꓓ",
    "e": "ᴇɇΕεЕеЄєᎬꓰ",
    "f": "ꜰƒϜϝꓝ",
    "g": "ɡɢǥɠԌԍցᏀꓖ",
    "h": "ʜħɦΗНнҺһհᎻꓧ",
    "i": "ıɩɪɨΙιІіᎥꓲ",
    "j": "ᴊɉʝͿϳЈјյᎫꓙ",
    "k": "ᴋƙΚκКкᏦꓗ",
    "l": "ʟłƚɫӀӏԼᏞꓡ",
    "m": "ᴍɱΜМмᎷꓟ",
    "n": "ɴɲŋΝηոꓠ",
    "o": "ᴏøɵΟοσОоՕօꓳ",
    "p": "ᴘƥᵽΡρРрᏢꓑ",
    "q": "ɋʠԚԛզ",
    "r": "ʀɍɽᎡꓣ",
    "s": "ꜱʂȿЅѕՏᏚꓢ",
    "t": "ᴛŧƭΤτТтᎢꓔ",
    "u": "ᴜʋʉυՍսꓴ",
    "v": "ᴠνѴѵᏙꓦ",
    "w": "ᴡɯωԜԝᎳꓪ",
    "x": "ΧχХхꓫ",
    "y": "ʏɏƴΥγУуҮүꓬ",
    "z": "ᴢƶʐΖᏃꓜ",
    "-": "\u2012\u2013",  # figure dash, en dash: OPT–OUT as phones like to correct it
}

# alphabets of signs, A to Z: negative circled, negative squared, regional indicators
_FIRST_OF_ALPHABET: Final = (0x1F150, 0x1F170, 0x1F1E6)


def _table() -> dict[int, str]:
    table = {ord(sign): latin for latin, signs in _PASSES_FOR.items() for sign in signs}
    latin_capitals = {ord(chr(sign).upper()): latin for sign, latin in table.items() if sign < 0x370}  # before Greek
    table.update({sign: latin for sign, latin in latin_capitals.items() if sign > 0x7F})
    for first in _FIRST_OF_ALPHABET:
        table.update({first + i: latin for i, latin in enumerate(ascii_lowercase)})
    return table


TABLE: Final = _table()
ALL: Final = frozenset(map(chr, TABLE))

# Digits for letters, in texts: a 0 passes for o, a 1 for l or for i; each reading is tried by itself.
ONE_FOR_L: Final = str.maketrans("01", "ol")
ONE_FOR_I: Final = str.maketrans("01", "oi")
