"""What a mail is to us: somebody's message, an automatic one, a bounce, a complaint. Pure.

Addresses of ours that tell something: `unsub+TOKEN@` (each token is a proof, whoever the mail says it is from),
`bounces+TAG@`, the return path of one attempt (VERP), and a Message-ID `<TAG@…>`. A bounce that names none of our
attempts proves nothing: anyone can write one.

A mail server that hands all its mail to one mailbox rewrites the envelope: then the token stands in the head alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime

from channels.mail import automatic, bounces, complaints, typed
from channels.mail.letter import Letter
from channels.mail.mailbox import found_in
from channels.values import AddressReport, Inbound, Told

UNSUBSCRIBE = "unsub"
BOUNCES = "bounces"
MOST_TOKENS = 100  # of a mail
_TAG = re.compile(r"att_[0-9a-z]{26}")
# RFC 5322, 3.6.4, without what is obsolete: nothing that could end it, or be anything else, in a header of ours.
_ATOMS = r"[\w!#$%&'*+/=?^`{|}~-]+(?:\.[\w!#$%&'*+/=?^`{|}~-]+)*"
_MESSAGE_ID = re.compile(rf"<{_ATOMS}@(?:{_ATOMS}|\[[!-Z^-~]*\])>", re.ASCII)
_MESSAGE_ID_CHARS = 250
_ADDRESSED = frozenset({"to", "cc", "delivered-to", "x-original-to", "envelope-to"})


def read(letter: Letter, *, connection: str, account: str, taken_at: datetime | None = None) -> Sequence[Told]:
    """What the mail tells; every mail is a message too, so that it is kept and can be read.

    `taken_at` is when a provider took it from the sender, by its own clock.
    """
    return [_message(letter, connection, account, taken_at), *_reports(letter, account)]


def tag_of(message_id: str | None) -> str | None:
    """The attempt's tag in a Message-ID of ours, with or without its angle brackets; None in any other."""
    found = _TAG.fullmatch((message_id or "").strip(" <>").partition("@")[0].lower())
    return found.group() if found else None


def _message(letter: Letter, connection: str, account: str, taken_at: datetime | None) -> Inbound:
    own = typed.what_was_typed(letter.text, letter.html)
    return Inbound(
        connection=connection,
        channel="email",
        account=account,
        provider_id=letter.provider_id,
        sender=letter.sender,
        receiver=letter.recipients[0] if letter.recipients else "",
        text=letter.text if letter.text is not None else own,
        subject=letter.subject,
        typed=own,
        mail_id=_mail_id(letter),
        authentic=letter.dmarc_pass,
        unsubscribe_tokens=_tokens(letter),
        automatic=automatic.why_automatic(letter) or ("bounce" if _is_returned(letter) else None),
        provider_at=taken_at,  # never Date: that is what the sender says
        name=letter.sender_name,
    )


def _mail_id(letter: Letter) -> str | None:
    """Its Message-ID, where it has one that is valid and not two."""
    given = [value.strip() for name, value in letter.headers if name.lower() == "message-id"]
    if len(given) != 1 or len(given[0]) > _MESSAGE_ID_CHARS:
        return None
    return given[0] if _MESSAGE_ID.fullmatch(given[0]) else None


def _is_returned(letter: Letter) -> bool:
    """Whether it is a bounce because of where it goes. There are programs that answer to the return path: so a mail
    with a sender in its envelope, and no word of a failure, is a person's.
    """
    return bool(_plus(letter.recipients, BOUNCES)) and (not letter.envelope_from or bool(bounces.read(letter)))


def _reports(letter: Letter, account: str) -> Sequence[AddressReport]:
    """The bounces and the complaint in it, of which each has an id of its own."""
    verp = next(iter(_plus(letter.recipients, BOUNCES)), None)
    told: list[AddressReport] = []
    for number, bounce in enumerate(bounces.read(letter)):
        tag = verp or tag_of(bounce.message_id)
        if tag is not None:
            kind = "hard_bounce" if bounce.is_hard else "soft_bounce"
            told.append(
                AddressReport(account, f"{letter.provider_id}#{number}", "email", kind, tag=tag, code=bounce.code)  # type: ignore[arg-type]
            )
    complaint = complaints.read(letter)
    if complaint is not None:
        tag = verp or tag_of(complaint.message_id)
        told.append(
            AddressReport(
                account,
                f"{letter.provider_id}#complaint",
                "email",
                "complaint",
                address=complaint.address,
                tag=tag,
                proved=False,
            )
        )
    return told


def _tokens(letter: Letter) -> tuple[str, ...]:
    """The tokens of all the addresses it goes to, as they come, each once; at most MOST_TOKENS."""
    found = _plus([*letter.recipients, *_in_the_head(letter)], UNSUBSCRIBE)
    return tuple(dict.fromkeys(found))[:MOST_TOKENS]


def _plus(addresses: Iterable[str], local: str) -> list[str]:
    """What stands behind the plus of each address of ours that begins so."""
    parts = (address.rpartition("@")[0].partition("+") for address in addresses)
    return [rest.lower() for name, plus, rest in parts if plus and rest and name.lower() == local]


def _in_the_head(letter: Letter) -> Iterable[str]:
    return (one for name, value in letter.headers if name.lower() in _ADDRESSED for one in found_in(value))
