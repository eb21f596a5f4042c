"""What a mail says to one person: its parts, and what is put below them where it is not said."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content import composition, mail
from content.composition import BadContent
from content.mail import Below

LINK = "https://gw.example.org/unsubscribe/adr_1.email.x"
ADDRESS = "12 Long Lane\nLondon  N1"
BELOW = Below("Globe & Co", ADDRESS, LINK)
TEXT: dict[str, Any] = {"subject": "Autumn", "text": "Hello"}
HTML: dict[str, Any] = {"subject": "Autumn", "html": "<p>Hello</p>"}


def finish(content: dict[str, Any], below: Below | None = BELOW) -> mail.Letter:
    return mail.finish(content, below, subject="Globe & Co")


def test_what_is_missing_is_put_below_the_text() -> None:
    assert finish(TEXT).text == f"Hello\n\n-- \nGlobe & Co\n12 Long Lane\nLondon  N1\nUnsubscribe: {LINK}\n"
    assert finish(TEXT).html is None
    assert finish(TEXT, None).text == "Hello"


def test_and_below_the_html_with_its_characters_escaped() -> None:
    html = finish(HTML).html
    assert html is not None
    assert "Globe &amp; Co<br>12 Long Lane<br>London  N1<br>" in html
    assert f'<a href="{LINK}"' in html
    assert html.index("<p>Hello</p>") < html.index("Globe &amp;") < html.index("</body>")
    assert html.startswith('<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">')
    assert "<title>Autumn</title>" in html
    alone = finish(HTML, None).html
    assert alone is not None
    assert "Globe" not in alone


def test_down_to_what_stands_below_the_html_is_one_for_all() -> None:
    one, other = (finish(HTML, replace(BELOW, unsubscribe_url=LINK + own)) for own in "ab")
    assert one.page is other.page
    assert one.page is not None
    assert one.page.endswith("<p>Hello</p>\n")
    assert f'<a href="{LINK}a"' in one.foot
    assert f'<a href="{LINK}b"' in other.foot
    assert finish(HTML | {"subject": "Winter"}).page != one.page
    assert finish(HTML | {"preheader": "Now on sale"}).page != one.page


def test_what_the_content_says_itself_is_not_said_again() -> None:
    said = {"subject": "x", "text": f"12 LONG LANE, London N1. Stop: {LINK}", "html": f'<p>12 Long Lane<br>London N1 '
            f'<a href="{LINK}">Stop</a></p>'}  # fmt: skip
    letter = finish(said)
    assert letter.text == said["text"]
    assert letter.html is not None
    assert letter.html.count(LINK) == 1
    assert letter.html.count("Long Lane") == 1
    half = finish({"subject": "x", "text": f"Stop: {LINK}"}).text
    assert half.endswith("-- \nGlobe & Co\n12 Long Lane\nLondon  N1\n")
    assert half.count(LINK) == 1


@pytest.mark.parametrize(("locale", "word"), [("de", "Abmelden"), ("fr-CA", "Se désabonner"), ("pt_BR", "Cancelar"),
                                              ("es", "Darse de baja"), ("it", "Annulla"), ("ar-EG", "إلغاء الاشتراك"),
                                              ("ja", "Unsubscribe"), ("x<y>", "Unsubscribe"),
                                              (None, "Unsubscribe")])  # fmt: skip
def test_it_is_said_in_the_persons_language(locale: str | None, word: str) -> None:
    letter = finish(HTML, Below("Globe", ADDRESS, LINK, locale=locale))
    assert word in letter.text
    assert letter.html is not None
    assert word in letter.html.replace("&#x27;", "'")
    spoken = {"Unsubscribe": "en"}.get(word, str(locale)[:2])
    assert re.findall(r'<(\w+) lang="(.*?)"', letter.html) == [("div", spoken)], (
        "only what is ours is known to be in it"
    )
    assert "x<y>" not in letter.html


@pytest.mark.parametrize(
    ("html", "begins"),
    [
        ("<p>Hello</p>", '<html>…<body style="margin:16px">'),
        ("<html><body><p>Hello</p></body></html>", '<html>…<body style="margin:0">'),
        (
            '<!doctype html>\n<html dir="ltr" LANG=de-AT><body bgcolor=red>',
            '<html lang="de-AT">…<body style="margin:0">',
        ),
        ("<html lang='x\" onload=\"y'><p>Hello", '<html>…<body style="margin:16px">'),
    ],
)
def test_a_page_keeps_its_language_and_its_edges_and_a_few_words_get_some_room(html: str, begins: str) -> None:
    made = finish(HTML | {"html": html}).html
    assert made is not None
    assert re.sub(r"\n<head>.*?</head>\n", "…", made.partition("\n")[2], flags=re.DOTALL).startswith(begins)


def test_a_place_is_left_for_the_persons_own_page() -> None:
    page = "https://gw.example.org/preferences/t"
    letter = finish(HTML, Below("Globe", ADDRESS, LINK, preferences_url=page))
    assert f"Choose what you get: {page}" in letter.text
    assert letter.html is not None
    assert page in letter.html


def test_text_is_made_from_html_with_links_as_urls() -> None:
    letter = finish({"subject": "x", "html": '<h1>Autumn</h1><a href="https://x.org/p">Programme</a>'}, None)
    assert letter.text == "Autumn\n\nProgramme (https://x.org/p)"
    assert finish({"subject": "x", "body": "short", "html": "<p>long</p>"}, None).text == "short"
    assert finish({"subject": "x", "body": "short", "text": "text"}, None).text == "text"


def test_a_subject_is_one_line_whatever_a_person_is_called() -> None:
    content = {"subject": "Hi {{ first_name }}", "text": "x"}
    for name in ("Ana\r\nBcc: all@example.org", "Ana\nBcc: all@example.org", "Ana\u2028Bcc: all@example.org",
                 "Ana\x00\x0bBcc: all@example.org", "Ana\x85Bcc: all@example.org"):  # fmt: skip
        filled = composition.fill_in(content, {"first_name": name})
        assert filled["subject"] == "Hi Ana Bcc: all@example.org"
    assert finish({"text": "x"}).subject == "Globe & Co"


def test_the_preheader_is_hidden_and_escaped() -> None:
    letter = finish(HTML | {"preheader": "Now <b>on</b>\nsale"}, None)
    assert letter.html is not None
    assert 'mso-hide:all">Now &lt;b&gt;on&lt;/b&gt; sale</div>' in letter.html
    assert "sale" not in letter.text


def test_in_html_a_persons_data_is_text_in_the_subject_it_is_itself() -> None:
    content = {"subject": "For {{ first_name }}", "html": '<p>{{ first_name }}</p><a href="{{ attributes.url }}">x</a>'}
    values = {"first_name": "<b>A & B</b>", "attributes": {"url": 'javascript:x" onclick="y'}}
    filled = composition.fill_in(composition.on_channel(content, "email"), values)
    letter = finish(filled, None)
    assert letter.subject == "For <b>A & B</b>"
    assert letter.html is not None
    assert "<p>&lt;b&gt;A &amp; B&lt;/b&gt;</p><a>x</a>" in letter.html
    assert letter.text == "<b>A & B</b>\n\nx"


@given(st.text(), st.text(), st.text())
def test_whatever_is_filled_in_it_is_finished(subject: str, text: str, html: str) -> None:
    letter = finish({"subject": subject, "text": text, "html": html, "preheader": subject, "from_name": subject})
    for line in (letter.subject, letter.from_name or ""):
        assert "\n" not in line
        assert "\r" not in line
    letter.text.encode()
    assert letter.html is not None
    letter.html.encode()
    assert LINK in letter.text


@pytest.mark.parametrize(
    ("content", "field", "word"),
    [
        ({"subject": " \n", "text": "x"}, "subject", "nothing"),
        ({"subject": "x" * 251, "text": "x"}, "subject", "250"),
        ({"subject": "x", "text": " "}, "text", "nothing"),
        ({"subject": "x", "html": " "}, "html", "nothing"),
        ({"subject": "x", "html": "<div>" * 201}, "html", "200 deep"),
        ({"subject": "x", "html": "<script>x()</script>"}, "html", "nothing of it may go out"),
        ({"subject": "{{ nobody }}", "text": "x"}, "subject", "nobody"),
        ({"subject": "x", "text": "x", "html": "{% if %}"}, "html", "missing"),
        ({"subject": "x", "text": "x", "html": "<div>" * 201 + "{{ first_name }}"}, "html", "200 deep"),
    ],
)
def test_what_can_never_be_sent_is_named_with_its_field(content: dict[str, Any], field: str, word: str) -> None:
    with pytest.raises(BadContent, match=word) as caught:
        composition.check(content, ["email"])
    assert caught.value.field == field


def test_what_grows_too_deep_when_it_is_filled_in_is_told_then() -> None:
    content = {"subject": "x", "html": "{% for t in tags %}<div>{% endfor %}"}
    composition.check(content, ["email"])
    filled = composition.fill_in(content, {"tags": ["t"] * 300})
    with pytest.raises(BadContent, match="200 deep"):
        composition.check_length(filled, "email")


def test_by_mail_a_text_may_be_long_and_by_sms_not() -> None:
    long = {"subject": "x", "body": "x" * 1601}
    composition.check(long, ["email"])
    with pytest.raises(BadContent, match="1,600"):
        composition.check(long, ["email", "sms"])
    assert composition.weight(long, "email") == 1


def test_each_channel_takes_its_part() -> None:
    whole = {"body": "short", "subject": "S", "text": "long", "html": "<p>long</p>", "reply_to": "a@example.org"}
    assert composition.on_channel(whole, "sms") == {"body": "short"}
    assert composition.on_channel(whole, "email") == {k: v for k, v in whole.items() if k != "body"}
    assert composition.on_channel({"body": "short", "subject": "S"}, "email") == {"subject": "S", "body": "short"}
    assert composition.preferences_by_field({"subject": "{{ preferences['Drama'] }}"}) == {"subject": {"Drama"}}


def test_of_what_went_out_its_words_are_kept_and_not_each_persons_html() -> None:
    assert composition.kept({"subject": "S", "html": "<p>Hi <b>Ana</b></p>"}) == {"subject": "S", "text": "Hi Ana"}
    assert composition.kept({"subject": "S", "text": "Hi"}) == {"subject": "S", "text": "Hi"}
    assert composition.kept({"body": "Hi"}) == {"body": "Hi"}


@pytest.mark.parametrize(
    ("text", "is_one"),
    [("a@example.org", True), ("Box office <a@example.org>", True), ('"Office, Box" <a@example.org>', True),
     ("a@example", False), ("a", False), ("<a@example.org>", False), ("a@example.org, b@example.org", False),
     ("a@example.org\r\nBcc: b@example.org", False), ("Box\n<a@example.org>", False), ("ä@example.org", False),
     ("a b@example.org", False), ("Büro <a@example.org>", False), ("a@example.org <b@example.org>", False)],
)  # fmt: skip
def test_where_answers_can_go(text: str, is_one: bool) -> None:
    assert mail.is_mailbox(text) is is_one
