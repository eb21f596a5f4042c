"""What a form may be: each wish, and the words for those that cannot be."""

from __future__ import annotations

import base64
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forms.catalogue import Looks
from forms.wishes import Asked, BadForm, Wished, normal_origin, origin_of, settled, wished_by

SITE = "https://www.example.org"
MAIL: dict[str, Any] = {"channel": "email", "confirmation_message": "Write to me.", "button_text": "Yes"}
TEXT = MAIL | {"channel": "sms"}


def form(**wishes: Any) -> Wished:
    return Wished(**(MAIL | wishes))


def refused(*, has_number: bool = True, **wishes: Any) -> dict[str, str]:
    """Field → why."""
    with pytest.raises(BadForm) as caught:
        settled(form(**wishes), has_number=has_number)
    return {one.field: one.message for one in caught.value.wrongs}


@pytest.mark.parametrize(
    ("wishes", "has_number", "entry", "confirm"),
    [
        ({"channel": "email"}, False, "typed", "double"),
        ({"channel": "email", "confirm": "none"}, False, "typed", "none"),
        ({"channel": "sms"}, True, "text_us", "none"),
        ({"channel": "whatsapp"}, True, "text_us", "none"),
        ({"channel": "sms"}, False, "typed", "double"),
        ({"channel": "sms", "entry": "typed"}, True, "typed", "double"),
        ({"channel": "sms", "entry": "both"}, True, "both", "double"),
        ({"channel": "whatsapp", "entry": "both", "confirm": "double"}, True, "both", "double"),
    ],
)
def test_what_is_not_said_is_as_is_usual(wishes: dict[str, Any], has_number: bool, entry: str, confirm: str) -> None:
    shown = settled(form(**wishes), has_number=has_number)
    assert (shown.entry, shown.confirm) == (entry, confirm)


def test_a_form_as_it_is_can_be_wished_again() -> None:
    asked = (
        Asked(id="prf_1", selected=True),
        Asked(id="prf_2", required=True),
        Asked(id="prf_3", shown_as="statement"),
    )
    wished = form(
        preferences=asked, fields=("first_name",), allowed_origins=(SITE,), redirect_url=f"{SITE}/thanks?x=1#y"
    )
    shown = settled(wished, has_number=False)
    assert settled(Wished(**wished_by(shown)), has_number=False) == shown


@pytest.mark.parametrize(
    ("wishes", "field", "words"),
    [
        ({"entry": "text_us"}, "entry", "sms and whatsapp"),
        ({"entry": "both"}, "entry", "sms and whatsapp"),
        ({"keyword": "JOIN"}, "keyword", "text_us or both"),
        ({"channel": "sms", "entry": "typed", "confirm": "none"}, "confirm", "use double"),
        ({"channel": "whatsapp", "entry": "both", "confirm": "none"}, "confirm", "use double"),
        ({"channel": "sms", "fields": ("first_name",)}, "fields", "both or typed"),
        ({"channel": "sms", "preferences": (Asked(id="prf_1"),)}, "preferences", "both or typed"),
        ({"channel": "sms", "tags": ("vip",)}, "tags", "both or typed"),
        ({"fields": ("nickname",)}, "fields.0", "attributes.NAME"),
        ({"fields": ("first_name", "attributes.")}, "fields.1", "attributes.NAME"),
        ({"fields": ("attributes.a b",)}, "fields.0", "attributes.NAME"),
        ({"fields": ("first_name", "first_name")}, "fields", "once"),
        ({"labels": {"last_name": "Name"}}, "labels.last_name", "no such field"),
        ({"tags": ("a", "a")}, "tags", "once"),
        ({"preferences": (Asked(id="prf_1"), Asked(id="prf_1"))}, "preferences", "once"),
        ({"preferences": (Asked(id="p", selected=True, shown_as="statement"),)}, "preferences.0.selected", "button"),
        ({"redirect_url": f"{SITE}/thanks"}, "redirect_url", "allowed_origins"),
        ({"allowed_origins": (SITE, f"{SITE}:443")}, "allowed_origins", "once"),
        ({"looks": Looks(accent="#ffff00")}, "looks.accent", "1.07:1"),
        ({"looks": Looks(accent="#202020", paper="#000000")}, "looks.accent", "lighter"),
        ({"looks": Looks(logo="https://www.example.org/logo.png")}, "looks.logo", "data: URL"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named_with_what_to_do(wishes: dict[str, Any], field: str, words: str) -> None:
    found = refused(**wishes)
    assert found.keys() == {field}
    assert words in found[field]


def test_to_be_texted_takes_a_number() -> None:
    assert "set its `from`" in refused(has_number=False, channel="sms", entry="text_us")["entry"]


def test_everything_that_is_wrong_is_named_at_once() -> None:
    assert refused(fields=("x",), allowed_origins=("*",), looks=Looks(accent="#ffffff")).keys() == {
        "fields.0", "allowed_origins.0", "looks.accent"
    }  # fmt: skip


# --- origins -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("https://www.example.org", "https://www.example.org"),
        ("https://WWW.Example.ORG:443", "https://www.example.org"),
        ("https://example.org:8443", "https://example.org:8443"),
        ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("http://shop.localhost", "http://shop.localhost"),
    ],
)
def test_an_origin_is_kept_as_browsers_write_it(text: str, origin: str) -> None:
    assert normal_origin(text) == origin
    assert settled(form(allowed_origins=(text,)), has_number=False).allowed_origins == (origin,)


@pytest.mark.parametrize(
    "text",
    [
        "", "*", "null", "example.org", "//example.org", "https://", "https://*", "https://*.example.org", "http://example.org",
        "http://127.0.0.1.example.org", "http://localhost.example.org", "https://example.org/", "https://example.org/page",
        "https://example.org?x", "https://example.org#x", "https://ana@example.org", "https://example.org:99999",
        "https://example.org:", "https://exa mple.org", "https://example..org", "https://-example.org",
        "https://bücher.example",
        "javascript://example.org", "data:text/html,x", "https://example.org; script-src *",
        "https://example.org 'self'",
        "https://example.org\n", " https://example.org", "HTTPS//example.org", "https:/example.org", "https://example.org\\x",
    ],
)  # fmt: skip
def test_what_is_no_origin_frames_nothing(text: str) -> None:
    assert normal_origin(text) is None
    assert "no path, no user, no wildcard" in refused(allowed_origins=(text,))["allowed_origins.0"]


@given(st.text(alphabet=string.printable + "é", max_size=30))
def test_an_origin_never_holds_what_a_policy_could_be_led_astray_by(text: str) -> None:
    found = normal_origin(f"https://{text}")
    assert found is None or not set(found) & set(" ;,'\"*\\@/?#\r\n\t".replace("/", "")) - {":"}


@pytest.mark.parametrize(
    "url",
    [
        f"{SITE}@evil.example/", "https://evil.example/", f"{SITE}.evil.example/", "//www.example.org/", "/thanks",
        "javascript:alert(1)", f"{SITE}\\@evil.example/", "https:\\\\www.example.org/", f"{SITE}:8443/", f" {SITE}/",
        f"{SITE}/\n", "https://evil.example\\.www.example.org/",
        "https://user:pass@www.example.org/", "http://www.example.org/", "https:www.example.org", f"{SITE}/ü",
    ],
)  # fmt: skip
def test_a_form_leads_to_no_other_site(url: str) -> None:
    assert origin_of(url) != SITE
    assert "allowed_origins" in refused(allowed_origins=(SITE,), redirect_url=url)["redirect_url"]


# --- logos -------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


def logo(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


@pytest.mark.parametrize(
    ("kind", "data"),
    [("image/png", PNG), ("image/jpeg", b"\xff\xd8\xff\xe0" + bytes(9)), ("image/webp", b"RIFF\0\0\0\0WEBPVP8 ")],
)
def test_a_logo_is_known_by_its_first_bytes(kind: str, data: bytes) -> None:
    assert settled(form(looks=Looks(logo=logo(kind, data))), has_number=False).looks.logo == logo(kind, data)
    assert f"says {kind}" in refused(looks=Looks(logo=logo(kind, b"<svg onload=alert(1)>")))["looks.logo"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (logo("image/svg+xml", b"<svg/>"), "PNG, a JPEG or a WebP"),
        (logo("text/html", PNG), "PNG, a JPEG or a WebP"),
        ("data:image/png;base64,%%%", "not base64"),
        ('data:image/png;base64,iVBO"onerror="x', "not base64"),
        ("data:image/png," + "a" * 20, "PNG, a JPEG or a WebP"),
        (logo("image/png", PNG + bytes(9_000)), "at most 12,000"),
    ],
)
def test_a_logo_that_is_none_is_told(url: str, words: str) -> None:
    assert words in refused(looks=Looks(logo=url))["looks.logo"]
