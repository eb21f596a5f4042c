"""What a mail is to us: somebody's message, an automatic one, a bounce, a complaint. Pure.

Addresses of ours that tell something: `unsub+TOKEN@` (the token is the proof, whoever the mail says it is from),
`bounces+TAG@`, the return path of one attempt (VERP), and a Message-ID `<TAG@…>`. A bounce that names none of our
attempts proves nothing: anyone can write one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from channels.mail import automatic, bounces, complaints, typed
from channels.mail.letter import Letter
from channels.values import AddressReport, Inbound, Told

UNSUBSCRIBE = "unsub"
BOUNCES = "bounces"
_TAG = re.compile(r"att_[0-9a-z]{26}")


def read(letter: Letter, *, connection: str, account: str) -> Sequence[Told]:
    """What the mail tells; every mail is a message too, so that it is kept and can be read."""
    return [_message(letter, connection, account), *_reports(letter, account)]


def _message(letter: Letter, connection: str, account: str) -> Inbound:
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
        authentic=letter.dmarc_pass,
        unsubscribe_token=_plus(letter, UNSUBSCRIBE),
        automatic="bounce" if _plus(letter, BOUNCES) else automatic.why_automatic(letter),
        provider_at=None,  # Date is what the sender says, and no provider's clock
        name=letter.sender_name,
    )


def _reports(letter: Letter, account: str) -> Sequence[AddressReport]:
    """The bounces and the complaint in it, of which each has an id of its own."""
    verp = _plus(letter, BOUNCES)
    told: list[AddressReport] = []
    for number, bounce in enumerate(bounces.read(letter)):
        tag = verp or _tag(bounce.message_id)
        if tag is not None:
            kind = "hard_bounce" if bounce.is_hard else "soft_bounce"
            told.append(
                AddressReport(account, f"{letter.provider_id}#{number}", "email", kind, tag=tag, code=bounce.code)  # type: ignore[arg-type]
            )
    complaint = complaints.read(letter)
    if complaint is not None:
        tag = verp or _tag(complaint.message_id)
        told.append(
            AddressReport(
                account, f"{letter.provider_id}#complaint", "email", "complaint", address=complaint.address, tag=tag
            )
        )
    return told


def _plus(letter: Letter, local: str) -> str | None:
    """What stands behind the plus of an address of ours that begins so."""
    for recipient in letter.recipients:
        name, plus, rest = recipient.rpartition("@")[0].partition("+")
        if plus and rest and name.lower() == local:
            return rest.lower()
    return None


def _tag(message_id: str | None) -> str | None:
    found = _TAG.fullmatch((message_id or "").partition("@")[0].lower())
    return found.group() if found else None
