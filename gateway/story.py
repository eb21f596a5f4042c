"""The story that `optgate demo` tells: four people, a broadcast, a STOP, another broadcast, and the proof."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp
import click

from store.engine import Database

WIDTH = 80
PATIENCE_SECONDS = 30.0
OURS = "+12025550100"
ANA, BEN, CLEO, DIEGO = "+14155550123", "+14155550124", "+14155550125", "+14155550126"  # numbers kept for fiction
NAMES = {ANA: "Ana", BEN: "Ben", CLEO: "Cleo", DIEGO: "Diego"}
DISPOSITIONS: Mapping[str, Mapping[str, Any]] = {  # how a call may end, and what that changes
    "No more texts": {"changes": [{"kind": "channel", "channel": "sms", "to": "no"}]},
    "No more calls": {"changes": [{"kind": "channel", "channel": "voice", "to": "no"}]},
    "Do not contact": {"changes": [{"kind": "everything", "to": "no"}]},
    "Wrong number": {"undeliverable": True},
}
_REASONS = {
    "opted_out_channel": "said no to SMS",
    "opted_out_everything": "wants no contact at all",
    "not_opted_in": "never said yes",
}


class Narrator:
    """Asks the gateway over HTTP, and tells what it hears."""

    def __init__(self, url: str, key: str) -> None:
        self.url = url
        self._headers = {"Authorization": f"Bearer {key}"}
        self._steps = 0

    def step(self, title: str) -> None:
        self._steps += 1
        click.echo()
        click.secho(f"{self._steps}. {title}", bold=True)

    def say(self, words: str) -> None:
        click.echo(textwrap.fill(words, WIDTH, initial_indent="   ", subsequent_indent="   "))

    def show(self, left: str, right: str) -> None:
        """A line of a table; what is long goes on below itself."""
        indent = " " * 5
        lines = textwrap.wrap(right, WIDTH - 21) or [""]
        click.echo(f"{indent}{click.style(f'{left:<16}', fg='cyan')}{lines[0]}")
        for line in lines[1:]:
            click.echo(f"{indent}{'':<16}{line}")

    async def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """What the gateway answers; an error of its would be ours."""
        async with (
            aiohttp.ClientSession(headers=self._headers, raise_for_status=True) as session,
            session.request(method, self.url + path, json=body) as answer,
        ):
            return await answer.json()

    async def text(self, sender: str, words: str) -> None:
        """Somebody texts us; the answer is what the sandbox would have sent back."""
        before = len(await self._sent_to(sender))
        await self.ask("POST", "/webhooks/sms", {"from": sender, "to": OURS, "body": words})
        self.show(f"{NAMES[sender]} texts", words)
        [reply, *_] = await self._until(lambda: self._sent_to(sender), lambda sent: len(sent) > before)
        self.show("is answered", str(reply["body"]))

    async def _sent_to(self, number: str) -> list[dict[str, Any]]:
        """The newest first."""
        found = await self.ask("GET", f"/v1/sandbox/messages?to={quote(number)}")
        return list(found["items"])

    async def broadcast(self, name: str, body: str) -> None:
        """Send to everybody, and tell who got it and who did not, and why."""
        wanted = {"name": name, "channel": "sms", "content": {"body": body}, "audience": {"all": True}}
        made = await self.ask("POST", "/v1/broadcasts", wanted)
        path = f"/v1/broadcasts/{made['id']}"
        await self._until(lambda: self.ask("GET", path), lambda shown: shown["status"] == "done")
        self.show("to everybody", body)
        for one in sorted((await self.ask("GET", f"{path}/deliveries"))["items"], key=lambda one: str(one["address"])):
            why = _REASONS.get(one["reason"], "")
            became = f"skipped: {one['reason']} ({why})" if one["reason"] else "sent"
            self.show(NAMES.get(one["address"], str(one["address"])), became)

    async def _until(self, ask: Any, holds: Any) -> Any:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                if holds(answer := await ask()):
                    return answer
                await asyncio.sleep(0.05)


async def tell(told: Narrator, database: Database) -> None:
    """The whole story; raises when the gateway does not do what is told."""
    click.secho("Optgate: a messaging gateway that knows who said yes", bold=True)
    told.say(
        f"A throw-away gateway runs at {told.url}. Its connections are sandboxes: nothing leaves this machine, and "
        "all of it is taken away at the end."
    )
    await _people(told)
    told.step("Cleo texts START")
    told.say("Her yes is on disk, with her own words as proof, before she is answered.")
    await told.text(CLEO, "START")
    told.step("A broadcast goes to those who said yes")
    told.say("Everybody has a row: sent, or skipped and why.")
    await told.broadcast("Autumn season", "The autumn season is on sale.")
    told.step("Ana texts STOP")
    told.say("Once she is answered no send to her begins any more.")
    await told.text(ANA, "Stop, please!")
    told.step("The next broadcast skips her, and says why")
    await told.broadcast("Last seats", "Last seats for tonight.")
    await _proof(told)
    await _verified(told, database)
    click.echo()
    click.echo("That was Optgate. `optgate serve` runs one that stays; README.md goes on.")


async def _people(told: Narrator) -> None:
    told.step("Four people the theatre knows, and a rule of its own")
    evidence = {"obtained_at": "2026-01-10T18:30:00Z", "how": "paper form at the box office"}
    yes: dict[str, Any] = {"channels": {"sms": "yes"}, "wording": "Text me about new plays", "evidence": evidence}
    said = {ANA: yes, BEN: {"everything": "no", "by": {"kind": "customer"}}, CLEO: None, DIEGO: None}
    words = {
        ANA: "said yes on a paper form at the box office",
        BEN: "said: do not contact me at all",
        CLEO: "was never asked",
        DIEGO: "was never asked",
    }
    for number, consent in said.items():
        person: dict[str, Any] = {"first_name": NAMES[number], "addresses": [{"channel": "sms", "value": number}]}
        await told.ask("POST", "/v1/profiles", person | ({"consent": consent} if consent else {}))
        told.show(NAMES[number], words[number])
    rule = {"channel": "sms", "keyword": "TONIGHT", "match": "starts_with", "action": "reply_only"}
    await told.ask("POST", "/v1/rules", rule | {"reply": "Tonight at 19:30: Hamlet. Reply STOP to opt out."})
    told.show("rule", "who texts TONIGHT is told what is on; to write is no opt-in")
    for name, what in DISPOSITIONS.items():
        await told.ask("POST", "/v1/dispositions", {"name": name, **what})
    told.show("dispositions", f"how a call may end: {', '.join(DISPOSITIONS)}")
    await told.text(DIEGO, "tonight?")


async def _proof(told: Narrator) -> None:
    told.step("The history shows it, line by line, with its evidence")
    for one in (await told.ask("GET", f"/v1/profiles?address={quote(f'sms:{ANA}')}"))["items"]:
        lines = (await told.ask("GET", f"/v1/profiles/{one['id']}/history"))["items"]
        for line in reversed(lines):
            shown = line["evidence"]
            proof = shown.get("text") or shown.get("how")
            told.show(f"line {line['seq']}", f"sms: {line['from']} becomes {line['to']}, by {line['source']}")
            told.show("proof", json.dumps(proof, ensure_ascii=False))
            told.show("hash", f"{line['hash'][:16]}… over this line and the one before")


async def _verified(told: Narrator, database: Database) -> None:
    from consent import proof

    told.step("`optgate ledger verify`")
    count = 0

    def add(lines: int) -> None:
        nonlocal count
        count += lines

    async with database.read() as conn:
        faults = [str(finding) async for finding in proof.verify(conn, add)]
    if faults:
        raise AssertionError(faults)
    told.say(f"All {count} lines hold: none is altered, missing or added, the last one included.")
