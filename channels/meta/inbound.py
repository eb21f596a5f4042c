"""A message of a person → an Inbound value.

Whoever has a username may come without a number, under a business-scoped id alone; most come with both. What carries
words is read for them; any other kind is kept with an empty text. A changed number comes as a message of Meta's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from channels.meta.reading import Table, Unreadable, address, message_id, moment, table, word, written
from channels.values import Inbound

_TAKEN = frozenset({"id", "from", "timestamp", "text"})


@dataclass(frozen=True, slots=True)
class Contacts:
    """Whom Meta shows beside a batch of messages."""

    by_number: dict[str, Table]
    by_scoped_id: dict[str, Table]
    only: Table | None  # where there is one contact and one message

    @classmethod
    def of(cls, contacts: Sequence[Table], *, messages: int) -> Contacts:
        numbers, scoped = ({word(one, name): one for one in contacts} for name in ("wa_id", "user_id"))
        return cls(numbers, scoped, contacts[0] if len(contacts) == messages == 1 else None)

    def sender_of(self, message: Table) -> Table:
        """The sender's. One that says another id is somebody else's; a number may differ from Meta's own form of it,
        which is believed only of the one contact of the one message."""
        number, scoped = word(message, "from"), word(message, "from_user_id")
        found = (self.by_number.get(number) if number else None) or (self.by_scoped_id.get(scoped) if scoped else None)
        if found is not None:
            return found
        if self.only is None or (scoped and word(self.only, "user_id") not in ("", scoped)):
            return {}
        return self.only


def read(message: Table, *, connection: str, account: str, receiver: str, contacts: Contacts) -> Inbound | None:
    """The message; None for one in a group, which is not to us.

    Raises Unreadable where it has no id, or nobody who sent it.
    """
    if "group_id" in message:
        return None
    is_system = word(message, "type") == "system"
    contact = {} if is_system else contacts.sender_of(message)
    sender, *others = dict.fromkeys(_system_sender(message) if is_system else _addresses(message, contact)) or [""]
    if not sender:
        raise Unreadable("from")
    text, payload = ("", None) if is_system else _words(message)
    return Inbound(
        connection=connection,
        channel="whatsapp",
        account=account,
        provider_id=message_id(message),
        sender=sender,
        receiver=receiver,
        text=text,
        payload=payload,
        also_from=tuple(others),
        provider_at=moment(message),
        name=word(table(contact, "profile"), "name") or None,
        fields={name: _field(message, name) for name in message if name not in _TAKEN},
        automatic="system" if is_system else None,
    )


# --- who --------------------------------------------------------------------------------------


def _addresses(message: Table, contact: Table) -> Iterator[str]:
    """All that the sender is called, the number first."""
    scoped = word(message, "from_user_id") or word(contact, "user_id")
    given = (
        word(message, "from"),
        word(contact, "wa_id"),  # need not be the number: Meta's own form of it
        scoped or word(message, "from_parent_user_id") or word(contact, "parent_user_id"),
    )
    yield from (one for value in given if (one := address(value)) is not None)


def _system_sender(message: Table) -> Iterator[str]:
    """Whom a system message is about, as they were called before: who they are now, no word of theirs proves."""
    system = table(message, "system")
    given = (word(message, "from"), word(system, "previous_user_id"), word(message, "from_user_id"))
    yield from [one for value in given if (one := address(value)) is not None][:1]


# --- what -------------------------------------------------------------------------------------


def _words(message: Table) -> tuple[str, str | None]:
    """What the person wrote, or the text of the button that they pressed; and the button's payload."""
    kind = word(message, "type")
    body = table(message, kind)
    if kind == "button":  # of a template
        return word(body, "text"), word(body, "payload") or None
    if kind == "interactive":  # button_reply, list_reply, nfm_reply (a flow)
        reply = table(body, word(body, "type"))
        return word(reply, "title") or word(reply, "body"), word(reply, "id") or None
    if kind == "edit":  # of a message before: these are the words now
        edited = table(body, "message")
        return _plain(edited, table(edited, word(edited, "type"))), None
    return _plain(message, body), None


def _plain(message: Table, body: Table) -> str:
    """A text, a caption below a picture, or the note of an order."""
    return word(table(message, "text"), "body") or word(body, "caption") or word(body, "text")


def _field(message: Table, name: str) -> str:
    return word(message, name) if isinstance(message[name], str) else written(message[name])
