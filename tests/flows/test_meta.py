"""WhatsApp by the Cloud API through the whole gateway, with a stand-in for Meta behind two numbers of one app."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.settings import Settings
from tests import canaries
from tests.channels.meta_requests import (
    ANA_ID,
    NUMBER_ID,
    OTHER_NUMBER_ID,
    OURS,
    SECRET,
    TOKEN,
    VERIFY,
    batch,
    change,
    sample,
    signature,
    text,
)
from tests.channels.test_meta_batch import BAD, JUNK
from tests.channels.test_meta_signature import FORGED
from tests.flows.running import ANA, BEN, CLEO, OPTED_IN, OPTED_OUT, Gateway, Got, eventually
from tests.flows.test_single_messages import ask, ended, message, send
from tests.standins import meta as answers
from tests.standins.meta import Line, MetaStandIn

TEMPLATE = {"template": {"name": "autumn", "language": "en", "variables": {"1": "{{ first_name | default: 'there' }}"}}}
YES = {"channels": {"whatsapp": "yes"}}


@pytest.fixture
async def meta() -> AsyncIterator[MetaStandIn]:
    async with MetaStandIn(NUMBER_ID, TOKEN) as standin:
        yield standin


@pytest.fixture
def settings(database_url: str, meta: MetaStandIn) -> Settings:
    canaries.plant([{"text": secret} for secret in (SECRET, TOKEN, VERIFY)])
    ours = {"provider": "meta", "channel": "whatsapp", "app_secret": SECRET, "access_token": TOKEN,
            "verify_token": VERIFY, "api_url": meta.url}  # fmt: skip
    return Settings.model_validate(
        {
            "database": {"url": database_url},
            "sending": {"quiet_hours": "off"},
            "organisation": {"name": "Example Theatre", "contact": "boxoffice@example.org"},
            "connections": {
                "cloud": ours | {"phone_number_id": NUMBER_ID, "from": OURS},
                "other": ours | {"phone_number_id": OTHER_NUMBER_ID},
                "box": {"provider": "sandbox", "channel": "sms"},
            },
        }
    )


# --- acts -------------------------------------------------------------------------------------


async def post(gateway: Gateway, body: bytes, *, connection: str = "cloud", signed: str | None = None) -> Got:
    headers = {"Content-Type": "application/json", "X-Hub-Signature-256": signed or signature(body)}
    return await gateway.send("POST", f"/webhooks/{connection}", data=body, headers=headers)


_ids = iter(range(1, 10**9))


def now(gateway: Gateway) -> str:
    return str(int(gateway.clock().timestamp()))


async def write(gateway: Gateway, words: str, sender: str = ANA, **more: Any) -> Got:
    """Somebody writes to us; Meta's times are in seconds, so no two within one."""
    gateway.clock.advance(seconds=2)
    canaries.plant({"text": words})
    one = text(words, sender, id_=f"wamid.IN{next(_ids)}", at=now(gateway)) | more
    got = await post(gateway, batch(change(messages=[one])))
    assert (got.status, got.body) == (200, b"")
    return got


def preference(gateway: Gateway, value: str, sender: str = ANA, **more: str) -> bytes:
    """That somebody stops or resumes marketing in WhatsApp's own settings."""
    gateway.clock.advance(seconds=2)
    said = {"category": "marketing_messages", "value": value, "timestamp": now(gateway), "detail": "x", **more}
    said |= {"wa_id": sender[1:]} if sender else {}
    return batch(change("user_preferences", user_preferences=[said]))


async def prefer(gateway: Gateway, value: str, sender: str = ANA, **more: str) -> None:
    assert (await post(gateway, preference(gateway, value, sender, **more))).status == 200


async def report(gateway: Gateway, line: Line, status: str, *, tag: bool = True, code: int | None = None) -> None:
    told: dict[str, Any] = {"id": line.wamid, "status": status, "timestamp": now(gateway), "recipient_id": line.to[1:]}
    told |= {"biz_opaque_callback_data": line.tag} if tag else {}
    told |= {"errors": [{"code": code, "title": "x", "error_data": {"details": f"to {line.to}"}}]} if code else {}
    assert (await post(gateway, batch(change(statuses=[told])))).status == 200


async def sent_to(meta: MetaStandIn, to: str, times: int = 1) -> Line:
    """The last message to an address, once there are so many."""

    async def look() -> Line | None:
        found = [line for line in meta.log if line.to == to]
        assert len(found) <= times, found
        return found[-1] if len(found) == times else None

    return await eventually(look)  # type: ignore[return-value]


async def known(gateway: Gateway, address: str = ANA) -> dict[str, Any]:
    [person] = await gateway.whose(f"whatsapp:{address}")
    return person


async def flags(gateway: Gateway, address: str = ANA) -> tuple[str, str]:
    """What the channel and the address say."""
    consent = (await known(gateway, address))["consent"]
    return consent["channels"]["whatsapp"]["state"], consent["addresses"][f"whatsapp:{address}"]["state"]


# --- what people write ------------------------------------------------------------------------


async def test_a_stop_turns_channel_and_address_and_is_confirmed_through_meta(
    gateway: Gateway, meta: MetaStandIn
) -> None:
    await gateway.person(f"whatsapp:{ANA}", consent=YES)
    await write(gateway, "Stop ")
    assert await flags(gateway) == ("no", "no")
    line = await sent_to(meta, ANA)
    assert line.text == OPTED_OUT
    assert line.asked["type"] == "text"
    await write(gateway, "START")
    assert await flags(gateway) == ("yes", "yes")
    assert (await sent_to(meta, ANA, 2)).text == OPTED_IN


async def test_a_replay_gets_the_same_bytes_and_changes_nothing(gateway: Gateway, meta: MetaStandIn) -> None:
    bodies = [sample(name) for name in ("text", "preference_stop", "delivered", "changed_number", "image_with_caption")]
    first = [await post(gateway, body) for body in bodies]
    await sent_to(meta, ANA)
    await eventually_idle(gateway)
    before = await gateway.everything()
    for _ in range(3):
        again = [await post(gateway, body) for body in bodies]
        assert [(got.status, got.body, got.type) for got in again] == [
            (got.status, got.body, got.type) for got in first
        ]
    assert await gateway.everything() == before
    assert len(meta.log) == 1


async def eventually_idle(gateway: Gateway) -> None:
    """Nothing is queued or being sent."""

    async def look() -> bool:
        return all(row["status"] not in ("queued", "sending") for row in await gateway.rows("deliveries"))

    await eventually(look)


async def test_the_same_message_twice_at_once_is_one(gateway: Gateway) -> None:
    got = await asyncio.gather(*(post(gateway, sample("text")) for _ in range(5)))
    assert {one.status for one in got} == {200}
    assert len(await gateway.rows("messages")) == 1
    assert len(await gateway.history((await known(gateway))["id"])) == 1


BUTTONS = {
    "of a template": {"type": "button", "button": {"text": "Not for me", "payload": "STOP"}},
    "a reply button": {
        "type": "interactive", "interactive": {"type": "button_reply", "button_reply": {"id": "x", "title": "Stop"}},
    },
    "a list": {
        "type": "interactive", "interactive": {"type": "list_reply", "list_reply": {"id": "STOP", "title": "Enough"}},
    },
    "a caption": {"type": "image", "image": {"id": "1", "mime_type": "image/jpeg", "caption": "STOP"}},
}  # fmt: skip


@pytest.mark.parametrize("more", BUTTONS.values(), ids=BUTTONS)
async def test_a_stop_by_a_button_or_below_a_picture_is_one(gateway: Gateway, more: dict[str, Any]) -> None:
    await write(gateway, "", text={}, **more)
    assert await flags(gateway) == ("no", "no")


async def test_while_metas_own_agent_answers_a_stop_is_still_one(gateway: Gateway) -> None:
    assert (await post(gateway, sample("standby"))).status == 200
    assert await flags(gateway) == ("no", "no")
    assert len(await gateway.rows("messages")) == 1


async def test_what_whatsapp_tells_by_itself_runs_no_rule_and_links_nobody(gateway: Gateway) -> None:
    await gateway.person(f"whatsapp:{ANA}", consent=YES)
    system = {"type": "user_changed_number", "body": "STOP", "wa_id": BEN[1:]}
    await write(gateway, "STOP", type="system", system=system)
    assert await flags(gateway) == ("yes", "not_asked")
    assert await gateway.whose(f"whatsapp:{BEN}") == []
    [row] = await gateway.rows("messages")
    assert (row["body"], row["rule_id"], row["sender"]) == ("", None, ANA)
    assert json.loads(row["fields"]["system"]) == system


async def test_a_message_in_a_group_is_none_to_us(gateway: Gateway) -> None:
    before = await gateway.everything()
    assert (await post(gateway, sample("group"))).status == 200
    assert await gateway.everything() == before


async def test_who_has_no_number_is_known_by_the_scoped_id_and_answered_there(
    gateway: Gateway, meta: MetaStandIn
) -> None:
    assert (await post(gateway, sample("scoped_id_alone"))).status == 200
    assert await flags(gateway, ANA_ID) == ("no", "no")
    line = await sent_to(meta, ANA_ID)
    assert (line.asked["recipient"], "to" in line.asked) == (ANA_ID, False)
    await write(gateway, "hello", from_user_id=ANA_ID)
    [same] = {(await known(gateway, address))["id"] for address in (ANA, ANA_ID)}
    assert await gateway.verdict(same, "whatsapp") == "opted_out_channel"


# --- what is not Meta's, not ours, or cannot be understood ------------------------------------


async def test_what_meta_did_not_sign_is_403_and_nothing_is_written(gateway: Gateway) -> None:
    before = await gateway.everything()
    for request in FORGED.values():
        if all(value.isascii() and value == value.strip() for value in request.headers.values()):  # as HTTP has it
            for path in ("/webhooks/cloud", "/webhooks/cloud/status"):
                got = await gateway.send("POST", path, data=request.body, headers=request.headers)
                assert got.status == 403
    assert await gateway.everything() == before


@pytest.mark.parametrize("name", ["text", "delivered"])
async def test_what_is_valid_for_one_number_is_403_at_another(gateway: Gateway, name: str) -> None:
    before = await gateway.everything()
    assert (await post(gateway, sample(name), connection="other")).status == 403
    assert await gateway.everything() == before
    assert (await post(gateway, sample(name))).status == 200


async def test_a_stop_of_marketing_comes_to_the_apps_own_webhook_whatever_its_number(gateway: Gateway) -> None:
    await gateway.person(f"whatsapp:{ANA}", consent=YES)
    stop, resume = preference(gateway, "stop"), preference(gateway, "resume")
    assert (await post(gateway, stop, connection="other")).status == 200
    assert await flags(gateway) == ("no", "not_asked")
    assert (await post(gateway, stop)).status == 200
    assert len(await gateway.history((await known(gateway))["id"])) == 2
    assert (await post(gateway, resume, connection="other")).status == 200
    assert await flags(gateway) == ("no", "not_asked")


@pytest.mark.parametrize("bad", ["null", "no id", "nobody", "an id that is an object"])
async def test_of_fifty_messages_one_is_bad_and_49_are_kept(gateway: Gateway, bad: str) -> None:
    messages: list[Any] = [text("STOP", f"1415555{n:04d}", id_=f"wamid.{n}") for n in range(50)]
    messages[17] = BAD[bad]
    body = batch(change(messages=messages))
    for _ in range(2):
        assert (await post(gateway, body)).status == 200
        assert len(await gateway.rows("messages")) == 49
        [parked] = await gateway.rows("parked")
        assert json.loads(parked["raw"]) == BAD[bad]
        assert (parked["connection"], parked["why"][:8]) == ("cloud", "message:")
    assert await flags(gateway, "+14155550049") == ("no", "no")


async def test_signed_junk_is_400_and_too_much_is_413(gateway: Gateway) -> None:
    before = await gateway.everything()
    for name, body in JUNK.items():
        if body:
            assert (await post(gateway, body)).status == 400, name
    assert (await post(gateway, b" " * (3 * 1024 * 1024 + 1))).status == 413
    assert await gateway.everything() == before
    large = text("STOP") | {"image": {"caption": "x" * 2_900_000}}
    assert (await post(gateway, batch(change(messages=[large])))).status == 200


async def test_the_challenge_is_answered_as_plain_text_to_who_knows_the_token(gateway: Gateway) -> None:
    query = f"hub.mode=subscribe&hub.verify_token={VERIFY}&hub.challenge=%3Cb%3E1158201444"
    got = await gateway.send("GET", f"/webhooks/cloud?{query}")
    assert (got.status, got.body, got.type) == (200, b"<b>1158201444", "text/plain")
    assert got.headers["X-Content-Type-Options"] == "nosniff"
    assert (await gateway.send("GET", f"/webhooks/cloud?{query.replace('words', 'word')}")).status == 403
    assert (await gateway.send("GET", "/webhooks/cloud")).status == 403
    assert (await gateway.send("GET", f"/webhooks/box?{query}")).status == 405


# --- settings in WhatsApp itself --------------------------------------------------------------


async def test_a_stop_of_marketing_turns_the_channel_alone_and_a_resume_turns_it_back(
    gateway: Gateway, meta: MetaStandIn
) -> None:
    ana = await gateway.person(f"whatsapp:{ANA}", consent=YES)
    await prefer(gateway, "stop")
    assert await flags(gateway) == ("no", "not_asked")
    assert await gateway.verdict(ana["id"], "whatsapp") == "opted_out_channel"
    ticket = {"channel": "whatsapp", "connection": "cloud", "content": TEMPLATE, "require_opt_in": False}
    assert (await ended(gateway, await send(gateway, ana["id"], **ticket)))["status"] == "accepted"
    await prefer(gateway, "resume")
    assert await flags(gateway) == ("yes", "not_asked")
    lines = await gateway.history(ana["id"])
    assert [(line["source"], line["from"], line["to"]) for line in lines] == [
        ("provider", "no", "yes"),
        ("provider", "yes", "no"),
        ("api", "not_asked", "yes"),
    ]
    assert lines[1]["provider_at"] is not None
    assert len(meta.log) == 1, "neither is answered"


async def test_a_resume_turns_no_silence_and_no_stop_by_text(gateway: Gateway) -> None:
    await gateway.person(f"whatsapp:{ANA}")
    await prefer(gateway, "resume")
    assert await flags(gateway) == ("not_asked", "not_asked")
    await write(gateway, "STOP", BEN)
    await prefer(gateway, "resume", BEN)
    ben = await known(gateway, BEN)
    assert await gateway.verdict(ben["id"], "whatsapp") == "opted_out_address"


async def test_a_stop_of_somebody_unknown_is_kept_for_whoever_has_the_address_next(gateway: Gateway) -> None:
    await prefer(gateway, "stop", CLEO)
    await prefer(gateway, "stop", "", user_id=ANA_ID)
    for address in (CLEO, ANA_ID):
        person = await gateway.person(f"whatsapp:{address}")
        assert await gateway.verdict(person["id"], "whatsapp") == "opted_out_address"


# --- what we send -----------------------------------------------------------------------------


async def cast(gateway: Gateway, content: dict[str, Any], *people: dict[str, Any]) -> dict[str, Any]:
    audience = {"profiles": [one["id"] for one in people]}
    return await gateway.sent(audience, connection="cloud", channel="whatsapp", content=content)


async def test_a_template_is_broadcast_to_numbers_and_scoped_ids(gateway: Gateway, meta: MetaStandIn) -> None:
    ana = await gateway.person(f"whatsapp:{ANA}", consent=YES, first_name="Anabel")
    ben = await gateway.person(f"whatsapp:{ANA_ID}", consent=YES)
    cleo = await gateway.person(f"whatsapp:{CLEO}", consent={"channels": {"whatsapp": "no"}})
    shown = await cast(gateway, TEMPLATE, ana, ben, cleo)
    assert shown["counts"]["by_status"] == {"accepted": 2}
    assert shown["counts"]["by_reason"] == {"opted_out_channel": 1}
    said = {line.to: line.asked["template"] for line in meta.log}
    assert said == {
        to: {
            "name": "autumn",
            "language": {"code": "en"},
            "components": [{"type": "body", "parameters": [{"type": "text", "text": name}]}],
        }
        for to, name in ((ANA, "Anabel"), (ANA_ID, "there"))
    }
    deliveries = await gateway.deliveries(shown["id"])
    for line in meta.log:
        assert line.tag in {row["id"] for row in await gateway.rows("attempts")}
        await report(gateway, line, "delivered")
    again = await gateway.deliveries(shown["id"])
    assert {one["status"] for one in deliveries.values()} == {"accepted", "skipped"}
    assert {one["status"] for one in again.values()} == {"delivered", "skipped"}


async def test_a_template_for_meta_needs_its_language(gateway: Gateway) -> None:
    content = {"template": {"name": "autumn", "variables": {}}}
    wanted = {"channel": "whatsapp", "connection": "cloud", "to": {"address": ANA}, "content": content}
    got = await gateway.ask("POST", "/v1/messages", json=wanted | {"require_opt_in": False})
    assert (got.status, got.json["errors"][0]["field"]) == (422, "content.template.language")


async def test_free_text_goes_only_within_24_hours_of_what_the_person_wrote(
    gateway: Gateway, meta: MetaStandIn
) -> None:
    ana = await gateway.person(f"whatsapp:{ANA}", consent=YES)
    free: dict[str, Any] = {"channel": "whatsapp", "connection": "cloud", "content": {"body": "See you tonight."}}
    got = await ask(gateway, ana["id"], **free)
    assert (got.status, got.json["reason"]) == (422, "window_closed")
    await write(gateway, "hello there")
    shown = await ended(gateway, await send(gateway, ana["id"], **free))
    assert (shown["status"], (await sent_to(meta, ANA)).text) == ("accepted", "See you tonight.")
    meta.on[ANA] = answers.error(400, 131047, "Re-engagement message")  # it is Meta's clock that counts
    shown = await ended(gateway, await send(gateway, ana["id"], **free))
    assert (shown["status"], shown["reason"]) == ("failed", None)
    assert shown["error"].startswith("131047: the 24 hours after the person's own message are over")
    gateway.clock.advance(hours=25)
    assert (await cast(gateway, free["content"], ana))["counts"]["by_reason"] == {"window_closed": 1}
    assert await flags(gateway) == ("yes", "not_asked")
    assert len(meta.log) == 2


async def test_a_status_moves_its_message_up_and_a_late_one_not_down(gateway: Gateway, meta: MetaStandIn) -> None:
    ana = await gateway.person(f"whatsapp:{ANA}", consent=YES)
    shown = await cast(gateway, TEMPLATE, ana)
    line = await sent_to(meta, ANA)
    for tag in (True, False):
        for status, stands in (("sent", "sent"), ("delivered", "delivered"), ("sent", "delivered"), ("read", "read")):
            await report(gateway, line, status, tag=tag)
            [delivery] = (await gateway.deliveries(shown["id"])).values()
            assert delivery["status"] == (stands if tag else "read")


async def test_a_status_without_its_tag_is_found_by_the_messages_id(gateway: Gateway, meta: MetaStandIn) -> None:
    ana, ben = [await gateway.person(f"whatsapp:{number}", consent=YES) for number in (ANA, BEN)]
    shown = await cast(gateway, TEMPLATE, ana, ben)
    await report(gateway, await sent_to(meta, ANA), "delivered", tag=False)
    stands = await gateway.deliveries(shown["id"])
    assert (stands[ana["id"]]["status"], stands[ben["id"]]["status"]) == ("delivered", "accepted")
    stranger = Line(0, CLEO, {}, "wamid.of_another_system", "")
    await report(gateway, stranger, "failed", tag=False, code=131050)
    assert await gateway.whose(f"whatsapp:{CLEO}") == []


@pytest.mark.parametrize("how", ["in the answer", "in a status", "in a status without a tag"])
async def test_metas_word_that_a_person_stopped_marketing_turns_the_channel_alone(
    gateway: Gateway, meta: MetaStandIn, how: str
) -> None:
    ana = await gateway.person(f"whatsapp:{ANA}", consent=YES)
    if how == "in the answer":
        meta.on[ANA] = answers.error(400, 131050, "User stopped", f"{ANA} has chosen to stop")
    shown = await cast(gateway, TEMPLATE, ana)
    if how != "in the answer":
        for _ in range(2):
            await report(gateway, await sent_to(meta, ANA), "failed", code=131050, tag=how == "in a status")
    [delivery] = (await gateway.deliveries(shown["id"])).values()
    assert delivery["status"] == "failed"
    assert await flags(gateway) == ("no", "not_asked")
    assert [line["source"] for line in await gateway.history(ana["id"])] == ["provider", "api"]
    assert (await cast(gateway, TEMPLATE, ana))["counts"]["by_reason"] == {"opted_out_channel": 1}
    assert len(meta.log) == 1


async def test_what_may_have_been_sent_is_in_doubt_until_a_status_tells(gateway: Gateway, meta: MetaStandIn) -> None:
    ana = await gateway.person(f"whatsapp:{ANA}", consent=YES)
    meta.on[ANA] = answers.ends("reset")
    shown = await cast(gateway, TEMPLATE, ana)
    assert shown["counts"]["by_status"] == {"in_doubt": 1}
    gateway.clock.advance(minutes=10)
    await asyncio.sleep(1.2)
    line = await sent_to(meta, ANA)
    await report(gateway, line, "delivered")
    [delivery] = (await gateway.deliveries(shown["id"])).values()
    assert delivery["status"] == "delivered"
    [attempt] = await gateway.rows("attempts")
    assert (attempt["state"], attempt["provider_id"]) == ("accepted", line.wamid)


async def test_a_number_that_is_throttled_rests_one_person_alone_does_not(gateway: Gateway, meta: MetaStandIn) -> None:
    ana, ben = [await gateway.person(f"whatsapp:{number}", consent=YES) for number in (ANA, BEN)]
    one = {"channel": "whatsapp", "connection": "cloud", "content": TEMPLATE}
    meta.on[ANA] = answers.error(400, 131056, "Pair rate limit hit")
    first = await send(gateway, ana["id"], **one)
    await sent_to(meta, ANA)
    assert (await ended(gateway, await send(gateway, ben["id"], **one)))["status"] == "accepted"
    assert (await message(gateway, first))["status"] == "queued"
    meta.on[BEN] = answers.error(400, 131048, "Spam rate limit hit")
    await send(gateway, ben["id"], **one)
    await sent_to(meta, BEN, 2)

    async def rests() -> bool:
        return any(row["name"] == "cloud" and row["free_at"] > gateway.clock() for row in await gateway.rows("paces"))

    await eventually(rests)
    del meta.on[ANA], meta.on[BEN]
    gateway.clock.advance(minutes=30)
    await asyncio.sleep(1.2)
    assert len(meta.log) == 3
    gateway.clock.advance(minutes=31)
    assert (await ended(gateway, first))["status"] == "accepted"
