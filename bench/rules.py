"""What one message costs to match among ten thousand rules, beyond among ten."""

from __future__ import annotations

import argparse
import timeit

from bench.figures import figure, median, show
from rules.keywords import Rulebook
from rules.values import Rule

TEXTS = {
    "STOP": "STOP",
    "Stop please!": "Stop please!",
    "150 characters": "Hi there, I wonder whether the matinee on Sunday is still on? " * 2 + "Thank you so much, Ana!",
    "1,600 characters": "The quick brown fox jumps over the lazy dog. " * 35,
    "accented": "Ça m'intéresse, où est-ce que ça se passe déjà ? À bientôt, Zoé. " * 2,
    "full width": "ＳＴＯＰ",
}
CALLS = 300


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=7)


def _book(count: int) -> Rulebook:
    """STOP, and so many others, on fifty numbers of ours."""

    def rule(number: int, keyword: str, action: str) -> Rule:
        return Rule(
            id=f"rul_{number:05d}", channel="sms", keyword=keyword, match="starts_with" if number % 2 else "exact",
            action=action, received_on=f"+1415555{number % 50:04d}" if number % 3 else None,  # type: ignore[arg-type]
            subject_kind="channel", subject_name=None, reply=None, active=True, builtin=None,
        )  # fmt: skip

    others = [rule(number, f"word{number} of {number * 7919}", "reply_only") for number in range(1, count)]
    return Rulebook([rule(0, "STOP", "opt_out"), *others])


async def main(chosen: argparse.Namespace) -> None:
    few, many = _book(10), _book(10_000)
    figures = []
    for name, text in TEXTS.items():
        beyond, of_few = [], []
        for _ in range(chosen.rounds):
            spent = [
                timeit.timeit(lambda: book.decide(text, channel="sms", receiver="+14155550007"), number=CALLS) / CALLS  # noqa: B023
                for book in (few, many)
            ]
            beyond.append((spent[1] - spent[0]) * 1e6)
            of_few.append(spent[0] * 1e6)
        figures.append(figure(f"{name}, us beyond", beyond, "<= 20", f"among ten {median(of_few):.1f}"))
    show(f"rules, one match among 10,000, {chosen.rounds} rounds of {CALLS}", figures, chosen.json)
