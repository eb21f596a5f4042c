"""What somebody types and ticks, and what it comes to."""

from __future__ import annotations

from typing import Any

import pytest

from consent.terms import Terms
from forms.catalogue import Box, Headline, Shown
from forms.entries import WORDS, Entry, Typed, read, tidied, wording
from tests.acts import BOOK

NEWS, DRAMA, GALLERY = "prf_news", "prf_drama", "prf_gallery"


def shown(*boxes: Box, **more: Any) -> Shown:
    given: dict[str, Any] = {"channel": "email", "confirmation_message": "Write to me.", "button_text": "Yes"}
    return Shown(**given | {"confirm": "double", "entry": "typed", "preferences": boxes} | more)


def entry(form: Shown, address: str = "ana@example.org", *ticked: str, **fields: str) -> Entry:
    return read(form, Typed(address, fields, frozenset(ticked)), book=BOOK, countries={"US"})


@pytest.mark.parametrize(
    ("channel", "text", "value"),
    [
        ("email", " Ana@Example.ORG ", "Ana@example.org"),
        ("email", "ana@bücher.example", "ana@xn--bcher-kva.example"),
        ("sms", "(415) 555-0123", "+14155550123"),
        ("sms", "+1 415 555 0123", "+14155550123"),
        ("whatsapp", "+14155550123", "+14155550123"),
    ],
)
def test_an_address_is_read_however_it_is_written(channel: str, text: str, value: str) -> None:
    found = entry(shown(channel=channel), text)
    assert found.address is not None
    assert (found.address.value, found.wrong) == (value, {})


@pytest.mark.parametrize(
    ("channel", "text", "why"),
    [
        ("email", "", "missing"),
        ("email", "  ", "missing"),
        ("email", "ana", "not_mail"),
        ("email", "ana@example.org, ben@example.org", "not_mail"),
        ("email", "ana@example.org\nBcc: ben@example.org", "not_mail"),
        ("email", "x" * 400 + "@example.org", "not_mail"),
        ("sms", "", "missing"),
        ("sms", "call me", "not_number"),
        ("sms", "12", "not_number"),
        ("sms", "+44 7400 123456", "country"),  # a mobile, of a country that nobody has allowed
        ("sms", "+1 204 555 0123", "country"),  # Canada has the same code
        ("sms", "+1 800 555 0123", "not_mobile"),  # free of charge for who calls
        ("sms", "+1 900 555 0123", "not_mobile"),  # at a premium
        ("sms", "+1 415 155 0123", "not_mobile"),  # nobody's
        ("sms", "+883 5100 12345678", "country"),
        ("whatsapp", "US.1234", "not_number"),  # Meta's own id, which nobody types
    ],
)
def test_an_address_that_is_not_taken_has_a_reason(channel: str, text: str, why: str) -> None:
    found = entry(shown(channel=channel), text)
    assert (found.address, found.wrong) == (None, {"address": why})
    assert why in WORDS


def test_the_countries_are_an_allow_list() -> None:
    typed = Typed("+44 7400 123456")
    assert read(shown(channel="sms"), typed, book=BOOK, countries={"US", "GB"}).wrong == {}
    assert read(shown(channel="sms"), Typed("+1 415 555 0123"), book=BOOK, countries={"GB"}).wrong == {
        "address": "country"
    }
    assert read(shown(channel="sms"), Typed("+44 20 7946 0958"), book=BOOK, countries={"GB"}).wrong == {
        "address": "not_mobile"
    }


def test_every_box_that_is_shown_is_answered() -> None:
    form = shown(Box(id=NEWS, text="News"), Box(id=DRAMA, text="Drama"), Box(id=GALLERY, text="G", retired=True))
    assert entry(form, "ana@example.org", DRAMA, GALLERY, "prf_other").answers == {NEWS: False, DRAMA: True}


def test_a_statement_is_a_yes_by_the_button() -> None:
    form = shown(Box(id=NEWS, text="News", shown_as="statement", required=True), Box(id=DRAMA, text="Drama"))
    found = entry(form)
    assert (found.answers, found.wrong, found.untouched) == ({NEWS: True, DRAMA: False}, {}, ())


def test_what_was_not_shown_stays_unanswered() -> None:
    form = shown(Box(id=NEWS, text="News"), Box(id=DRAMA, text="Drama"))
    typed = Typed("ana@example.org", {}, frozenset(), frozenset({DRAMA}))
    assert read(form, typed, book=BOOK, countries=()).answers == {DRAMA: False}


def test_a_box_that_was_preselected_and_left_so_is_marked() -> None:
    form = shown(Box(id=NEWS, text="News", selected=True), Box(id=DRAMA, text="Drama"))
    assert entry(form, "ana@example.org", NEWS, DRAMA).untouched == (NEWS,)
    assert entry(form, "ana@example.org", DRAMA).untouched == ()


def test_without_a_box_that_is_needed_nothing_counts() -> None:
    form = shown(Box(id=NEWS, text="News", required=True))
    assert entry(form).wrong == {f"preference.{NEWS}": "tick"}
    assert entry(form, "ana@example.org", NEWS).wrong == {}


def test_only_the_fields_of_the_form_are_taken() -> None:
    form = shown(fields=("first_name", "attributes.genre"))
    given = {"first_name": " Ana \n", "last_name": "Ruiz", "attributes.genre": "opera", "attributes.vip": "yes"}
    found = read(form, Typed("ana@example.org", given), book=BOOK, countries=())
    assert (found.names, found.attributes) == ({"first_name": "Ana"}, {"genre": "opera"})
    assert entry(form, first_name="x" * 201).wrong == {"first_name": "too_long"}


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a\0b", "a b"),
        ("  a \r\n b\t", "a b"),
        ("\u202eanA\u200b", "anA"),
        ("\u0661 é 🎭", "\u0661 é 🎭"),
        ("\x1b[31m", "[31m"),
    ],
)
def test_what_cannot_be_seen_is_taken_out(text: str, clean: str) -> None:
    assert tidied(text) == clean


def test_the_proof_holds_what_stood_there_and_what_was_ticked() -> None:
    boxes = (
        Box(id=NEWS, text="I am happy to be written to.", shown_as="statement"),
        Box(id=GALLERY, text="Exhibitions", group="Art"),
        Box(id=DRAMA, text="New plays"),
    )
    form = shown(*boxes, groups=(Headline(headline="Art"),), confirmation_message="Once a month.\nNo more.")
    terms = Terms(3, "en", "We keep your address safe.", "https://www.example.org/terms")
    assert wording(form, entry(form, "ana@example.org", GALLERY), terms) == (
        "I am happy to be written to.\n[ ] New plays\n[x] Exhibitions\n"
        "We keep your address safe. (https://www.example.org/terms)\nOnce a month.\nNo more.\n[Yes]"
    )
