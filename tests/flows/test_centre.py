"""A person's own page: what it shows, what a save comes to, and that a link that went astray does no harm."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest

from gateway.settings import Settings
from outbox.manage_links import Opened, Way
from tests.acts import address_id  # noqa: F401
from tests.flows.running import ANA, Gateway, Got

BOX = "ana.ruiz@example.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    mail = type(settings).model_validate({"connections": {"mail": {"provider": "sandbox", "channel": "email"}}})
    return settings.model_copy(update={"connections": settings.connections | mail.connections})


class Centre:
    """The page as a person has it before them, and what they do there."""

    def __init__(self, gateway: Gateway, link: str) -> None:
        self.gateway = gateway
        self.path = urlsplit(link).path + (f"?{urlsplit(link).query}" if urlsplit(link).query else "")
        self.got = Got(0, {}, b"")

    async def open(self, query: str = "", *, status: int = 200) -> str:
        self.got = await self.gateway.send("GET", self.path + query)
        assert self.got.status == status, self.got.body.decode()
        return self.text

    @property
    def text(self) -> str:
        return unescape(self.got.body.decode())

    @property
    def boxes(self) -> dict[str, tuple[str, bool]]:
        """What stands beside each box → its key, and whether it is ticked."""
        found = re.findall(r'<label class="box"><input type="checkbox" name="yes" value="([^"]+)"( checked)?>(.*?)</label>',
                           self.got.body.decode().replace("\n", ""))  # fmt: skip
        return {_words(rest): (key, bool(checked)) for key, checked, rest in found}

    @property
    def ticked(self) -> set[str]:
        return {key for key, checked in self.boxes.values() if checked}

    def key(self, words: str) -> str:
        [found] = [key for text, (key, _) in self.boxes.items() if words in text]
        return found

    def fields(self) -> list[tuple[str, str]]:
        """The hidden fields and the details of the form that is saved, as a browser posts them."""
        form = self.text.partition('class="choices"')[2].partition("</form>")[0]
        hidden = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', form)
        return hidden + re.findall(r'<input name="(detail[^"]+)" value="([^"]*)"', form)

    async def save(self, *, tick: tuple[str, ...] = (), untick: tuple[str, ...] = (), **details: str) -> str:
        """Tick and untick by words, and press Save."""
        ticked = (self.ticked | {self.key(one) for one in tick}) - {self.key(one) for one in untick}
        given = {f"detail.{name}": value for name, value in details.items()}
        fields = [(name, given.get(name, value)) for name, value in self.fields()]
        return await self.press([*fields, *(("yes", key) for key in sorted(ticked))])

    async def press(self, fields: list[tuple[str, str]], *, status: int = 200) -> str:
        self.got = await self.gateway.send("POST", self.path, data=urlencode(fields).encode(), headers=FORM)
        assert self.got.status == status, self.got.body.decode()
        return self.text

    async def act(self, act: str, *, status: int = 200, **fields: str) -> str:
        return await self.press([("act", act), *fields.items()], status=status)


def _words(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


async def person(gateway: Gateway, **more: Any) -> dict[str, Any]:
    return await gateway.person(f"email:{BOX}", f"sms:{ANA}", first_name="Ana", last_name="Ruiz", **more)


def link(
    gateway: Gateway, profile: dict[str, Any], *, way: Way = "asked", sent_to: str | None = None, **age: float
) -> str:
    made = gateway.clock() - timedelta(**age)
    return gateway.house.manage_links(Opened(profile["id"], sent_to, way, made.replace(microsecond=0)))


async def id_of(gateway: Gateway, value: str, channel: str = "email") -> str:
    [found] = [
        row["id"] for row in await gateway.rows("addresses") if (row["channel"], row["value"]) == (channel, value)
    ]
    return str(found)


async def own(gateway: Gateway, profile: dict[str, Any], way: Way = "asked", **age: float) -> Centre:
    return Centre(gateway, link(gateway, profile, way=way, sent_to=await id_of(gateway, BOX), **age))


async def states(gateway: Gateway, profile: dict[str, Any]) -> dict[str, str]:
    consent = (await gateway.profile(profile["id"]))["consent"]
    found = {"everything": consent["everything"]}
    for kind in ("channels", "addresses", "preferences"):
        found |= {name: flag["state"] for name, flag in consent[kind].items() if flag["state"] != "not_asked"}
    return found


async def test_try(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama", "text": "I would like to hear about drama"})
    ana = await person(gateway, consent={"channels": {"email": "yes"}})
    centre = await own(gateway, ana)
    print(await centre.open())
    print(len(centre.got.body), centre.boxes, centre.fields())
    print(await centre.save(tick=("drama", "text message"), first_name="Anna"))
    print(await states(gateway, ana), (await gateway.profile(ana["id"]))["first_name"])
    for name in ("history", "nothing", "receipts.json"):
        got = await gateway.send("GET", f"{centre.path}/{name}")
        print(got.status, got.body.decode())
    stale = await own(gateway, ana, "message")
    await stale.open()
    print(await stale.save(untick=("drama",), tick=()))
    print(await states(gateway, ana))
    assert 0
