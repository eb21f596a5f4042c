"""How a person learns that they can say no: on the first marketing SMS, in their own language. Pure.

CTIA Messaging Principles 5.1 asks for opt-out instructions; who gets them on every message reads none of them.
"""

from __future__ import annotations

import re

# In the GSM alphabet: one letter beside it, and the whole text goes out in segments of less than half the size. So
# Arabic stands below Arabic alone.
_REPLY = {
    "en": "Reply STOP to opt out.",
    "fr": "Répondez STOP pour ne plus recevoir.",
    "es": "Responda STOP para darse de baja.",
    "de": "Antworten Sie STOP zum Abmelden.",
    "pt": "Responda STOP para sair.",
    "it": "Risponda STOP per annullare.",
    "ar": "لإيقاف الرسائل يُرجى الرد بكلمة STOP.",
}
_LINK = {
    "en": "Opt out: {link}",
    "fr": "Se désabonner : {link}",
    "es": "Darse de baja: {link}",
    "de": "Abmelden: {link}",
    "pt": "Cancelar: {link}",
    "it": "Annulla: {link}",
    "ar": "لإيقاف الرسائل: {link}",
}
# "Reply STOP …", "STOP to end": an instruction, not "NON-STOP" or "DON'T STOP". Where in doubt it is said once more.
_SAYS_STOP = re.compile(
    r"\b(?i:reply|text|txt|send|répond\w*|envoy\w*|respond\w*|env[ií]\w*|antwort\w*|send\w*|rispond\w*|invi\w*)"
    r"(?:\W+\w+){0,2}\W+(?<!-)STOP\b(?!-)|(?<![\w-])STOP\s*(?:=|(?i:to|2|pour|para|zum|um|per)\b)"
    r"|(?:كلمة|أرسل|ارسل)\W+STOP\b"
)
_ARABIC = re.compile(r"[\u0600-\u06ff]")


def longest(text: str, *, link: str | None) -> int:
    """How many characters the text comes to with the line, in whichever language that is longest."""
    return max(len(with_notice(text, locale=language, link=link)) for language in _REPLY)


def with_notice(text: str, *, locale: str | None, link: str | None) -> str:
    """The text with a line that tells how to opt out, unless it does already.

    `link` is given where the sender cannot be replied to.
    """
    if (link in text) if link else _SAYS_STOP.search(text):
        return text
    language = (locale or "en")[:2].lower()
    if language == "ar" and not _ARABIC.search(text):
        language = "en"
    line = (_LINK.get(language, _LINK["en"])).format(link=link) if link else _REPLY.get(language, _REPLY["en"])
    return f"{text}\n{line}"
