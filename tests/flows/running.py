"""The real gateway on a real port, and what people, providers and other systems do with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import BytesIO
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from aiohttp import web_app
from sqlalchemy import select
from yarl import URL

from gateway import app as gateway_app
from gateway import keys
from gateway.api.base import HOUSE
from gateway.connections import Limits
from gateway.door import Door
from gateway.services import House
from gateway.settings import Settings
from store.clock import utcnow
from store.tables import api_keys, metadata
from tests import canaries
from tests.channels.requests_as_sent import ACCOUNT, FORM, ORIGIN, TOKEN, signature
from tests.flows import reference

OURS = "+14155550100"  # the number of the connection `sms`
OURS_ON_WHATSAPP = "+14155550101"
SECOND_ACCOUNT, SECOND_TOKEN, SECOND_NUMBER = "AC00000000000000000000000000000002", "f" * 32, "+14155550102"
ANA, BEN, CLEO, DIEGO = "+14155550123", "+14155550124", "+14155550125", "+14155550126"

TWIML = '<?xml version="1.0" encoding="UTF-8"?>'
SILENCE = f"{TWIML}<Response/>".encode()
OPTED_OUT = "Example Theatre: you are unsubscribed and will receive no more messages from us. Reply START to come back."
OPTED_IN = (
    "Example Theatre: you are subscribed to our messages. Frequency varies. "
    "Msg & data rates may apply. Reply HELP for help, STOP to cancel."
)
HELPED = (
    "Example Theatre: for help, contact boxoffice@example.org. Msg frequency varies. "
    "Msg & data rates may apply. Reply STOP to receive no more messages."
)

T = TypeVar("T")


def said(reply: str) -> bytes:
    """The TwiML that says this."""
    return f"{TWIML}<Response><Message>{reply.replace('&', '&amp;')}</Message></Response>".encode()


@dataclass(frozen=True)
class Got:
    """An answer, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0]


class Watch:
    """The gateway's clock: the time of day, or one at which it is held, and what we put it ahead by."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self._held: datetime | None = None

    def __call__(self) -> datetime:
        return (self._held or utcnow()) + self.ahead

    def hold(self) -> None:
        """Stand still from now on, however long things take on a busy machine; it goes on by `advance` alone."""
        self._held = utcnow()

    def advance(self, **by: float) -> None:
        self.ahead += timedelta(**by)


PATIENCE_SECONDS = 60.0  # with what takes a moment, on a machine that has much else to do


async def eventually(ask: Callable[[], Awaitable[T]], *, seconds: float = PATIENCE_SECONDS) -> T:
    """The first answer that is true; asked again and again, for so long at most."""
    until = asyncio.get_running_loop().time() + seconds
    while not (answer := await ask()):
        if asyncio.get_running_loop().time() > until:
            raise AssertionError(f"after {seconds} s it is still {answer!r}")
        await asyncio.sleep(0.02)
    return answer


class Gateway:
    """A gateway under test. Acts are verbs in the person's or the provider's words; `api` is another system."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Watch()
        self._keys: dict[tuple[str, ...], str] = {}
        self._one_by_one = asyncio.Lock()
        self._messages = 0

    # --- it runs ----------------------------------------------------------------------------------

    async def start(self, limits: Limits | None = None) -> None:
        self.app = gateway_app.build(self.settings, clock=self.clock)
        self.door = Door(self.app, limits)
        await self.door.start()
        self.port = await self.door.listen("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.port}"
        self._session = aiohttp.ClientSession()

    async def stop(self) -> None:
        """As SIGTERM does: drained."""
        await self._session.close()
        await self.door.close()
        # aiohttp keeps the last thousand applications that had middlewares, and each of them a whole gateway.
        web_app._cached_build_middleware.cache_clear()

    async def restart(self, **sections: Any) -> None:
        """Stop, and start again on the same database, with these sections of the settings changed."""
        await self.stop()
        self.settings = self.settings.model_copy(update=sections)
        await self.start()

    @property
    def house(self) -> House:
        return self.app[HOUSE]

    # --- other systems ----------------------------------------------------------------------------

    async def key(self, *scopes: str) -> str:
        """An API key with these scopes; without, all but admin."""
        async with self._one_by_one:
            if scopes not in self._keys:
                name = "crm" if not scopes else "with " + " ".join(scopes)
                self._keys[scopes] = await self.house.database.transact(
                    lambda conn: keys.create(conn, name, scopes, now=self.clock())
                )
            return self._keys[scopes]

    async def ask(
        self,
        method: str,
        path: str,
        *,
        key: str | None = None,
        json: Any = None,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Got:
        """One request of an API client; `path` is sent as it stands."""
        given = {"Authorization": f"Bearer {key if key is not None else await self.key()}"}
        canaries.plant(json)
        given |= {"Content-Type": "application/json"} if data is not None or json is not None else {}
        body = _as_json(json) if json is not None else data
        got = await self.send(method, path, data=body, headers={**given, **(headers or {})})
        reference.check(method, path, got.status, got.type, got.body)
        return got

    async def api(self, method: str, path: str, *, status: int | None = None, **more: Any) -> Any:
        """What the API answers; it must be this status, or a 2xx. A page comes as text."""
        got = await self.ask(method, path, **more)
        fits = got.status == status if status else 200 <= got.status < 300
        assert fits, f"{method} {path}: {got.status} {got.body.decode()}"
        if got.type == "text/html":
            return got.body.decode()
        return got.json if got.body else None

    async def send(
        self,
        method: str,
        path: str,
        *,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        follow: bool = True,
    ) -> Got:
        """One request, byte for byte."""
        url = URL(self.url + path, encoded=True)
        body = BytesIO(data) if data else None
        async with self._session.request(
            method, url, data=body, headers=headers, skip_auto_headers=("Content-Type",), allow_redirects=follow
        ) as answer:
            return Got(answer.status, answer.headers.copy(), await answer.read())

    # --- people, by way of the provider -----------------------------------------------------------

    def form(self, text: str, sender: str, *, to: str = OURS, sid: str | None = None, **fields: str) -> bytes:
        """A text as Twilio posts it."""
        self._messages += 1
        canaries.plant({"text": text, "from": sender})
        given = {
            "MessageSid": sid or f"SM{self._messages:032x}",
            "AccountSid": ACCOUNT,
            "From": sender,
            "To": to,
            "Body": text,
        }
        return urlencode(given | {"NumMedia": "0", "ApiVersion": "2010-04-01"} | fields).encode()

    async def text_in(self, text: str, sender: str, *, connection: str = "sms", **more: Any) -> Got:
        """Somebody texts us; signed and posted as Twilio does."""
        return await self.post(self.form(text, sender, **more), f"/webhooks/{connection}")

    async def whatsapp_in(self, text: str, sender: str, *, to: str = OURS_ON_WHATSAPP, **more: Any) -> Got:
        return await self.text_in(text, f"whatsapp:{sender}", to=f"whatsapp:{to}", connection="whatsapp", **more)

    async def post(
        self,
        body: bytes,
        path: str = "/webhooks/sms",
        *,
        url: str | None = None,
        token: str = TOKEN,
        signed: str | None = "",
        content_type: str = FORM,
    ) -> Got:
        """A webhook with the signature of `url` under `token`; with `signed` itself, or with none for None."""
        headers = {"Content-Type": content_type, "User-Agent": "TwilioProxy/1.1"}
        if signed == "":
            signed = signature(body, url or ORIGIN + path, token)
        if signed is not None:
            headers["X-Twilio-Signature"] = signed
        return await self.send("POST", path, data=body, headers=headers)

    async def sandbox_in(self, text: str, sender: str, *, connection: str = "box", **more: Any) -> Got:
        message = {"from": sender, "to": "+12025550100", "body": text, **more}
        return await self.ask("POST", f"/webhooks/{connection}", json=message)

    # --- people, by way of the API ----------------------------------------------------------------

    async def person(self, *addresses: str, **more: Any) -> dict[str, Any]:
        """A new profile with these addresses (`sms:+14155550123`)."""
        given = [dict(zip(("channel", "value"), address.split(":", 1), strict=True)) for address in addresses]
        made: dict[str, Any] = await self.api("POST", "/v1/profiles", status=201, json={"addresses": given, **more})
        return made

    async def profile(self, profile_id: str) -> dict[str, Any]:
        return dict(await self.api("GET", f"/v1/profiles/{profile_id}"))

    async def say(self, profile_id: str, *, status: int = 200, **consent: Any) -> dict[str, Any]:
        """Set flags over the API."""
        path = f"/v1/profiles/{profile_id}/consent"
        return dict(await self.api("PATCH", path, status=status, json=consent))

    async def whose(self, address: str) -> list[dict[str, Any]]:
        """The profiles that have an address."""
        found = await self.api("GET", f"/v1/profiles?address={quote(address)}")
        return list(found["items"])

    async def history(self, profile_id: str) -> list[dict[str, Any]]:
        return list((await self.api("GET", f"/v1/profiles/{profile_id}/history"))["items"])

    async def verdict(self, profile_id: str, channel: str = "sms", **more: str) -> str:
        query = urlencode({"channel": channel, **more})
        return str((await self.api("GET", f"/v1/profiles/{profile_id}/verdict?{query}"))["reason"])

    # --- broadcasts -------------------------------------------------------------------------------

    async def broadcast(
        self, audience: Mapping[str, Any], *, connection: str = "sms", channel: str = "sms", **more: Any
    ) -> str:
        """Make a broadcast; returns its id."""
        wanted = {"name": "Autumn", "channel": channel, "connection": connection, "content": {"body": "On sale."}}
        made = await self.api("POST", "/v1/broadcasts", status=202, json=wanted | {"audience": audience} | more)
        return str(made["id"])

    async def sent(self, audience: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        """Make a broadcast and wait until nothing of it is queued or sending; returns it."""
        return await self.all_sent(await self.broadcast(audience, **more))

    async def all_sent(self, broadcast_id: str, *, seconds: float = PATIENCE_SECONDS) -> dict[str, Any]:
        async def ended() -> dict[str, Any] | None:
            shown: dict[str, Any] = await self.api("GET", f"/v1/broadcasts/{broadcast_id}")
            counts = shown["counts"]
            assert counts["planned"] == counts["skipped"] + sum(counts["by_status"].values()), counts
            assert counts["skipped"] == sum(counts["by_reason"].values()), counts
            waiting = shown["status"] in ("planning", "scheduled") or {"queued", "sending"} & counts["by_status"].keys()
            return None if waiting else shown

        return await eventually(ended, seconds=seconds)  # type: ignore[return-value]

    async def deliveries(self, broadcast_id: str) -> dict[str, dict[str, Any]]:
        """What became of whom, by profile; of an address that nobody has, by the address."""
        found = await self.api("GET", f"/v1/broadcasts/{broadcast_id}/deliveries?limit=500")
        return {one["profile_id"] or one["address"]: one for one in found["items"]}

    # --- what is on disk --------------------------------------------------------------------------

    async def rows(self, table: str) -> list[dict[str, Any]]:
        """In the order of their keys: of ids that is the order in which they were made."""
        found = metadata.tables[table]
        async with self.house.database.read() as conn:
            rows = await conn.execute(select(found).order_by(*found.primary_key.columns))
            return [dict(row) for row in rows.mappings()]

    async def everything(self, *, but: Sequence[str] = ()) -> dict[str, list[str]]:
        """Every row of every table, to compare with."""
        tables = [name for name in metadata.tables if name != api_keys.name and name not in but]
        return {name: sorted(map(str, await self.rows(name))) for name in tables}


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def changed(settings: Settings, connection: str, **options: Any) -> dict[str, Any]:
    """The connections with these options of one of them changed; for `restart(connections=…)`."""
    one = settings.connections[connection]
    return settings.connections | {connection: one.model_copy(update=options)}
