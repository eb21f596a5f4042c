"""What is answered when a rule says nothing of its own.

After the CTIA Messaging Principles: an opt-out is confirmed, once, naming the organisation and saying that no more
messages come; an opt-in names the programme, its frequency, HELP, STOP and the rates; HELP says how to reach us.
Each is one text message (160 characters of GSM 03.38, so no á or ã) with an organisation's name of usual length.
"""

from __future__ import annotations

import re
from typing import Final

from rules.values import Rule

_OPTED_OUT: Final = {
    "en": "[organisation]: you are unsubscribed and will receive no more messages from us. Reply START to come back.",
    "fr": "[organisation] : désinscription confirmée. Vous ne recevrez plus de messages. Pour revenir, répondez START.",
    "es": "[organisation]: baja confirmada. Ya no le enviaremos mensajes. Para volver, responda START.",
    "de": "[organisation]: Sie sind abgemeldet und erhalten keine Nachrichten mehr. Zurück mit der Antwort START.",
    "pt": "[organisation]: cancelamento confirmado. Deixamos de lhe enviar mensagens. Para voltar, responda START.",
    "it": "[organisation]: iscrizione annullata. Non riceverai più messaggi. Per tornare, rispondi START.",
}
_OPTED_OUT_OF_ONE: Final = {
    "en": "[organisation]: you will receive no more messages of this kind. Reply STOP to receive none at all.",
    "fr": "[organisation] : vous ne recevrez plus de messages de ce type. Pour ne plus rien recevoir, répondez STOP.",
    "es": "[organisation]: ya no le enviaremos mensajes de este tipo. Para no recibir ninguno, responda STOP.",
    "de": "[organisation]: Sie erhalten keine Nachrichten dieser Art mehr. Für gar keine mehr antworten Sie STOP.",
    "pt": "[organisation]: deixamos de lhe enviar mensagens deste tipo. Para deixar de receber todas, responda STOP.",
    "it": "[organisation]: non riceverai più messaggi di questo tipo. Per non riceverne nessuno, rispondi STOP.",
}
# A mail answers a mail. A ticket still comes by e-mail, so an end of all is not promised; and nothing is said of START,
# which opts nobody in by e-mail alone.
_OPTED_OUT_OF_MAIL: Final = {
    "en": "[organisation]: you are unsubscribed and will receive no more news or offers by e-mail.",
    "fr": "[organisation] : désinscription confirmée. Vous ne recevrez plus d'actualités ni d'offres par e-mail.",
    "es": "[organisation]: baja confirmada. Ya no le enviaremos novedades ni ofertas por correo electrónico.",
    "de": "[organisation]: Sie sind abgemeldet und erhalten keine Neuigkeiten und Angebote mehr per E-Mail.",
    "pt": "[organisation]: cancelamento confirmado. Deixamos de lhe enviar novidades e ofertas por e-mail.",
    "it": "[organisation]: iscrizione annullata. Non riceverà più novità né offerte via e-mail.",
}
_OPTED_IN: Final = (
    "[organisation]: you are subscribed to our messages. Frequency varies. "
    "Msg & data rates may apply. Reply HELP for help, STOP to cancel."
)
_HELP: Final = (
    "[organisation]: for help, contact [contact]. Msg frequency varies. "
    "Msg & data rates may apply. Reply STOP to receive no more messages."
)

_PLACEHOLDER: Final = re.compile(r"\[(organisation|organization|contact)\]")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])\s+")


def default_reply(rule: Rule) -> str:
    """Return the reply of the rule's action, with placeholders, in the language of its pack, otherwise in English."""
    if rule.action == "opt_in":
        return _OPTED_IN
    if rule.action == "reply_only":
        return _HELP
    by_language = _OPTED_OUT_OF_MAIL if rule.channel == "email" else _OPTED_OUT
    if rule.subject_kind == "preference":
        by_language = _OPTED_OUT_OF_ONE
    return by_language.get(rule.builtin or "en", by_language["en"])


def welcome(*, organisation: str) -> str:
    """Return what is answered to who has said yes to a question of ours."""
    return render(_OPTED_IN, organisation=organisation, contact="")


def reply_to(rule: Rule, *, organisation: str, contact: str) -> str:
    """Return what the sender is answered, ready to send; "" is silence, which an operator chose."""
    template = default_reply(rule) if rule.reply is None else rule.reply
    return render(template, organisation=organisation, contact=contact)


def render(reply_template: str, *, organisation: str, contact: str) -> str:
    """Return the reply with its placeholders filled; other words in brackets stay as they are.

    Without an organisation its introduction ("[organisation]: ") goes; a sentence that needs a missing contact goes
    as a whole, keeping the introduction before it, so nothing dangles.
    """
    values = {"organisation": organisation.strip(), "organization": organisation.strip(), "contact": contact.strip()}
    if not values["organisation"]:
        reply_template = _without_introduction(reply_template)
    if not values["contact"]:
        reply_template = _without_contact(reply_template)
    return _PLACEHOLDER.sub(lambda found: values[found[1]], reply_template).strip()


def _without_introduction(template: str) -> str:
    for name in ("[organisation]", "[organization]"):
        rest = template.removeprefix(name)
        if rest != template and rest.lstrip().startswith(":"):
            rest = rest.lstrip().removeprefix(":").lstrip()
            return rest[:1].upper() + rest[1:]
    return template


def _without_contact(template: str) -> str:
    if "[contact]" not in template:
        return template
    introduction, colon, _ = template.partition(": ")
    introduction += colon
    if not colon or not _PLACEHOLDER.fullmatch(introduction.rstrip(": ")):
        introduction = ""
    body = template.removeprefix(introduction)
    kept = " ".join(part for part in _SENTENCE_END.split(body) if "[contact]" not in part)
    return introduction + kept if kept else ""
