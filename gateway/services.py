"""What the running gateway is made of, and how its parts are put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from functools import partial

import aiohttp

from broadcasts.planner import Planner
from channels.values import Adapter
from consent.receipts import Controller
from forms.budgets import Budgets
from forms.carry import Office
from forms.desk import Carrier, Client
from forms.desk import Desk as Counter
from forms.intake import Intake
from gateway.api.answers import spelled
from gateway.errors import ConfigError
from gateway.providers.base import Parts
from gateway.providers.known import Connection
from gateway.providers.sandbox import Sandbox
from gateway.settings import Organisation, Settings
from gateway.tidier import Tidier
from inbox.forwarder import Forwarder, Target
from inbox.overdue import Overdue
from inbox.receive import Desk
from inbox.targets import ToMailbox, ToUrl
from outbox.confirmations import ConfirmLinks
from outbox.dispatch import Dispatcher
from outbox.hours import BadHours
from outbox.jurisdictions import read_law
from outbox.manage_links import ManageLinks, Opened
from outbox.optout_links import OptOutLinks
from outbox.policy import Cap, Manner, Policy
from outbox.sandbox import SandboxOutbox
from outbox.settlement import Settlement
from outbox.signed import Signed
from outbox.sweeper import Sweeper
from profiles.addresses import AddressBook
from store.clock import Clock
from store.engine import Database


@dataclass(frozen=True, slots=True)
class House:
    """The parts that every request may need."""

    settings: Settings
    database: Database
    clock: Clock
    book: AddressBook
    desk: Desk
    adapters: Mapping[str, Adapter]
    dispatcher: Dispatcher
    planner: Planner
    settlement: Settlement
    sweeper: Sweeper
    tidier: Tidier
    forwarder: Forwarder
    overdue: Overdue
    intake: Intake
    policy: Policy
    links: OptOutLinks
    confirm_links: ConfirmLinks
    manage_links: ManageLinks
    signed: Signed

    def now(self) -> datetime:
        return self.clock()

    @property
    def is_at_work(self) -> bool:
        """Whether every loop runs."""
        return all(self.loops.values())

    @property
    def loops(self) -> dict[str, bool]:
        """Each loop, and whether it runs."""
        return {
            "planner": self.planner.is_running,
            "dispatcher": self.dispatcher.is_running,
            "settlement": self.settlement.is_running,
            "sweeper": self.sweeper.is_running,
            "tidier": self.tidier.is_running,
            "forwarder": self.forwarder.is_running,
            "reviews": self.overdue.is_running,
            "intake": self.intake.is_running,
        }

    async def stop_work(self) -> None:
        """End every loop; what is under way is finished first."""
        await self.forwarder.stop()
        await self.tidier.stop()
        await self.overdue.stop()
        await self.intake.stop()
        await self.sweeper.stop()
        await self.planner.stop()
        await self.settlement.stop()
        await self.dispatcher.stop()


def policy_for(settings: Settings, links: OptOutLinks, manage_links: ManageLinks, clock: Clock) -> Policy:
    """What the configuration says about sending; raises ConfigError."""
    sending = settings.sending
    law = None
    if sending.quiet_hours == "law":
        try:
            law = read_law(sending.quiet_hours_table)
        except (OSError, BadHours) as error:
            # It was read before, with the settings: it has changed since.
            raise ConfigError(f"[sending] quiet_hours_table: {sending.quiet_hours_table}: {error}") from error
    cap = sending.frequency_cap
    return Policy(
        unsubscribe_link=links,
        manners={name: _manner(connection) for name, connection in settings.connections.items()},
        law=law,
        timezone=settings.defaults.timezone,
        cap=Cap(cap.messages, timedelta(days=cap.days)) if cap is not None else None,
        organisation=settings.organisation.name,
        postal_address=settings.organisation.postal_address,
        unsubscribe_token=links.mail_token,
        preferences_link=partial(_preferences_link, manage_links, clock),
    )


def _preferences_link(links: ManageLinks, clock: Clock, profile_id: str, address_id: str) -> str:
    """Made at midnight, so that a mail in which it stands already is not given it once more."""
    midnight = clock().replace(hour=0, minute=0, second=0, microsecond=0)
    return links(Opened(profile_id, address_id, "message", midnight))


def _manner(connection: Connection) -> Manner:
    sender = (connection.sender or "").removeprefix("whatsapp:")
    return Manner(
        rate=connection.rate,
        sandbox=isinstance(connection, Sandbox),
        stop_notice=connection.stop_notice,
        answers=not sender or sender.lstrip("+").isdigit(),
    )


def adapters_for(settings: Settings, session: aiohttp.ClientSession, sandbox: SandboxOutbox) -> dict[str, Adapter]:
    """An adapter for each configured connection; raises ConfigError."""
    parts = Parts(settings.server.public_url, session, sandbox.keep)
    made: dict[str, Adapter] = {}
    for name, connection in settings.connections.items():
        try:
            made[name] = connection.adapter(name, parts)
        except ValueError as error:
            raise ConfigError(f"[connections.{name}]: {error}") from error
    return made


def targets_for(
    settings: Settings, session: aiohttp.ClientSession, adapters: Mapping[str, Adapter]
) -> dict[str, Target]:
    """Where the ordinary messages of each connection go on to."""
    targets: dict[str, Target] = {}
    for name, connection in settings.connections.items():
        if connection.forward_url is not None and connection.forward_secret is not None:
            secret = connection.forward_secret.get_secret_value()
            targets[name] = ToUrl(session, connection.forward_url, secret, spell=spelled)
        elif connection.forward_to is not None:
            targets[name] = ToMailbox(adapters[settings.carrier(name)], connection.forward_to)
    return targets


def sender_of(adapter: Adapter) -> str | None:
    """The number or mailbox that people write to; None where only the provider knows it."""
    return next(iter(adapter.own_addresses), None)


def controller_of(organisation: Organisation) -> Controller:
    """Who asks, as receipts name them."""
    return Controller(organisation.name, organisation.postal_address, organisation.contact, organisation.privacy_url)


def carriers_for(adapters: Mapping[str, Adapter]) -> dict[str, Carrier]:
    """By channel: the connection that the pages' messages go by; of several the first."""
    carriers: dict[str, Carrier] = {}
    for name, adapter in adapters.items():
        carriers.setdefault(adapter.channel, Carrier(name, sender_of(adapter)))
    return carriers


def office_for(
    settings: Settings, adapters: Mapping[str, Adapter], book: AddressBook, confirm_links: ConfirmLinks
) -> Office:
    """What the carrying out of a submitted form needs."""
    return Office(
        book=book,
        organisation=settings.organisation.name,
        connections={channel: carrier.connection for channel, carrier in carriers_for(adapters).items()},
        confirm_link=confirm_links,
        preselected_counts=settings.forms.preselected_counts,
    )


def desk_for(house: House, client: Client, on_refused: Callable[[str], None]) -> Counter:
    """What the public pages need of the house."""
    settings = house.settings
    return Counter(
        database=house.database,
        clock=house.clock,
        client=client,
        book=house.book,
        organisation=settings.organisation.name,
        privacy_url=settings.organisation.privacy_url,
        public_url=settings.server.public_url,
        carriers=carriers_for(house.adapters),
        connections={name: Carrier(name, sender_of(adapter)) for name, adapter in house.adapters.items()},
        countries=settings.typed_countries,
        budgets=Budgets(**settings.forms.model_dump(include={one.name for one in fields(Budgets)})),
        optout_links=house.links,
        confirm_links=house.confirm_links,
        manage_links=house.manage_links,
        signed=house.signed,
        details=tuple(settings.forms.details),
        controller=controller_of(settings.organisation),
        intake=house.intake,
        on_queued=house.dispatcher.wake,
        on_refused=on_refused,
    )
