"""What an e-mail says to one person, once it is filled in: its parts, and what stands below them. Pure.

A content of e-mail is {"subject", "text", "html", "preheader", "from_name", "reply_to"}; `body` is the text where there
is no `text`. Marketing tells who sends it and how to opt out: what the content does not say itself is put below it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parseaddr
from functools import lru_cache
from html import escape
from typing import Any

from content import markup

FIELDS = ("subject", "text", "html", "preheader", "from_name", "reply_to")
MOST_SUBJECT_CHARS = 250
_UNSUBSCRIBE = {
    "en": "Unsubscribe",
    "fr": "Se désabonner",
    "es": "Darse de baja",
    "de": "Abmelden",
    "pt": "Cancelar a inscrição",
    "it": "Annulla l'iscrizione",
    "ar": "إلغاء الاشتراك",
}
_PREFERENCES = {
    "en": "Choose what you get",
    "fr": "Choisir ce que vous recevez",
    "es": "Elegir lo que recibe",
    "de": "Auswählen, was Sie erhalten",
    "pt": "Escolher o que recebe",
    "it": "Scegli cosa ricevere",
    "ar": "اختيار ما يصلك",
}
# Controls, and what ends a line in some reader's eyes: a subject is one line, and no header follows it.
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufffe\uffff\ud800-\udfff]+")
_MAILBOX = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Below:
    """What stands below marketing, for one person."""

    organisation: str
    postal_address: str
    unsubscribe_url: str
    preferences_url: str | None = None  # of the person's own page
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """What is read, from the first letter to the last."""

    subject: str
    text: str
    page: str | None  # HTML down to what stands below: the same for all to whom the content says the same
    foot: str  # and from there on, for this person
    from_name: str | None
    reply_to: str | None

    @property
    def html(self) -> str | None:
        return None if self.page is None else self.page + self.foot


def finish(content: Mapping[str, Any], below: Below | None, *, subject: str) -> Letter:
    """The mail of a content that is filled in; `subject` where it has none. It raises nothing."""
    html, text = content.get("html"), content.get("text", content.get("body"))
    cleaned = markup.clean(_storable(html)) if html is not None else None
    if text is None:
        text = cleaned.text if cleaned is not None else ""
    title = one_line(content.get("subject") or subject)
    return Letter(
        subject=title,
        text=_storable(_text(text, below)),
        page=None if cleaned is None else _page(cleaned, title, content.get("preheader")),
        foot="" if cleaned is None else _foot(cleaned, below),
        from_name=one_line(content["from_name"]) if content.get("from_name") else None,
        reply_to=content.get("reply_to"),
    )


def words(content: Mapping[str, Any]) -> str | None:
    """What it says, as plain text, without what stands below."""
    for field in ("body", "text"):
        if content.get(field) is not None:
            return str(content[field])
    return markup.clean(content["html"]).text if content.get("html") is not None else None


def one_line(text: str) -> str:
    """On one line, whatever it holds: nobody's data begins another header."""
    return " ".join(_NOT_IN_A_LINE.sub(" ", text).split())


def is_mailbox(text: str) -> bool:
    """Whether answers can go there: `box@example.org`, or with a name before it in angle brackets; ASCII."""
    if not text.isascii() or _NOT_IN_A_LINE.search(text):
        return False
    name, address = parseaddr(text)
    plain = _MAILBOX.fullmatch(address) is not None
    return plain and (text == address or (text.endswith(f"<{address}>") and bool(name)))


# --- what stands below -------------------------------------------------------------------------


def _text(text: str, below: Below | None) -> str:
    if below is None:
        return text
    lines = [*_sender(text, below), *(f"{words_}: {url}" for words_, url in _links(text, below))]
    return "\n".join([text.rstrip(), "", "-- ", *lines]) + "\n" if lines else text


@lru_cache(maxsize=16)  # a broadcast's is the same for all, and is encoded once for all
def _page(cleaned: markup.Cleaned, title: str, preheader: str | None) -> str:
    lang = f' lang="{cleaned.language}"' if cleaned.language else ""  # no guess: a screen reader would speak it
    return (
        f"<!DOCTYPE html>\n<html{lang}>\n<head>\n"
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        + (f"<style>\n{cleaned.styles}\n</style>\n" if cleaned.styles else "")
        + f'</head>\n<body style="margin:{0 if cleaned.is_page else "16px"}">\n'
        + (_HIDDEN.format(escape(one_line(preheader))) if preheader else "")
        + f"{cleaned.body}\n"
    )


# Shown beside the subject in the list of mails, and nowhere else.
_HIDDEN = '<div style="display:none;max-height:0;max-width:0;overflow:hidden;opacity:0;mso-hide:all">{}</div>\n'
_FOOTER = (
    '<div lang="{}" dir="auto" style="margin:24px 16px;font:13px/1.5 Arial,Helvetica,sans-serif;color:#595959;'
    'text-align:center">'
)


def _foot(cleaned: markup.Cleaned, below: Below | None) -> str:
    return (_footer(cleaned, below) if below is not None else "") + "</body>\n</html>\n"


def _footer(cleaned: markup.Cleaned, below: Below) -> str:
    lines = [escape(line) for line in _sender(cleaned.text, below)]
    links = _links(cleaned.body, below)
    if links:
        lines.append(" · ".join(f'<a href="{escape(url)}" style="color:#595959">{words_}</a>' for words_, url in links))
    return f"{_FOOTER.format(_language(below))}{'<br>'.join(lines)}</div>\n" if lines else ""


def _sender(text: str, below: Below) -> list[str]:
    """Who sends it, and where they are: 15 USC 7704(a)(5)(A)(iii), and Canada's CASL, section 6(2)."""
    if not _letters(below.postal_address) or _letters(below.postal_address) in _letters(text):
        return []
    lines = [line.strip() for line in below.postal_address.splitlines() if line.strip()]
    return [below.organisation, *lines] if below.organisation else lines


def _links(content: str, below: Below) -> list[tuple[str, str]]:
    """Where to opt out and to choose, in the person's language, where the content does not lead there."""
    language = _language(below)
    known = [(_UNSUBSCRIBE[language], below.unsubscribe_url)]
    if below.preferences_url is not None:
        known.append((_PREFERENCES[language], below.preferences_url))
    return [(words_, url) for words_, url in known if url not in content and escape(url) not in content]


def _language(below: Below) -> str:
    """The person's language where we speak it, else English."""
    language = (below.locale or "en")[:2].lower()
    return language if language in _UNSUBSCRIBE else "en"


@lru_cache(maxsize=64)  # a broadcast's texts are the same for many
def _letters(text: str) -> str:
    """An address however its lines are broken and its parts separated."""
    return "".join(char for char in text.casefold() if char.isalnum())


def _storable(text: str) -> str:
    """Text that can be encoded: a half of a character becomes a question mark."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode()
    return text  # itself, so that what was cleaned once is known again
