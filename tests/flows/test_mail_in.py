"""E-mail as the inbox reads it: what was typed, by whom, and what that is enough for."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from sqlalchemy import text

from channels.values import AddressReport, Inbound, Told
from gateway.arrivals import ARRIVALS
from gateway.providers.sandbox import Sandbox
from gateway.settings import Settings
from gateway.verify import verify
from tests.flows.running import Gateway, eventually

ANA = "ana@example.org"
NEWS = "news@example.com"
SENDING = ("deliveries", "attempts", "paces")  # goes on by itself
_ids = count()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    box = Sandbox.model_validate({"provider": "sandbox", "channel": "email", "from": NEWS})
    return settings.model_copy(update={"connections": settings.connections | {"mail": box}})


def mail(typed: str, subject: str = "", sender: str = ANA, **more: Any) -> Inbound:
    given: dict[str, Any] = {
        "connection": "mail",
        "channel": "email",
        "account": "sandbox:mail",
        "provider_id": f"m{next(_ids)}",
        "sender": sender,
        "receiver": NEWS,
        "text": f"{typed}\n> Stop by, unsubscribe here: …\n",
        "typed": typed,
        "subject": subject,
    }
    return Inbound(**given | more)


def told(kind: str, **more: Any) -> AddressReport:
    given: dict[str, Any] = {
        "account": "sandbox:mail",
        "event_id": f"e{next(_ids)}",
        "channel": "email",
        "address": ANA,
    }
    return AddressReport(kind=kind, **given | more)  # type: ignore[arg-type]


async def arrive(gateway: Gateway, *these: Told) -> None:
    adapter = gateway.house.adapters["mail"]
    await gateway.app[ARRIVALS].keep(adapter, these, received_at=gateway.clock())


async def subscribed(gateway: Gateway, *addresses: str) -> str:
    profile = await gateway.person(*(f"email:{one}" for one in addresses or (ANA,)))
    evidence = {"obtained_at": "2026-01-01T00:00:00Z", "how": "at the box office"}
    await gateway.say(profile["id"], channels={"email": "yes"}, evidence=evidence)
    return str(profile["id"])


async def sent(gateway: Gateway, number: int = 1) -> list[dict[str, Any]]:
    """What the sandbox sent by mail, the oldest first, once there are so many."""

    async def enough() -> list[dict[str, Any]] | None:
        found = [one for one in (await gateway.api("GET", "/v1/sandbox/messages"))["items"] if one["to"] == ANA]
        return found[::-1] if len(found) >= number else None

    return await eventually(enough)  # type: ignore[return-value]


# --- a no -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "message",
    [mail("STOP"), mail("unsubscribe me, please"), mail("", "Unsubscribe"), mail("Hello", "STOP"), mail("ABMELDEN")],
)
async def test_a_no_by_mail_turns_the_channel_and_is_confirmed_once(gateway: Gateway, message: Inbound) -> None:
    ana = await subscribed(gateway)
    await arrive(gateway, replace(message, provider_id="first"))
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    shown = await gateway.profile(ana)
    assert shown["consent"]["addresses"] == {f"email:{ANA}": {"state": "not_asked"}}  # the channel alone
    [reply] = await sent(gateway)
    assert "unsubscribed" in reply["body"] or "abgemeldet" in reply["body"]
    line = (await gateway.history(ana))[0]
    assert (line["source"], line["actor"]) == ("keyword", "customer")
    assert "weak" not in line["evidence"]
    assert "Stop by" not in line["evidence"]["text"]


async def test_a_no_from_a_sender_that_nothing_proves_is_taken_and_marked_weak(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    await arrive(gateway, mail("STOP", authentic=False))
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert "weak" in (await gateway.history(ana))[0]["evidence"]


async def test_a_quoted_word_a_subject_that_is_answered_and_a_machine_change_nothing(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    before = await gateway.everything(but=("messages", "receipts"))
    await arrive(
        gateway,
        mail("I look forward to it"),
        mail("", "Re: STOP the clock"),
        mail("Please stop and read this: I am away.", "STOP", automatic="auto_reply"),
        mail("STOP", automatic="bounce"),
        mail("STOP", automatic="list"),
        mail("STOP", sender="mailer-daemon@example.net", automatic="bounce"),
    )
    assert await gateway.everything(but=("messages", "receipts")) == before
    assert await gateway.verdict(ana, "email") == "opted_in"
    kept = (await gateway.api("GET", "/v1/messages?direction=inbound"))["items"]
    assert [one["automatic"] for one in kept[::-1]] == [None, None, "auto_reply", "bounce", "list", "bounce"]
    assert {one["profile_id"] for one in kept} == {ana, None}


async def test_a_mail_is_shown_with_its_subject_and_what_was_typed(gateway: Gateway) -> None:
    await arrive(gateway, mail("Two tickets, please", "Saturday"))
    [shown] = (await gateway.api("GET", "/v1/messages?direction=inbound"))["items"]
    assert (shown["subject"], shown["typed"]) == ("Saturday", "Two tickets, please")
    assert shown["body"].startswith("Two tickets, please\n>")
    assert await gateway.whose(f"email:{ANA}")


# --- the address that says it all -------------------------------------------------------------


async def test_whoever_writes_to_an_unsubscribe_address_is_out_and_the_sender_is_ignored(gateway: Gateway) -> None:
    ana, ben = await subscribed(gateway), await subscribed(gateway, "ben@example.org")
    [address] = {row["id"] for row in await gateway.rows("addresses") if row["value"] == ANA}
    token = gateway.house.links.mail_token(address)
    await arrive(
        gateway,
        mail(
            "", sender="ben@example.org", unsubscribe_tokens=(token.upper(),), automatic="auto_reply", authentic=False
        ),
    )
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert await gateway.verdict(ben, "email") == "opted_in"
    line = (await gateway.history(ana))[0]
    assert (line["source"], line["evidence"]["by"]) == ("unsubscribe_link", "mail")


async def test_a_mail_by_token_that_comes_again_waits_for_what_it_closed(gateway: Gateway) -> None:
    """The first delivery may not be settled yet: who answers the second must wait for the same."""
    ana = await subscribed(gateway)
    [address] = {row["id"] for row in await gateway.rows("addresses") if row["value"] == ANA}
    again = mail("", unsubscribe_tokens=(gateway.house.links.mail_token(address),))
    for _ in range(2):
        kept = await gateway.app[ARRIVALS].keep(gateway.house.adapters["mail"], [again], received_at=gateway.clock())
        assert kept.closed == {address}
    [message] = await gateway.rows("messages")
    assert message["change_id"] == (await gateway.history(ana))[0]["change_id"]


async def tokens_of(gateway: Gateway) -> dict[str, str]:
    """By address."""
    return {row["value"]: gateway.house.links.mail_token(row["id"]) for row in await gateway.rows("addresses")}


async def test_of_a_mail_to_two_unsubscribe_addresses_both_are_out_and_a_repeat_waits_for_both(
    gateway: Gateway,
) -> None:
    people = {who: await subscribed(gateway, who, f"second.{who}") for who in (ANA, "ben@example.org")}
    other = await subscribed(gateway, "cleo@example.org")
    token = await tokens_of(gateway)
    both = (token[ANA], token[f"second.{ANA}"], "x" * 52, token["ben@example.org"])
    again = mail("", sender="cleo@example.org", unsubscribe_tokens=both)
    theirs = {row["id"] for row in await gateway.rows("addresses") if row["value"] != "cleo@example.org"}
    for _ in range(2):
        kept = await gateway.app[ARRIVALS].keep(gateway.house.adapters["mail"], [again], received_at=gateway.clock())
        assert kept.closed == theirs
    for person in people.values():
        assert await gateway.verdict(person, "email") == "opted_out_channel"
        assert (await gateway.history(person))[0]["source"] == "unsubscribe_link"
    assert await gateway.verdict(other, "email") == "opted_in"
    assert await verify(gateway.house.database) == []


@pytest.mark.parametrize("authentic", [True, False])
async def test_a_stop_that_is_typed_in_a_mail_by_token_counts_for_who_wrote_it_as_well(
    gateway: Gateway, authentic: bool
) -> None:
    ben, ana = await subscribed(gateway, "ben@example.org"), await subscribed(gateway)
    token = await tokens_of(gateway)
    stop = mail("STOP", authentic=authentic, unsubscribe_tokens=(token["ben@example.org"],))
    for _ in range(2):
        kept = await gateway.app[ARRIVALS].keep(gateway.house.adapters["mail"], [stop], received_at=gateway.clock())
        assert kept.closed == {row["id"] for row in await gateway.rows("addresses")}, "and a repeat waits for both"
    assert [await gateway.verdict(one, "email") for one in (ana, ben)] == ["opted_out_channel"] * 2
    [of_ana, *_], [of_ben, *_] = await gateway.history(ana), await gateway.history(ben)
    assert (of_ana["source"], "weak" in of_ana["evidence"]) == ("keyword", not authentic)
    assert (of_ben["source"], of_ben["evidence"]["by"]) == ("unsubscribe_link", "mail")
    [message] = await gateway.rows("messages")
    assert (message["profile_id"], message["change_id"]) == (ana, of_ana["change_id"])
    assert len(await sent(gateway)) == 1, "who wrote is answered, as always"


async def test_who_types_stop_to_their_own_unsubscribe_address_is_out_once_by_each(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    token = await tokens_of(gateway)
    await arrive(gateway, mail("STOP", authentic=False, unsubscribe_tokens=(token[ANA],)))
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert await verify(gateway.house.database) == []


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize(
    ("typed", "more"),
    [
        ("", {"subject": "unsubscribe"}),
        ("JOIN", {}),
        ("HELP", {}),
        ("Hello", {}),
        ("STOP", {"automatic": "auto_reply"}),
    ],
)
async def test_who_sends_a_mail_by_token_and_types_no_stop_has_said_nothing(
    gateway: Gateway, typed: str, more: dict[str, Any]
) -> None:
    ben, ana = await subscribed(gateway, "ben@example.org"), await subscribed(gateway)
    token = await tokens_of(gateway)
    await arrive(gateway, mail(typed, unsubscribe_tokens=(token["ben@example.org"],), **more))
    assert await gateway.verdict(ben, "email") == "opted_out_channel"
    assert len(await gateway.history(ana)) == 1
    assert await gateway.rows("confirmations") == []
    assert await gateway.rows("deliveries") == []


@pytest.mark.parametrize("dialect", ["postgresql"])
async def test_tokens_that_cross_between_replicas_keep_nobody_waiting(gateway: Gateway) -> None:
    """Ana writes by Ben's link here and Ben by Ana's there: both lock all that they need in one order."""
    replica = Gateway(gateway.settings)
    await replica.start()
    names = [f"p{number}@example.org" for number in range(12)]
    for name in names:
        await subscribed(gateway, name)
    tokens = {row["value"]: gateway.house.links.mail_token(row["id"]) for row in await gateway.rows("addresses")}
    before = await _deadlocks(gateway)
    for turn in range(10):
        crossing = [
            arrive(
                (gateway, replica)[at % 2],
                mail("Hello", sender=name, unsubscribe_tokens=(tokens[names[(5 * at + 3 * turn + 1) % len(names)]],)),
            )
            for at, name in enumerate(names)
        ]
        await asyncio.gather(*crossing)
    await replica.stop()
    assert await _deadlocks(gateway) == before


async def _deadlocks(gateway: Gateway) -> int:
    async with gateway.house.database.read() as conn:
        asked = text("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        return int((await conn.execute(asked)).scalar_one())


async def test_a_token_that_we_have_not_made_is_none(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    await arrive(gateway, mail("hello", unsubscribe_tokens=("adr0123456789",)))
    assert await gateway.verdict(ana, "email") == "opted_in"


# --- a yes ------------------------------------------------------------------------------------


@pytest.fixture
async def start(gateway: Gateway) -> None:
    rule = {"channel": "email", "keyword": "JOIN", "match": "exact", "action": "opt_in", "subject": {"kind": "channel"}}
    await gateway.api("POST", "/v1/rules", status=201, json=rule)


@pytest.mark.usefixtures("start")
async def test_a_yes_by_mail_stands_once_its_link_is_confirmed_by_a_post(gateway: Gateway) -> None:
    await arrive(gateway, mail("Join", "I want your news"))
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.verdict(ana["id"], "email") == "not_opted_in"
    [question] = await sent(gateway)
    assert "I want your news" not in question["body"]
    path = "/confirm/" + question["body"].split("/confirm/")[1].split()[0]
    before = await gateway.everything(but=SENDING)
    asked = await gateway.ask("GET", path)
    assert (asked.status, asked.type) == (200, "text/html")
    assert await gateway.everything(but=SENDING) == before  # a GET changes nothing
    for _ in range(2):
        assert (await gateway.ask("POST", path)).status == 200
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    lines = await gateway.history(ana["id"])
    assert [line["source"] for line in lines] == ["confirmation"]
    assert lines[0]["evidence"]["text"] == "Join"


@pytest.mark.usefixtures("start")
async def test_who_cannot_prove_the_sender_is_not_even_asked(gateway: Gateway) -> None:
    await arrive(gateway, mail("JOIN", authentic=False))
    assert await gateway.rows("confirmations") == await gateway.rows("deliveries") == []
    await arrive(gateway, mail("JOIN"), mail("JOIN"))  # and who can is asked once in a day
    await arrive(gateway, mail("JOIN"))
    assert len(await gateway.rows("confirmations")) == 1
    assert len(await sent(gateway)) == 1
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.history(ana["id"]) == []


@pytest.mark.usefixtures("start")
async def test_an_old_question_and_a_forged_link_confirm_nothing(gateway: Gateway) -> None:
    await arrive(gateway, mail("JOIN"))
    [question] = await sent(gateway)
    path = "/confirm/" + question["body"].split("/confirm/")[1].split()[0]
    assert (await gateway.ask("POST", path[:-2] + "xx")).status == 404
    gateway.clock.advance(days=8)
    for method in ("GET", "POST"):
        assert (await gateway.ask(method, path)).status == 410
    [ana] = await gateway.whose(f"email:{ANA}")
    assert await gateway.history(ana["id"]) == []


@pytest.mark.usefixtures("start")
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_no_since_takes_a_question_back(gateway: Gateway, at_once: bool) -> None:
    """Whoever comes upon the link then, a scanner or an old copy of the mail, opens nothing with it."""
    wanted, no_more = mail("JOIN"), mail("STOP")
    for messages in [[wanted, no_more]] if at_once else [[wanted], [no_more]]:
        await arrive(gateway, *messages)
    question = next(one for one in await sent(gateway, 2) if "/confirm/" in one["body"])
    path = "/confirm/" + question["body"].split("/confirm/")[1].split()[0]
    for method in ("GET", "POST"):
        assert (await gateway.ask(method, path)).status == 410
    [ana] = await gateway.whose(f"email:{ANA}")
    assert [(line["to"], line["source"]) for line in await gateway.history(ana["id"])] == [("no", "keyword")]
    gateway.clock.advance(hours=25)
    await arrive(gateway, mail("JOIN"))
    question = next(one for one in reversed(await sent(gateway, 3)) if "/confirm/" in one["body"])
    assert (await gateway.ask("POST", "/confirm/" + question["body"].split("/confirm/")[1].split()[0])).status == 200
    assert await gateway.verdict(ana["id"], "email") == "opted_in"


# --- what providers tell of addresses ---------------------------------------------------------


async def test_a_complaint_turns_the_email_channel_no_once(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    complaint = told("complaint")
    await arrive(gateway, complaint, complaint)
    await arrive(gateway, complaint)
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert [line["source"] for line in await gateway.history(ana)] == ["complaint", "api"]


async def test_a_stop_at_the_provider_is_a_no_and_a_resume_undoes_no_silence(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    ben = (await gateway.person("email:ben@example.org"))["id"]
    await arrive(gateway, told("stop"), told("resume", address="ben@example.org"))
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert await gateway.verdict(ben, "email") == "not_opted_in"
    await arrive(gateway, told("resume"))
    assert await gateway.verdict(ana, "email") == "opted_in"
    assert [line["source"] for line in await gateway.history(ana)] == ["provider", "provider", "api"]


async def test_a_hard_bounce_marks_the_address_and_is_no_change_of_consent(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    await arrive(gateway, told("hard_bounce", code="5.1.1"))
    assert await gateway.verdict(ana, "email") == "undeliverable"
    assert len(await gateway.history(ana)) == 1


async def test_soft_bounces_mark_it_when_they_come_on_five_days_of_a_month(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    again = told("soft_bounce", code="4.2.2")
    for _ in range(4):
        await arrive(gateway, again, told("soft_bounce"), told("soft_bounce"))
        gateway.clock.advance(days=1)
    assert await gateway.verdict(ana, "email") == "opted_in"
    gateway.clock.advance(days=30)
    await arrive(gateway, told("soft_bounce"))
    assert await gateway.verdict(ana, "email") == "opted_in"
    for _ in range(4):
        gateway.clock.advance(days=2)
        await arrive(gateway, told("soft_bounce"))
    assert await gateway.verdict(ana, "email") == "undeliverable"


async def test_a_no_told_of_an_address_that_nobody_has_is_kept_for_whoever_has_it_next(gateway: Gateway) -> None:
    await arrive(gateway, told("complaint"))
    ana = await subscribed(gateway)
    assert await gateway.verdict(ana, "email") == "opted_out_address"


async def test_a_bounce_of_an_attempt_tells_of_its_delivery(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    broadcast = await gateway.sent({"all": True}, channel="email", connection="mail")
    [attempt] = await gateway.rows("attempts")
    await arrive(gateway, told("hard_bounce", address=None, tag=attempt["id"], code="5.1.1"))
    [delivery] = (await gateway.deliveries(broadcast["id"])).values()
    assert delivery["status"] == "undelivered"
    assert await gateway.verdict(ana, "email") == "undeliverable"


async def test_a_tag_of_another_connection_and_an_address_that_is_none_change_nothing(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    await gateway.sent({"all": True}, channel="email", connection="mail")
    [attempt] = await gateway.rows("attempts")
    other = gateway.house.adapters["box"]
    report = told("hard_bounce", address=None, tag=attempt["id"])
    await gateway.app[ARRIVALS].keep(other, [report], received_at=gateway.clock())
    await arrive(gateway, told("complaint", address="not an address"), told("stop", address=None))
    assert await gateway.verdict(ana, "email") == "opted_in"


async def test_a_complaint_that_anyone_may_have_written_is_taken_and_marked_weak(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    await arrive(gateway, told("complaint", tag="att_none", proved=False))
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert "weak" in (await gateway.history(ana))[0]["evidence"]


async def test_a_complaint_of_an_attempt_of_ours_is_proved_by_it(gateway: Gateway) -> None:
    ana = await subscribed(gateway)
    await gateway.sent({"all": True}, channel="email", connection="mail")
    [attempt] = await gateway.rows("attempts")
    await arrive(gateway, told("complaint", address="ben@example.org", tag=attempt["id"], proved=False))
    assert await gateway.verdict(ana, "email") == "opted_out_channel"
    assert "weak" not in (await gateway.history(ana))[0]["evidence"]
    assert await gateway.whose("email:ben@example.org") == []
