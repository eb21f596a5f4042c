"""What a page is to ask somebody, known or not, and the terms it shows beside it."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.flows.running import ANA, Gateway
from tests.flows.test_preferences import group, preference

TERMS = "/v1/settings/terms"


async def asked(gateway: Gateway, query: str = "", profile_id: str | None = None) -> dict[str | None, list[str]]:
    """Headline → the names of the questions under it."""
    path = "/v1/questions" if profile_id is None else f"/v1/profiles/{profile_id}/questions"
    found = await gateway.api("GET", path + query)
    return {one["headline"]: [question["name"] for question in one["questions"]] for one in found["groups"]}


async def test_questions_come_group_by_group_in_order_as_the_page_needs_them(gateway: Gateway) -> None:
    await group(gateway, "News", text="Tick as many as you like.")
    await preference(gateway, "Drama", text="New plays?", description="d", group="News", selected_by_default=True)
    await preference(gateway, "Opera", group="News", order=0)
    retired = await preference(gateway, "Retired", group="News")
    await gateway.api("PATCH", f"/v1/preferences/{retired['id']}", json={"active": False})
    await preference(gateway, "Gifts", contexts=["donation", "membership"])
    await preference(gateway, "Gallery", partner="Gallery & Friends")
    assert await gateway.api("GET", "/v1/questions") == {
        "groups": [
            {
                "headline": "News",
                "text": "Tick as many as you like.",
                "questions": [
                    {"name": "Opera", "text": "Opera", "description": None, "selected_by_default": False},
                    {"name": "Drama", "text": "New plays?", "description": "d", "selected_by_default": True},
                ],
            }
        ]
    }
    assert await asked(gateway, "?context=donation") == {None: ["Gifts"], "News": ["Opera", "Drama"]}
    assert await asked(gateway, "?context=membership&context=partner:Gallery%20%26%20Friends") == {
        None: ["Gifts"], "News": ["Opera", "Drama"], "Partner organisations": ["Gallery"],
    }  # fmt: skip
    for wrong in ("?context=", "?topic=x", "?language=en&language=fr"):
        assert (await gateway.ask("GET", f"/v1/questions{wrong}")).status == 422, wrong


async def test_a_person_is_asked_only_what_they_were_not_asked(gateway: Gateway) -> None:
    for name in ("Drama", "Opera", "Dance"):
        await preference(gateway, name)
    ana = await gateway.person(f"sms:{ANA}")
    await gateway.say(ana["id"], preferences={"Drama": "yes", "Opera": "no", "Dance": "yes"})
    assert await asked(gateway, profile_id=ana["id"]) == {}
    await gateway.say(ana["id"], by={"kind": "agent", "name": "Maria"}, preferences={"Dance": "not_asked"})
    assert await asked(gateway, profile_id=ana["id"]) == {None: ["Dance"]}
    assert await asked(gateway) == {None: ["Drama", "Opera", "Dance"]}
    assert (await gateway.ask("GET", "/v1/profiles/pro_none/questions")).status == 404


async def test_terms_are_kept_in_versions_and_shown_in_the_language_asked_for(gateway: Gateway) -> None:
    assert await gateway.api("GET", TERMS) == {"version": 0, "texts": {}, "set_at": None, "set_by": None}
    assert "terms" not in await gateway.api("GET", "/v1/questions")
    english = {"text": "As our notice says.", "link": "https://example.org/terms"}
    french = {"text": "Comme le dit notre notice.", "link": None}
    first = await gateway.api("PUT", TERMS, json={"texts": {"en": english, "fr": french}})
    assert (first["version"], first["texts"], first["set_by"]) == (1, {"en": english, "fr": french}, "key:crm")
    assert await gateway.api("PUT", TERMS, json={"texts": {"fr": french, "en": english}}) == first, "nothing is new"
    pierre = await gateway.person(f"sms:{ANA}", locale="fr-CA")

    async def shown(path: str) -> dict[str, Any]:
        return dict((await gateway.api("GET", path))["terms"])

    assert await shown("/v1/questions") == {"version": 1, "language": "en", **english}
    assert await shown("/v1/questions?language=fr") == {"version": 1, "language": "fr", **french}
    assert (await shown("/v1/questions?language=de"))["language"] == "en"
    assert (await shown(f"/v1/profiles/{pierre['id']}/questions"))["language"] == "fr"
    second = await gateway.api("PUT", TERMS, json={"texts": {"fr": {"text": "Autrement."}}})
    assert (second["version"], second["texts"]) == (2, {"fr": {"text": "Autrement.", "link": None}})
    assert (await shown("/v1/questions"))["language"] == "fr", "the only one there is"
    assert (await gateway.api("PUT", TERMS, json={"texts": {}}))["version"] == 3
    assert "terms" not in await gateway.api("GET", "/v1/questions")
    kept = {(row["version"], row["language"]): row["text"] for row in await gateway.rows("terms")}
    assert kept == {(1, "en"): english["text"], (1, "fr"): french["text"], (2, "fr"): "Autrement.", (3, ""): ""}
    acts = (await gateway.api("GET", "/v1/audit?action=terms.changed", key=await gateway.key("admin")))["items"]
    assert [act["detail"]["version"] for act in acts] == [3, 2, 1]
    for wrong in (
        {"english": {"text": "x"}, "en": {}},
        {"en": {"text": ""}},
        {"en": {"text": "x", "link": "javascript:alert(1)"}},
        {"EN": {"text": "x"}},
        {"pt-BR": {"text": "x"}, "pt-br": {"text": "x"}},
    ):
        assert (await gateway.ask("PUT", TERMS, json={"texts": wrong})).status == 422, wrong


async def test_terms_that_are_put_at_once_in_other_languages_are_versions_each_of_its_own(gateway: Gateway) -> None:
    languages = ["en", "de", "fr", "es", "it", "pt", "ar", "nl"]
    put = [
        gateway.api("PUT", TERMS, json={"texts": {language: {"text": f"In {language}"}}}, status=200)
        for language in languages
    ]
    answers = await asyncio.gather(*put)
    assert sorted(one["version"] for one in answers) == list(range(1, len(languages) + 1))
    rows = await gateway.rows("terms")
    assert sorted(row["version"] for row in rows) == list(range(1, len(languages) + 1))
