"""Links to a person's own page: signed, with how their bearer came by them and when.

A link in a message is often handed on, so what it opens is masked, and takes a no but no yes. What a yes needs is a
fresh link: asked for by the person and sent to their address, or made by the organisation's own system for somebody
who is signed in there. One that was sent proves the address that it was sent to, and no other: see
`forms.centre_state.unproved_by`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args
from urllib.parse import quote

from outbox.signed import Signed

Way = Literal["message", "asked", "account"]
# How long it opens the page, and how long it is fresh; what is older asks for a new one.
OPENS: dict[Way, timedelta] = {
    "message": timedelta(days=400),
    "asked": timedelta(days=30),
    "account": timedelta(hours=2),
}
FRESH: dict[Way, timedelta] = {
    "message": timedelta(0),
    "asked": timedelta(hours=2),
    "account": timedelta(hours=2),
}


@dataclass(frozen=True, slots=True)
class Opened:
    """What a link opens."""

    profile_id: str
    address_id: str | None  # that it was sent to; None: made for an account page
    way: Way  # in a message; asked for and sent to the address; by the organisation for its account page
    made_at: datetime  # to the second
    embed_origin: str | None = None  # the page that may frame it
    form_id: str | None = None  # the form that it fills in

    def is_open(self, now: datetime) -> bool:
        return now <= self.made_at + OPENS[self.way]

    def is_fresh(self, now: datetime) -> bool:
        """Whether a yes may be given by it."""
        return now <= self.made_at + FRESH[self.way]


class ManageLinks:
    """Makes the links and reads their tokens. `secrets`: the newest signs, all are believed."""

    def __init__(self, public_url: str, secrets: Sequence[str]) -> None:
        self._base = public_url.rstrip("/")
        self._signed = Signed(secrets, "optgate.manage")

    def __call__(self, opened: Opened) -> str:
        """The link to the preference centre."""
        return f"{self._base}/preferences/{quote(self.token(opened), safe='')}"

    def token(self, opened: Opened) -> str:
        made = int(opened.made_at.timestamp())
        parts = [opened.profile_id, opened.address_id, opened.way, made, opened.embed_origin, opened.form_id]
        while parts[-1] is None:
            parts.pop()
        return self._signed.sign_list(parts)

    def read(self, token: str) -> Opened | None:
        """What it opens, however old; None for what we have not signed."""
        said = self._signed.read_list(token)
        if said is None:
            return None
        profile_id, address_id, way, made, *rest = said
        if way not in get_args(Way):
            return None
        return Opened(profile_id, address_id, way, datetime.fromtimestamp(made, UTC), *rest)
