"""The seeds' sentences about preferences, dispositions and staff's settings, one test each: docs/seeds.md has them."""

from __future__ import annotations

import csv
from typing import Any

from consent import questions
from tests.flows.running import ANA, BEN, Gateway
from tests.flows.test_interactions import disposition, ended
from tests.flows.test_preferences import group, names, preference, told
from tests.flows.test_questions import asked

MAIL = "ana@example.org"
AGENT = {"kind": "agent", "name": "Maria"}


async def answers(gateway: Gateway, profile_id: str) -> dict[str, str]:
    """Preference → the present answer."""
    shown = (await gateway.profile(profile_id))["consent"]["preferences"]
    return {name: flag["state"] for name, flag in shown.items()}


async def channels(gateway: Gateway, profile_id: str) -> dict[str, str]:
    """Channel → the present answer, of those that were asked."""
    shown = (await gateway.profile(profile_id))["consent"]["channels"]
    return {name: flag["state"] for name, flag in shown.items() if flag["state"] != "not_asked"}


async def export(gateway: Gateway, query: str = "") -> list[dict[str, str]]:
    """The opt-ins/outs export, as a spreadsheet shows it."""
    sheet = (await gateway.ask("GET", f"/v1/consent-events?format=csv{query}")).body.decode("utf-8-sig")
    return list(csv.DictReader(sheet.splitlines()))


async def unsubscribes(gateway: Gateway, mailbox: str) -> None:
    """Somebody presses the button behind the link in a mail."""
    [address] = [row["id"] for row in await gateway.rows("addresses") if row["value"] == mailbox]
    got = await gateway.send("POST", "/unsubscribe/" + gateway.house.links.token(address, "email"))
    assert got.status == 200


async def who(gateway: Gateway, preference_id: str, state: str) -> list[str]:
    found = await gateway.api("GET", f"/v1/preferences/{preference_id}/profiles?state={state}")
    return [one["id"] for one in found["items"]]


async def centre(gateway: Gateway, profile_id: str) -> list[str]:
    """What the preference centre shows a person."""
    async with gateway.house.database.read() as conn:
        states = await questions.answers(conn, profile_id)
        shown = questions.in_centre(await questions.active(conn), states)
    return [one.name for section in shown for one in section.questions]


# --- contact preferences: what they are --------------------------------------------------------


async def test_a_record_is_kept_of_when_permission_was_granted_or_updated(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    ana = await gateway.person(f"email:{MAIL}")
    granted = gateway.clock()
    await gateway.say(ana["id"], by={"kind": "customer"}, preferences={"Drama": "yes"}, wording="New plays?")
    gateway.clock.advance(days=3)
    await gateway.say(ana["id"], by={"kind": "customer"}, preferences={"Drama": "no"})
    update, grant = await gateway.history(ana["id"])
    assert (grant["to"], grant["at"] >= granted.isoformat()[:19], grant["evidence"]["wording"]) == (
        "yes", True, "New plays?",
    )  # fmt: skip
    assert (update["to"], update["at"] > grant["at"]) == ("no", True)


async def test_customers_agree_to_one_or_more_preferences(gateway: Gateway) -> None:
    for name in ("Weekly", "Monthly", "Large announcements"):
        await preference(gateway, name)
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Monthly": "yes", "Large announcements": "yes"})
    assert await answers(gateway, ana["id"]) == {"Monthly": "yes", "Large announcements": "yes"}


async def test_preferences_are_collected_on_behalf_of_partners(gateway: Gateway) -> None:
    made = await preference(gateway, "Gallery news", partner="Gallery")
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Gallery news": "yes"})
    assert await who(gateway, made["id"], "yes") == [ana["id"]]


async def test_each_preference_has_three_possible_answers(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    ana = await gateway.person(f"email:{MAIL}")
    for state in ("yes", "no", "not_asked"):
        await gateway.say(ana["id"], by=AGENT, preferences={"Drama": state})
        assert await answers(gateway, ana["id"]) == {"Drama": state}
    assert (await gateway.ask("PATCH", f"/v1/profiles/{ana['id']}/consent", json={"preferences": {"Drama": "maybe"}})
            ).status == 422  # fmt: skip


# --- groups ------------------------------------------------------------------------------------


async def test_a_group_holds_one_or_more_preferences(gateway: Gateway) -> None:
    await group(gateway, "News")
    for name in ("Drama", "Opera"):
        await preference(gateway, name, group="News")
    assert await asked(gateway) == {"News": ["Drama", "Opera"]}


async def test_groups_and_the_preferences_within_each_are_rearranged(gateway: Gateway) -> None:
    for headline in ("News", "Support"):
        await group(gateway, headline)
        for name in ("email", "post"):
            await preference(gateway, f"{headline} {name}", group=headline)
    await gateway.api("PUT", "/v1/preference-groups/order", json={"ids": ["Support", "News"]})
    order = {"group": "News", "names": ["News post", "News email"]}
    await gateway.api("PUT", "/v1/preferences/order", json=order)
    assert await names(gateway) == [
        "Support: Support email", "Support: Support post", "News: News post", "News: News email",
    ]  # fmt: skip


async def test_a_group_has_a_headline_and_an_optional_text_above_its_preferences(gateway: Gateway) -> None:
    await group(gateway, "News", text="Tick as many as you like.")
    await group(gateway, "Support")
    for headline in ("News", "Support"):
        await preference(gateway, f"{headline} email", group=headline)
    shown = (await gateway.api("GET", "/v1/questions"))["groups"]
    assert [(one["headline"], one["text"]) for one in shown] == [("News", "Tick as many as you like."),
                                                                 ("Support", None)]  # fmt: skip


async def test_preferences_move_between_groups_but_the_partner_group_is_the_partners_own(gateway: Gateway) -> None:
    await group(gateway, "News")
    drama, gallery = await preference(gateway, "Drama"), await preference(gateway, "Gallery", partner="Gallery")
    path = "/v1/preferences"
    assert (await gateway.api("PATCH", f"{path}/{drama['id']}", json={"group": "News"}))["group"] == "News"
    for made, headline in ((drama, gallery["group"]), (gallery, "News")):
        got = await gateway.ask("PATCH", f"{path}/{made['id']}", json={"group": headline})
        assert (got.status, got.json["errors"][0]["field"]) == (422, "group")


async def test_the_text_of_a_group_is_changed_afterwards(gateway: Gateway) -> None:
    made = await group(gateway, "News", text="Before")
    await preference(gateway, "Drama", group="News")
    await gateway.api("PATCH", f"/v1/preference-groups/{made['id']}", json={"text": "After"})
    assert (await gateway.api("GET", "/v1/questions"))["groups"][0]["text"] == "After"


# --- preferences -------------------------------------------------------------------------------


async def test_there_are_as_many_preferences_as_needed_each_with_a_unique_name(gateway: Gateway) -> None:
    for number in range(60):
        await preference(gateway, f"Preference {number}")
    assert len((await gateway.api("GET", "/v1/preferences?limit=500"))["items"]) == 60
    assert told(await gateway.ask("POST", "/v1/preferences", json={"name": "Preference 7"})) == (409, "name-taken")


async def test_reports_show_the_name_of_a_preference_and_not_its_group(gateway: Gateway) -> None:
    await group(gateway, "Marketing headline")
    await preference(gateway, "Marketing Email", text="I am happy to receive e-mails.", group="Marketing headline")
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Marketing Email": "yes"})
    [line] = await export(gateway)
    assert line["subject_name"] == "Marketing Email"
    assert "Marketing headline" not in str(line)


async def test_the_text_is_what_customers_are_asked(gateway: Gateway) -> None:
    await preference(gateway, "Marketing Email", text="I am happy to receive monthly marketing emails.")
    [one] = (await gateway.api("GET", "/v1/questions"))["groups"][0]["questions"]
    assert one["text"] == "I am happy to receive monthly marketing emails."


async def test_the_description_is_for_staff(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama", text="New plays?", description="Ask at the bar, too.")
    assert (await gateway.api("GET", f"/v1/preferences/{made['id']}"))["description"] == "Ask at the bar, too."
    [one] = (await gateway.api("GET", "/v1/questions"))["groups"][0]["questions"]
    assert (one["text"], one["description"]) == ("New plays?", "Ask at the bar, too.")


async def test_some_are_asked_only_with_a_donation_or_a_membership(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    await preference(gateway, "Fundraising", contexts=["donation", "membership"])
    assert await asked(gateway) == await asked(gateway, "?context=tickets") == {None: ["Drama"]}
    for context in ("donation", "membership"):
        assert await asked(gateway, f"?context={context}") == {None: ["Drama", "Fundraising"]}


async def test_one_that_is_selected_by_default_is_told_so_to_whoever_asks(gateway: Gateway) -> None:
    await preference(gateway, "Drama", selected_by_default=True)
    await preference(gateway, "Opera")
    shown = (await gateway.api("GET", "/v1/questions"))["groups"][0]["questions"]
    assert {one["name"]: one["selected_by_default"] for one in shown} == {"Drama": True, "Opera": False}
    assert await gateway.rows("consent_states") == [], "nobody has said yes by it"


async def test_an_unsubscribe_turns_every_linked_preference_no(gateway: Gateway) -> None:
    for name in ("Drama", "Opera", "Dance"):
        await preference(gateway, name, linked_channel="email" if name != "Dance" else None)
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], by={"kind": "customer"}, preferences=dict.fromkeys(("Drama", "Opera", "Dance"), "yes"))
    await unsubscribes(gateway, MAIL)
    assert await answers(gateway, ana["id"]) == {"Drama": "no", "Opera": "no", "Dance": "yes"}
    assert await channels(gateway, ana["id"]) == {"email": "no"}


async def test_a_resubscribe_brings_back_those_the_unsubscribe_had_turned(gateway: Gateway) -> None:
    for name in ("Drama", "Opera"):
        await preference(gateway, name, linked_channel="sms")
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], by={"kind": "customer"}, preferences={"Drama": "yes", "Opera": "no"})
    for word, drama in (("STOP", "no"), ("START", "yes")):
        gateway.clock.advance(seconds=5)
        await gateway.text_in(word, ANA)
        assert await answers(gateway, ana["id"]) == {"Drama": drama, "Opera": "no"}


async def test_one_must_be_active_to_be_shown_and_is_reported_on_all_the_same(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Drama": "yes"})
    await gateway.api("PATCH", f"/v1/preferences/{made['id']}", json={"active": False})
    assert await asked(gateway) == {}
    assert await centre(gateway, ana["id"]) == []
    assert await who(gateway, made["id"], "yes") == [ana["id"]]


async def test_they_are_shown_in_the_order_they_are_set_up_in(gateway: Gateway) -> None:
    await group(gateway, "Support")
    await group(gateway, "News", order=0)
    for name in ("Opera", "Drama"):
        await preference(gateway, name, group="News", order=0)
    await preference(gateway, "Gifts", group="Support")
    ana = await gateway.person(f"email:{MAIL}")
    set_up = [one["name"] for one in (await gateway.api("GET", "/v1/preferences"))["items"]]
    in_order = {"News": ["Drama", "Opera"], "Support": ["Gifts"]}
    assert await asked(gateway) == await asked(gateway, profile_id=ana["id"]) == in_order
    assert set_up == await centre(gateway, ana["id"]) == ["Drama", "Opera", "Gifts"]


async def test_preferences_and_groups_are_made_inactive_and_active_again(gateway: Gateway) -> None:
    news = await group(gateway, "News")
    drama = await preference(gateway, "Drama", group="News")
    for path in (f"/v1/preferences/{drama['id']}", f"/v1/preference-groups/{news['id']}"):
        await gateway.api("PATCH", path, json={"active": False})
        assert await asked(gateway) == {}
        await gateway.api("PATCH", path, json={"active": True})
        assert await asked(gateway) == {"News": ["Drama"]}


async def test_deleting_one_in_use_is_refused_and_inactive_offered_instead(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Drama": "yes"})
    got = await gateway.ask("DELETE", f"/v1/preferences/{made['id']}")
    assert told(got) == (409, "in-use")
    assert got.json["detail"].startswith("make it inactive instead: ")


async def test_the_details_of_a_preference_are_changed_afterwards(gateway: Gateway) -> None:
    await group(gateway, "News")
    made = await preference(gateway, "Drama")
    details = {
        "name": "Plays", "text": "New plays?", "description": "d", "group": "News", "selected_by_default": True,
        "active": False, "linked_channel": "email", "contexts": ["donation"],
    }  # fmt: skip
    changed = await gateway.api("PATCH", f"/v1/preferences/{made['id']}", json=details)
    assert {name: changed[name] for name in details} == details


# --- where they are collected ------------------------------------------------------------------


async def test_partner_preferences_are_asked_beside_the_others_for_that_partners_events(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    for partner in ("Gallery", "Museum"):
        await preference(gateway, f"{partner} news", partner=partner)
    assert await asked(gateway) == {None: ["Drama"]}
    assert await asked(gateway, "?context=partner:Museum") == {
        None: ["Drama"], "Partner organisations": ["Museum news"],
    }  # fmt: skip


async def test_what_staff_leave_at_not_asked_is_asked_again_next_time(gateway: Gateway) -> None:
    for name in ("Drama", "Opera"):
        await preference(gateway, name)
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], by=AGENT, preferences={"Drama": "yes", "Opera": "not_asked"})
    assert await asked(gateway, profile_id=ana["id"]) == {None: ["Opera"]}


async def test_at_a_purchase_a_customer_is_asked_what_is_not_asked_yet(gateway: Gateway) -> None:
    for name in ("Drama", "Opera", "Dance"):
        await preference(gateway, name)
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Drama": "yes", "Dance": "no"})
    assert await asked(gateway, profile_id=ana["id"]) == {None: ["Opera"]}


async def test_customers_answer_in_their_account_what_they_were_never_asked(gateway: Gateway) -> None:
    for name in ("Drama", "Opera"):
        await preference(gateway, name)
    await preference(gateway, "Gallery news", partner="Gallery")
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Drama": "no"})
    assert await centre(gateway, ana["id"]) == ["Drama", "Opera"]


async def test_partner_preferences_are_in_the_account_once_they_were_asked(gateway: Gateway) -> None:
    await preference(gateway, "Gallery news", partner="Gallery")
    ana = await gateway.person(f"email:{MAIL}")
    assert await centre(gateway, ana["id"]) == []
    await gateway.say(ana["id"], preferences={"Gallery news": "no"})
    assert await centre(gateway, ana["id"]) == ["Gallery news"]


async def test_what_is_asked_with_a_donation_is_in_the_account_once_answered(gateway: Gateway) -> None:
    await preference(gateway, "Fundraising", contexts=["donation"])
    ana = await gateway.person(f"email:{MAIL}")
    for state, shown in (("not_asked", []), ("yes", ["Fundraising"]), ("not_asked", []), ("no", ["Fundraising"])):
        await gateway.say(ana["id"], by=AGENT, preferences={"Fundraising": state})
        assert await centre(gateway, ana["id"]) == shown


async def test_terms_and_conditions_stand_with_the_preferences(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    terms = {"text": "As our privacy notice says.", "link": "https://example.org/terms"}
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": {"en": terms}})
    assert (await gateway.api("GET", "/v1/questions"))["terms"] == {"version": 1, "language": "en", **terms}


async def test_staff_manage_preferences_on_behalf_of_customers(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], by=AGENT, preferences={"Drama": "yes"})
    [line] = await gateway.history(ana["id"])
    assert (line["to"], line["actor"]) == ("yes", "key:crm for agent:Maria")


# --- reports -----------------------------------------------------------------------------------


async def test_customers_are_reported_on_by_yes_no_and_not_asked(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    ids = [(await gateway.person(f"email:{n}@example.org"))["id"] for n in range(3)]
    for person, state in zip(ids, ("yes", "no"), strict=False):
        await gateway.say(person, preferences={"Drama": state})
    assert [await who(gateway, made["id"], state) for state in ("yes", "no", "not_asked")] == [[one] for one in ids]
    assert (await gateway.api("GET", f"/v1/preferences/{made['id']}"))["counts"] == {"yes": 1, "no": 1, "not_asked": 1}


async def test_an_inactive_preference_is_named_with_inactive_behind_it(gateway: Gateway) -> None:
    made = await preference(gateway, "Drama")
    ana = await gateway.person(f"email:{MAIL}")
    await gateway.say(ana["id"], preferences={"Drama": "yes"})
    await gateway.api("PATCH", f"/v1/preferences/{made['id']}", json={"active": False})
    assert [line["subject_name"] for line in await export(gateway)] == ["Drama (inactive)"]


# --- communication preferences -----------------------------------------------------------------


async def test_the_outcome_of_an_interaction_opts_a_customer_out(gateway: Gateway) -> None:
    turns: dict[str, Any] = {
        f"No {channel}": {"kind": "channel", "channel": channel, "to": "no"} for channel in ("voice", "sms", "email")
    }
    for name, turn in turns.items():
        await disposition(gateway, name, turn)
    ana = await gateway.person(f"sms:{ANA}", f"voice:{ANA}", f"email:{MAIL}")
    opted_out: dict[str, str] = {}
    for name, turn in turns.items():
        await ended(gateway, ana["id"], name, "voice", by="Maria")
        opted_out[turn["channel"]] = "no"
        assert await channels(gateway, ana["id"]) == opted_out


async def test_a_customer_is_opted_in_or_out_of_all_or_of_each_channel(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", f"email:{MAIL}")
    await gateway.say(ana["id"], by=AGENT, channels={"sms": "no", "email": "yes", "voice": "no"})
    assert await channels(gateway, ana["id"]) == {"sms": "no", "email": "yes", "voice": "no"}
    shown = await gateway.say(ana["id"], by=AGENT, everything="no")
    assert shown["consent"]["everything"] == "no"
    assert await gateway.verdict(ana["id"], "email") == "opted_out_everything"


async def test_one_number_or_mailbox_is_opted_out_by_itself(gateway: Gateway) -> None:
    consent = {"channels": {"sms": "yes"}}
    ana = await gateway.person(f"sms:{ANA}", f"sms:{BEN}", consent=consent)
    await gateway.say(ana["id"], by=AGENT, addresses={f"sms:{ANA}": "no"})
    assert await gateway.verdict(ana["id"], address=ANA) == "opted_out_address"
    assert await gateway.verdict(ana["id"], address=BEN) == "opted_in"


async def test_all_communications_affects_every_address_listed(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", f"sms:{BEN}", f"email:{MAIL}")
    await gateway.say(ana["id"], by=AGENT, everything="no")
    for address, channel in ((ANA, "sms"), (BEN, "sms"), (MAIL, "email")):
        assert await gateway.verdict(ana["id"], channel, address=address) == "opted_out_everything"
    await gateway.say(ana["id"], by=AGENT, everything="yes")
    for address, channel in ((ANA, "sms"), (BEN, "sms"), (MAIL, "email")):
        assert await gateway.verdict(ana["id"], channel, address=address) == "opted_in"


async def test_agents_opt_single_mailboxes_in_and_out(gateway: Gateway) -> None:
    ana = await gateway.person(f"email:{MAIL}", "email:work@example.org")
    for state, reason in (("yes", "opted_in"), ("no", "opted_out_address")):
        await gateway.say(ana["id"], by=AGENT, addresses={"email:work@example.org": state})
        assert await gateway.verdict(ana["id"], "email", address="work@example.org") == reason
        assert await gateway.verdict(ana["id"], "email", address=MAIL) == "not_opted_in"


async def test_agents_opt_a_number_out_of_calls_or_of_messages(gateway: Gateway) -> None:
    ana = await gateway.person(phones=[ANA], consent={"channels": {"sms": "yes", "voice": "yes"}})
    await gateway.say(ana["id"], by=AGENT, addresses={f"voice:{ANA}": "no"})
    assert await gateway.verdict(ana["id"], "voice", address=ANA) == "opted_out_address"
    assert await gateway.verdict(ana["id"], "sms", address=ANA) == "opted_in"


async def test_what_a_disposition_an_unsubscribe_or_a_stop_turned_is_shown_so(gateway: Gateway) -> None:
    await disposition(gateway, "No calls", {"kind": "channel", "to": "no"})
    ana = await gateway.person(f"sms:{ANA}", f"voice:{ANA}", f"email:{MAIL}")
    await ended(gateway, ana["id"], "No calls", "voice")
    await unsubscribes(gateway, MAIL)
    await gateway.text_in("STOP", ANA)
    shown = (await gateway.profile(ana["id"]))["consent"]["channels"]
    assert {name: (flag["state"], flag["source"]) for name, flag in shown.items() if flag["state"] != "not_asked"} == {
        "voice": ("no", "disposition"), "email": ("no", "unsubscribe_link"), "sms": ("no", "keyword"),
    }  # fmt: skip


async def test_the_history_shows_what_changed_when_and_who_did_it(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], by=AGENT, channels={"sms": "yes"})
    [line] = await gateway.history(ana["id"])
    assert (line["subject"], line["from"], line["to"]) == ({"kind": "channel", "channel": "sms"}, "not_asked", "yes")
    assert (line["actor"], line["at"][:10]) == ("key:crm for agent:Maria", gateway.clock().date().isoformat())


async def test_the_history_is_in_the_opt_ins_and_outs_export(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], by=AGENT, channels={"sms": "yes", "email": "no"})
    kept = {(line["subject_name"], line["to"], line["actor"]) for line in await export(gateway)}
    assert kept == {("sms", "yes", "key:crm for agent:Maria"), ("email", "no", "key:crm for agent:Maria")}


async def test_an_agent_updates_any_or_all_in_a_single_interaction(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    await disposition(
        gateway, "Letters only",
        *({"kind": "channel", "channel": channel, "to": "no"} for channel in ("sms", "email", "voice")),
        {"kind": "channel", "channel": "post", "to": "yes"}, {"kind": "preference", "name": "Drama", "to": "yes"},
    )  # fmt: skip
    ana = await gateway.person(f"sms:{ANA}")
    got = await ended(gateway, ana["id"], "Letters only", by="Maria")
    assert len({line["change_id"] for line in got.json["events"]}) == 1
    assert await channels(gateway, ana["id"]) == {"sms": "no", "email": "no", "voice": "no", "post": "yes"}
    assert await answers(gateway, ana["id"]) == {"Drama": "yes"}


async def test_only_calls_or_only_texts_is_one_change_by_the_agent(gateway: Gateway) -> None:
    ana = await gateway.person(f"sms:{ANA}", f"voice:{ANA}", f"email:{MAIL}")
    said = await gateway.say(ana["id"], by=AGENT, everything="no", channels={"sms": "yes"})
    assert {line["change_id"] for line in said["events"]} == {said["change_id"]}
    assert await gateway.verdict(ana["id"], "sms") == "opted_in"
    for channel in ("voice", "email"):
        assert await gateway.verdict(ana["id"], channel) == "opted_out_everything"


async def test_managers_update_after_a_review_of_the_call(gateway: Gateway) -> None:
    await disposition(gateway, "No calls", {"kind": "channel", "to": "no"})
    ana = await gateway.person(f"voice:{ANA}")
    await ended(gateway, ana["id"], "No calls", "voice", by="Maria")
    manager = {"kind": "agent", "name": "Joan"}
    await gateway.say(ana["id"], by=manager, channels={"voice": "yes"}, evidence={"how": "heard in the recording"})
    assert await channels(gateway, ana["id"]) == {"voice": "yes"}, "staff may correct what staff recorded"
    assert (await gateway.history(ana["id"]))[0]["actor"] == "key:crm for agent:Joan"


async def test_managers_review_by_the_export_how_it_is_used(gateway: Gateway) -> None:
    await disposition(gateway, "No calls", {"kind": "channel", "to": "no"})
    ana = await gateway.person(f"voice:{ANA}")
    await ended(gateway, ana["id"], "No calls", "voice", by="Maria", reference="call-4711")
    await gateway.say(ana["id"], channels={"sms": "no"})
    for query in ("&disposition=No%20calls", "&source=disposition", "&actor=key:crm%20for%20agent:Maria"):
        [line] = await export(gateway, query)
        assert (line["subject_name"], line["actor"]) == ("voice", "key:crm for agent:Maria")
        assert "call-4711" in line["evidence"]
