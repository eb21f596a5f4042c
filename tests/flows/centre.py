"""A person's own page in the flows' hands: what stands on it, and what is done there."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from typing import Any
from urllib.parse import urlencode, urlsplit

from gateway.settings import Settings
from outbox.manage_links import Opened, Way
from tests.flows.running import ANA, Gateway, Got, eventually

BOX = "ana.ruiz@example.org"
MASKED = "a•••@e•••.org"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def with_mail(settings: Settings) -> Settings:
    """The settings with a sandbox for e-mail."""
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
        html = self.got.body.decode().replace("\n", " ")
        pattern = r'<label class="box"><input type="checkbox" name="yes" value="([^"]+)"( checked)?>(.*?)</label>'
        found = re.findall(pattern, html)
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
    """What the person has said, by channel, address or preference; what was not asked is left out."""
    consent = (await gateway.profile(profile["id"]))["consent"]
    found = {"everything": consent["everything"]} if consent["everything"] != "not_asked" else {}
    for kind in ("channels", "addresses", "preferences"):
        found |= {name: flag["state"] for name, flag in consent[kind].items() if flag["state"] != "not_asked"}
    return found


async def mails(gateway: Gateway, address: str = BOX) -> list[str]:
    """What was sent to a mailbox, the oldest first."""
    found = await gateway.api("GET", "/v1/sandbox/messages?limit=500")
    return [one["body"] for one in reversed(found["items"]) if one["to"] == address]


async def mail(gateway: Gateway, count: int = 1, address: str = BOX) -> str:
    """The last of so many mails to a mailbox, once it is there."""

    async def look() -> list[str]:
        found = await mails(gateway, address)
        return found if len(found) >= count else []

    found = await eventually(look)
    assert len(found) == count
    return found[-1]


def link_in(text: str, path: str) -> str:
    """The path of the link in a message."""
    [found] = re.findall(rf"https?://[^/\s]+(/{path}/\S+)", text)
    return str(found)
