"""Rules over the API: made, changed, tried, and in force for the next message."""

from __future__ import annotations

from typing import Any

from tests.flows.running import ANA, BEN, OPTED_OUT, OURS, SILENCE, TWIML, Gateway, said


async def rule(gateway: Gateway, keyword: str, action: str, **more: Any) -> dict[str, Any]:
    given = {"channel": "sms", "keyword": keyword, "action": action} | more
    return dict(await gateway.api("POST", "/v1/rules", status=201, json=given))


async def test_a_rule_holds_for_the_next_message_until_it_is_deleted(gateway: Gateway) -> None:
    made = await rule(
        gateway, "Theatre", "opt_in", match="exact", reply="Welcome to [organisation] <3 & more.", received_on=OURS
    )
    assert {
        name: made[name]
        for name in ("channel", "received_on", "keyword", "match", "action", "subject", "active", "builtin")
    } == {
        "channel": "sms",
        "received_on": OURS,
        "keyword": "Theatre",
        "match": "exact",
        "action": "opt_in",
        "subject": {"kind": "channel"},
        "active": True,
        "builtin": False,
    }
    path = f"/v1/rules/{made['id']}"
    assert await gateway.api("GET", path) == made
    twiml = f"{TWIML}<Response><Message>Welcome to Example Theatre &lt;3 &amp; more.</Message></Response>".encode()
    assert (await gateway.text_in("theatre!", ANA)).body == twiml
    [ana] = await gateway.whose(f"sms:{ANA}")
    assert ana["consent"]["channels"]["sms"]["state"] == "yes"
    changed = await gateway.api("PATCH", path, json={"reply": "", "action": "reply_only"})
    assert (changed["reply"], changed["keyword"]) == ("", "Theatre")
    assert (await gateway.text_in("theatre", BEN)).body == SILENCE, "an empty reply is silence"
    assert (await gateway.whose(f"sms:{BEN}"))[0]["consent"]["channels"]["sms"]["state"] == "not_asked"
    assert (await gateway.ask("DELETE", path)).status == 204
    assert (await gateway.ask("GET", path)).status == 404
    await gateway.text_in("theatre", BEN)
    assert sorted(str(m["rule_id"]) for m in await gateway.rows("messages")) == sorted(["None", made["id"], made["id"]])


async def test_a_rule_may_be_about_everything_or_one_preference(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    await rule(gateway, "NEVER", "opt_out", subject={"kind": "everything"})
    drama = await rule(gateway, "DRAMA", "opt_in", subject={"kind": "preference", "name": "Drama"})
    assert drama["subject"] == {"kind": "preference", "name": "Drama"}
    await gateway.text_in("drama", ANA)
    [ana] = await gateway.whose(f"sms:{ANA}")
    assert ana["consent"]["preferences"]["Drama"]["state"] == "yes"
    assert ana["consent"]["channels"]["sms"]["state"] == "not_asked"
    await gateway.text_in("never again", ANA)
    assert (await gateway.profile(ana["id"]))["consent"]["everything"] == "no"
    assert await gateway.verdict(ana["id"]) == "opted_out_everything"


async def test_built_in_rules_are_rows_that_can_be_switched_off_with_a_warning_and_not_deleted(
    gateway: Gateway,
) -> None:
    path = "/v1/rules/rul_builtin_sms_stop"
    stop = await gateway.api("GET", path)
    assert (stop["keyword"], stop["match"], stop["action"], stop["builtin"]) == ("STOP", "starts_with", "opt_out", True)
    got = await gateway.ask("DELETE", path)
    assert (got.status, got.json["type"].rpartition("/")[2]) == (409, "builtin-rule")
    assert "STOP" in (await gateway.api("PATCH", path, json={"active": False}))["warning"]
    assert (await gateway.text_in("STOP", ANA)).body == SILENCE
    assert "warning" not in await gateway.api("PATCH", path, json={"active": True, "reply": "Bye."})
    assert (await gateway.text_in("STOP", ANA)).body == said("Bye.")
    await gateway.restart()
    assert (await gateway.api("GET", path))["reply"] == "Bye.", "a start keeps what an operator made of it"


async def test_a_rule_is_tried_without_effect_and_says_why(gateway: Gateway) -> None:
    short = await rule(gateway, "STOP DRAMA", "reply_only", reply="Which one?")
    before = await gateway.everything()
    tried = await gateway.api(
        "POST", "/v1/rules/test", status=200, json={"channel": "sms", "received_on": OURS, "text": " Stop drama!"}
    )
    assert tried["matched"]["id"] == "rul_builtin_sms_stop", "an opt-out before any other action"
    assert (tried["normalized"], tried["reply"], tried["review"]) == ("stop drama", OPTED_OUT, False)
    assert tried["changes"][0] == {"subject": {"kind": "channel", "channel": "sms"}, "to": "no"}
    others = {other["rule"]["id"]: other["why"] for other in tried["others"]}
    assert others[short["id"]]
    nothing = await gateway.api("POST", "/v1/rules/test", json={"channel": "sms", "text": "hello"})
    assert (nothing["matched"], nothing["changes"], nothing["reply"]) == (None, [], None)
    assert await gateway.everything() == before


async def test_a_rule_that_cannot_be_is_refused(gateway: Gateway) -> None:
    good = {"channel": "sms", "keyword": "HI", "action": "reply_only"}
    for wrong in (
        {"channel": "fax"},
        {"channel": None},
        {"keyword": ""},
        {"keyword": "!?"},
        {"keyword": "x" * 161},
        {"match": "regex"},
        {"action": "delete"},
        {"subject": {"kind": "address"}},
        {"subject": {"kind": "preference"}},
        {"active": "yes"},
        {"subject": {"kind": "preference", "name": "Nobody"}},
        {"subject": {"kind": "channel", "name": "x"}},
        {"reply": "x" * 1601},
        {"received_on": "garbage"},
        {"received_on": ""},
        {"received_on": "boxoffice@example.org"},
        {"received_on": "123456789"},
        {"builtin": True},
        {"id": "x"},
    ):
        got = await gateway.ask("POST", "/v1/rules", json=good | wrong)
        assert (got.status, got.type) == (422, "application/problem+json"), wrong
        [field] = wrong
        assert got.json["errors"][0]["field"].partition(".")[0] == field, (wrong, got.json)
    made = await gateway.api("POST", "/v1/rules", json=good)
    for wrong in (
        {"keyword": None},
        {"action": None},
        {"active": None},
        {"subject": None},
        {"builtin": False},
        {"keyword": "..."},
    ):
        assert (await gateway.ask("PATCH", f"/v1/rules/{made['id']}", json=wrong)).status == 422, wrong
    assert await gateway.api("GET", f"/v1/rules/{made['id']}") == made
    for method in ("GET", "PATCH", "DELETE"):
        json = {"active": True} if method == "PATCH" else None
        assert (await gateway.ask(method, "/v1/rules/rul_nobody", json=json)).status == 404


async def test_a_rule_of_a_preference_that_is_in_use_keeps_its_subject(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    made = await rule(gateway, "DRAMA", "opt_in", subject={"kind": "preference", "name": "Drama"})
    changed = await gateway.api("PATCH", f"/v1/rules/{made['id']}", json={"keyword": "PLAYS"})
    assert changed["subject"] == {"kind": "preference", "name": "Drama"}
    wider = await gateway.api("PATCH", f"/v1/rules/{made['id']}", json={"subject": {"kind": "channel"}})
    assert wider["subject"] == {"kind": "channel"}


async def test_a_rule_is_for_a_number_a_short_code_or_a_mailbox_of_its_channel(gateway: Gateway) -> None:
    for channel, given, kept in (
        ("sms", "(415) 555-0100", OURS),
        ("sms", "24365", "24365"),
        ("sms", None, None),
        ("whatsapp", f"whatsapp:{OURS}", OURS),
        ("email", "Box.Office@EXAMPLE.org", "Box.Office@example.org"),
    ):
        made = await rule(gateway, "JOINED", "reply_only", channel=channel, received_on=given, reply="Welcome.")
        assert made["received_on"] == kept
    assert (await gateway.text_in("joined", ANA, to=OURS)).body == said("Welcome.")
    made = await rule(gateway, "HELLO", "reply_only", received_on="24365")
    path = f"/v1/rules/{made['id']}"
    assert (await gateway.api("PATCH", path, json={"received_on": "+1 415 555 0100"}))["received_on"] == OURS
    for wrong in ({"received_on": "garbage"}, {"channel": "email"}):
        got = await gateway.ask("PATCH", path, json=wrong)
        assert (got.status, got.json["errors"][0]["field"]) == (422, "received_on"), wrong
    assert (await gateway.api("PATCH", path, json={"channel": "email", "received_on": None}))["received_on"] is None


async def test_a_trial_says_that_a_yes_by_email_waits_for_its_confirmation(gateway: Gateway) -> None:
    await rule(gateway, "JOIN", "opt_in", channel="email")
    asked = {"channel": "email", "text": "I want your news", "email_subject": "Join"}
    trial = await gateway.api("POST", "/v1/rules/test", json=asked)
    [change] = trial["changes"]
    assert (change["subject"]["channel"], change["to"], change["when"]) == ("email", "yes", "confirmed")
    assert "confirm" in trial["reply"]


async def test_a_trial_reads_a_mail_as_the_inbox_does(gateway: Gateway) -> None:
    async def matched(text: str, subject: str) -> str | None:
        asked = {"channel": "email", "text": text, "email_subject": subject}
        found = (await gateway.api("POST", "/v1/rules/test", json=asked))["matched"]
        return found["keyword"] if found else None

    assert await matched("Hello\nSTOP", "STOP") == "STOP"
    assert await matched("Hello\nSTOP", "Re: STOP") is None
    assert await matched("", "") is None
