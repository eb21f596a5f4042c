"""HTML of a mail: what of it goes out, and how it reads as plain text. Pure.

Operators write it, and a person's data fills it in, so it is cleaned last, when it is filled in, by an allow-list that
knows what newsletters are made of: tables, inline styles, style sheets without tricks, images by https.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from html import unescape

import nh3

MOST_DEPTH = 200  # of elements in one another: the parser's work is the square of it
_BLOCKS = frozenset({
    "address", "article", "blockquote", "center", "dd", "div", "dl", "dt", "figcaption", "figure", "footer", "h1", "h2",
    "h3", "h4", "h5", "h6", "header", "hr", "li", "main", "ol", "p", "pre", "section", "table", "tr", "ul",
})  # fmt: skip
_TAGS = _BLOCKS | {
    "a", "abbr", "b", "big", "br", "caption", "cite", "code", "col", "colgroup", "del", "em", "font", "i", "img", "ins",
    "kbd", "mark", "q", "s", "small", "span", "strike", "strong", "style", "sub", "sup", "tbody", "td", "tfoot", "th",
    "thead", "time", "tt", "u", "wbr",
}  # fmt: skip
# Gone with all that is in them; of whatever else is not allowed the content stays.
_GONE = frozenset({
    "applet", "audio", "canvas", "embed", "iframe", "math", "noscript", "object", "script", "select", "svg", "template",
    "textarea", "title", "video", "xml",
})  # fmt: skip
# What a document is wrapped in: a mail has its own.
_WRAPPING = frozenset({"html", "head", "body", "meta", "title", "tbody"})
_ATTRIBUTES = {
    "*": {"align", "aria-hidden", "aria-label", "bgcolor", "class", "dir", "height", "id", "lang", "role", "style",
          "title", "valign", "width"},
    "a": {"href", "name", "target"},
    "br": {"clear"},
    "col": {"span"},
    "font": {"color", "face", "size"},
    "hr": {"color", "noshade", "size"},
    "img": {"alt", "border", "hspace", "src", "vspace"},
    "li": {"type", "value"},
    "ol": {"reversed", "start", "type"},
    "table": {"background", "border", "cellpadding", "cellspacing", "summary"},
    "td": {"abbr", "background", "colspan", "headers", "nowrap", "rowspan"},
    "th": {"abbr", "background", "colspan", "headers", "nowrap", "rowspan", "scope"},
    "time": {"datetime"},
    "tr": {"background"},
    "ul": {"type"},
}  # fmt: skip
_SCHEMES = {"http", "https", "mailto", "tel", "sms"}
# CSS that runs something, or fetches what is not there to be seen.
_TRICKS = re.compile(r"expression\s*\(|javascript:|behaviou?r\s*:|-moz-binding|@import|[<\\]", re.IGNORECASE)
_FETCHED = re.compile(r"url\(\s*['\"]?(?!https://)", re.IGNORECASE)


@dataclass(frozen=True)
class Cleaned:
    """The HTML that may go out."""

    body: str
    styles: str = ""  # of its style sheets, together
    language: str | None = None  # that it says it is in
    is_page: bool = False  # with a body of its own, whose margins are its own affair

    @cached_property
    def text(self) -> str:
        """How it reads as plain text."""
        return _as_text(self.body)


@lru_cache(maxsize=16)  # a broadcast's is the same for all; what is filled in for each passes through
def clean(html: str) -> Cleaned:
    """What of it may go out; it is no deeper than MOST_DEPTH (`depth`)."""
    # A document's body may have the background that all else stands on.
    kept = _CLEANER.clean(_BODY.sub(r"<\1div", html))
    styles = "\n".join(sheet for sheet in _SHEET.findall(kept) if not _is_tricky(sheet))
    body = _SHEET.sub("", kept).strip()
    language = _LANGUAGE.search(html, 0, _MOST_BEFORE_THE_HEAD)
    return Cleaned(body, styles, language[1] if language else None, _BODY.search(html) is not None)


def depth(html: str) -> int:
    """How deep elements stand in one another at most, as they are written."""
    now = deepest = 0
    for closing, name in _TAG.findall(html):
        if name.lower() not in _CLOSE_THEMSELVES:
            now = max(0, now - 1) if closing else now + 1
            deepest = max(deepest, now)
    return deepest


@lru_cache(maxsize=64)  # asked for with every list of broadcasts
def taken_out(html: str) -> tuple[str, ...]:
    """What `clean` takes out of it that an operator may miss, in words; of what Liquid writes nothing is known."""
    return tuple(dict.fromkeys(_missed(html)))


def _missed(html: str) -> Iterator[str]:
    if "<!--[if mso" in html.lower():
        yield "comments for Outlook"
    for closing, name in _TAG.findall(html):
        tag = name.lower()
        if not closing and tag not in _TAGS and tag not in _WRAPPING:
            yield f"<{tag}>" + (" and what is in it" if tag in _GONE else "")
    for sheet in _ANY_SHEET.findall(html):
        if _is_tricky(sheet):
            yield "a style sheet that imports, runs or fetches something without https"
    for name in _EVENT.findall(html):
        yield name.lower()
    for name, url in _URL.findall(html):
        attribute, start = name.lower(), url.lower()
        if not _may_lead(attribute, start) and not start.startswith(("{{", "{%")):
            yield f"{attribute} that does not begin with " + ("https://" if attribute != "href" else "a known scheme")


def _may_lead(attribute: str, url: str) -> bool:
    if attribute == "href":
        return url.startswith("#") or url.partition(":")[0] in _SCHEMES
    return url.startswith("https://")


def _is_tricky(css: str) -> bool:
    return bool(_TRICKS.search(css) or _FETCHED.search(css))


def _attribute(_tag: str, name: str, value: str) -> str | None:
    """The attribute as it may stand; None: it may not."""
    if name == "style":
        return None if _is_tricky(value) else value
    if name in ("src", "background"):
        return value if value.strip().lower().startswith("https://") else None
    return value


_CLEANER = nh3.Cleaner(
    tags=set(_TAGS),
    clean_content_tags=set(_GONE),
    attributes=_ATTRIBUTES,
    attribute_filter=_attribute,
    link_rel=None,
    url_schemes=_SCHEMES,
    url_relative=lambda url: url if url.startswith("#") else None,
)
_BODY = re.compile(r"<(/?)body(?=[\s>])", re.IGNORECASE)
_MOST_BEFORE_THE_HEAD = 2_000
_LANGUAGE = re.compile(
    r"<html\b[^<>]*?\slang\s*=\s*[\"']?([a-z]{2,3}(?:-[a-z0-9]{2,8}){0,3})(?=[\s\"'>])", re.IGNORECASE | re.ASCII
)
_SHEET = re.compile(r"<style>(.*?)</style>", re.DOTALL)
_ANY_SHEET = re.compile(r"<style\b[^<>]*>([^<]*)", re.IGNORECASE)
_TAG = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9:-]*)")
_EVENT = re.compile(r"[\s\"'/](on[a-z]{3,20})\s*=", re.IGNORECASE)
_URL = re.compile(r"[\s\"'](href|src|background)\s*=\s*[\"']?\s*([^\s\"'>]{1,12})", re.IGNORECASE)
_CLOSE_THEMSELVES = frozenset({
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta", "option", "p",
    "param", "source", "tbody", "td", "tfoot", "th", "thead", "tr", "track", "wbr",
})  # fmt: skip


# --- as plain text ----------------------------------------------------------------------------


def _as_text(cleaned: str) -> str:
    """How cleaned HTML reads: blocks on lines of their own, links with where they lead.

    nh3 has written it, so that it is well-formed; html.parser would take five times as long.
    """
    reader = _Reader()
    for closing, tag, attributes, text in _PIECE.findall(cleaned):
        if not tag:
            reader.write(unescape(text))
        elif closing:
            reader.end(tag)
        else:
            reader.start(tag, attributes)
    return reader.read()


class _Reader:
    def __init__(self) -> None:
        self._out: list[str] = []
        self._due = 0  # newlines before what is written next
        self._links: list[tuple[str, int]] = []  # where each leads, and where its words begin
        self._lists: list[int | None] = []  # of each list the number of its next item; None: it has none
        self._as_it_is = 0  # within so many <pre>

    def start(self, tag: str, attributes: str) -> None:
        if tag == "br":
            self._out.append("\n")
        elif tag == "img":
            self.write(_given("alt", attributes))
        elif tag == "a":
            self._links.append((_given("href", attributes), len(self._out)))
        elif tag in ("td", "th"):
            self.write(" ")
        elif tag in _BLOCKS:
            self._begin(tag, attributes)

    def _begin(self, tag: str, attributes: str) -> None:
        self._break(tag)
        if tag in ("ol", "ul"):
            self._lists.append(_number(_given("start", attributes)) if tag == "ol" else None)
        elif tag == "li":
            number = self._lists[-1] if self._lists else None
            self._put("- " if number is None else f"{number}. ")
            if number is not None:
                self._lists[-1] = number + 1
        elif tag == "hr":
            self._put("---")
            self._break(tag)
        self._as_it_is += tag == "pre"

    def end(self, tag: str) -> None:
        if tag == "a" and self._links:
            self._lead(*self._links.pop())
        elif tag in _BLOCKS and tag != "hr":
            if tag in ("ol", "ul") and self._lists:
                self._lists.pop()
            self._as_it_is -= tag == "pre"
            self._break(tag)

    def _lead(self, href: str, begins: int) -> None:
        """Where a link leads, unless its words say so."""
        words = "".join(self._out[begins:]).strip()
        plain = href.removeprefix("mailto:").removeprefix("tel:")
        if plain and plain != words and not href.startswith("#"):
            self._put(f" ({plain})" if words else plain)

    def write(self, data: str) -> None:
        if self._as_it_is:  # marked, so that `read` leaves the line alone
            self._put(_AS_IT_IS + data.replace("\n", f"\n{_AS_IT_IS}"))
        elif (text := _SPACE.sub(" ", data)) != " " or not self._due:
            self._put(text)

    def _put(self, text: str) -> None:
        if text:
            self._out.append("\n" * self._due + text)
            self._due = 0

    def _break(self, tag: str) -> None:
        self._due = max(self._due, 1 if tag in _CLOSE else 2)

    def read(self) -> str:
        lines = (_one_line(line) for line in "".join(self._out).split("\n"))
        return _GAPS.sub("\n\n", "\n".join(lines)).strip()


_PIECE = re.compile(r"<(/?)([a-z][a-z0-9]*)((?:[^>\"]|\"[^\"]*+\")*+)>|([^<]++)")
_AS_IT_IS = "\x00"
_CLOSE = frozenset({"dd", "div", "dt", "li", "tr"})  # blocks that stand close together
_SPACE = re.compile(r"[ \t\r\n\f]+")
_SPACES = re.compile(r" {2,}")
# What preheaders are filled up with. Joiners within words are letters of some scripts.
_INVISIBLE = re.compile("[\u00ad\u034f\u200b\u2060\ufeff]|[\u200c\u200d](?=[\\s\u200c\u200d]|$)")
_GAPS = re.compile(r"\n{3,}")


def _one_line(line: str) -> str:
    if line.startswith(_AS_IT_IS):
        return line.replace(_AS_IT_IS, "").rstrip()
    line = _INVISIBLE.sub("", line.replace("\u00a0", " ").replace(_AS_IT_IS, ""))
    return _SPACES.sub(" ", line).strip()


def _given(name: str, attributes: str) -> str:
    """An attribute's value as it is meant; "" where it is not there."""
    _, there, rest = attributes.partition(f' {name}="')
    return unescape(rest.partition('"')[0]) if there else ""


def _number(start: str) -> int:
    return int(start) if start.isascii() and start.isdigit() and len(start) < 6 else 1
