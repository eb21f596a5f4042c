"""Personal text: what a template may say, and what it may cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from content.liquid import _RENDER_SECONDS, HTML_CHARS, SOURCE_CHARS, BadTemplate, Template, compiled, compiled_html

ANA: dict[str, Any] = {
    "first_name": "Ana",
    "last_name": "Ruiz",
    "locale": "es",
    "attributes": {"last_booking_at": "2024-05-01", "seats": 3, "shows": ["Hamlet", "Medea"], "vip": True},
    "tags": ["vip", "drama"],
    "preferences": {"Drama": True, "Musicals": False, "Opera": None},
    "channel": "sms",
    "links": {
        "unsubscribe": "https://gw.example.org/unsubscribe/t",
        "preferences": "https://gw.example.org/preferences/t",
    },
}


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("Hello", "Hello"),
        ("Hi {{ first_name }}!", "Hi Ana!"),
        ("Hi {{ first_name | default: 'there' }}", "Hi Ana"),
        ("Hi {{ attributes.nickname | default: 'there' }}", "Hi there"),
        ("{{ attributes.last_booking_at | date: '%d.%m.%Y' }}", "01.05.2024"),
        ("{{ attributes.seats | plus: 1 }} seats", "4 seats"),
        ("{% for show in attributes.shows %}{{ show }} {% endfor %}", "Hamlet Medea "),
        ("{% if tags contains 'vip' %}VIP{% endif %}", "VIP"),
        ("{% if preferences['Drama'] %}drama{% endif %}", "drama"),
        ("{% if preferences['Musicals'] %}a{% else %}b{% endif %}", "b"),
        ("{% if preferences['Opera'] %}a{% elsif preferences['Opera'] == nil %}not asked{% endif %}", "not asked"),
        ("{% assign n = first_name | upcase %}{{ n }}", "ANA"),
        ("{{ tags | join: ', ' }}", "vip, drama"),
        ("{{ channel }} {{ locale }}", "sms es"),
        ("{{ links.unsubscribe }}", "https://gw.example.org/unsubscribe/t"),
        ("{{ links.preferences }}", "https://gw.example.org/preferences/t"),
        ("{{ attributes.shows | first | replace: 'ml', 'M' }}", "HaMet"),
        ("{{ 'a b' | url_encode }}", "a+b"),
        ("{{ attributes.vip }}", "true"),
        ("{{ 'a b a c b' | split: ' ' | uniq | join: '' }}", "abc"),
    ],
)
def test_a_template_is_filled_in(source: str, text: str) -> None:
    assert compiled(source).render(ANA) == text


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("{{ frist_name }}", "frist_name"),
        ("{{ first_name | shout }}", "shout"),
        ("{{ preferences[locale] }}", "name the preference"),
        ("{{ preferences }}", "name the preference"),
        ("{{ links.home }}", "links has"),
        ("{% include 'x' %}", "include"),
        ("{% render 'x' %}", "render"),
        ("{% tablerow x in tags %}{% endtablerow %}", "tablerow"),
        ("{{ (1..100000000) | join: ',' }}", "ranges"),
        ("{% for i in (1..3) %}{% endfor %}", "ranges"),
        ("{{ attributes" + "[attributes" * 900 + "]" * 900 + " }}", "nested"),
        ("{% assign r = (1..9) %}", "ranges"),
        ("{% if first_name %}", "if"),
        ("{{ first_name", "expected"),
        ("{{ first_name | upcase", "expected"),
        ("x" * 20_001, "longer"),
        ("{% if a %}" * 40 + "{% endif %}" * 40, "a"),
    ],
)
def test_what_is_unknown_or_broken_is_an_error_when_it_is_made(source: str, word: str) -> None:
    with pytest.raises(BadTemplate, match=word):
        compiled(source)


@pytest.mark.parametrize(
    "source",
    [
        "{% assign x = 'aaaaaaaaaa' %}" + "{% assign x = x | append: x %}" * 30 + "{{ x }}",
        "{% assign x = 'aaaaaaaaaa' %}" + "{% assign x = x | replace: 'a', x %}" * 8 + "{{ x }}",
        "{% assign x = 'aaaaaaaaaa' | split: '' %}" + "{% assign y = x | join: 'aaaaaaaaaaaaaaaaaaaa' | split: '' %}"
        "{% assign x = y %}" * 8,
        "{% assign x = 9 %}" + "{% assign x = x | times: x %}" * 12 + "{{ x }}",
        "{% for a in tags %}" * 12 + "x" + "{% endfor %}" * 12,
        "{% for a in attributes.many %}{% for b in attributes.many %}{{ b | upcase }}{% endfor %}{% endfor %}",
        "{{ 1 | divided_by: 0 }}",
        "{{ 'now' | date: '%1000000000d' }}",
        "{{ first_name | round | times: 'x' | slice: 99999999999999999999 }}",
    ],
)
def test_no_template_costs_much(source: str) -> None:
    template = compiled(source)
    with pytest.raises(BadTemplate):
        template.render(ANA | {"attributes": {"many": list(range(100))}})


@pytest.mark.parametrize("read", [compiled, compiled_html])
@pytest.mark.parametrize(
    "repeated",
    ["{", "{{", "{{ ", "{%", "{% ", "{{ x", "{% comment %}{{", "{% raw %}", "{% doc %}", "{%{{", "{{ 'x",
     "{{" + " " * 39, "{{" + " " * 1900 + "}}", "{{ x" + " " * 1900 + "}}", "{% if" + " " * 1900 + "%}",
     "{%" + " " * 1900 + "if x %}"],
)  # fmt: skip
def test_no_text_takes_long_to_read(read: Callable[[str], Template], repeated: str) -> None:
    most = SOURCE_CHARS if read is compiled else HTML_CHARS
    source = (repeated * (most // len(repeated) + 1))[:most]
    began = time.thread_time()
    with pytest.raises(BadTemplate):
        read(source)
    assert time.thread_time() - began < 1.0


def test_in_html_what_is_filled_in_is_text() -> None:
    person = {"first_name": "<b>&\"'", "tags": ["<i>", "x"], "attributes": {"bio": "one\n<two>"}}
    for source, read in (
        ("<p>{{ first_name }}</p>", "<p>&lt;b&gt;&amp;&#34;&#39;</p>"),
        ("{{ first_name | append: '<br>' }}", "&lt;b&gt;&amp;&#34;&#39;<br>"),
        ("{{ first_name | escape }}", "&lt;b&gt;&amp;&#34;&#39;"),
        ("{{ first_name | replace: 'b', '<u>' }}", "&lt;&lt;u&gt;&gt;&amp;&#34;&#39;"),
        ("{{ tags | join: ' ' }}{% for t in tags %}{{ t }}{% endfor %}", "&lt;i&gt; x&lt;i&gt;x"),
        ("{{ attributes.bio | newline_to_br }}", "one<br />\n&lt;two&gt;"),
        ("{{ tags | first | upcase }}", "&lt;I&gt;"),
        ("{% capture x %}<i>{{ first_name }}</i>{% endcapture %}{{ x }}", "<i>&lt;b&gt;&amp;&#34;&#39;</i>"),
    ):
        assert compiled_html(source).render(person) == read
    assert compiled("{{ first_name }}").render(person) == "<b>&\"'"


def test_python_is_not_to_be_reached() -> None:
    for path in ("first_name.__class__", "attributes.__init__.__globals__", "tags.append", "links.unsubscribe.upper"):
        try:
            assert compiled(f"{{{{ {path} }}}}").render(ANA) == ""
        except BadTemplate:
            continue


def test_what_a_template_uses_is_known_before_it_is_filled_in() -> None:
    template = compiled("{{ first_name }}{% if preferences['Drama'] %}{{ attributes.x }}{% endif %}")
    assert template.uses == {"first_name", "preferences", "attributes"}
    assert template.preferences == {"Drama"}
    assert compiled("plain").uses == frozenset()


def test_a_local_name_is_no_unknown_variable() -> None:
    assert compiled("{% assign greeting = 'Hi' %}{{ greeting }} {{ first_name }}").render(ANA) == "Hi Ana"


def test_no_rendering_takes_long() -> None:
    words = " ".join(f"w{n}" for n in range(3000))
    slow = "{% assign w = '" + words + "' | split: ' ' %}{% for t in w limit: 400 %}{% assign x = w | sort | uniq %}"
    template = compiled(slow + "{% endfor %}hi")
    began = time.monotonic()
    with pytest.raises(BadTemplate, match="too"):
        template.render(ANA)
    assert time.monotonic() - began < 2.0


def test_time_in_which_others_run_is_no_cost_of_a_rendering() -> None:
    class Held:
        def __str__(self) -> str:
            time.sleep(2 * _RENDER_SECONDS)  # as while another thread has the interpreter
            return "Ana"

    assert compiled("{{ first_name | upcase | strip }}").render({"first_name": Held()}) == "ANA"
