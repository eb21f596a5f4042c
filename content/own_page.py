"""What a person's own page speaks of, and the letters that lead there, in their language. Pure.

No word that anybody typed stands in a letter: whoever types a stranger's address must not be able to write to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from content.languages import Language
from content.languages import marked as _
from content.letters import button, page

CHANNELS = {
    "email": _("News and offers by e-mail"),
    "sms": _("News and offers by text message"),
    "whatsapp": _("News and offers by WhatsApp"),
    "voice": _("News and offers by phone call"),
    "post": _("News and offers by post"),
}
_FRESH = _("Your link to choose what you get from %(organisation)s")
_FRESH_ASKED = _("Somebody, hopefully you, asked for this link to your own page, on which you choose what you get:")
_FRESH_SEVERAL = _("This address belongs to several people. There is a page for each:")
_FRESH_END = _(
    "For two hours you can also say yes by it, and correct your details. "
    "If you did not ask for it, do nothing: nothing changes."
)
_FRESH_BUTTON = _("Open my page")
_FRESH_BY_TEXT = _("%(organisation)s: your page to choose what you get: %(link)s")
_CONFIRM_BY_TEXT = _("%(organisation)s: to confirm what you chose on your own page, open %(link)s")
_CORRECTIONS = _("Your details, as they were corrected on your own page")
_AT_ADDRESS = _("News and offers at %(address)s")
_THIS_ADDRESS = _("This address, in place of another one")
_MOVING = _("Somebody wants to change an e-mail address at %(organisation)s")
_MOVING_TOLD = _(
    "On your own page somebody, hopefully you, has asked that another e-mail address take the place of this one. "
    "Nothing has changed yet: it does when the new address is confirmed. If it was not you, write to us: %(contact)s"
)
_MOVING_TOLD_PLAINLY = _(
    "On your own page somebody, hopefully you, has asked that another e-mail address take the place of this one. "
    "Nothing has changed yet: it does when the new address is confirmed. If it was not you, tell us."
)


def channel_text(speech: Language, channel: str) -> str:
    """What a yes to a channel brings, as a box says it."""
    return speech(CHANNELS[channel])


def fresh_link(speech: Language, links: Sequence[tuple[str, str]], *, organisation: str) -> dict[str, str]:
    """The mail with a link that was asked for: a name, masked, and the link of each who has the address."""
    asked, end = speech(_FRESH_ASKED), speech(_FRESH_END)
    several = [speech(_FRESH_SEVERAL)] if len(links) > 1 else []
    plain = [f"{name}: {link}" if several and name else link for name, link in links]
    text = "\n\n".join([asked, *several, *plain, end]) + "\n"
    words = speech(_FRESH_BUTTON)
    pressed = [button(link, f"{words}: {name}" if several and name else words) for name, link in links]
    body = "".join([*(f"<p>{escape(one)}</p>" for one in (asked, *several)), *pressed, f"<p>{escape(end)}</p>"])
    return {"subject": speech(_FRESH, organisation=organisation), "text": text, "html": page(speech, body)}


def fresh_link_by_text(speech: Language, link: str, *, organisation: str) -> dict[str, str]:
    return {"body": speech(_FRESH_BY_TEXT, organisation=organisation, link=link)}


def confirm_by_text(speech: Language, link: str, *, organisation: str) -> dict[str, str]:
    return {"body": speech(_CONFIRM_BY_TEXT, organisation=organisation, link=link)}


def corrections(speech: Language) -> list[str]:
    """What a letter says of corrected details: never the details."""
    return [speech(_CORRECTIONS)]


def at_address(speech: Language, address: str) -> str:
    """A yes to one address, which is masked."""
    return speech(_AT_ADDRESS, address=address)


def this_address(speech: Language) -> list[str]:
    return [speech(_THIS_ADDRESS)]


def moving(speech: Language, *, organisation: str, contact: str) -> dict[str, str]:
    """The mail to an address that another one is to take the place of."""
    text = speech(_MOVING_TOLD, contact=contact) if contact else speech(_MOVING_TOLD_PLAINLY)
    html = page(speech, f"<p>{escape(text)}</p>")
    return {"subject": speech(_MOVING, organisation=organisation), "text": f"{text}\n", "html": html}
