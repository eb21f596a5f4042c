"""Questions over the API: what a page is to ask somebody, known or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from aiohttp import web
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import questions, terms
from consent.questions import Section, States
from gateway.api import people
from gateway.api import preference_shapes as shapes
from gateway.api.answers import answer
from gateway.api.base import Call, Query, Route

ASKED = (
    Query(
        "context",
        "What the page is about, such as `donation`, or `partner:NAME`: what is only asked there is asked too. May be "
        "given more than once.",
        is_many=True,
    ),
    Query("language", "Of the terms, such as `fr`; the person's own when absent, else English."),
)


async def of_all(call: Call) -> web.Response:
    """The questions for somebody who is not known yet, group by group, in order."""
    language = call.query().get("language")
    async with call.house.database.read() as conn:
        return await _asked(conn, call, None, language)


async def of_profile(call: Call) -> web.Response:
    """The questions that a person was not asked yet, or that staff left at not asked, group by group, in order."""
    language = call.query().get("language")
    async with call.house.database.read() as conn:
        profile = await people.require(conn, call.id)
        return await _asked(conn, call, await questions.answers(conn, call.id), language or profile.locale)


async def _asked(conn: AsyncConnection, call: Call, states: States | None, language: str | None) -> web.Response:
    sections = questions.to_ask(await questions.active(conn), call.many("context"), states)
    shown = await terms.current(conn, language)
    told: dict[str, Any] = {"groups": [_shown(section) for section in sections]}
    return answer(told | ({"terms": asdict(shown)} if shown is not None else {}))


def _shown(section: Section) -> dict[str, Any]:
    return {
        "headline": section.headline,
        "text": section.text,
        "questions": [
            {
                "name": one.name,
                "text": one.text,
                "description": one.description,
                "selected_by_default": one.selected_by_default,
            }
            for one in section.questions
        ],
    }


ROUTES: Sequence[Route] = (
    Route("GET", "/v1/questions", of_all, "consent:read", query=ASKED, answers={200: shapes.Questions}),
    Route(
        "GET",
        "/v1/profiles/{id}/questions",
        of_profile,
        "consent:read",
        query=ASKED,
        answers={200: shapes.Questions},
        problems=(404,),
    ),
)
