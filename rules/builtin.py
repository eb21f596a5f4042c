"""The rules that are there from the start, by language pack.

English: the words that carriers and the law know (CTIA Messaging Principles; 47 CFR 64.1200(a)(10): stop, quit, end,
revoke, opt out, cancel, unsubscribe). The other packs only opt out, and only where the word is the whole message, so
that "Cancelar mi reserva" is left to people. Words that mean something else in another language stay out (Italian
"fine"). Accents need no rows of their own: they are ignored in the second comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rules.normalize import unaccented
from rules.values import Action, Match, Rule

_TEXTS: Final = ("sms", "whatsapp")

_Row = tuple[str, Match, Action]


def _words(match: Match, action: Action, *keywords: str) -> tuple[_Row, ...]:
    return tuple((keyword, match, action) for keyword in keywords)


_ROWS: Final[dict[str, tuple[_Row, ...]]] = {
    "en": (
        *_words("starts_with", "opt_out", "STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE"),
        *_words("starts_with", "opt_out", "OPTOUT", "OPT OUT", "OPT-OUT", "REVOKE"),
        *_words("exact", "opt_out", "CANCEL", "END", "QUIT", "REMOVE"),
        *_words("exact", "opt_in", "START", "UNSTOP"),
        *_words("exact", "reply_only", "HELP", "INFO"),
    ),
    "fr": (
        *_words("exact", "opt_out", "ARRET", "ARRÊTER", "ARRÊTEZ", "DÉSABONNER", "ME DÉSABONNER", "SE DÉSABONNER"),
        *_words("exact", "opt_out", "DÉSABONNEMENT", "DÉSINSCRIRE", "DÉSINSCRIPTION", "RÉSILIER", "ANNULER", "FIN"),
    ),
    "es": (
        *_words("exact", "opt_out", "BAJA", "DAR DE BAJA", "DARME DE BAJA", "DARSE DE BAJA", "PARAR", "PARE", "ALTO"),
        *_words("exact", "opt_out", "DETENER", "CANCELAR", "ANULAR", "SALIR", "FIN"),
    ),
    "de": (
        *_words("exact", "opt_out", "STOPP", "STOPPEN", "ABMELDEN", "ABMELDUNG", "ABBESTELLEN", "AUSTRAGEN"),
        *_words("exact", "opt_out", "BEENDEN", "WIDERRUF", "WIDERRUFEN", "ENDE"),
    ),
    "pt": (
        *_words("exact", "opt_out", "PARAR", "PARE", "SAIR", "CANCELAR", "CANCELAR INSCRIÇÃO", "DESCADASTRAR"),
        *_words("exact", "opt_out", "DESINSCREVER", "REMOVER", "FIM"),
    ),
    "it": (
        *_words("exact", "opt_out", "CANCELLAMI", "CANCELLA", "CANCELLARMI", "ANNULLA", "DISISCRIVI"),
        *_words("exact", "opt_out", "DISISCRIVIMI", "DISISCRIVERMI", "DISISCRIZIONE", "RIMUOVI", "BASTA"),
    ),
}

# On e-mail a rule reads the first line that was typed, and the subject: words that can only mean the mails.
_MAIL_ROWS: Final[dict[str, tuple[_Row, ...]]] = {
    "en": _words("starts_with", "opt_out", "STOP", "UNSUBSCRIBE"),
    "fr": (
        *_words("exact", "opt_out", "DÉSABONNER", "ME DÉSABONNER", "SE DÉSABONNER", "DÉSABONNEMENT"),
        *_words("exact", "opt_out", "DÉSINSCRIRE", "DÉSINSCRIPTION"),
    ),
    "es": _words("exact", "opt_out", "BAJA", "DAR DE BAJA", "DARME DE BAJA", "DARSE DE BAJA"),
    "de": _words("exact", "opt_out", "STOPP", "ABMELDEN", "ABMELDUNG", "ABBESTELLEN", "AUSTRAGEN"),
    "pt": _words("exact", "opt_out", "CANCELAR INSCRIÇÃO", "DESCADASTRAR", "DESINSCREVER"),
    "it": (
        *_words("exact", "opt_out", "CANCELLAMI", "CANCELLARMI", "DISISCRIVI", "DISISCRIVIMI"),
        *_words("exact", "opt_out", "DISISCRIVERMI", "DISISCRIZIONE"),
    ),
}

PACKS: Final = tuple(_ROWS)


def builtin_rules(packs: Sequence[str]) -> tuple[Rule, ...]:
    """Return the built-in rules of the packs, for sms, whatsapp and email, under ids that never change.

    Raises ValueError for a pack that does not exist, naming it and those that do.
    """
    for pack in packs:
        if pack not in _ROWS:
            raise ValueError(f"there is no rule pack {pack!r}; the packs are {', '.join(PACKS)}")
    by_channel = {**dict.fromkeys(_TEXTS, _ROWS), "email": _MAIL_ROWS}
    return tuple(
        _rule(channel, pack, row)
        for channel, rows in by_channel.items()
        for pack in dict.fromkeys(packs)
        for row in rows[pack]
    )


def _rule(channel: str, pack: str, row: _Row) -> Rule:
    keyword, match, action = row
    return Rule(_id(channel, pack, keyword), channel, keyword, match, action, builtin=pack)


def _id(channel: str, pack: str, keyword: str) -> str:
    """Return `rul_builtin_sms_stop_all`; other packs than English are named: `rul_builtin_sms_fr_arret`."""
    word = unaccented(keyword).lower().replace(" ", "_")
    return "_".join(["rul_builtin", channel, *([] if pack == "en" else [pack]), word])
