"""The words in a mail's HTML, line by line, and which of them are quoted or a signature. Pure.

A tokenizer of our own: the standard library's takes quadratic time on some broken markup, and fails on some character
references. This one looks at no character more than a few times, whatever the markup: what was looked for in vain is
never looked for again. It is lenient as browsers are, and knows only what tells words from quotes.
"""

from __future__ import annotations

from html.entities import html5
from typing import Final, Literal

Mark = Literal["own", "quote", "signature"]
Line = tuple[Mark, str]

# Elements that begin and end a line; after some a blank one follows.
_SPACED: Final = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "pre"))
_BLOCKS: Final = _SPACED | frozenset(
    (
        "address", "article", "aside", "blockquote", "body", "center", "dd", "div", "dl", "dt", "fieldset", "footer",
        "form", "header", "hr", "html", "li", "main", "nav", "ol", "section", "table", "tbody", "tfoot", "thead", "tr",
        "ul",
    )
)  # fmt: skip
_CELLS: Final = frozenset(("td", "th"))
_VOID: Final = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"))
_UNREAD: Final = frozenset(("script", "style", "title", "textarea", "xml", "select"))

# What programs name the elements that hold a quote, by class, id or name.
_QUOTES: Final = frozenset(
    (
        "yahoo_quoted", "protonmail_quote", "zmail_extra", "olk_src_body_section", "messagereplysection", "quote",
        "isreplycontent", "tutanota_quote", "mail-editor-reference-message-container",
        "ms-outlook-mobile-reference-message", "__quoted_text__", "applemailquote", "replyforwardedmessage",
    )
)  # fmt: skip
_SIGNATURES: Final = frozenset(
    (
        "gmail_signature", "signature", "moz-signature", "applemailsignature", "ms-outlook-mobile-signature",
        "protonmail_signature_block", "messagesignaturesection", "__sig_pre__", "__sig_post__", "bloop_sign",
        "mailbox_signature", "fastmail-signature", "edo-signature", "zmail_signature",
    )
)  # fmt: skip
# Outlook closes nothing: from these on all is quoted.
_REST: Final = frozenset(("divrplyfwdmsg", "stopspelling", "x_divrplyfwdmsg"))
_NAMING: Final = ("class=", "id=", "name=", "data-marker=")
_BEGIN_MARKUP: Final = frozenset("abcdefghijklmnopqrstuvwxyz/!?")
_LONGEST_REFERENCE: Final = 33  # &CounterClockwiseContourIntegral;
_HIGHEST: Final = 0x110000


def read(html: str) -> list[Line]:
    """The lines of the words that are seen; a line of no words for a quote, of which nothing is read."""
    return _Page(html).read()


class _Page:
    def __init__(self, html: str) -> None:
        self._html = html
        self._lower = html.replace("\u0130", "I").lower()  # the one letter whose small form is longer
        self._lines: list[Line] = []
        self._words: list[str] = []  # of the line that is being read
        self._within: list[tuple[str, Mark]] = []  # a signature, a quote, or a quote in a signature
        self._depth: list[int] = []  # of elements of the same name in each
        self._preformatted = 0
        self._end = -1  # of a tag: where the last was found
        self._quotations = {'"', "'"}  # those of which there are still two

    def read(self) -> list[Line]:
        at = 0
        while at >= 0:
            opened = self._html.find("<", at)
            while opened >= 0 and self._lower[opened + 1 : opened + 2] not in _BEGIN_MARKUP:
                opened = self._html.find("<", opened + 1)
            if opened != at and not self._is_quoted:
                self._text(self._html[at:opened] if opened >= 0 else self._html[at:])
            at = self._markup(opened) if opened >= 0 else -1
        self._end_line()
        return self._lines

    # --- tags ---

    def _markup(self, at: int) -> int:
        """Where to go on after the markup that begins here; -1: nowhere."""
        if self._html[at + 1] not in "!?":
            return self._tag(at)
        if not self._html.startswith("<!--", at):
            return self._end_of_tag(at) + 1 or -1
        end = self._html.find("-->", at + 2)
        return end + 3 if end >= 0 else -1

    def _tag(self, at: int) -> int:
        end = self._end_of_tag(at)
        if end < 0:
            return -1
        name, *attributes = self._lower[at + 1 : end].split(None, 1) or [""]
        if name.startswith("/"):
            self._close(name[1:])
            return end + 1
        return self._open(name.rstrip("/"), attributes[0] if attributes else "", end + 1)

    def _end_of_tag(self, at: int) -> int:
        """Where the tag ends, not counting what looks like an end within an attribute; -1 where it does not."""
        end = self._end = self._end if self._end >= at else self._html.find(">", at)
        while end >= 0 and (equals := self._html.find("=", at, end)) >= 0:
            at = equals + 1
            quotation = self._html[at : at + 1]
            if quotation not in self._quotations:
                continue
            closed = self._html.find(quotation, at + 1)
            if closed < 0:
                self._quotations.remove(quotation)
                continue
            at = closed + 1
            if closed > end:
                end = self._end = self._html.find(">", closed)
        return end

    def _open(self, name: str, attributes: str, at: int) -> int:
        if name in _UNREAD:
            return self._past(name, at)
        if self._within and self._within[-1][0] == name and name not in _VOID:
            self._depth[-1] += 1
        if self._is_quoted:
            return at
        names = _names(attributes) if "=" in attributes else _NONE
        if not names.isdisjoint(_REST):
            self._begin(name, "quote")
            return -1
        if name not in _VOID:
            if (name == "blockquote" and not _is_indented(attributes)) or not names.isdisjoint(_QUOTES):
                self._begin(name, "quote")
            elif not names.isdisjoint(_SIGNATURES) and not self._within:
                self._begin(name, "signature")
        self._lay_out(name)
        return at

    def _close(self, name: str) -> None:
        if self._within and self._within[-1][0] == name:
            self._depth[-1] -= 1
            if not self._depth[-1]:
                self._end_line()
                self._within.pop()
                self._depth.pop()
        if self._is_quoted:
            return
        if name == "pre" and self._preformatted:
            self._preformatted -= 1
        if name in _BLOCKS:
            self._end_line()
        if name in _SPACED:
            self._blank_line()

    def _past(self, name: str, at: int) -> int:
        """Behind an element that is not read."""
        end = self._lower.find(f"</{name}", at)
        return self._lower.find(">", end) + 1 or -1 if end >= 0 else -1

    # --- lines ---

    @property
    def _is_quoted(self) -> bool:
        return bool(self._within) and self._within[-1][1] == "quote"

    def _begin(self, name: str, mark: Mark) -> None:
        self._end_line()
        self._within.append((name, mark))
        self._depth.append(1)
        if mark == "quote":
            self._lines.append(("quote", ""))

    def _lay_out(self, name: str) -> None:
        if name == "br":
            self._end_line(even_without_words=True)
        elif name in _CELLS:
            self._words.append(" ")
        elif name in _BLOCKS:
            self._end_line()
            if name == "pre":
                self._preformatted += 1

    def _text(self, text: str) -> None:
        if "&" in text:
            text = _with_characters(text)
        if self._preformatted and "\n" in text:
            *whole, text = text.split("\n")
            for line in whole:
                self._words.append(line)
                self._end_line(even_without_words=True)
        self._words.append(text)

    def _end_line(self, *, even_without_words: bool = False) -> None:
        if self._words:
            line = " ".join("".join(self._words).split())
            self._words.clear()
            if line:
                self._lines.append((self._within[-1][1] if self._within else "own", line))
                return
        if even_without_words:
            self._blank_line()

    def _blank_line(self) -> None:
        if self._lines and self._lines[-1][1]:
            self._lines.append((self._within[-1][1] if self._within else "own", ""))


_NONE: Final = frozenset[str]()


def _names(attributes: str) -> set[str]:
    """The element's classes, its id and its name."""
    pieces = attributes.replace("'", '"').split('"')
    names = {word.partition("=")[2] for word in pieces[0].split() if word.startswith(_NAMING)}
    for attribute, value in zip(pieces[::2], pieces[1::2], strict=False):
        if attribute.rstrip(" ").endswith(_NAMING):
            names.update(value.split())
    if "yahoo_quoted" in attributes:  # with something before it that is new in each mail
        names.add("yahoo_quoted")
    return names


def _is_indented(attributes: str) -> bool:
    """Whether somebody moved their own words to the right, as Gmail's button does, and quotes nobody."""
    style = attributes.replace(" ", "")
    return "border:none" in style and "border-left" not in style


def _with_characters(text: str) -> str:
    """The text with the character instead of each reference to one."""
    first, *others = text.split("&")
    parts = [first]
    for other in others:
        end = other.find(";", 0, _LONGEST_REFERENCE)
        character = _character(other[:end]) if end > 0 else None
        parts.append("&" + other if character is None else character + other[end + 1 :])
    return "".join(parts)


def _character(reference: str) -> str | None:
    if not reference.startswith("#"):
        return html5.get(reference + ";")
    digits, base = (reference[2:], 16) if reference[1:2] in ("x", "X") else (reference[1:], 10)
    if not digits.isascii() or not digits.isalnum():
        return None
    try:
        code = int(digits, base)
    except ValueError:
        return None
    return chr(code) if 0 < code < _HIGHEST and not 0xD800 <= code < 0xE000 else ""
