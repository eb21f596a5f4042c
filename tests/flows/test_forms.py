"""Opt-in forms: made over the API, shown, filled in, and what of it stays proved."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import event

from content.languages import KNOWN
from forms import defence
from forms.desk import DESK
from gateway.api.form_wishes import FormIn
from gateway.settings import Settings
from outbox.manage_links import Opened
from tests.flows.filling import PAGE, SITE, URLENCODED, WORDS, Seen, fill, look, make, preference, send, sent_in
from tests.flows.forms import confirm_path
from tests.flows.running import ANA, BEN, OURS, OURS_ON_WHATSAPP, SECOND_NUMBER, Gateway, eventually
from tests.flows.test_hostile_bodies import bodies
from tests.forms.test_wishes import PNG, logo

MAIL = "ana@example.org"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a mailbox as well."""
    mail = {"provider": "sandbox", "channel": "email", "from": "hello@theatre.example"}
    given = settings.model_dump() | {"connections": settings.connections}
    made = Settings.model_validate(given | {"connections": {"mail": mail}})
    organisation = settings.organisation.model_copy(update={"privacy_url": "https://www.example.org/privacy"})
    return settings.model_copy(
        update={"connections": settings.connections | made.connections, "organisation": organisation}
    )


# --- made, changed, deleted --------------------------------------------------------------------


async def test_a_form_is_made_with_what_is_usual_and_shown_whole(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    made = await make(gateway, preferences=[{"name": "Drama", "as": "box"}], fields=["first_name"], tags=["web"])
    public_url = gateway.settings.server.public_url
    assert {
        name: made[name] for name in ("description", "channel", "entry", "confirm", "existing", "active", "version")
    } == {
        "description": "Foot of every page",
        "channel": "email",
        "entry": "typed",
        "confirm": "double",
        "existing": "update",
        "active": True,
        "version": 1,
    }
    assert made["preferences"] == [
        {
            "name": "Drama",
            "text": "Drama, please",
            "selected": False,
            "required": False,
            "as": "box",
            "group": None,
            "active": True,
        }
    ]
    assert made["url"] == f"{public_url}/forms/{made['id']}"
    assert made["snippet"] == (
        f'<iframe src="{made["url"]}" title="Sign me up" style="width:100%;border:0;color-scheme:light"'
        ' height="560" loading="lazy" referrerpolicy="no-referrer-when-downgrade" data-optgate></iframe>'
        f'<script src="{public_url}/embed.js" async></script>'
    )
    assert made["warnings"] == []
    assert await gateway.api("GET", f"/v1/forms/{made['id']}") == made
    assert await gateway.api("GET", "/v1/forms") == {"items": [made], "next": None}
    [line] = [one for one in await gateway.rows("audit") if one["action"] == "form.created"]
    assert (line["actor"], line["target"]) == ("key:crm", made["id"])


async def test_what_is_shown_makes_a_version_and_what_is_not_makes_none(gateway: Gateway) -> None:
    made = await make(gateway)
    path = f"/v1/forms/{made['id']}"
    for change in ({}, {"description": "Another"}, {"active": False}, {"active": True}, {"button_text": "Sign me up"}):
        assert (await gateway.api("PATCH", path, json=change))["version"] == 1, change
    second = await gateway.api("PATCH", path, json={"button_text": "Yes, please", "looks": {"accent": "#8A1C3B"}})
    assert (second["version"], second["button_text"], second["description"]) == (2, "Yes, please", "Another")
    third = await gateway.api("PATCH", path, json={"tags": ["web"]})
    assert third["version"] == 3, "what is sent in by it leads to something else"
    versions = (await gateway.api("GET", f"{path}/versions"))["items"]
    assert [one["version"] for one in versions] == [3, 2, 1]
    assert [one["button_text"] for one in versions] == ["Yes, please", "Yes, please", "Sign me up"]
    assert {one["created_by"] for one in versions} == {"key:crm"}
    first = await gateway.api("GET", f"{path}/versions?limit=2")
    rest = await gateway.api("GET", f"{path}/versions?limit=2&cursor={first['next']}")
    assert (first["items"], rest["items"], rest["next"]) == (versions[:2], versions[2:], None)
    for number in ("0" * 5000, "9" * 5000, "9" * 10, "-1", "x"):
        cursor = base64.urlsafe_b64encode(number.encode()).decode().rstrip("=")
        await gateway.api("GET", f"{path}/versions?cursor={cursor}", status=422)


async def test_what_a_patch_does_not_name_stays_and_null_empties(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    made = await make(
        gateway, headline="Hear first", preferences=[{"name": "Drama", "required": True}], success_message="Lovely"
    )
    path = f"/v1/forms/{made['id']}"
    changed = await gateway.api("PATCH", path, json={"headline": None, "success_message": None, "preferences": []})
    assert (changed["headline"], changed["success_message"], changed["preferences"]) == (None, None, [])
    assert {name: changed[name] for name in WORDS} == WORDS
    for name in ("description", "button_text", "preferences", "active", "existing", "looks", "terms"):
        got = await gateway.ask("PATCH", path, json={name: None})
        assert (got.status, got.json["errors"]) == (422, [{"field": name, "message": "cannot be null"}]), name
    got = await gateway.ask("PATCH", path, json={"channel": "sms"})
    assert (got.status, got.json["errors"][0]["field"]) == (422, "channel")
    assert (await gateway.api("PATCH", path, json={"channel": "email"}))["version"] == changed["version"]


async def test_another_entry_is_confirmed_as_is_usual_for_it(gateway: Gateway) -> None:
    made = await make(gateway, channel="sms")
    assert (made["entry"], made["confirm"]) == ("text_us", "none")
    path = f"/v1/forms/{made['id']}"
    assert (await gateway.api("PATCH", path, json={"entry": "both"}))["confirm"] == "double"
    got = await gateway.ask("PATCH", path, json={"confirm": "none"})
    assert (got.status, got.json["errors"][0]["field"]) == (422, "confirm")
    assert (await gateway.api("PATCH", path, json={"entry": "text_us"}))["confirm"] == "none"


async def test_a_form_that_was_used_stays_and_one_that_was_not_goes(gateway: Gateway) -> None:
    used, unused = await make(gateway), await make(gateway)
    await fill(gateway, used["id"], MAIL)
    got = await gateway.ask("DELETE", f"/v1/forms/{used['id']}")
    assert (got.status, got.json["type"].rpartition("/")[2]) == (409, "in-use")
    assert "inactive" in got.json["detail"]
    await gateway.api("DELETE", f"/v1/forms/{unused['id']}", status=204)
    assert (await gateway.ask("GET", f"/v1/forms/{unused['id']}")).status == 404
    assert (await look(gateway, unused["id"])).status == 404
    assert [one["id"] for one in (await gateway.api("GET", "/v1/forms"))["items"]] == [used["id"]]


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        ({"preferences": [{"name": "Drama"}, {"name": "Opera"}]}, "preferences.1.name"),
        ({"preferences": [{"name": "Drama", "as": "radio"}]}, "preferences.0.as"),
        ({"allowed_origins": ["https://*.example.org"]}, "allowed_origins.0"),
        ({"allowed_origins": [f"https://s{n}.example.org" for n in range(21)]}, "allowed_origins"),
        ({"redirect_url": "https://evil.example/"}, "redirect_url"),
        ({"looks": {"accent": "red"}}, "looks.accent"),
        ({"looks": {"accent": "#eeeeee"}}, "looks.accent"),
        ({"looks": {"css": "x"}}, "looks.css"),
        ({"connection": "box"}, "connection"),
        ({"connection": "nowhere"}, "connection"),
        ({"language": "nl"}, "language"),
        ({"button_text": "x" * 81}, "button_text"),
        ({"button_text": "  "}, "button_text"),
        ({"fields": ["shoe_size"]}, "fields.0"),
        ({"channel": "sms", "keyword": "NOBODYS"}, "keyword"),
        ({"channel": "sms", "keyword": "STOP"}, "keyword"),
        ({"channel": "sms", "keyword": "!!!"}, "keyword"),
        ({"channel": "voice"}, "channel"),
        ({"style": "x"}, "style"),
    ],
)  # fmt: skip
async def test_what_a_form_cannot_be_is_said_by_field(gateway: Gateway, wishes: dict[str, Any], field: str) -> None:
    await preference(gateway, "Drama")
    for path in ("/v1/forms", "/v1/forms/preview"):
        given = {"description": "x", "channel": "email", "allowed_origins": [SITE], **WORDS, **wishes}
        got = await gateway.ask("POST", path, json=given)
        assert (got.status, [one["field"] for one in got.json["errors"]]) == (422, [field])
    assert await gateway.rows("forms") == []


def test_the_languages_of_a_form_are_those_of_the_pages() -> None:
    schema = FormIn.model_json_schema()["properties"]["language"]
    assert schema["anyOf"][0]["enum"] == list(KNOWN)


# --- words that are not the form's own ----------------------------------------------------------


async def test_a_form_that_is_sent_again_as_it_is_makes_no_version(gateway: Gateway) -> None:
    await preference(gateway, "Drama", selected_by_default=True)
    whole = {
        "headline": "Be the first to know",
        "success_message": "Thank you",
        "confirm": "double",
        "fields": ["first_name", "attributes.seat"],
        "labels": {"attributes.seat": "Where you sit"},
        "preferences": [{"name": "Drama", "required": True}],
        "tags": ["web"],
        "existing": "ignore",
        "language": "en",
        "looks": {"accent": "#8a1c3b", "corners": "sharp", "logo": logo("image/png", PNG)},
        "allowed_origins": [SITE],
        **WORDS,
    }
    made = await make(gateway, **whole)
    for _ in range(3):
        assert await gateway.api("PATCH", f"/v1/forms/{made['id']}", json=whole) == made
    assert len(await versions_of(gateway, made["id"])) == 1
    assert [one["action"] for one in await gateway.rows("audit") if one["target"] == made["id"]] == ["form.created"]


async def versions_of(gateway: Gateway, form_id: str) -> list[dict[str, Any]]:
    return list(reversed((await gateway.api("GET", f"/v1/forms/{form_id}/versions"))["items"]))


async def test_other_words_of_a_preference_are_another_version_of_each_form_that_shows_it(gateway: Gateway) -> None:
    drama = await preference(gateway, "Drama", selected_by_default=True)
    opera = await preference(gateway, "Opera")
    with_drama = await make(gateway, preferences=[{"name": "Drama"}, {"name": "Opera", "selected": False}])
    with_opera = await make(gateway, preferences=[{"name": "Opera"}])
    assert with_drama["preferences"][0]["selected"]
    await gateway.api(
        "PATCH", f"/v1/preferences/{drama['id']}", json={"text": "Every new play", "description": "staff"}
    )
    await gateway.api("PATCH", f"/v1/preferences/{drama['id']}", json={"name": "Plays"})
    first, second = await versions_of(gateway, with_drama["id"])
    assert [one["preferences"][0]["text"] for one in (first, second)] == ["Drama, please", "Every new play"]
    assert [one["preferences"][0]["name"] for one in (first, second)] == ["Plays", "Plays"], "the name is staff's"
    assert len(await versions_of(gateway, with_opera["id"])) == 1
    await gateway.api("PATCH", f"/v1/preferences/{drama['id']}", json={"selected_by_default": False})
    assert [one["preferences"][0]["selected"] for one in await versions_of(gateway, with_drama["id"])] == [
        True,
        True,
        False,
    ]
    await gateway.api("PATCH", f"/v1/preferences/{opera['id']}", json={"selected_by_default": True})
    shown = await gateway.api("GET", f"/v1/forms/{with_drama['id']}")
    assert not shown["preferences"][1]["selected"], "the form's own word wins"
    lines = [one["detail"]["forms"] for one in await gateway.rows("audit") if one["action"] == "forms.renewed"]
    assert lines == [[with_drama["id"]], [with_drama["id"]], [with_opera["id"]]]


async def test_who_edits_forms_and_who_edits_what_they_show_never_wait_for_each_other_in_a_ring(
    gateway: Gateway,
) -> None:
    """Of a deadlock PostgreSQL lets one go on after a second, and ends the other, which is run again."""
    amiss: list[str] = []
    event.listen(
        gateway.house.database._writer.sync_engine,
        "handle_error",
        lambda met: amiss.append(str(met.original_exception)),
    )
    group = await gateway.api("POST", "/v1/preference-groups", json={"headline": "Stage"})
    asked = [await preference(gateway, name, group="Stage") for name in ("Drama", "Opera", "Dance")]
    shown = [{"name": one["name"]} for one in asked]
    made = [await make(gateway, preferences=shown) for _ in range(4)]

    async def edit(path: str, field: str) -> None:
        for n in range(8):
            await gateway.api(
                "PATCH", path, json={field: f"{field} {n}"} | ({"order": n % 3} if "pref" in path else {})
            )

    async def word_terms() -> None:
        for n in range(8):
            await gateway.api("PUT", "/v1/settings/terms", json={"texts": {"en": {"text": f"Terms {n}"}}})

    async def make_more() -> None:
        for _ in range(4):
            await make(gateway, preferences=shown)

    await asyncio.gather(
        *(edit(f"/v1/forms/{one['id']}", "button_text") for one in made),
        *(edit(f"/v1/preferences/{one['id']}", "text") for one in asked),
        edit(f"/v1/preference-groups/{group['id']}", "text"),
        word_terms(),
        make_more(),
    )
    assert [one for one in amiss if "deadlock" in one] == []
    for form in (await gateway.api("GET", "/v1/forms"))["items"]:
        assert {one["text"] for one in form["preferences"]} == {"text 7"}, "each shows the last words"
        assert form["terms_version"] == 8


async def test_an_inactive_preference_is_not_shown_until_it_is_active_again(gateway: Gateway) -> None:
    drama = await preference(gateway, "Drama")
    made = await make(gateway, preferences=[{"name": "Drama", "required": True}])
    for active in (False, True):
        await gateway.api("PATCH", f"/v1/preferences/{drama['id']}", json={"active": active})
        seen = await look(gateway, made["id"])
        assert ("preference" in seen.names(), "Drama, please" in seen.words) == (active, active)
        [shown] = (await gateway.api("GET", f"/v1/forms/{made['id']}"))["preferences"]
        assert shown["active"] == active
    assert len(await versions_of(gateway, made["id"])) == 3


async def test_boxes_stand_under_the_headlines_of_their_groups(gateway: Gateway) -> None:
    for headline in ("Stage", "Screen"):
        await gateway.api("POST", "/v1/preference-groups", json={"headline": headline, "text": f"About the {headline}"})
    for name, group in (("Drama", "Stage"), ("Film", "Screen"), ("News", None), ("Opera", "Stage")):
        await preference(gateway, name, group=group)
    made = await make(gateway, preferences=[{"name": name} for name in ("Film", "Drama", "News", "Opera")])
    order = [
        "News, please",
        "Screen",
        "About the Screen",
        "Film, please",
        "Stage",
        "About the Stage",
        "Drama, please",
        "Opera, please",
    ]
    words = (await look(gateway, made["id"])).words
    assert sorted(order, key=words.index) == order
    [stage] = [
        one for one in (await gateway.api("GET", "/v1/preference-groups"))["items"] if one["headline"] == "Stage"
    ]
    await gateway.api("PATCH", f"/v1/preference-groups/{stage['id']}", json={"headline": "On stage"})
    assert "On stage" in (await look(gateway, made["id"])).words
    await gateway.api("PATCH", f"/v1/preference-groups/{stage['id']}", json={"active": False})
    seen = await look(gateway, made["id"])
    assert ("Drama, please" in seen.words, "Film, please" in seen.words) == (False, True)


async def test_terms_are_shown_with_the_preferences_in_the_readers_language(gateway: Gateway) -> None:
    made, without = await make(gateway), await make(gateway, terms=False)
    assert made["terms_version"] is None
    texts = {"en": {"text": "Our terms.", "link": f"{SITE}/terms"}, "fr": {"text": "Nos conditions.", "link": None}}
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": texts})
    shown = await gateway.api("GET", f"/v1/forms/{made['id']}")
    assert (shown["version"], shown["terms_version"]) == (2, 1)
    assert (await gateway.api("GET", f"/v1/forms/{without['id']}"))["version"] == 1
    english, french = await look(gateway, made["id"]), await look(gateway, made["id"], "?lang=fr")
    assert "Our terms." in english.words
    assert [one["rel"] for one in english.links if one["href"] == f"{SITE}/terms"] == ["noopener noreferrer"]
    assert "Nos conditions." in french.words
    assert "Our terms." not in (await look(gateway, without["id"])).words
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": {}})
    assert "Our terms." not in (await look(gateway, made["id"])).words


# --- the page -----------------------------------------------------------------------------------


async def test_the_page_has_a_label_and_a_purpose_for_each_field(gateway: Gateway) -> None:
    made = await make(
        gateway,
        fields=["first_name", "last_name", "attributes.favourite_stage", "attributes.seat"],
        labels={"attributes.seat": "Where do you like to sit?"},
    )
    seen = await look(gateway, made["id"])
    assert (seen.status, seen.language) == (200, "en")
    found = {
        one["name"]: (one["autocomplete"], one["inputmode"], one["type"])
        for one in seen.fields
        if one["type"] != "hidden"
    }
    assert found.pop("website")[0] == "off"
    assert found == {
        "address": ("email", "email", "email"),
        "first_name": ("given-name", "", ""),
        "last_name": ("family-name", "", ""),
        "attributes.favourite_stage": ("off", "", ""),
        "attributes.seat": ("off", "", ""),
    }
    for label in ("E-mail address", "First name", "Last name", "Favourite stage", "Where do you like to sit?"):
        assert label in seen.words
    assert "Write to me about once a month.\nI can stop it." in seen.words, "its lines are kept"
    assert [one["href"] for one in seen.links] == ["https://www.example.org/privacy"]
    assert seen.words.index("I can stop it.") < seen.words.index("Sign me up"), "what is agreed to, above the button"
    assert "Set-Cookie" not in seen.headers


async def test_the_page_may_be_framed_by_its_sites_and_by_nobody_else(gateway: Gateway) -> None:
    framed, alone = (
        await make(gateway, allowed_origins=[SITE, "https://example.com"]),
        await make(gateway, allowed_origins=[]),
    )
    seen = await look(gateway, framed["id"])
    assert seen.policy["frame-ancestors"] == [SITE, "https://example.com"]
    assert "X-Frame-Options" not in seen.headers
    assert seen.policy["form-action"] == ["'self'"]
    assert seen.policy["default-src"] == ["'none'"]
    assert (await look(gateway, alone["id"])).policy["frame-ancestors"] == ["'none'"]
    assert (await look(gateway, "frm_nobody")).policy["frame-ancestors"] == ["'none'"]
    assert (await look(gateway, "frm_nobody")).status == 404


async def test_a_closed_form_says_so_and_takes_nothing(gateway: Gateway) -> None:
    made = await make(gateway)
    seen = await look(gateway, made["id"])
    await gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"active": False})
    closed = await look(gateway, made["id"])
    assert (closed.status, "This form is closed" in closed.words) == (410, True)
    assert (await send(gateway, made["id"], seen, MAIL)).status == 410
    assert await sent_in(gateway) == 0


async def test_the_page_is_in_the_language_that_fits_best(gateway: Gateway) -> None:
    french, any_language = await make(gateway, language="fr"), await make(gateway)
    for form, query, accepted, language in (
        (french, "", "de", "fr"),
        (french, "?lang=es", "de", "es"),
        (any_language, "", "de;q=0.5, it", "it"),
        (any_language, "?lang=ar", "de", "ar"),
        (any_language, "?lang=nl", "", "en"),
        (any_language, "?lang=%00%3Cscript", "xx", "en"),
    ):
        seen = await look(gateway, form["id"], query, **{"Accept-Language": accepted})
        assert (seen.language, seen.headers["Content-Language"]) == (language, language), (query, accepted)
    assert 'dir="rtl"' in (await look(gateway, any_language["id"], "?lang=ar")).html


async def test_no_word_of_an_operator_is_markup(gateway: Gateway) -> None:
    evil = '"><script>alert(1)</script>{{ 7919 * 7919 }}'
    await preference(gateway, "Drama", text=evil)
    made = await make(
        gateway, headline=evil, confirmation_message=evil, button_text=evil[:80], success_message=evil,
        fields=["attributes.a"], labels={"attributes.a": evil}, preferences=[{"name": "Drama"}],
    )  # fmt: skip
    seen = await look(gateway, made["id"])
    sent = await fill(gateway, made["id"], MAIL)
    for page in (seen.html, sent.html, made["snippet"]):
        assert "<script>alert" not in page
        assert "62710561" not in page
    assert evil in seen.words


async def test_a_page_with_everything_is_thirty_kilobytes_at_most(gateway: Gateway) -> None:
    for number in range(20):
        await preference(gateway, f"Preference {number}", text="x" * 200)
    picture = logo("image/png", PNG + bytes(8_900))
    made = await make(
        gateway, channel="sms", entry="both", fields=["first_name", "last_name"],
        preferences=[{"name": f"Preference {number}"} for number in range(20)],
        looks={"logo": picture, "accent": "#8a1c3b", "paper": "#fff8f0"},
    )  # fmt: skip
    seen = await look(gateway, made["id"])
    assert picture in seen.html
    assert len(seen.html.encode()) < 30_000
    assert not re.search(r'(?:src|href)="(?!data:|sms:|#|https://www\.example\.org/privacy)', seen.html)


async def test_a_preview_is_the_very_page_and_cannot_be_sent(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    wishes = {
        "preferences": [{"name": "Drama", "selected": True}],
        "fields": ["first_name"],
        "looks": {"paper": "#101418"},
    }
    made = await make(gateway, **wishes)
    shown = await look(gateway, made["id"])
    unsaved = {"description": "x", "channel": "email", "allowed_origins": [SITE], **WORDS, **wishes}
    saved = await gateway.ask("GET", f"/v1/forms/{made['id']}/preview")
    tried = await gateway.ask("POST", "/v1/forms/preview", json=unsaved)
    for got in (saved, tried):
        seen = Seen(got)
        assert (got.status, got.type) == (200, "text/html")
        assert seen.words == shown.words
        assert seen.names() == shown.names()
        assert (seen.policy["form-action"], seen.policy["frame-ancestors"]) == (["'none'"], ["'none'"])
        assert seen.field("nonce")["value"] == ""
        assert re.search(r"<button[^>]* disabled", seen.html)
        assert not re.search(r"<button[^>]* disabled", shown.html)
    assert len(await gateway.rows("forms")) == 1


# --- sent in ------------------------------------------------------------------------------------


async def test_what_is_wrong_is_said_beside_the_fields_and_what_was_typed_stays(gateway: Gateway) -> None:
    drama, opera = await preference(gateway, "Drama"), await preference(gateway, "Opera")
    made = await make(
        gateway,
        fields=["first_name"],
        preferences=[{"name": "Drama", "required": True}, {"name": "Opera", "selected": True}],
    )
    seen = await fill(gateway, made["id"], "ana@", first_name="A" * 201)
    assert seen.status == 422
    assert seen.why("address") == "Enter an e-mail address, such as ana@example.org"
    assert seen.why("first_name") == "This is too long"
    assert seen.why(f"preference.{drama['id']}") == "Tick this box to go on"
    assert "3 things are missing, or not right yet:" in seen.words
    assert [one["href"] for one in seen.links[:3]] == ["#at-address", "#at-first_name", f"#at-preference.{drama['id']}"]
    assert [one["name"] for one in seen.fields if "autofocus" in one.attributes] == ["address"], (
        "the first that is wrong"
    )
    assert (seen.field("address")["value"], seen.field("first_name")["value"]) == ("ana@", "A" * 201)
    assert not seen.field("preference", opera["id"]).is_checked, "what was unticked stays so, preselected or not"
    assert await sent_in(gateway) == 0
    again = await send(gateway, made["id"], seen, MAIL, ticked=[drama["id"]], first_name="Ana")
    assert (again.status, await sent_in(gateway)) == (200, 1), "and the page can be mended and sent"


@pytest.mark.parametrize(
    "address", ["", "ana", "<b>@x", "ana@example.org\x00", "ana@example.org,ben@example.org", "x" * 5000]
)
async def test_what_is_no_address_is_told_and_shown_again_unharmed(gateway: Gateway, address: str) -> None:
    made = await make(gateway)
    seen = await fill(gateway, made["id"], address)
    assert (seen.status, await sent_in(gateway)) == (422, 0)
    assert seen.why("address")
    assert "<b>@x" not in seen.html


async def test_who_sends_it_in_reads_the_forms_own_words_and_what_is_left_to_do(gateway: Gateway) -> None:
    plain, worded = await make(gateway), await make(gateway, success_message="Lovely.\nSee you there.", confirm="none")
    assert "you will find an e-mail of ours with a link" in (await fill(gateway, plain["id"], MAIL)).words
    seen = await fill(gateway, worded["id"], MAIL)
    assert "Lovely.\nSee you there." in seen.words
    assert "link" not in seen.words
    both = await make(gateway, success_message="Lovely.")
    words = (await fill(gateway, both["id"], MAIL)).words
    assert "Lovely." in words
    assert "you will find an e-mail of ours with a link" in words


async def test_a_form_leads_to_the_page_that_it_names_and_within_a_frame_by_a_link(gateway: Gateway) -> None:
    made = await make(gateway, redirect_url=f"{SITE}/thanks?from=form")
    assert (await look(gateway, made["id"])).policy["form-action"] == ["'self'", SITE]
    alone = await _not_followed(gateway, made["id"], {"Sec-Fetch-Dest": "document"})
    assert (alone.status, alone.headers["Location"]) == (303, f"{SITE}/thanks?from=form")
    for headers in ({"Sec-Fetch-Dest": "iframe"}, {}):
        seen = await fill(gateway, made["id"], MAIL, headers=headers)
        [link] = [one for one in seen.links if one["href"] == f"{SITE}/thanks?from=form"]
        assert (seen.status, link["target"]) == (200, "_top")


async def _not_followed(gateway: Gateway, form_id: str, headers: dict[str, str]) -> Any:
    seen = await look(gateway, form_id)
    gateway.clock.advance(seconds=4)
    data = {"nonce": seen.field("nonce")["value"], "address": MAIL}
    url = f"{gateway.url}/forms/{form_id}"
    async with gateway._session.post(url, data=data, headers=headers, allow_redirects=False) as answer:
        return answer


async def test_the_answer_is_the_same_for_an_address_that_is_known(gateway: Gateway) -> None:
    await gateway.person(f"email:{MAIL}", consent={"channels": {"email": "yes"}})
    await gateway.person("email:cleo@example.org", consent={"channels": {"email": "no"}})
    for confirm in ("double", "none"):
        made = await make(gateway, confirm=confirm)
        pages = [await fill(gateway, made["id"], one) for one in (MAIL, "ben@example.org", "cleo@example.org")]
        assert len({(one.status, without_nonces(one.html)) for one in pages}) == 1
        headers = [
            {k: v for k, v in one.headers.items() if k not in ("Date", "Content-Security-Policy")} for one in pages
        ]
        assert headers[0] == headers[1] == headers[2]


def without_nonces(html: str) -> str:
    return re.sub(r'nonce="[^"]+"', "", html)


async def test_a_page_that_is_too_quick_or_comes_twice_is_shown_again(gateway: Gateway) -> None:
    made = await make(gateway)
    seen = await look(gateway, made["id"])
    quick = await send(gateway, made["id"], seen, MAIL, wait_seconds=0)
    assert (quick.status, quick.field("address")["value"]) == (422, MAIL)
    assert "press the button once more" in quick.words
    assert (await send(gateway, made["id"], quick, MAIL)).status == 200
    twice = await send(gateway, made["id"], quick, MAIL)
    assert (twice.status, await sent_in(gateway)) == (422, 1)
    forged = await look(gateway, made["id"])
    forged.field("nonce").attributes["value"] = "x" * 300  # type: ignore[index]
    assert (await send(gateway, made["id"], forged, MAIL)).status == 422


async def test_who_fills_in_what_nobody_sees_is_thanked_and_not_kept(gateway: Gateway) -> None:
    made = await make(gateway)
    seen = await fill(gateway, made["id"], MAIL, website="https://spam.example")
    honest = await fill(gateway, made["id"], MAIL)
    assert (seen.status, without_nonces(seen.html)) == (200, without_nonces(honest.html))
    assert await sent_in(gateway) == 1


async def test_what_was_shown_is_what_is_kept_also_when_the_form_has_changed_since(gateway: Gateway) -> None:
    drama = await preference(gateway, "Drama")
    made = await make(gateway, preferences=[{"name": "Drama"}])
    seen = await look(gateway, made["id"])
    await preference(gateway, "Opera")
    await gateway.api(
        "PATCH",
        f"/v1/forms/{made['id']}",
        json={"preferences": [{"name": "Drama"}, {"name": "Opera"}], "button_text": "Go"},
    )
    assert (await send(gateway, made["id"], seen, MAIL, ticked=[drama["id"]])).status == 200
    [row] = await gateway.rows("submissions")
    assert row["version"] == 1


async def test_what_is_deleted_while_the_page_is_open_is_answered_by_nobody(gateway: Gateway) -> None:
    drama, opera = await preference(gateway, "Drama"), await preference(gateway, "Opera")
    made = await make(gateway, confirm="none", preferences=[{"name": "Drama"}, {"name": "Opera"}])
    seen = await look(gateway, made["id"])
    await gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"preferences": [{"name": "Opera"}]})
    await gateway.api("DELETE", f"/v1/preferences/{drama['id']}", status=204)
    assert (await send(gateway, made["id"], seen, MAIL, ticked=[drama["id"], opera["id"]])).status == 200
    [ana] = await gateway.whose(f"email:{MAIL}")
    lines = await gateway.history(ana["id"])
    assert {(line["subject"]["kind"], line["subject"].get("name")) for line in lines} == {
        ("channel", None),
        ("preference", "Opera"),
    }
    assert [one["text"] for one in lines[0]["evidence"]["preferences"]] == ["Drama, please", "Opera, please"]


async def proof(gateway: Gateway) -> dict[str, Any]:
    """The evidence of the newest line of Ana's history."""
    [ana] = await gateway.whose(f"email:{MAIL}")
    return dict((await gateway.history(ana["id"]))[0]["evidence"])


async def in_two_languages(gateway: Gateway) -> None:
    texts = {"en": {"text": "English terms"}, "fr": {"text": "Conditions"}}
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": texts})


async def test_the_proof_holds_the_language_and_the_terms_that_were_shown(gateway: Gateway) -> None:
    await in_two_languages(gateway)
    made = await make(gateway, confirm="none")
    seen = await look(gateway, made["id"], **{"Accept-Language": "en"})
    assert "English terms" in seen.words
    await gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"language": "fr"})
    await send(gateway, made["id"], seen, MAIL)
    kept = await proof(gateway)
    assert (kept["version"], kept["language"], kept["terms_language"]) == (1, "en", "en")
    assert "English terms" in kept["wording"]


async def test_the_proof_of_a_page_that_was_shown_again_is_of_what_it_showed_then(gateway: Gateway) -> None:
    await in_two_languages(gateway)
    made = await make(gateway, confirm="none")
    seen = await look(gateway, made["id"])
    await gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"language": "fr"})
    again = await send(gateway, made["id"], seen, "ana")
    assert (again.status, "Conditions" in again.words) == (422, True)
    assert (await send(gateway, made["id"], again, MAIL)).status == 200
    kept = await proof(gateway)
    assert (kept["version"], kept["language"], "Conditions" in kept["wording"]) == (2, "fr", True)


async def test_a_page_whose_nonce_does_not_tell_its_language_yet_is_taken(gateway: Gateway) -> None:
    made = await make(gateway, confirm="none")
    desk = gateway.app[DESK]
    told = ["form", made["id"], 1, int(gateway.clock().timestamp() * 1000), "x", PAGE]
    gateway.clock.advance(seconds=4)
    body = urlencode({"address": MAIL, "nonce": desk.signed.sign_list(told)}).encode()
    sent = await gateway.send("POST", f"/forms/{made['id']}", data=body, headers={"Content-Type": URLENCODED})
    assert (sent.status, (await proof(gateway))["page"]) == (200, PAGE)


async def test_on_a_filled_in_form_nothing_was_preselected(gateway: Gateway) -> None:
    opera = await preference(gateway, "Opera", selected_by_default=True)
    made = await make(gateway, confirm="none", preferences=[{"name": "Opera"}])
    ana = await gateway.person(f"email:{MAIL}")
    query = own(gateway, ana, made["id"])
    seen = await look(gateway, made["id"], query)
    assert not seen.field("preference", opera["id"]).is_checked
    gateway.clock.advance(hours=3)
    await send(gateway, made["id"], seen, MAIL, ticked=[opera["id"]], query=query)
    [shown] = (await proof(gateway))["preferences"]
    assert (shown["answer"], shown["preselected"], shown["untouched"]) == (True, False, False)


async def test_a_body_that_is_too_large_or_unreadable_is_refused(gateway: Gateway) -> None:
    made = await make(gateway)
    for body, status in ((b"address=" + b"x" * 70_000, 413), (b"&".join(b"a%d=1" % n for n in range(300)), 400)):
        got = await gateway.send("POST", f"/forms/{made['id']}", data=body, headers={"Content-Type": URLENCODED})
        assert got.status == status
    assert await sent_in(gateway) == 0


async def test_to_look_at_a_form_changes_nothing(gateway: Gateway) -> None:
    made = await make(gateway, channel="sms", entry="both")
    before = await gateway.everything()
    await look(gateway, made["id"], "?lang=fr&for=x", Referer=PAGE)
    await gateway.send("HEAD", f"/forms/{made['id']}")
    await gateway.send("GET", "/embed.js")
    await gateway.ask("GET", f"/v1/forms/{made['id']}/preview")
    assert await gateway.everything() == before


# --- by text message and WhatsApp ----------------------------------------------------------------


async def test_a_form_for_texts_offers_to_text_us(gateway: Gateway) -> None:
    texted, on_whatsapp = await make(gateway, channel="sms"), await make(gateway, channel="whatsapp")
    seen = await look(gateway, texted["id"])
    assert "Text START to +1 415-555-0100." in seen.words
    assert seen.links[0]["href"] == f"sms:{OURS}?&body=START"
    assert 'role="img"' in seen.html
    assert "address" not in seen.names()
    assert "I can stop it." in seen.words
    link = (await look(gateway, on_whatsapp["id"])).links[0]
    assert link["href"] == f"https://wa.me/{OURS_ON_WHATSAPP[1:]}?text=START"
    assert (link["target"], link["rel"]) == ("_blank", "noopener noreferrer")
    posted = await gateway.send(
        "POST", f"/forms/{texted['id']}", data=b"address=x", headers={"Content-Type": URLENCODED}
    )
    assert posted.status == 410


async def test_the_terms_are_shown_as_well_where_no_number_is_typed(gateway: Gateway) -> None:
    texted, both = await make(gateway, channel="sms"), await make(gateway, channel="sms", entry="both")
    without = await make(gateway, channel="sms", terms=False)
    texts = {"en": {"text": "Our terms.", "link": f"{SITE}/terms"}}
    await gateway.api("PUT", "/v1/settings/terms", json={"texts": texts})
    shown = {one["id"]: (await look(gateway, one["id"])).words.count("Our terms.") for one in (texted, both, without)}
    assert shown == {texted["id"]: 1, both["id"]: 1, without["id"]: 0}


async def test_the_keyword_and_the_number_are_those_of_its_connection(gateway: Gateway) -> None:
    rule = {"channel": "sms", "keyword": "OPERA", "action": "opt_in", "received_on": SECOND_NUMBER}
    made_rule = await gateway.api("POST", "/v1/rules", json=rule)
    got = await gateway.ask(
        "POST", "/v1/forms", json={"description": "x", "channel": "sms", "keyword": "OPERA", **WORDS}
    )
    assert (got.status, got.json["errors"][0]["field"]) == (422, "keyword"), "at the first number it does nothing"
    made = await make(gateway, channel="sms", connection="second", keyword="opera")
    assert "Text opera to +1 415-555-0102." in (await look(gateway, made["id"])).words
    usual = await make(gateway, channel="sms", connection="second")
    assert "Text OPERA to" in (await look(gateway, usual["id"])).words, "a rule for this very number comes first"
    await gateway.api("PATCH", f"/v1/rules/{made_rule['id']}", json={"active": False})
    assert "Text START to" in (await look(gateway, usual["id"])).words
    assert (await look(gateway, made["id"])).status == 410, "what it says would do nothing any more"


async def test_a_number_may_be_typed_where_the_form_says_so(gateway: Gateway) -> None:
    made = await make(gateway, channel="sms", entry="both")
    seen = await look(gateway, made["id"])
    field = seen.field("address")
    assert (field["type"], field["autocomplete"], field["inputmode"]) == ("tel", "tel", "tel")
    assert "Text START to" in seen.words
    for number, why in (
        ("+44 7400 123456", "We cannot text to numbers of this country"),
        ("+1 800 555 0123", "We can text to mobile numbers only"),
        ("12", "Enter a mobile number, with + and the country code"),
        ("", "Enter your mobile number"),
    ):
        assert (await fill(gateway, made["id"], number)).why("address") == why
    sent = await fill(gateway, made["id"], "(415) 555-0123")
    assert (sent.status, await sent_in(gateway)) == (200, 1)
    assert "Answer it with YES" in sent.words
    assert "text START to +1 415-555-0100" in sent.words


# --- from elsewhere ------------------------------------------------------------------------------


async def test_a_form_that_is_sent_in_again_under_its_key_is_sent_in_once(gateway: Gateway) -> None:
    """The submission and the answer that its Idempotency-Key keeps stand in one transaction."""
    made = await make(gateway)
    path, key = f"/v1/forms/{made['id']}/submissions", {"Idempotency-Key": "sign-up-7"}
    first, *again = await asyncio.gather(
        *(gateway.ask("POST", path, json={"address": MAIL}, headers=key) for _ in range(5))
    )
    assert {got.status for got in (first, *again)} == {202}
    assert await sent_in(gateway) == 1
    assert [row["path"] for row in await gateway.rows("idempotency_keys")] == [path]
    replayed = await gateway.ask("POST", path, json={"address": MAIL}, headers=key)
    assert (replayed.status, replayed.headers["Idempotency-Replayed"]) == (202, "true")


async def test_a_server_of_ours_sends_a_form_in_with_its_key(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    made = await make(gateway, fields=["first_name"], preferences=[{"name": "Drama"}])
    path = f"/v1/forms/{made['id']}/submissions"
    given = {
        "address": MAIL,
        "fields": {"first_name": "Ana"},
        "preferences": {"Drama": True},
        "page": PAGE,
        "ip": "192.0.2.7",
    }
    answers = [await gateway.ask("POST", path, json=given | {"address": one}) for one in (MAIL, "ben@example.org")]
    assert [(got.status, got.json) for got in answers] == [(202, {"status": "accepted"})] * 2
    assert (await gateway.api("POST", path, status=202, json={"address": MAIL, "preferences": ["Drama"]})) == {
        "status": "accepted"
    }
    for wrong, field in (
        ({"address": "ana"}, "address"),
        ({"fields": {"last_name": "Ruiz"}}, "fields.last_name"),
        ({"fields": {"first_name": "x" * 201}}, "fields.first_name"),
        ({"preferences": {"Opera": True}}, "preferences"),
        ({"nonce": "x"}, "nonce"),
    ):
        got = await gateway.ask("POST", path, json=given | wrong)
        assert (got.status, got.json["errors"][0]["field"]) == (422, field)
    assert await sent_in(gateway) == 3
    assert (await gateway.ask("POST", "/v1/forms/frm_nobody/submissions", json=given)).status == 404
    await gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"active": False})
    assert (await gateway.ask("POST", path, json=given)).json["type"].endswith("/form-closed")
    texted = await make(gateway, channel="sms")
    assert (await gateway.ask("POST", f"/v1/forms/{texted['id']}/submissions", json={"address": ANA})).status == 409


async def test_what_a_server_says_was_ticked_is_an_answer_also_where_the_form_preselects_it(gateway: Gateway) -> None:
    await preference(gateway, "Opera", selected_by_default=True)
    made = await make(gateway, confirm="none", preferences=[{"name": "Opera"}])
    body = {"address": MAIL, "preferences": {"Opera": True}}
    await gateway.api("POST", f"/v1/forms/{made['id']}/submissions", status=202, json=body)
    [ana] = await gateway.whose(f"email:{MAIL}")
    assert ana["consent"]["preferences"]["Opera"]["state"] == "yes"
    [shown] = (await proof(gateway))["preferences"]
    assert (shown["preselected"], shown["untouched"]) == (True, False)


async def test_a_statement_that_was_not_shown_or_not_agreed_to_is_no_yes(gateway: Gateway) -> None:
    for name in ("Drama", "Updates"):
        await preference(gateway, name)
    asked = [{"name": "Drama"}, {"name": "Updates", "as": "statement"}]
    made = await make(gateway, confirm="none", preferences=asked)
    path = f"/v1/forms/{made['id']}/submissions"
    for said in ({"Updates": False}, {}, {"Drama": True}):
        for got in (
            await gateway.ask("POST", path, json={"address": MAIL, "preferences": said}),
            await posted(gateway, made["id"], {"address": MAIL, "preferences": said}, Origin=SITE),
        ):
            [error] = got.json["errors"]
            assert (got.status, error["field"], "send true" in error["message"]) == (422, "preferences.Updates", True)
    assert await sent_in(gateway) == 0
    await gateway.api("POST", path, status=202, json={"address": MAIL, "preferences": {"Updates": True}})
    [ana] = await gateway.whose(f"email:{MAIL}")
    assert {name: one["state"] for name, one in ana["consent"]["preferences"].items()} == {"Updates": "yes"}
    listed = {"address": "ben@example.org", "preferences": ["Drama"]}
    await gateway.api("POST", path, status=202, json=listed)
    [ben] = await gateway.whose("email:ben@example.org")
    assert {one["state"] for one in ben["consent"]["preferences"].values()} == {"yes"}


async def posted(gateway: Gateway, form_id: str, body: Any, **headers: str) -> Any:
    """As a browser on another site's page posts, without a key."""
    data = json.dumps(body).encode() if isinstance(body, dict) else body
    kind = "application/json" if isinstance(body, dict) else URLENCODED
    return await gateway.send(
        "POST", f"/v1/forms/{form_id}/submissions", data=data, headers={"Content-Type": kind, **headers}
    )


async def test_a_page_of_an_allowed_site_may_post_by_script(gateway: Gateway) -> None:
    made = await make(gateway)
    path = f"/v1/forms/{made['id']}/submissions"
    asked = await gateway.send("OPTIONS", path, headers={"Origin": SITE, "Access-Control-Request-Method": "POST"})
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (204, SITE)
    assert asked.headers["Access-Control-Allow-Headers"] == "Content-Type"
    got = await posted(gateway, made["id"], {"address": MAIL}, Origin=SITE)
    assert (got.status, got.json, got.headers["Access-Control-Allow-Origin"]) == (202, {"status": "accepted"}, SITE)
    assert "Access-Control-Allow-Credentials" not in got.headers
    wrong = await posted(gateway, made["id"], {"address": "ana"}, Origin=SITE)
    assert (wrong.status, wrong.headers["Access-Control-Allow-Origin"]) == (422, SITE), (
        "its script may read what is wrong"
    )
    assert await sent_in(gateway) == 1


async def test_no_other_site_may_post_without_a_key(gateway: Gateway) -> None:
    made = await make(gateway)
    path = f"/v1/forms/{made['id']}/submissions"
    for origin in ("https://evil.example", "null", f"{SITE}.evil.example", SITE.upper(), f"{SITE}/"):
        for body in ({"address": MAIL}, b"address=ana%40example.org"):
            got = await posted(gateway, made["id"], body, Origin=origin)
            assert (got.status, "Access-Control-Allow-Origin" in got.headers) == (403, False), origin
        asked = await gateway.send("OPTIONS", path, headers={"Origin": origin, "Access-Control-Request-Method": "POST"})
        assert (asked.status, "Access-Control-Allow-Origin" in asked.headers) == (403, False)
    assert (await posted(gateway, made["id"], {"address": MAIL})).status == 401
    assert (await posted(gateway, "frm_nobody", {"address": MAIL}, Origin=SITE)).status == 403
    assert (await posted(gateway, made["id"], {"address": MAIL}, Origin=SITE, Authorization="Bearer x")).status == 401
    for more in ({"own_html": False}, {"proof_of_work": True}):
        own_page = await make(gateway, **more)
        assert (await posted(gateway, own_page["id"], {"address": MAIL}, Origin=SITE)).status == 403, (
            "who writes an Origin may be a program, which passes by the nonce"
        )
    assert await sent_in(gateway) == 0


async def test_an_ordinary_form_of_the_site_leads_to_our_pages(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    made = await make(gateway, fields=["first_name"], preferences=[{"name": "Drama", "required": True}])
    browser = {"Origin": SITE, "Accept": "text/html,*/*", "Referer": PAGE}
    right = b"address=ana%40example.org&first_name=Ana&preference=Drama"
    sent = Seen(await posted(gateway, made["id"], right, **browser))
    assert (sent.status, "One step is left" in sent.words) == (200, True)
    plain = await posted(gateway, made["id"], right, Origin=SITE)
    assert (plain.status, plain.json) == (202, {"status": "accepted"})
    wrong = Seen(await posted(gateway, made["id"], b"address=ana&first_name=Ana", **browser))
    assert (wrong.status, wrong.field("first_name")["value"]) == (422, "Ana")
    assert f'action="../../../forms/{made["id"]}"' in wrong.html, "where it can be mended"
    quiet = await posted(gateway, made["id"], right + b"&website=x", Origin=SITE)
    assert (quiet.status, quiet.json) == (202, {"status": "accepted"})
    assert await sent_in(gateway) == 2


@pytest.mark.timeout(300)
async def test_whatever_a_site_posts_is_no_fault_of_ours(gateway: Gateway) -> None:
    made = await make(gateway, fields=["first_name"])
    for name, kind, body, more in bodies(gateway):
        headers = {"Content-Type": kind, "Origin": SITE, **more}
        got = await gateway.send("POST", f"/v1/forms/{made['id']}/submissions", data=body or None, headers=headers)
        assert 400 <= got.status < 500, (name, got.status)
    assert await sent_in(gateway) == 0


@pytest.mark.parametrize("id_", ["%00", "frm_%00", "%ED%A0%80", "%ff"])
async def test_a_form_by_a_name_that_no_database_keeps_is_none(gateway: Gateway, id_: str) -> None:
    site = {"Origin": SITE, "Content-Type": URLENCODED}
    path = f"/v1/forms/{id_}/submissions"
    asked = [("GET", f"/forms/{id_}", 404), ("POST", f"/forms/{id_}", 404), ("OPTIONS", path, 403), ("POST", path, 403)]
    for method, where, status in asked:
        assert (await gateway.send(method, where, data=b"address=a", headers=site)).status == status, method


async def test_a_name_that_no_database_keeps_ticks_nothing(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    made = await make(gateway, preferences=[{"name": "Drama"}])
    site = {"Origin": SITE, "Content-Type": URLENCODED}
    body = f"address={MAIL}&preference=%00&preference=%ED%A0%80".encode()
    assert (await gateway.send("POST", f"/v1/forms/{made['id']}/submissions", data=body, headers=site)).status == 202
    [asked] = await gateway.rows("confirmations")
    assert [one["to"] for one in asked["wishes"] if one["kind"] == "preference"] == ["no"]


# --- filled in by a signed link ---------------------------------------------------------------------


def own(gateway: Gateway, person: dict[str, Any], form_id: str) -> str:
    """The query of somebody's own link to a form."""
    opened = Opened(person["id"], None, "account", gateway.clock().replace(microsecond=0), None, form_id)
    return f"?for={gateway.house.manage_links.token(opened)}"


async def test_a_signed_link_fills_the_form_in_for_its_person_alone(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    opera = await preference(gateway, "Opera", selected_by_default=True)
    made = await make(
        gateway, fields=["first_name", "attributes.seat"], preferences=[{"name": "Drama"}, {"name": "Opera"}]
    )
    other = await make(gateway)
    ana = await gateway.person(
        f"email:{MAIL}",
        first_name="Ana",
        locale="es",
        attributes={"seat": "stalls"},
        consent={"preferences": {"Drama": "yes"}},
    )
    opened = Opened(ana["id"], None, "account", gateway.clock().replace(microsecond=0), f"{SITE}:8443", made["id"])
    token = gateway.house.manage_links.token(opened)
    seen = await look(gateway, made["id"], f"?for={token}")
    assert (seen.field("address")["value"], seen.field("first_name")["value"]) == (MAIL, "Ana")
    assert seen.field("attributes.seat")["value"] == "stalls"
    assert [one.is_checked for one in seen.fields if one["name"] == "preference"] == [True, False]
    assert not seen.field("preference", opera["id"]).is_checked, "preselected is for new people only"
    assert seen.language == "es"
    assert f"{SITE}:8443" in seen.policy["frame-ancestors"]
    wrong = await send(gateway, made["id"], seen, "ana", query=f"?for={token}")
    assert f"?for={token}" in wrong.html.replace("&amp;", "&"), "it stays hers when something is wrong"
    for path, query in ((other["id"], f"?for={token}"), (made["id"], f"?for=x{token}"), (made["id"], "?for=")):
        stranger = await look(gateway, path, query)
        assert (stranger.status, MAIL in stranger.html) == (200, False)
    gateway.clock.advance(hours=3)
    assert MAIL not in (await look(gateway, made["id"], f"?for={token}")).html, "a link is handed on, and stays about"


async def test_a_yes_that_has_ended_is_not_ticked_for_its_person(gateway: Gateway) -> None:
    """Nobody says it once more by sending the form in as it is."""
    drama = await preference(gateway, "Drama")
    made = await make(gateway, preferences=[{"name": "Drama"}])
    ana = await gateway.person(f"email:{MAIL}")
    ends = (gateway.clock() + timedelta(days=1)).isoformat()
    await gateway.say(ana["id"], preferences={"Drama": "yes"}, basis="implied", expires_at=ends)
    seen = await look(gateway, made["id"], own(gateway, ana, made["id"]))
    assert seen.field("preference", drama["id"]).is_checked
    gateway.clock.advance(days=1)
    seen = await look(gateway, made["id"], own(gateway, ana, made["id"]))
    assert not seen.field("preference", drama["id"]).is_checked


async def test_what_is_unticked_by_a_signed_link_counts_at_once_and_what_is_ticked_is_asked(gateway: Gateway) -> None:
    await preference(gateway, "Drama")
    opera = await preference(gateway, "Opera")
    made = await make(gateway, preferences=[{"name": "Drama"}, {"name": "Opera"}])
    ana = await gateway.person(f"email:{MAIL}", consent={"preferences": {"Drama": "yes"}})
    query = own(gateway, ana, made["id"])
    seen = await fill(gateway, made["id"], MAIL, ticked=[opera["id"]], query=query)
    assert "What you unticked counts already." in seen.words
    assert await gateway.verdict(ana["id"], "email", preference="Drama") == "preference_no"
    assert await gateway.verdict(ana["id"], "email", preference="Opera") == "preference_not_asked"
    [line] = (await gateway.history(ana["id"]))[:1]
    assert (line["source"], line["subject"]["name"], line["to"]) == ("form", "Drama", "no")


@pytest.fixture
async def drama_for_ana(gateway: Gateway) -> dict[str, Any]:
    """Ana, who gets news of drama by e-mail."""
    await preference(gateway, "Drama")
    said = {"channels": {"email": "yes"}, "preferences": {"Drama": "yes"}}
    return dict(await gateway.person(f"email:{MAIL}", consent=said))


async def gets_drama(gateway: Gateway, person: dict[str, Any]) -> bool:
    return await gateway.verdict(person["id"], "email", preference="Drama") == "opted_in"


@pytest.mark.parametrize("typed", [MAIL, "ANA@example.org"])
async def test_a_no_by_ones_own_link_goes_past_the_budget_that_strangers_have_spent(
    gateway: Gateway, drama_for_ana: dict[str, Any], typed: str
) -> None:
    made = await make(gateway, preferences=[{"name": "Drama"}])
    for place in range(5):
        await fill(gateway, made["id"], f"ana+{place}@example.org")
    assert await gets_drama(gateway, drama_for_ana)
    kept = await sent_in(gateway)
    ticked = [one["id"] for one in await gateway.rows("preferences")]
    query = own(gateway, drama_for_ana, made["id"])
    await fill(gateway, made["id"], MAIL, ticked=ticked, query=query)
    assert (await sent_in(gateway), await gets_drama(gateway, drama_for_ana)) == (kept, True), "there is no no in it"
    seen = await fill(gateway, made["id"], typed, query=query)
    assert (seen.status, "What you unticked counts already." in seen.words) == (200, True)
    assert not await gets_drama(gateway, drama_for_ana)
    again = await fill(gateway, made["id"], typed, query=query)
    assert "What you unticked counts already." in again.words
    assert await sent_in(gateway) == kept + 1, "what stands already is not kept again beyond the budget"


@pytest.mark.parametrize("spent", [False, True])
async def test_a_no_by_ones_own_link_takes_back_what_a_stranger_asked_for_also_where_it_stands(
    gateway: Gateway, drama_for_ana: dict[str, Any], spent: bool
) -> None:
    await gateway.say(drama_for_ana["id"], preferences={"Drama": "no"}, by={"kind": "customer"})
    gateway.clock.advance(minutes=1)
    made = await make(gateway, preferences=[{"name": "Drama"}])
    await fill(gateway, made["id"], MAIL, ticked=[one["id"] for one in await gateway.rows("preferences")])
    question = await confirm_path(gateway, MAIL)
    for _ in range(5 if spent else 0):
        await fill(gateway, made["id"], MAIL)
    seen = await fill(gateway, made["id"], MAIL, query=own(gateway, drama_for_ana, made["id"]))
    assert "What you unticked counts already." in seen.words
    assert (await gateway.send("POST", question)).status == 410
    assert not await gets_drama(gateway, drama_for_ana)


async def test_a_no_by_ones_own_link_is_said_again_and_opened_by_nothing_said_before_it(
    gateway: Gateway, drama_for_ana: dict[str, Any]
) -> None:
    await gateway.say(drama_for_ana["id"], preferences={"Drama": "no"}, by={"kind": "customer"})
    made = await make(gateway, preferences=[{"name": "Drama"}])
    gateway.clock.advance(hours=1)
    by_phone = {"obtained_at": gateway.clock().isoformat(), "how": "by phone"}
    gateway.clock.advance(hours=1)
    await fill(gateway, made["id"], MAIL, query=own(gateway, drama_for_ana, made["id"]))
    await gateway.say(drama_for_ana["id"], preferences={"Drama": "yes"}, evidence=by_phone, status=409)


async def test_a_form_of_the_sites_own_html_is_nobodys_own_link(
    gateway: Gateway, drama_for_ana: dict[str, Any]
) -> None:
    made = await make(gateway, preferences=[{"name": "Drama"}])
    path = f"/v1/forms/{made['id']}/submissions{own(gateway, drama_for_ana, made['id'])}"
    headers = {"Origin": SITE, "Content-Type": URLENCODED}
    got = await gateway.send("POST", path, data=b"address=ana%40example.org", headers=headers)
    assert (got.status, await sent_in(gateway)) == (202, 1)
    assert await gets_drama(gateway, drama_for_ana), "it is asked, as of anybody who types her address"


@pytest.mark.parametrize("spent", [False, True])
async def test_what_a_system_had_turned_to_no_is_declined_for_good_by_ones_own_link(
    gateway: Gateway, drama_for_ana: dict[str, Any], spent: bool
) -> None:
    await gateway.say(drama_for_ana["id"], preferences={"Drama": "no"})
    made = await make(gateway, preferences=[{"name": "Drama"}])
    for place in range(5 if spent else 0):
        await fill(gateway, made["id"], f"ana+{place}@example.org")
    for _ in range(2):
        await fill(gateway, made["id"], MAIL, query=own(gateway, drama_for_ana, made["id"]))
    said = [line["source"] for line in await gateway.history(drama_for_ana["id"])]
    assert said[said.index("api") - 1] == "form"
    assert said.count("form") == (1 if spent else 2), "beyond the budget what stands is not said again"
    await gateway.say(drama_for_ana["id"], preferences={"Drama": "yes"}, status=409)


async def test_where_a_form_is_full_a_no_by_ones_own_link_is_taken_alone_and_told(
    gateway: Gateway, drama_for_ana: dict[str, Any]
) -> None:
    opera = await preference(gateway, "Opera")
    made = await make(gateway, confirm="none", preferences=[{"name": "Drama"}, {"name": "Opera"}])
    await gateway.restart(forms=gateway.settings.forms.model_copy(update={"posts_per_form": 1}))
    await fill(gateway, made["id"], "ben@example.org")
    query = own(gateway, drama_for_ana, made["id"])
    seen = await fill(gateway, made["id"], MAIL, ticked=[opera["id"]], query=query)
    assert (seen.status, "What you unticked counts already." in seen.words) == (429, True)
    said = (await gateway.profile(drama_for_ana["id"]))["consent"]["preferences"]
    assert (said["Drama"]["state"], "Opera" in said and said["Opera"]["state"] == "yes") == ("no", False)
    assert defence.seen_by(gateway.app[DESK], seen.field("nonce")["value"]) == defence.Seen(
        made["id"], 1, f"{SITE}/news", "en", is_filled_in=True
    ), "the page that is shown again tells what it shows"
    stranger = await fill(gateway, made["id"], MAIL)
    assert (stranger.status, "What you unticked counts already." in stranger.words) == (429, False)


async def test_what_a_browser_fills_in_unseen_loses_no_no_by_ones_own_link(
    gateway: Gateway, drama_for_ana: dict[str, Any]
) -> None:
    made = await make(gateway, preferences=[{"name": "Drama"}])
    await fill(gateway, made["id"], MAIL, query=own(gateway, drama_for_ana, made["id"]), website="https://a.example")
    assert not await gets_drama(gateway, drama_for_ana)


@pytest.mark.parametrize("existing", ["update", "ignore"])
@pytest.mark.parametrize("is_open_before", [True, False])
async def test_a_no_by_ones_own_link_counts_however_old_the_link_is(
    gateway: Gateway, drama_for_ana: dict[str, Any], existing: str, is_open_before: bool
) -> None:
    opera = await preference(gateway, "Opera")
    made = await make(gateway, existing=existing, preferences=[{"name": "Drama"}, {"name": "Opera"}])
    query = own(gateway, drama_for_ana, made["id"])
    seen = await look(gateway, made["id"], query) if is_open_before else None
    gateway.clock.advance(hours=3)
    seen = seen or await look(gateway, made["id"], query)
    assert (MAIL in seen.html) == is_open_before
    after = await send(gateway, made["id"], seen, MAIL, ticked=[opera["id"]], query=query)
    assert (after.status, "What you unticked counts already." in after.words) == (200, True)
    assert not await gets_drama(gateway, drama_for_ana)
    assert await gateway.verdict(drama_for_ana["id"], "email", preference="Opera") == "preference_not_asked"


async def test_that_a_no_counts_already_is_said_where_it_does(gateway: Gateway, drama_for_ana: dict[str, Any]) -> None:
    made = await make(gateway, preferences=[{"name": "Drama"}])
    query = own(gateway, drama_for_ana, made["id"])
    ticked = [one["id"] for one in await gateway.rows("preferences")]
    for address, given in (("ana.new@example.org", []), (MAIL, ticked)):
        seen = await fill(gateway, made["id"], address, ticked=given, query=query)
        assert "counts already" not in seen.words, address
    assert await gets_drama(gateway, drama_for_ana)


async def test_a_link_shows_nothing_of_anybody_else(gateway: Gateway) -> None:
    made = await make(gateway, fields=["first_name"])
    ana = await gateway.person(f"email:{MAIL}", first_name="Ana")
    await gateway.person("email:ben@example.org", f"sms:{BEN}", first_name="Benjamin")
    now = gateway.clock().replace(microsecond=0)
    for way in ("message", "account"):
        token = gateway.house.manage_links.token(Opened(ana["id"], None, way, now, None, made["id"]))  # type: ignore[arg-type]
        html = (await look(gateway, made["id"], f"?for={token}")).html
        assert ("Benjamin" in html, MAIL in html) == (False, way == "account")
    await gateway.api("DELETE", f"/v1/profiles/{ana['id']}", status=204)
    assert MAIL not in (await look(gateway, made["id"], f"?for={token}")).html


async def test_a_connection_that_is_gone_is_warned_of(gateway: Gateway) -> None:
    made = await make(gateway)
    rest = {name: one for name, one in gateway.settings.connections.items() if name != "mail"}
    await gateway.restart(connections=rest)
    [warning] = (await gateway.api("GET", f"/v1/forms/{made['id']}"))["warnings"]
    assert "no connection for email is configured" in warning


# --- what it comes to -----------------------------------------------------------------------------


async def test_a_yes_on_the_page_makes_a_broadcast_send_and_what_was_shown_is_its_proof(gateway: Gateway) -> None:
    drama, opera = await preference(gateway, "Drama"), await preference(gateway, "Opera")
    news = await preference(gateway, "News", selected_by_default=True)
    boxes = [{"name": "Drama"}, {"name": "Opera"}, {"name": "News"}]
    made = await make(gateway, confirm="none", fields=["first_name"], preferences=boxes, tags=["web"])
    browser = {"User-Agent": "A browser"}
    await fill(gateway, made["id"], MAIL, ticked=[drama["id"], news["id"]], headers=browser, first_name="Ana")
    [ana] = await gateway.whose(f"email:{MAIL}")
    assert (ana["first_name"], ana["tags"]) == ("Ana", ["web"])
    answers = {name: one["state"] for name, one in ana["consent"]["preferences"].items()}
    assert answers == {"Drama": "yes", "Opera": "no"}, "what was preselected and left so is no answer"
    [line] = [
        one for one in await gateway.history(ana["id"]) if one["subject"] == {"kind": "channel", "channel": "email"}
    ]
    proof = line["evidence"]
    assert (line["source"], line["actor"], line["address"]) == ("form", "customer", MAIL)
    assert (proof["form_id"], proof["version"], proof["language"]) == (made["id"], 1, "en")
    assert (proof["page"], proof["ip"], proof["user_agent"]) == (f"{SITE}/news", "127.0.0.1", "A browser")
    assert proof["wording"] == (
        "[x] Drama, please\n[ ] Opera, please\n[x] News, please\n"
        "Write to me about once a month.\nI can stop it.\n[Sign me up]"
    )
    assert opera["id"] in str(proof["preferences"])
    shown = (await gateway.api("GET", f"/v1/forms/{made['id']}/versions"))["items"]
    assert [one["confirmation_message"] for one in shown] == [WORDS["confirmation_message"]]
    for name, reason in (("Drama", None), ("Opera", "preference_no"), ("News", "preference_not_asked")):
        sent = await gateway.sent({"all": True}, channel="email", connection="mail", preference=name, content=LETTER)
        assert sent["counts"]["by_reason"] == ({reason: 1} if reason else {}), name


async def test_a_page_from_before_the_form_asked_for_a_confirmation_is_confirmed_too(gateway: Gateway) -> None:
    made = await make(gateway, confirm="none")
    seen = await look(gateway, made["id"])
    await gateway.api("PATCH", f"/v1/forms/{made['id']}", json={"confirm": "double"})
    await send(gateway, made["id"], seen, MAIL)
    assert await sent_in(gateway) == 1
    assert await gateway.whose(f"email:{MAIL}") == []


async def _sent(gateway: Gateway) -> list[dict[str, Any]]:
    return list((await gateway.api("GET", "/v1/sandbox/messages"))["items"])


LETTER = {"subject": "On sale", "text": "Tickets are on sale."}


async def test_what_a_server_vouches_for_counts_at_once_and_what_a_site_posts_is_asked(gateway: Gateway) -> None:
    made = await make(gateway, confirm="none")
    path = f"/v1/forms/{made['id']}/submissions"
    given = {"address": MAIL, "page": f"{SITE}/shop?basket=7", "ip": "192.0.2.7", "user_agent": "Theirs"}
    await gateway.api("POST", path, status=202, json=given)
    [ana] = await gateway.whose(f"email:{MAIL}")
    assert await gateway.verdict(ana["id"], "email") == "opted_in"
    proof = (await gateway.history(ana["id"]))[0]["evidence"]
    assert (proof["page"], proof["ip"], proof["user_agent"], proof["by"]) == (
        f"{SITE}/shop",
        "192.0.2.7",
        "Theirs",
        "key:crm",
    )
    await posted(gateway, made["id"], {"address": "ben@example.org"}, Origin=SITE)
    assert await gateway.whose("email:ben@example.org") == [], "anybody's browser can post that"
    [question] = await eventually(lambda: _sent(gateway))
    assert question["to"] == "ben@example.org"


async def test_who_texts_us_what_the_form_says_is_opted_in(gateway: Gateway) -> None:
    made = await make(gateway, channel="sms")
    keyword = re.search(r"body=(\w+)", str((await look(gateway, made["id"])).links[0]["href"]))
    assert keyword
    await gateway.text_in(keyword[1], ANA)
    [ana] = await gateway.whose(f"sms:{ANA}")
    assert await gateway.verdict(ana["id"]) == "opted_in"


async def by_each(gateway: Gateway) -> dict[str, str]:
    """A form for each channel into which a number is typed, by the channel."""
    return {channel: (await make(gateway, channel=channel, entry="typed"))["id"] for channel in ("sms", "whatsapp")}


async def test_a_number_is_asked_once_in_a_day_by_which_channel_soever(gateway: Gateway) -> None:
    for form_id in (await by_each(gateway)).values():
        await fill(gateway, form_id, ANA)
    [asked] = await gateway.rows("confirmations")
    assert asked["channel"] == "sms"


async def test_a_number_that_texted_stop_is_not_asked_by_another_channel(gateway: Gateway) -> None:
    made = await by_each(gateway)
    await gateway.text_in("STOP", ANA)
    await fill(gateway, made["whatsapp"], ANA)
    assert await gateway.rows("confirmations") == []


async def test_a_stop_by_text_keeps_nobody_from_answering_where_they_are_written_to(gateway: Gateway) -> None:
    opera = await preference(gateway, "Opera")
    made = await make(gateway, channel="whatsapp", entry="typed", preferences=[{"name": "Opera"}])
    await gateway.person(f"whatsapp:{ANA}", f"sms:{ANA}", consent={"channels": {"whatsapp": "yes"}})
    await gateway.text_in("STOP", ANA)
    await fill(gateway, made["id"], ANA, ticked=[opera["id"]])
    [asked] = await gateway.rows("confirmations")
    assert asked["channel"] == "whatsapp"


async def test_a_typed_number_is_asked_by_text_and_answers_it(gateway: Gateway) -> None:
    made = await make(gateway, channel="sms", connection="box", entry="typed")
    await fill(gateway, made["id"], ANA)
    [question] = await eventually(lambda: _sent(gateway))
    assert (question["to"], "YES" in question["body"]) == (ANA, True)
    assert await gateway.whose(f"sms:{ANA}") == []
    await gateway.sandbox_in("Yes", ANA)
    [ana] = await gateway.whose(f"sms:{ANA}")
    assert await gateway.verdict(ana["id"]) == "opted_in"
