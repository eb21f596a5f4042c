"""Letters of our own: what customers are asked, in their language. Pure.

No word of anybody who has not proved who they are stands in one: whoever types a stranger's address into a form must
not be able to write to them by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from content.languages import Language
from content.languages import marked as _

DAYS = 7  # for which a question is good


NEWS = {
    "sms": _("news and offers by text message"),
    "whatsapp": _("news and offers by WhatsApp"),
    "email": _("news and offers by e-mail"),
}
_ANY_NEWS = _("news and offers")
_SUBJECT = _("Please confirm: %(organisation)s")
_SUBJECT_OF_NOBODY = _("Please confirm")
_ASKED = _("Somebody, hopefully you, has asked %(organisation)s for this:")
_ASKED_OF_NOBODY = _("Somebody, hopefully you, has asked us for this:")
_DO = _("To confirm it, open this page and press the button:")
_ELSE = _("If it was not you, do nothing: nothing changes, and you will hear no more of it.")
_UNTIL = _("The page is there for %(days)d days.")
_BUTTON = _("See what you confirm")
# One text message each with a name of usual length: what it is for, by whom, the rates, and how to end it (CTIA).
_BY_TEXT = _(
    "%(organisation)s: reply YES to get %(what)s. Frequency varies. Msg & data rates may apply. Reply STOP to end."
)
_BY_TEXT_OF_NOBODY = _("Reply YES to get %(what)s. Frequency varies. Msg & data rates may apply. Reply STOP to end.")


def news(speech: Language, channel: str) -> str:
    """What a yes to a channel brings, in words."""
    return speech(NEWS.get(channel, _ANY_NEWS))


def question(speech: Language, wanted: Sequence[str], *, organisation: str, link: str) -> dict[str, str]:
    """The mail that asks whether what somebody `wanted` is so: `subject`, `text` and `html` of a content."""
    name = organisation.strip()
    subject = speech(_SUBJECT, organisation=name) if name else speech(_SUBJECT_OF_NOBODY)
    asked = speech(_ASKED, organisation=name) if name else speech(_ASKED_OF_NOBODY)
    end = f"{speech(_ELSE)} {speech(_UNTIL, days=DAYS)}"
    points = "\n".join(f"- {one}" for one in wanted)
    text = f"{asked}\n\n{points}\n\n{speech(_DO)}\n{link}\n\n{end}\n"
    listed = "".join(f"<li>{escape(one)}</li>" for one in wanted)
    body = (
        f"<p>{escape(asked)}</p><ul>{listed}</ul><p>{escape(speech(_DO))}</p>"
        f'{button(link, speech(_BUTTON))}<p style="color:#595959">{escape(end)}</p>'
    )
    return {"subject": subject, "text": text, "html": page(speech, body)}


def question_by_text(speech: Language, channel: str, named: Sequence[str] = (), *, organisation: str) -> str:
    """The text that asks for a YES to `channel`, and to the preferences that it names."""
    what, name = news(speech, channel), organisation.strip()
    if named:
        what = f"{what} ({'; '.join(named)})"
    if not name:
        return speech(_BY_TEXT_OF_NOBODY, what=what)
    return speech(_BY_TEXT, what=what, organisation=name)


# --- as HTML -----------------------------------------------------------------------------------

_PAGE = "max-width:34em;margin:0 auto;padding:16px;font:16px/1.5 Arial,Helvetica,sans-serif"
_PRESS = "display:inline-block;padding:12px 20px;border-radius:6px;background:#1d4ed8;color:#ffffff"


def page(speech: Language, body: str) -> str:
    """A letter around its body, which is HTML."""
    return f'<html lang="{speech.code}"><div dir="{speech.direction}" style="{_PAGE}">{body}</div></html>'


def button(link: str, words: str) -> str:
    """A link that is to be pressed."""
    return f'<p><a href="{escape(link)}" style="{_PRESS}">{escape(words)}</a></p>'
