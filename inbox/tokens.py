"""Mail to `unsub+TOKEN@`: each token is the word of its address, whoever the mail says it is from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Protocol

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from channels.values import Inbound
from inbox.identity import Sender
from outbox import word
from outbox.word import Said
from profiles.links import holders
from store.ids import new_id
from store.parts import IDS, rows_by
from store.tables import profile_addresses


class Taken(Protocol):
    """A message on its way in, once its rule has been found and done."""

    message: Inbound
    message_id: str
    sender: Sender
    change_id: str | None
    owners: tuple[str, ...]
    owners_reach: frozenset[str]


def owners(message: Inbound, unsubscribed: Callable[[str], str | None]) -> tuple[str, ...]:
    """The addresses whose tokens a mail is to, each once; a token that we have not made is none."""
    found = map(unsubscribed, message.unsubscribe_tokens)
    return tuple(dict.fromkeys(one for one in found if one is not None))


async def heed(conn: AsyncConnection, taken: Sequence[Taken], *, now: datetime) -> frozenset[str]:
    """Let the owner of every token be out; returns the addresses that this closes.

    The message is the first owner's, where no rule has made it the sender's. The caller has locked all of them.
    """
    said = {(one.message_id, owner): _word(owner, one) for one in taken for owner in one.owners}
    if not said:
        return frozenset()
    closed = await word.record(conn, list(said.values()), now=now)
    addresses = {owner for _, owner in said}
    people, reached = await holders(conn, addresses), await reach(conn, addresses)
    for one in taken:
        one.owners_reach = frozenset().union(*(reached[owner] for owner in one.owners))
        if one.owners and one.change_id is None:
            first = one.owners[0]
            one.change_id = said[one.message_id, first].change_id
            one.sender = Sender(first, tuple(people.get(first, ())), reached[first])
    return closed


def _word(owner: str, one: Taken) -> Said:
    evidence = {"message_id": one.message_id, "connection": one.message.connection, "by": "mail"}
    return Said(owner, "email", "unsubscribe_link", evidence, change_id=new_id("chg"))


async def reach(conn: AsyncConnection, address_ids: Collection[str]) -> dict[str, frozenset[str]]:
    """Address → itself, and all that its people have: what a no from it may close."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    theirs = profile_addresses.alias("theirs")
    asked = (
        select(profile_addresses.c.address_id, theirs.c.address_id.label("other"))
        .join(theirs, theirs.c.profile_id == profile_addresses.c.profile_id)
        .where(profile_addresses.c.address_id.in_(IDS))
    )
    for row in await rows_by(conn, asked, address_ids):
        found[row.address_id].add(row.other)
    return {address_id: frozenset(found[address_id] | {address_id}) for address_id in address_ids}
