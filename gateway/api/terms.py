"""Terms and conditions over the API."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field, StringConstraints, field_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from consent import terms
from consent.terms import Version, Wording
from forms import catalogue
from gateway import audit
from gateway.api import preference_shapes as shapes
from gateway.api.answers import Done, answer
from gateway.api.base import Call, Route
from gateway.api.bodies import Body
from gateway.api.renewing import renew_forms

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


class TermsTextIn(Body):
    """The terms in one language."""

    text: Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
    """Shown with the preferences."""
    link: Annotated[str, StringConstraints(pattern=r"^https?://[^\s/]\S*$", max_length=2000)] | None = None
    """Where the whole of them stands."""


class TermsIn(Body):
    """The terms and conditions as they are to be from now on; none takes them away."""

    texts: Annotated[dict[str, TermsTextIn], Field(max_length=100)]
    """By language, such as `en` or `pt-BR`."""

    @field_validator("texts")
    @classmethod
    def _languages(cls, value: dict[str, TermsTextIn]) -> dict[str, TermsTextIn]:
        for language in value:
            if not _LANGUAGE.fullmatch(language):
                raise ValueError(f"{language[:20]!r} is no language: write it as en or pt-BR")
        if len({language.casefold() for language in value}) != len(value):
            raise ValueError("a language is named twice")
        return value


def shown(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "texts": {language: {"text": one.text, "link": one.link} for language, one in version.texts.items()},
        "set_at": version.set_at,
        "set_by": version.set_by,
    }


async def get(call: Call) -> web.Response:
    """The terms and conditions that hold, in all languages."""
    async with call.house.database.read() as conn:
        return answer(shown(await terms.newest(conn)))


async def put(call: Call) -> web.Response:
    """Let these terms and conditions hold from now on.

    No version is ever changed: where they differ from what holds a new one is added, for what somebody was shown must
    stay what they were shown.
    """
    body = call.body(TermsIn)
    texts = {language: Wording(one.text, one.link) for language, one in body.texts.items()}
    now = call.house.now()

    async def work(conn: AsyncConnection) -> Done:
        await catalogue.hold_words(conn)
        await terms.hold(conn)
        before = await terms.newest(conn)
        version = await terms.put(conn, texts, actor=call.actor, now=now)
        if version.version != before.version:
            detail = {"version": version.version, "languages": sorted(texts)}
            await audit.note(conn, call.actor, "terms.changed", None, detail, now=now)
            await renew_forms(conn, call, now=now)
        return Done(shown(version))

    return await call.commit(work)


ROUTES: Sequence[Route] = (
    Route("GET", "/v1/settings/terms", get, "configure", answers={200: shapes.Terms}),
    Route(
        "PUT",
        "/v1/settings/terms",
        put,
        "configure",
        TermsIn,
        example={
            "texts": {
                "en": {
                    "text": "We keep what you tell us as our privacy notice says.",
                    "link": "https://example.org/terms",
                },
                "fr": {"text": "Nous gardons ce que vous nous dites, comme le dit notre notice.", "link": None},
            }
        },
        answers={200: shapes.Terms},
    ),
)
