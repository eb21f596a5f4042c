"""How a person learns that they can say no: on the first marketing SMS, in their own language. Pure.

CTIA Messaging Principles 5.1 asks for opt-out instructions; who gets them on every message reads none of them.
"""

from __future__ import annotations

import re

_REPLY = {
    "en": "Reply STOP to opt out.",
    "fr": "Répondez STOP pour ne plus recevoir.",
    "es": "Responda STOP para no recibir más.",
    "de": "Antworten Sie STOP zum Abmelden.",
    "pt": "Responda STOP para sair.",
    "it": "Rispondi STOP per annullare.",
}
_LINK = {
    "en": "Opt out: {link}",
    "fr": "Désinscription : {link}",
    "es": "Darse de baja: {link}",
    "de": "Abmelden: {link}",
    "pt": "Cancelar: {link}",
    "it": "Annulla: {link}",
}
_SAYS_STOP = re.compile(r"\bSTOP\b")


def with_notice(text: str, *, locale: str | None, link: str | None) -> str:
    """The text with a line that tells how to opt out, unless it does already.

    `link` is given where the sender cannot be replied to.
    """
    if (link in text) if link else _SAYS_STOP.search(text):
        return text
    language = (locale or "en")[:2].lower()
    line = (_LINK.get(language, _LINK["en"])).format(link=link) if link else _REPLY.get(language, _REPLY["en"])
    return f"{text}\n{line}"
