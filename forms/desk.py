"""What every public page needs of the house, and what is kept of who used it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from aiohttp import web

from consent.receipts import Controller
from forms.budgets import Budgets
from forms.intake import Intake
from forms.look import other_languages, show, spoken
from forms.posted import storable
from outbox.confirmations import ConfirmLinks
from outbox.manage_links import ManageLinks
from outbox.optout_links import OptOutLinks
from outbox.signed import Signed
from profiles.addresses import AddressBook
from store.clock import Clock
from store.engine import Database

_MOST_OF_A_HEADER = 500  # characters
Client = Callable[[web.Request], IPv4Address | IPv6Address | None]  # who asks; None: nobody can tell


@dataclass(frozen=True, slots=True)
class Carrier:
    """The connection that the pages' messages on a channel go by."""

    connection: str
    sender: str | None  # the number or mailbox that people write to; None: it is the provider's business


@dataclass(frozen=True, slots=True)
class Desk:
    """What the pages need of the house."""

    database: Database
    clock: Clock
    client: Client
    book: AddressBook
    organisation: str
    privacy_url: str
    public_url: str
    carriers: Mapping[str, Carrier]  # by channel; of several connections the first that is configured
    connections: Mapping[str, Carrier]  # by name, every one
    countries: frozenset[str]  # whose numbers may be typed into a form
    budgets: Budgets
    optout_links: OptOutLinks
    confirm_links: ConfirmLinks
    manage_links: ManageLinks
    details: tuple[str, ...]  # what people may correct: first_name, last_name, attributes.NAME
    controller: Controller
    signed: Signed  # what a page hands out and wants back: nonces, undos
    intake: Intake  # what is sent in by forms
    on_queued: Callable[[], None]  # something waits to be sent
    on_refused: Callable[[str], None]  # something was not let through, and why, in a word for operators

    def carrier(self, channel: str, connection: str | None) -> Carrier | None:
        """The connection of a form, or the first of its channel; None where there is none any more."""
        return self.carriers.get(channel) if connection is None else self.connections.get(connection)


DESK: web.AppKey[Desk] = web.AppKey("desk", Desk)


def who_asks(request: web.Request, desk: Desk) -> dict[str, Any]:
    """The evidence of who pressed the button."""
    address = desk.client(request)
    return {
        "ip": str(address) if address else None,
        "user_agent": storable(request.headers.get("User-Agent", "")[:_MOST_OF_A_HEADER]),
    }


def page(request: web.Request, name: str, *wished: str | None, **values: Any) -> web.Response:
    """A page of ours in the reader's language, signed by the organisation; further arguments as of look.show."""
    desk = request.app[DESK]
    return show(
        name,
        spoken(request, *wished),
        organisation=desk.organisation,
        privacy_url=desk.privacy_url,
        languages=other_languages(request),
        **values,
    )


def come_again(response: web.Response, wait_seconds: int) -> web.Response:
    """The answer, with when it is worth a try again."""
    response.headers["Retry-After"] = str(wait_seconds)
    return response


def unknown_link(request: web.Request) -> web.Response:
    """The same for a link that nobody has signed and for one whose thing is gone."""
    return page(request, "unknown_link.html", status=404)
