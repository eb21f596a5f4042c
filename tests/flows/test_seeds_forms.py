"""The seeds' sentences about sign-up forms, one test each: docs/seeds.md has them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from tests.flows.filling import SITE, Seen, fill, look, make, preference
from tests.flows.running import ANA, OURS_ON_WHATSAPP, Gateway, eventually
from tests.flows.test_forms import settings  # noqa: F401 - the gateway of these tests has a mailbox

MAIL = "ana@example.org"


async def known(gateway: Gateway, address: str = f"email:{MAIL}") -> dict[str, Any]:
    """Who has the address."""
    [found] = await gateway.whose(address)
    return dict(found)


async def answers(gateway: Gateway) -> dict[str, str]:
    shown = (await known(gateway))["consent"]["preferences"]
    return {name: flag["state"] for name, flag in shown.items()}


async def presses_the_link(gateway: Gateway) -> None:
    """In the mail that asks to confirm; then the button on its page."""

    async def mails() -> list[dict[str, Any]]:
        return list((await gateway.api("GET", "/v1/sandbox/messages"))["items"])

    body = (await eventually(mails))[0]["body"]
    path = urlsplit(next(word for word in body.split() if "/confirm/" in word)).path
    assert (await gateway.send("POST", path)).status == 200


# --- web opt-in forms ---------------------------------------------------------------------------


async def test_the_snippet_is_a_frame_that_is_copied_into_a_page(gateway: Gateway) -> None:
    made = await make(gateway)
    assert made["snippet"].startswith(f'<iframe src="{made["url"]}"')
    assert (await look(gateway, made["id"])).policy["frame-ancestors"] == [SITE]


async def test_a_form_acquires_a_whatsapp_opt_in(gateway: Gateway) -> None:
    made = await make(gateway, channel="whatsapp")
    assert str((await look(gateway, made["id"])).links[0]["href"]).startswith(f"https://wa.me/{OURS_ON_WHATSAPP[1:]}")
    await gateway.whatsapp_in("START", ANA)
    assert await gateway.verdict((await known(gateway, f"whatsapp:{ANA}"))["id"], "whatsapp") == "opted_in"


async def test_a_form_is_made_for_a_channel_with_a_description(gateway: Gateway) -> None:
    for channel in ("sms", "whatsapp", "email"):
        made = await make(gateway, channel=channel, description=f"By {channel}")
        assert (made["channel"], made["description"]) == (channel, f"By {channel}")


async def test_the_confirmation_message_is_shown_in_the_form_and_in_its_preview(gateway: Gateway) -> None:
    made = await make(gateway, confirmation_message="Yes, I want to hear of new plays.")
    preview = Seen(await gateway.ask("GET", f"/v1/forms/{made['id']}/preview"))
    for page in (preview, await look(gateway, made["id"])):
        assert "Yes, I want to hear of new plays." in page.words


async def test_the_button_text_stands_on_the_button(gateway: Gateway) -> None:
    made = await make(gateway, button_text="Keep me posted")
    assert ">Keep me posted</button>" in (await look(gateway, made["id"])).html


async def test_a_form_is_found_by_its_description_with_its_code(gateway: Gateway) -> None:
    made = await make(gateway, description="In the box office")
    await make(gateway, description="On the blog")
    listed = (await gateway.api("GET", "/v1/forms"))["items"]
    [found] = [one for one in listed if one["description"] == "In the box office"]
    assert found["snippet"] == made["snippet"]


async def test_the_flag_is_set_for_the_profile_of_the_address_that_was_entered(gateway: Gateway) -> None:
    made = await make(gateway)
    await fill(gateway, made["id"], MAIL)
    await presses_the_link(gateway)
    assert (await known(gateway))["consent"]["channels"]["email"]["state"] == "yes"
    at_once = await make(gateway, confirm="none")
    await fill(gateway, at_once["id"], "ben@example.org")
    assert (await known(gateway, "email:ben@example.org"))["consent"]["channels"]["email"]["state"] == "yes"


# --- preferences on forms ------------------------------------------------------------------------


async def test_a_form_has_a_section_with_preferences_to_subscribe_to(gateway: Gateway) -> None:
    await gateway.api("POST", "/v1/preference-groups", json={"headline": "What interests you?"})
    trainings = await preference(gateway, "Trainings", group="What interests you?")
    made = await make(gateway, confirm="none", preferences=[{"name": "Trainings"}])
    assert "What interests you?" in (await look(gateway, made["id"])).words
    await fill(gateway, made["id"], MAIL, ticked=[trainings["id"]])
    assert await answers(gateway) == {"Trainings": "yes"}


async def test_a_preference_on_a_form_is_selected_or_required_as_the_form_says(gateway: Gateway) -> None:
    events, products = await preference(gateway, "Events"), await preference(gateway, "Products")
    boxes = [{"name": "Events", "required": True}, {"name": "Products", "selected": True}]
    made = await make(gateway, confirm="none", preferences=boxes)
    seen = await look(gateway, made["id"])
    assert [seen.field("preference", one["id"]).is_checked for one in (events, products)] == [False, True]
    refused = await fill(gateway, made["id"], MAIL, ticked=[products["id"]])
    assert (refused.status, refused.why(f"preference.{events['id']}")) == (422, "Tick this box to go on")


async def test_a_checked_box_of_a_form_is_a_yes_and_an_unchecked_one_a_no(gateway: Gateway) -> None:
    drama, _ = await preference(gateway, "Drama"), await preference(gateway, "Opera")
    made = await make(gateway, confirm="none", preferences=[{"name": "Drama"}, {"name": "Opera"}])
    await fill(gateway, made["id"], MAIL, ticked=[drama["id"]])
    assert await answers(gateway) == {"Drama": "yes", "Opera": "no"}


# --- sign-up forms ---------------------------------------------------------------------------------


async def test_a_simple_sign_up_form_captures_the_names_and_the_address(gateway: Gateway) -> None:
    made = await make(gateway, confirm="none", fields=["first_name", "last_name"])
    await fill(gateway, made["id"], MAIL, first_name="Ana", last_name="Ruiz")
    ana = await known(gateway)
    assert (ana["first_name"], ana["last_name"], ana["addresses"][0]["value"]) == ("Ana", "Ruiz", MAIL)


async def test_who_signs_up_has_the_forms_preferences_added_by_the_button(gateway: Gateway) -> None:
    await preference(gateway, "Marketing Email", linked_channel="email")
    made = await make(gateway, confirm="none", preferences=[{"name": "Marketing Email", "as": "statement"}])
    seen = await fill(gateway, made["id"], MAIL)
    assert "preference" not in seen.names()
    assert await answers(gateway) == {"Marketing Email": "yes"}


async def test_an_existing_customer_who_signs_up_has_their_preferences_updated(gateway: Gateway) -> None:
    drama = await preference(gateway, "Drama")
    await gateway.person(f"email:{MAIL}", consent={"preferences": {"Drama": "no"}})
    made = await make(gateway, preferences=[{"name": "Drama"}])
    await fill(gateway, made["id"], MAIL, ticked=[drama["id"]])
    assert await answers(gateway) == {"Drama": "no"}, "anybody can type an address: until it confirms nothing changes"
    await presses_the_link(gateway)
    assert await answers(gateway) == {"Drama": "yes"}


async def test_an_api_sign_up_form_collects_additional_data(gateway: Gateway) -> None:
    made = await make(gateway, confirm="none", fields=["first_name", "attributes.seat"])
    given = {"address": MAIL, "fields": {"first_name": "Ana", "attributes.seat": "stalls"}}
    await gateway.api("POST", f"/v1/forms/{made['id']}/submissions", status=202, json=given)
    assert (await known(gateway))["attributes"] == {"seat": "stalls"}


async def test_a_form_tags_where_the_sign_up_came_from(gateway: Gateway) -> None:
    made = await make(gateway, confirm="none", tags=["festival-2026"])
    await fill(gateway, made["id"], MAIL)
    assert (await known(gateway))["tags"] == ["festival-2026"]


async def test_whether_an_existing_customer_can_update_their_record_is_the_forms_choice(gateway: Gateway) -> None:
    await gateway.person(f"email:{MAIL}", first_name="Ana", consent={"channels": {"email": "yes"}})
    ignoring = await make(gateway, fields=["first_name"], existing="ignore")
    await fill(gateway, ignoring["id"], MAIL, first_name="Anna")
    assert await gateway.rows("confirmations") == []
    updating = await make(gateway, fields=["first_name"], existing="update")
    await fill(gateway, updating["id"], MAIL, first_name="Anna")
    await presses_the_link(gateway)
    assert (await known(gateway))["first_name"] == "Anna"
