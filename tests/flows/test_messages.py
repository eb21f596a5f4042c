"""Messages over the API: what people wrote and what we answered."""

from __future__ import annotations

from tests.flows.running import ANA, BEN, OPTED_OUT, OURS, Gateway, eventually

SHAPE = {
    "id",
    "direction",
    "class",
    "channel",
    "connection",
    "profile_id",
    "from",
    "to",
    "body",
    "provider_id",
    "status",
    "reason",
    "error",
    "rule_id",
    "created_at",
}


async def test_messages_are_listed_newest_first_whole_and_by_what_is_asked(gateway: Gateway) -> None:
    await gateway.text_in("hello", ANA, sid="SM" + "a" * 32)
    await gateway.text_in("STOP", BEN)
    await gateway.whatsapp_in("hi", ANA)
    [ana], [ben] = await gateway.whose(f"sms:{ANA}"), await gateway.whose(f"sms:{BEN}")

    async def listed(query: str = "") -> list[dict[str, object]]:
        return list((await gateway.api("GET", f"/v1/messages?{query}"))["items"])

    everything = await listed()
    assert all(set(message) >= SHAPE for message in everything)
    assert [m["id"] for m in everything] == sorted((str(m["id"]) for m in everything), reverse=True)
    assert [m["body"] for m in await listed("direction=inbound")] == ["hi", "STOP", "hello"]
    assert [m["body"] for m in await listed("direction=outbound")] == [OPTED_OUT]
    assert [m["body"] for m in await listed(f"profile_id={ana['id']}")] == ["hi", "hello"]
    assert [m["direction"] for m in await listed(f"profile_id={ben['id']}")] == ["outbound", "inbound"]
    assert [m["body"] for m in await listed("status=accepted")] == [OPTED_OUT]
    assert len(await listed("status=received")) == 3
    assert await listed("profile_id=pro_nobody") == []
    hello = everything[-1]
    assert await gateway.api("GET", f"/v1/messages/{hello['id']}") == {**hello, "attempts": []}
    assert (hello["from"], hello["to"], hello["channel"], hello["connection"]) == (ANA, OURS, "sms", "sms")
    assert (hello["provider_id"], hello["profile_id"], hello["status"]) == ("SM" + "a" * 32, ana["id"], "received")
    assert everything[0]["channel"] == "whatsapp"
    for query in ("direction=sideways", "status=lost", "colour=red"):
        assert (await gateway.ask("GET", f"/v1/messages?{query}")).status == 422, query
    assert (await gateway.ask("GET", "/v1/messages/msg_nobody")).status == 404


async def test_a_reply_by_the_sandbox_is_sent_through_the_queue(gateway: Gateway) -> None:
    await gateway.sandbox_in("STOP", ANA)

    async def sent() -> list[dict[str, object]]:
        return list((await gateway.api("GET", "/v1/messages?direction=outbound&status=accepted"))["items"])

    [reply] = await eventually(sent)
    assert (reply["to"], reply["class"], reply["body"]) == (ANA, "service", OPTED_OUT)
    [kept] = (await gateway.api("GET", "/v1/sandbox/messages?connection=box"))["items"]
    assert (kept["to"], kept["body"]) == (ANA, OPTED_OUT)
    assert (await gateway.api("GET", "/v1/sandbox/messages?connection=other"))["items"] == []


async def test_a_delivery_of_a_broadcast_is_a_message_too(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", consent={"channels": {"sms": "yes"}})
    shown = await gateway.sent({"profiles": [ana["id"]]}, connection="box")
    delivery = (await gateway.deliveries(shown["id"]))[ana["id"]]
    message = await gateway.api("GET", f"/v1/messages/{delivery['message_id']}")
    assert (message["direction"], message["class"], message["to"], message["status"]) == (
        "outbound",
        "marketing",
        ANA,
        "accepted",
    )
