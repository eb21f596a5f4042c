"""What the house has decided about sending: read from the configuration once, the same for every message."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Literal

from outbox.jurisdictions import Law

Notice = Literal["first", "always", "never"]
# (address, channel, the preference it is about) → the link with which its owner opts out, without a login.
UnsubscribeLink = Callable[[str, str, str | None], str]
# (profile, address) → the link to the person's own page, the same all day long.
PreferencesLink = Callable[[str, str], str]


@dataclass(frozen=True, slots=True)
class Cap:
    """At most so many marketing messages to a person, on all channels together, in so long."""

    messages: int
    within: timedelta


@dataclass(frozen=True, slots=True)
class Manner:
    """How one connection sends."""

    rate: float = 100.0  # SMS segments, or messages of another channel, a second
    sandbox: bool = False  # no quiet hours
    stop_notice: Notice = "never"  # on which marketing SMS to a person "Reply STOP to opt out" stands
    answers: bool = True  # the sender can be replied to; an alphanumeric one cannot, and gets a link instead


_PLAIN = Manner()


@dataclass(frozen=True, slots=True)
class Policy:
    unsubscribe_link: UnsubscribeLink
    manners: Mapping[str, Manner] = field(default_factory=dict)  # by connection
    law: Law | None = None  # None: no quiet hours but a broadcast's own
    timezone: str = "UTC"  # of people whose number does not tell
    cap: Cap | None = None
    # Of e-mail: who sends it and where they are, and the token with which it is unsubscribed from by mail.
    organisation: str = ""
    postal_address: str = ""
    unsubscribe_token: Callable[[str], str] | None = None
    preferences_link: PreferencesLink | None = None  # None: there is no such page

    def manner(self, connection: str) -> Manner:
        return self.manners.get(connection, _PLAIN)
