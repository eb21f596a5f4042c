"""Which words of a mail a rule may read."""

from __future__ import annotations

import pytest

from rules.builtin import PACKS, builtin_rules
from rules.keywords import Rulebook
from rules.mail import foremost, said_in_mail

BOOK = Rulebook(builtin_rules(PACKS))


@pytest.mark.parametrize(
    ("subject", "typed", "texts"),
    [
        ("STOP", "", ("STOP",)),
        ("STOP", "please", ("please", "STOP")),
        (None, "STOP", ("STOP",)),
        ("", "\n\n  STOP  \nI have had enough", ("STOP",)),
        ("Re: Stop the clock, our new play", "Lovely, see you there", ("Lovely, see you there",)),
        ("RE: unsubscribe", "", ()),
        ("Re[2]: STOP", "hello", ("hello",)),
        ("AW: STOP", "", ()),
        ("SV: STOP", "", ()),
        ("Réf : STOP", "", ()),
        ("回复：STOP", "", ()),
        ("Fwd: STOP", "", ()),
        ("I: STOP", "", ()),
        ("Antw: STOP", "", ()),
        ("Return of my tickets", "", ("Return of my tickets",)),
        ("Tristan: STOP", "", ("Tristan: STOP",)),
        ("", "", ()),
        ("  ", " \n ", ()),
    ],
)
def test_a_rule_reads_the_first_line_typed_and_a_subject_of_the_persons_own(
    subject: str | None, typed: str, texts: tuple[str, ...]
) -> None:
    assert said_in_mail(subject, typed) == texts


def decided(subject: str | None, typed: str) -> str | None:
    texts = said_in_mail(subject, typed)
    found = foremost(BOOK.decide(text, channel="email", receiver="hello@example.org") for text in texts)
    return found.rule.keyword if found and found.rule else None


@pytest.mark.parametrize(
    ("subject", "typed", "keyword"),
    [
        ("unsubscribe", "", "UNSUBSCRIBE"),
        ("", "Unsubscribe me please", "UNSUBSCRIBE"),
        ("", "stop it", "STOP"),
        ("Hello", "STOP", "STOP"),
        ("STOP", "Hello", "STOP"),
        ("", "I would like to unsubscribe", None),
        ("", "Hello\nSTOP", None),
        ("", "non-stop", None),
        ("", "Cancel", None),
        ("", "ABMELDEN", "ABMELDEN"),
        ("", "Je voudrais me désabonner", None),
        ("Désabonnement", "", "DÉSABONNEMENT"),
        ("", "START", None),
    ],
)
def test_the_built_in_rules_of_mail(subject: str, typed: str, keyword: str | None) -> None:
    assert decided(subject, typed) == keyword


def test_a_mail_of_one_endless_line_is_read_to_the_length_of_a_line() -> None:
    [text] = said_in_mail(None, "x" * 1_000_000)
    assert len(text) == 998
