"""How a public page is shown: its template in the customer's language, and the policy under which a browser shows it.

A page is whole: style and script stand in it, under a nonce, and nothing is fetched from anywhere. What it may do is in
its Content-Security-Policy: it posts to us alone, and is framed by nobody but whom the page names.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from content.languages import KNOWN, NAMES, Language, choose, language

_HERE = Path(__file__).parent / "pages"
_SELF, _NOBODY = "'self'", "'none'"
_HEADERS = {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store", "X-Robots-Tag": "noindex"}


def spoken(request: web.Request, *wished: str | None) -> Language:
    """The language of a page: as the reader chose on the page (`?lang=`), as is `wished`, as the browser says."""
    return choose(request.query.get("lang"), *wished, accepted=request.headers.get("Accept-Language"))


def other_languages(request: web.Request) -> list[tuple[str, str, str]]:
    """The same page in every language, each as (code, its own name, link); none of what a POST shows, which a link
    would not bring back."""
    if request.method == "POST":
        return []
    kept = [(name, value) for name, value in request.query.items() if name != "lang"]
    return [(code, NAMES[code], f"?{urlencode([*kept, ('lang', code)])}") for code in KNOWN]


def show(
    name: str,
    speech: Language,
    *,
    status: int = 200,
    framed_by: Sequence[str] = (),
    is_framed: bool | None = None,
    leads_to: Sequence[str] = (),
    scripts: Sequence[str] = (),
    look: str = "",
    is_sent: bool = True,
    **values: Any,
) -> web.Response:
    """The page of the template `name`.

    `framed_by`: origins that may frame it; `is_framed`: whether it is so now, where that is known. `leads_to`: origins
    where a form of it may lead besides us. `scripts`: files of pages/ that make the page nicer; it works without.
    `look`: CSS of ours that says more of how this one looks. `is_sent`: whether it may post anything at all.
    """
    nonce = secrets.token_urlsafe(16)
    style = Markup(tight(text_of("style.css") + look))  # noqa: S704 - ours
    code = Markup("".join(map(text_of, scripts)))  # noqa: S704 - ours
    framed = bool(framed_by) if is_framed is None else is_framed
    document = (
        _pages(speech.code)
        .get_template(name)
        .render(
            language=speech,
            nonce=nonce,
            style=style,
            script=code,
            framed=framed,
            status=status,
            **values,
        )
    )
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; "
        + (f"script-src 'nonce-{nonce}'; " if code else "")
        + f"form-action {' '.join((_SELF, *leads_to)) if is_sent else _NOBODY}; "
        + f"frame-ancestors {' '.join(framed_by) or _NOBODY}; base-uri 'none'"
    )
    headers = {**_HEADERS, "Content-Security-Policy": policy, "Content-Language": speech.code}
    return web.Response(status=status, text=document, content_type="text/html", headers=headers)


@cache
def text_of(name: str) -> str:
    """A file of pages/ that stands in a page as it is."""
    return (_HERE / name).read_text()


@lru_cache(128)
def tight(css: str) -> str:
    """Without what is there for those who write it: a page holds 30 kB with everything."""
    return re.sub(r"/\*.*?\*/|\s+(?=[{}])|(?<=[{};:,])\s+", "", css, flags=re.DOTALL).strip()


@cache
def _pages(code: str) -> Environment:
    pages = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    pages.policies["ext.i18n.trimmed"] = True
    pages.install_gettext_translations(language(code).texts, newstyle=True)  # type: ignore[attr-defined]
    return pages
