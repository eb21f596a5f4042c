"""What people say in their own words: held at once, decided by people, and after a week by itself."""

from __future__ import annotations

import asyncio
import random
import time
from datetime import datetime, timedelta
from typing import Any

import pytest

from channels.values import AddressReport, Automatic, Inbound
from gateway.arrivals import ARRIVALS
from gateway.settings import Settings
from gateway.verify import verify
from inbox import review_list
from tests.flows.running import ANA, BEN, CLEO, OPTED_IN, OPTED_OUT, OURS, SILENCE, Gateway, changed, eventually, said
from tests.standins.twilio import TwilioStandIn, accepted

YES = {"channels": {"sms": "yes"}}
CUSTOMER = {"kind": "customer"}
ENOUGH = "please don't text me again"


async def fan(gateway: Gateway, address: str = ANA, **more: Any) -> str:
    """Somebody who said yes."""
    tagged = address if ":" in address else f"sms:{address}"
    channel = tagged.partition(":")[0]
    return str((await gateway.person(tagged, consent={"channels": {channel: "yes"}}, **more))["id"])


async def listed(gateway: Gateway, query: str = "?status=open") -> list[dict[str, Any]]:
    return list((await gateway.api("GET", f"/v1/reviews{query}"))["items"])


async def decide(gateway: Gateway, review: dict[str, Any], decision: str, **more: Any) -> dict[str, Any]:
    return dict(await gateway.api("POST", f"/v1/reviews/{review['id']}", json={"decision": decision} | more))


async def mail_in(gateway: Gateway, typed: str, *, subject: str | None = None, sender: str, **more: Any) -> None:
    """A mail, by whichever way mail comes in."""
    adapter = gateway.house.adapters["box"]
    now = gateway.clock()
    mail = Inbound(
        connection="box",
        channel="email",
        account="mail",
        provider_id=f"{sender} {now.isoformat()} {random.random()}",
        sender=sender,
        receiver="hello@example.org",
        text=f"{typed}\n> No more messages? Click to unsubscribe",
        subject=subject,
        typed=typed,
        **more,
    )
    await gateway.app[ARRIVALS].keep(adapter, [mail], received_at=now)


# --- it is held -------------------------------------------------------------------------------


async def test_what_reads_like_a_no_holds_marketing_until_somebody_decides(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana, ben = await fan(gateway), await fan(gateway, BEN)
    came_at = gateway.clock()
    assert (await gateway.text_in(ENOUGH, ANA)).body == SILENCE
    assert (await gateway.text_in("What time does it start?", BEN)).body == SILENCE
    assert [await gateway.verdict(one) for one in (ana, ben)] == ["under_review", "opted_in"]
    [review] = await listed(gateway)
    assert review == await gateway.api("GET", f"/v1/reviews/{review['id']}")
    [message] = [m for m in await gateway.rows("messages") if m["body"] == ENOUGH]
    assert review["message"]["id"] == message["id"]
    assert (review["message"]["body"], review["message"]["from"], review["message"]["to"]) == (ENOUGH, ANA, OURS)
    assert (review["status"], review["channel"], review["address"], review["profile_id"]) == ("open", "sms", ANA, ana)
    assert (review["phrase"]["id"], review["phrase"]["language"]) == ("en_do_not_contact_me", "en")
    assert review["phrase"]["why"].endswith(".")
    created, due, deadline = (datetime.fromisoformat(review[n]) for n in ("created_at", "due_at", "legal_deadline"))
    assert timedelta() <= created - came_at < timedelta(seconds=10)
    assert due - created == timedelta(days=7)
    assert timedelta(days=14) <= deadline - created <= timedelta(days=16)
    counts = (await gateway.sent({"all": True}))["counts"]
    assert (counts["by_reason"], counts["by_status"]) == ({"under_review": 1}, {"accepted": 1})
    ticket = {"channel": "sms", "connection": "sms", "to": {"profile_id": ana}, "content": {"body": "Your ticket"}}
    await gateway.api("POST", "/v1/messages", status=202, json=ticket | {"require_opt_in": False})

    async def arrived() -> bool:
        return twilio.accepted_to(ANA) == 1

    await eventually(arrived)
    dismissed = await decide(gateway, review, "dismiss", note="A joke, she says.")
    assert (dismissed["status"], dismissed["note"], dismissed["decided_by"]) == (
        "dismissed",
        "A joke, she says.",
        "key:crm",
    )
    assert await gateway.verdict(ana) == "opted_in"
    assert (await gateway.sent({"profiles": [ana]}))["counts"]["by_status"] == {"accepted": 1}
    assert await listed(gateway) == []
    assert [one["id"] for one in await listed(gateway, "?status=dismissed&channel=sms")] == [review["id"]]
    assert await listed(gateway, "?channel=email") == []
    assert {line["source"] for line in await gateway.history(ana)} == {"api"}, "no flag moved"


async def test_an_opt_out_is_the_persons_word_with_who_decided_and_as_old_as_the_message(gateway: Gateway) -> None:
    ana = await fan(gateway)
    came_at = gateway.clock()
    await gateway.text_in(ENOUGH, ANA)
    gateway.clock.advance(days=2)
    [review] = await listed(gateway)
    decided = await decide(gateway, review, "opt_out", note="clear enough")
    assert (decided["status"], decided["decided_by"]) == ("opted_out", "key:crm")
    line = (await gateway.history(ana))[0]
    assert line["change_id"] == decided["change_id"]
    assert (line["source"], line["actor"]) == ("keyword", "key:crm for customer")
    assert (line["subject"], line["to"], line["with_address"]) == ({"kind": "channel", "channel": "sms"}, "no", True)
    said_at, recorded_at = datetime.fromisoformat(line["provider_at"]), datetime.fromisoformat(line["at"])
    assert timedelta() <= said_at - came_at < timedelta(seconds=10)
    assert recorded_at - said_at >= timedelta(days=2)
    shows = {name: line["evidence"][name] for name in ("text", "from", "to", "phrase", "review", "decided_by", "note")}
    assert shows == {
        "text": ENOUGH, "from": ANA, "to": OURS, "phrase": "en_do_not_contact_me", "review": review["id"],
        "decided_by": "key:crm", "note": "clear enough",
    }  # fmt: skip
    assert line["evidence"]["message_id"] == review["message"]["id"]
    profile = await gateway.profile(ana)
    assert profile["consent"]["channels"]["sms"]["state"] == "no"
    assert profile["consent"]["addresses"][f"sms:{ANA}"]["state"] == "no"
    assert await gateway.verdict(ana) == "opted_out_channel"
    assert await verify(gateway.house.database) == []
    [audited] = (await gateway.api("GET", "/v1/audit?action=review.decided", key=await gateway.key("admin")))["items"]
    assert (audited["actor"], audited["target"], audited["detail"]) == (
        "key:crm",
        review["id"],
        {"decision": "opt_out"},
    )


async def test_what_waits_is_skipped_when_its_turn_comes_and_not_before(
    gateway: Gateway, twilio: TwilioStandIn
) -> None:
    ana, ben = await fan(gateway), await fan(gateway, BEN)
    later = (gateway.clock() + timedelta(days=1)).isoformat()
    broadcast = await gateway.broadcast({"all": True}, send_at=later)

    async def planned() -> bool:
        return len(await gateway.rows("deliveries")) == 2

    await eventually(planned)
    await gateway.text_in(ENOUGH, ANA)
    await gateway.text_in(ENOUGH, BEN)
    assert {row["status"] for row in await gateway.rows("deliveries")} == {"queued"}, "it may be dismissed in time"
    [of_ben] = [review for review in await listed(gateway) if review["profile_id"] == ben]
    await decide(gateway, of_ben, "dismiss")
    gateway.clock.advance(days=1, minutes=1)
    await gateway.all_sent(broadcast)
    found = await gateway.deliveries(broadcast)
    assert (found[ana]["status"], found[ana]["reason"]) == ("skipped", "under_review")
    assert found[ben]["status"] == "accepted"
    assert [line.to for line in twilio.log] == [BEN]


async def test_nothing_begins_after_what_reads_like_a_no_was_answered(gateway: Gateway, twilio: TwilioStandIn) -> None:
    """Claims race messages, while the provider is slow and everybody says it at once."""
    twilio.default = accepted(0.05)
    await gateway.restart(connections=changed(gateway.settings, "sms", rate=30.0))
    numbers = [f"+1415555{place:04d}" for place in range(2000, 2060)]
    people = {number: await fan(gateway, number) for number in numbers}
    broadcast = await gateway.broadcast({"all": True})
    answered: dict[str, int] = {}

    async def begun() -> bool:
        return len(twilio.log) >= 5

    await eventually(begun)

    async def say(number: str) -> None:
        await asyncio.sleep(random.uniform(0, 1.0))
        assert (await gateway.text_in(ENOUGH, number)).body == SILENCE
        answered[number] = time.monotonic_ns()

    await asyncio.gather(*(say(number) for number in numbers))
    await gateway.all_sent(broadcast, seconds=60)
    late = [line.to for line in twilio.log if line.at_ns > answered[line.to]]
    assert late == []
    found = await gateway.deliveries(broadcast)
    skipped = [number for number, person in people.items() if found[person]["reason"] == "under_review"]
    assert 0 < len(skipped) < len(numbers), "some were sent to before, some held"
    assert {line.to for line in twilio.log}.isdisjoint(skipped)
    assert await verify(gateway.house.database) == []


async def test_the_answer_waits_for_what_is_under_way_to_that_address(gateway: Gateway, twilio: TwilioStandIn) -> None:
    """And so does the answer to a repeat: the first may not have been given yet."""
    await fan(gateway)
    for again in (False, True):
        form = gateway.form(ENOUGH if not again else "leave me alone", ANA)
        twilio.default = accepted(0.7)
        before = len(twilio.log)
        await gateway.broadcast({"all": True})

        async def begun(before: int = before) -> bool:
            return len(twilio.log) > before

        await eventually(begun)
        first = asyncio.create_task(gateway.post(form))
        if again:
            await eventually(lambda: listed(gateway))
            await gateway.post(form)
        else:
            await first
        assert "sending" not in {row["state"] for row in await gateway.rows("attempts")}
        await first
        for review in await listed(gateway):
            await decide(gateway, review, "dismiss")


async def test_a_message_that_comes_again_is_one_review_and_the_same_bytes(gateway: Gateway) -> None:
    await fan(gateway)
    form = gateway.form(ENOUGH, ANA)
    first, again = await asyncio.gather(gateway.post(form), gateway.post(form))
    assert first.body == again.body == (await gateway.post(form)).body == SILENCE
    assert len(await listed(gateway)) == 1


# --- a clear word settles it ------------------------------------------------------------------


async def test_a_stop_ends_the_review_and_its_hold(gateway: Gateway) -> None:
    ana = await fan(gateway)
    await gateway.text_in("take me off your list", ANA)
    assert (await gateway.text_in("STOP", ANA)).body == said(OPTED_OUT)
    [review] = await listed(gateway, "")
    assert (review["status"], review["decided_by"]) == ("opted_out", "customer")
    assert review["change_id"] == (await gateway.history(ana))[0]["change_id"]
    [row] = [row for row in await gateway.rows("addresses") if row["value"] == ANA]
    assert (row["held_at"], row["held_message_id"]) == (None, None)
    assert await gateway.verdict(ana) == "opted_out_channel"


async def test_a_start_after_it_ends_the_review_and_what_is_written_after_that_opens_another(gateway: Gateway) -> None:
    ana = await fan(gateway)
    await gateway.text_in("take me off your list", ANA)
    assert (await gateway.text_in("START", ANA)).body == said(OPTED_IN)
    [review] = await listed(gateway, "")
    assert (review["status"], review["decided_by"], review["change_id"]) == ("dismissed", "customer", None)
    assert await gateway.verdict(ana) == "opted_in"
    await gateway.text_in("no more messages", ANA)
    assert await gateway.verdict(ana) == "under_review"


async def test_a_start_that_was_written_before_it_ends_nothing(gateway: Gateway) -> None:
    ana = await fan(gateway)
    adapter, now = gateway.house.adapters["box"], gateway.clock()

    def texted(id_: str, body: str, **more: Any) -> Inbound:
        return Inbound("box", "sms", "a", id_, ANA, OURS, body, **more)

    await gateway.app[ARRIVALS].keep(adapter, [texted("1", "no more messages")], received_at=now)
    early = texted("2", "START", provider_at=now - timedelta(seconds=3))
    later = now + timedelta(seconds=1)
    await gateway.app[ARRIVALS].keep(adapter, [early], received_at=later)
    assert await gateway.verdict(ana) == "under_review"
    assert len(await listed(gateway)) == 1


async def test_a_word_about_one_preference_settles_nothing(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", status=201, json={"name": "Drama"})
    rule = {"channel": "sms", "action": "opt_in", "subject": {"kind": "preference", "name": "Drama"}}
    await gateway.api("POST", "/v1/rules", status=201, json=rule | {"keyword": "DRAMA"})
    ana = await fan(gateway)
    await gateway.text_in("no more messages", ANA)
    await gateway.text_in("DRAMA", ANA)
    assert await gateway.verdict(ana) == "under_review"


async def test_a_word_kept_in_the_same_transaction_settles_what_came_before_it(gateway: Gateway) -> None:
    people = {number: await fan(gateway, number) for number in (ANA, BEN)}
    adapter, now = gateway.house.adapters["box"], gateway.clock()
    texts = [(ANA, "leave me alone"), (ANA, "START"), (BEN, "leave me alone"), (BEN, "STOP")]
    await gateway.house.database.transact(
        lambda conn: _received(
            conn,
            gateway,
            [
                Inbound("box", "sms", "a", str(n), sender, OURS, body, received_at=now + timedelta(milliseconds=n))
                for n, (sender, body) in enumerate(texts)
            ],
        )
    )
    assert adapter.name == "box"
    assert [await gateway.verdict(one) for one in people.values()] == ["opted_in", "opted_out_channel"]
    assert await listed(gateway) == []


async def _received(conn: Any, gateway: Gateway, messages: list[Inbound]) -> None:
    from inbox.receive import receive

    await receive(conn, messages, desk=gateway.house.desk, now=gateway.clock())


async def looked_over(gateway: Gateway) -> list[dict[str, Any]]:
    """What is open once the loop has looked."""
    await gateway.house.overdue.look()
    return await listed(gateway)


@pytest.mark.parametrize("way", ["link", "one click", "provider", "complaint", "token", "the person, over the API"])
async def test_a_no_by_another_way_ends_the_review_without_another_line(gateway: Gateway, way: str) -> None:
    ana = await fan(gateway, "email:ana@example.org")
    await mail_in(gateway, "please take me off your list", sender="ana@example.org")
    [address] = [row["id"] for row in await gateway.rows("addresses")]
    link = gateway.house.links(address, "email").partition(gateway.settings.server.public_url)[2]
    report = AddressReport(
        "mail", "e1", "email", "stop" if way == "provider" else "complaint", address="ana@example.org"
    )
    match way:
        case "link":
            assert (await gateway.send("POST", link)).status == 200
        case "one click":
            form = {"Content-Type": "application/x-www-form-urlencoded"}
            got = await gateway.send("POST", link, data=b"List-Unsubscribe=One-Click", headers=form)
            assert got.status == 200
        case "provider" | "complaint":
            now = gateway.clock()
            await gateway.app[ARRIVALS].keep(gateway.house.adapters["box"], [report], received_at=now)
        case "token":
            token = gateway.house.links.mail_token(address)
            await mail_in(gateway, "", sender="another@example.org", unsubscribe_tokens=(token,))
        case _:
            await gateway.say(ana, channels={"email": "no"}, by=CUSTOMER)
    history = await gateway.history(ana)
    assert await looked_over(gateway) == []
    [review] = await listed(gateway, "")
    assert (review["status"], review["decided_by"]) == ("opted_out", "customer")
    assert review["change_id"] == history[0]["change_id"]
    assert await gateway.history(ana) == history
    assert [row["held_at"] for row in await gateway.rows("addresses") if row["id"] == address] == [None]
    gateway.clock.advance(days=8)
    await looked_over(gateway)
    assert await gateway.history(ana) == history, "nor does it lapse"


async def test_a_no_that_a_system_wrote_ends_no_review_and_nor_does_that_of_one_of_two(gateway: Gateway) -> None:
    """A nightly sync takes its own no back, and the person's word would be lost with it."""
    ana, ben, other = await fan(gateway), await fan(gateway, BEN), await fan(gateway, BEN)
    for number in (ANA, BEN):
        await gateway.text_in(ENOUGH, number)
    await gateway.say(ana, channels={"sms": "no"})
    await gateway.say(ben, channels={"sms": "no"}, by=CUSTOMER)
    assert len(await looked_over(gateway)) == 2
    await gateway.say(other, channels={"sms": "no"}, by=CUSTOMER)
    assert [review["profile_id"] for review in await looked_over(gateway)] == [ana]
    gateway.clock.advance(days=8)
    assert await looked_over(gateway) == []
    await gateway.say(ana, status=409, channels={"sms": "yes"})
    assert await gateway.verdict(ana) == "opted_out_channel"


async def test_who_has_said_no_already_is_not_listed(gateway: Gateway) -> None:
    ana = await fan(gateway)
    await gateway.text_in("STOP", ANA)
    await gateway.text_in("take me off your list I said", ANA)
    assert await listed(gateway, "") == []
    assert await gateway.verdict(ana) == "opted_out_channel"
    await fan(gateway, BEN)
    other = await fan(gateway, BEN)  # they share a phone
    await gateway.say(other, channels={"sms": "no"}, by=CUSTOMER)
    await gateway.text_in("take me off your list", BEN)
    assert len(await listed(gateway)) == 1, "one of two has said no: the word is for both"


# --- decided ----------------------------------------------------------------------------------


async def test_what_comes_while_a_review_is_open_joins_it(gateway: Gateway) -> None:
    """One to decide, due with its first message, whoever writes how many in somebody's name."""
    ana, ben = await fan(gateway, "email:ana@example.org"), await fan(gateway, BEN)
    await mail_in(gateway, "Leave me alone", sender="ana@example.org", authentic=False)
    [first] = await listed(gateway)
    assert (first["messages"], first["latest"]) == (1, None)
    for _ in range(20):
        gateway.clock.advance(hours=2)
        await mail_in(gateway, "No more messages", sender="ana@example.org", authentic=False)
    await mail_in(gateway, "please take me off your list", sender="ana@example.org")
    await gateway.text_in("no more messages", BEN)
    joined, of_ben = await listed(gateway)
    assert (joined["messages"], joined["latest"]["typed"]) == (22, "please take me off your list")
    unchanged = ("id", "message", "phrase", "due_at", "legal_deadline", "created_at", "status")
    assert [joined[name] for name in unchanged] == [first[name] for name in unchanged]
    assert (of_ben["messages"], of_ben["profile_id"]) == (1, ben)
    assert await gateway.verdict(ana, "email") == "under_review"
    decided = await decide(gateway, joined, "opt_out")
    line = (await gateway.history(ana))[0]
    assert line["change_id"] == decided["change_id"]
    [(latest, came_at)] = [(row["message_id"], row["came_at"]) for row in await gateway.rows("review_messages")
                           if row["message_id"] == joined["latest"]["id"]]  # fmt: skip
    assert datetime.fromisoformat(line["provider_at"]) == came_at, "it counts from what was written last"
    assert line["evidence"]["message_id"] == latest, "it shows the one that is proved to be hers"
    assert (line["evidence"]["phrase"], "weak" in line["evidence"]) == ("en_off_the_list", False)
    assert [one["id"] for one in await listed(gateway)] == [of_ben["id"]]


async def test_a_dismissal_decides_what_was_read_and_nothing_that_has_come_since(gateway: Gateway) -> None:
    ana = await fan(gateway)
    await gateway.text_in("wrong number", ANA)
    [read] = await listed(gateway)
    await gateway.text_in("leave me alone", ANA)
    path = f"/v1/reviews/{read['id']}"
    for wish in ({}, {"messages": 1}, {"messages": 3}):
        got = await gateway.ask("POST", path, json={"decision": "dismiss"} | wish)
        assert (got.status, got.json["type"].rpartition("/")[2]) == (409, "unread-messages")
        assert "it holds 2" in got.json["detail"]
    assert await gateway.verdict(ana) == "under_review"
    assert (await decide(gateway, read, "dismiss", messages=2))["status"] == "dismissed"
    assert await gateway.verdict(ana) == "opted_in"
    await gateway.text_in("leave me alone", ANA)
    [another] = await listed(gateway)
    assert another["id"] != read["id"]
    assert (another["messages"], await gateway.verdict(ana)) == (1, "under_review")


async def test_a_start_between_two_messages_of_a_review_ends_nothing(gateway: Gateway) -> None:
    ana = await fan(gateway)
    adapter, now = gateway.house.adapters["box"], gateway.clock()

    async def texted(id_: str, body: str, seconds: int, **more: Any) -> None:
        came_at = now + timedelta(seconds=seconds)
        message = Inbound("box", "sms", "a", id_, ANA, OURS, body, received_at=came_at, **more)
        await gateway.app[ARRIVALS].keep(adapter, [message], received_at=came_at)

    await texted("1", "no more messages", 0)
    await texted("2", "leave me alone", 4)
    await texted("3", "START", 6, provider_at=now + timedelta(seconds=2))
    [review] = await listed(gateway)
    assert (review["messages"], await gateway.verdict(ana)) == (2, "under_review")
    await texted("4", "START", 8, provider_at=now + timedelta(seconds=5))
    assert await listed(gateway) == []
    assert await gateway.verdict(ana) == "opted_in"


async def test_messages_that_join_at_once_are_one_review_and_a_repeat_waits_for_the_address(gateway: Gateway) -> None:
    await fan(gateway)
    forms = [gateway.form("leave me alone", ANA) for _ in range(12)]
    await asyncio.gather(*(gateway.post(form) for form in forms))
    [review] = await listed(gateway)
    assert (review["messages"], len(await gateway.rows("reviews"))) == (12, 1)
    [address] = [row["id"] for row in await gateway.rows("addresses") if row["value"] == ANA]
    adapter, now = gateway.house.adapters["box"], gateway.clock()
    again = Inbound("box", "sms", "a", "again", ANA, OURS, "no more messages")
    for _ in range(2):
        kept = await gateway.app[ARRIVALS].keep(adapter, [again], received_at=now)
        assert kept.closed == {address}


async def test_it_is_the_word_of_everybody_who_has_the_number(gateway: Gateway) -> None:
    ana, leo = await fan(gateway), await fan(gateway)
    await gateway.text_in("leave us alone", ANA)
    [review] = await listed(gateway)
    decided = await decide(gateway, review, "opt_out")
    assert [await gateway.verdict(one) for one in (ana, leo)] == ["opted_out_channel"] * 2
    changes = {(await gateway.history(one))[0]["change_id"] for one in (ana, leo)}
    assert changes == {decided["change_id"]}


async def test_what_was_said_since_stands(gateway: Gateway) -> None:
    ana = await fan(gateway)
    await gateway.text_in(ENOUGH, ANA)
    gateway.clock.advance(hours=1)
    again = {"channels": {"sms": "yes"}, "addresses": {f"sms:{ANA}": "yes"}}
    await gateway.say(ana, **again, by=CUSTOMER, wording="Shall we text you? Yes.")
    assert await gateway.verdict(ana) == "under_review", "no word from the number itself: somebody has to decide"
    [review] = await listed(gateway)
    await decide(gateway, review, "opt_out")
    line = (await gateway.history(ana))[0]
    assert (line["to"], line["superseded"]) == ("no", True)
    assert await gateway.verdict(ana) == "opted_in"


async def test_what_only_a_machine_has_said_since_does_not_stand(gateway: Gateway) -> None:
    """Had the no been recorded at once, the sync would have been refused."""
    ana, ben, cleo = [str((await gateway.person(f"sms:{number}"))["id"]) for number in (ANA, BEN, CLEO)]
    await gateway.say(cleo, channels={"sms": "yes"})
    for number in (ANA, BEN, CLEO):
        await gateway.text_in(ENOUGH, number)
    gateway.clock.advance(hours=1)
    at_the_desk = {"how": "at the box office", "obtained_at": gateway.clock().isoformat()}
    both = {"channels": {"sms": "yes"}}
    await gateway.say(ana, **both, addresses={f"sms:{ANA}": "yes"})  # a nightly sync
    await gateway.say(ben, **both, addresses={f"sms:{BEN}": "yes"}, evidence=at_the_desk)
    await gateway.say(cleo, **both)
    for review in await listed(gateway):
        await decide(gateway, review, "opt_out")
    verdicts = [await gateway.verdict(one) for one in (ana, ben, cleo)]
    assert verdicts == ["opted_out_channel", "opted_in", "opted_out_channel"]


async def test_a_number_that_nobody_has_any_more_keeps_its_no(gateway: Gateway) -> None:
    ana = await fan(gateway)
    await gateway.text_in(ENOUGH, ANA)
    [review] = await listed(gateway)
    await gateway.api("DELETE", f"/v1/profiles/{ana}")
    decided = await decide(gateway, review, "opt_out")
    assert (decided["status"], decided["change_id"]) == ("opted_out", None)
    assert await gateway.verdict(await fan(gateway)) == "opted_out_address"


async def test_a_review_is_decided_once(gateway: Gateway) -> None:
    await fan(gateway)
    await gateway.text_in(ENOUGH, ANA)
    [review] = await listed(gateway)
    path = f"/v1/reviews/{review['id']}"
    wishes = [{"decision": decision} for decision in ("opt_out", "dismiss", "opt_out", "dismiss")]
    got = await asyncio.gather(*(gateway.ask("POST", path, json=wish) for wish in wishes))
    assert sorted(one.status for one in got) == [200, 409, 409, 409]
    assert {one.json["type"].rpartition("/")[2] for one in got if one.status == 409} == {"already-decided"}
    assert (await gateway.ask("POST", "/v1/reviews/rev_nobody", json=wishes[0])).status == 404
    assert (await gateway.ask("GET", "/v1/reviews/rev_nobody")).status == 404
    assert (await gateway.ask("POST", path, json={"decision": "maybe"})).status == 422


async def test_a_decision_is_kept_under_its_idempotency_key(gateway: Gateway) -> None:
    await fan(gateway)
    await gateway.text_in(ENOUGH, ANA)
    [review] = await listed(gateway)
    asked = {"json": {"decision": "opt_out"}, "headers": {"Idempotency-Key": "one"}}
    got = await asyncio.gather(*(gateway.ask("POST", f"/v1/reviews/{review['id']}", **asked) for _ in range(10)))
    assert {(one.status, one.body) for one in got} == {(200, got[0].body)}
    assert len([line for line in await gateway.rows("consent_events") if line["source"] == "keyword"]) == 1


async def test_a_key_reads_or_decides_as_its_scope_says(gateway: Gateway) -> None:
    await fan(gateway)
    await gateway.text_in(ENOUGH, ANA)
    [review] = await listed(gateway)
    path, wish = f"/v1/reviews/{review['id']}", {"decision": "dismiss"}
    reads, writes = await gateway.key("consent:read"), await gateway.key("consent:write")
    assert (await gateway.ask("POST", path, json=wish, key=reads)).status == 403
    assert (await gateway.ask("GET", "/v1/reviews", key=writes)).status == 403
    assert (await gateway.ask("GET", path, key=reads)).status == 200
    assert (await gateway.ask("POST", path, json=wish, key=writes)).status == 200


# --- nobody decides ---------------------------------------------------------------------------


async def test_after_seven_days_it_is_an_opt_out_by_itself(gateway: Gateway) -> None:
    ana, ben, cleo = [await fan(gateway, number) for number in (ANA, BEN, CLEO)]
    await gateway.text_in(ENOUGH, ANA)
    await gateway.text_in(ENOUGH, BEN)
    [of_ana, of_ben] = await listed(gateway)
    await decide(gateway, of_ben, "dismiss")
    gateway.clock.advance(days=6, hours=23)
    await gateway.text_in(ENOUGH, CLEO)
    gateway.house.overdue.wake()
    await asyncio.sleep(0.2)
    assert len(await listed(gateway)) == 2
    gateway.clock.advance(hours=2)
    gateway.house.overdue.wake()
    lapsed = await eventually(lambda: listed(gateway, "?status=opted_out"))
    assert [(one["id"], one["decided_by"]) for one in lapsed] == [(of_ana["id"], "system")]
    assert (await gateway.history(ana))[0]["actor"] == "system for customer"
    verdicts = [await gateway.verdict(one) for one in (ana, ben, cleo)]
    assert verdicts == ["opted_out_channel", "opted_in", "under_review"]


@pytest.mark.parametrize("dialect", ["postgresql"])  # on SQLite there is one gateway for a file
async def test_two_replicas_end_what_nobody_decided_once(settings: Settings) -> None:
    first, other = Gateway(settings), Gateway(settings)
    other.clock = first.clock
    await first.start()
    await other.start()
    try:
        numbers = [f"+1415555{place:04d}" for place in range(3000, 3030)]
        people = [await fan(first, number) for number in numbers]
        for number in numbers:
            await first.text_in(ENOUGH, number)
            await first.text_in("leave me alone", number)
        first.clock.advance(days=7, seconds=1)
        first.house.overdue.wake()
        other.house.overdue.wake()

        async def none_open() -> bool:
            return not await listed(first)

        await eventually(none_open, seconds=30)
        for person in people:
            noes = [line for line in await first.history(person) if line["to"] == "no"]
            assert len(noes) == 1
    finally:
        await other.stop()
        await first.stop()


async def test_one_that_cannot_be_decided_holds_up_no_other(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    ana, ben = await fan(gateway), await fan(gateway, BEN)
    await gateway.text_in(ENOUGH, ANA)
    await gateway.text_in(ENOUGH, BEN)
    database = gateway.house.database
    async with database.write() as conn:  # as after a restore that went wrong: its message is gone
        [row] = [row for row in await gateway.rows("messages") if row["sender"] == ANA]
        await conn.exec_driver_sql(f"DELETE FROM messages WHERE id = '{row['id']}'")
    gateway.clock.advance(days=8)
    gateway.house.overdue.wake()

    async def is_out() -> bool:
        return await gateway.verdict(ben) == "opted_out_channel"

    await eventually(is_out)
    assert await gateway.verdict(ana) == "under_review"
    assert gateway.house.overdue.is_running


# --- what is not asked ------------------------------------------------------------------------


async def test_nothing_else_is_held(gateway: Gateway) -> None:
    ana = await fan(gateway)
    await gateway.text_in("I love it, don't stop", ANA)
    await gateway.text_in("HELP", ANA)
    await gateway.text_in("no more messages", ANA, OptOutType="HELP")
    await gateway.text_in("no more messages", "THEATRE")  # no address
    assert await listed(gateway, "") == []
    assert await gateway.verdict(ana) == "opted_in"


async def test_a_rule_that_only_replies_hides_no_no(gateway: Gateway) -> None:
    ana, ben = await fan(gateway), await fan(gateway, "email:ben@example.org")
    prices = {"keyword": "PRICES", "action": "reply_only", "reply": "From 10."}
    for channel, match in (("sms", "starts_with"), ("email", "exact")):
        await gateway.api("POST", "/v1/rules", status=201, json=prices | {"channel": channel, "match": match})
    await gateway.text_in("Prices?", ANA)
    assert await gateway.verdict(ana) == "opted_in"
    await gateway.text_in("Prices are too high, stop texting me", ANA)
    await mail_in(gateway, "Prices\n\nToo high. Please take me off your list.", sender="ben@example.org")
    assert await gateway.verdict(ana) == await gateway.verdict(ben, "email") == "under_review"
    tried = await gateway.api("POST", "/v1/rules/test", json={"channel": "sms", "text": "Prices? Stop texting me"})
    assert (tried["matched"]["keyword"], tried["review"]) == ("PRICES", True)


@pytest.mark.parametrize("automatic", ["auto_reply", "bounce", "list", "system"])
async def test_what_no_person_wrote_is_not_held(gateway: Gateway, automatic: Automatic) -> None:
    ana = await fan(gateway, "email:ana@example.org")
    await mail_in(gateway, "Please stop writing, I have left", sender="ana@example.org", automatic=automatic)
    assert await listed(gateway, "") == []
    assert await gateway.verdict(ana, "email") == "opted_in"


async def test_of_a_mail_what_was_typed_counts_and_the_persons_own_subject(gateway: Gateway) -> None:
    people = {name: await fan(gateway, f"email:{name}@example.org") for name in ("ana", "ben", "cleo")}
    await mail_in(gateway, "Thanks, see you there", sender="ana@example.org", subject="Re: No more messages in spring?")
    await mail_in(gateway, "Dear all", sender="ben@example.org", subject="Please take me off your list")
    await mail_in(gateway, "Bitte abmelden", sender="cleo@example.org", subject="Re: Herbst")
    of_ben, of_cleo = await listed(gateway, "?channel=email")
    assert (of_ben["address"], of_ben["phrase"]["id"]) == ("ben@example.org", "en_off_the_list")
    assert of_cleo["phrase"]["id"] == "de_abmelden"
    await decide(gateway, of_ben, "opt_out")
    line = (await gateway.history(people["ben"]))[0]
    assert (line["subject"], line["with_address"]) == ({"kind": "channel", "channel": "email"}, False)
    verdicts = {name: await gateway.verdict(person, "email") for name, person in people.items()}
    assert verdicts == {"ana": "opted_in", "ben": "opted_out_channel", "cleo": "under_review"}


async def test_a_trial_tells_that_it_would_be_held(gateway: Gateway) -> None:
    async def tried(text: str, channel: str = "sms", **more: Any) -> dict[str, Any]:
        return dict(await gateway.api("POST", "/v1/rules/test", json={"channel": channel, "text": text} | more))

    assert (await tried(ENOUGH))["review"] is True
    assert (await tried("Cancel my booking"))["review"] is True
    assert (await tried("What time is the show?"))["review"] is False
    stop = await tried("STOP texting me")
    assert (stop["review"], stop["matched"]["keyword"]) == (False, "STOP")
    assert (await tried("Hello", "email", email_subject="take me off your list"))["review"] is True
    assert (await tried("Hello", "email", email_subject="Re: take me off your list"))["review"] is False
    assert await gateway.rows("reviews") == []


# --- the legal clock --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("came", "deadline"),
    [
        ("2026-11-23T10:00", "2026-12-07T10:00"),  # a Monday
        ("2026-11-27T23:59", "2026-12-11T23:59"),  # a Friday
        ("2026-11-28T10:00", "2026-12-11T10:00"),  # a Saturday
        ("2026-11-29T10:00", "2026-12-11T10:00"),  # a Sunday
        ("2026-12-01T00:00", "2026-12-15T00:00"),
    ],
)
def test_ten_business_days_are_counted_from_monday_to_friday(came: str, deadline: str) -> None:
    assert review_list.legal_deadline(datetime.fromisoformat(f"{came}+00:00")).isoformat()[:16] == deadline
