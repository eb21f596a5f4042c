"""Errors as answers: RFC 9457 problem documents, and the one place where a domain error gets its status."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web
from pydantic import ValidationError

from channels.values import Forged, Malformed, Unproved
from consent.groups import HeadlineTaken, UnknownGroup
from consent.moves import Refused
from consent.preferences import NameTaken, UnknownPreference, WrongGroup
from forms.catalogue import InUse
from forms.wishes import BadForm
from inbox.rulebook import Builtin
from outbox.dispositions import DispositionTaken, UnknownDisposition
from outbox.interactions import NeedsAddress, Retired
from profiles.records import MOST_CHARACTERS, AttributesTooLarge, ExternalIdTaken
from store.engine import DatabaseAway, is_away
from store.order import BadOrder

MOST_NAMED = 1000  # fields
TYPES = "https://optgate.dev/problems"  # names, not pages


class Problem(Exception):
    """An answer that is an error; `type` is the last part of the problem's type."""

    def __init__(
        self,
        status: int,
        type_: str,
        title: str,
        detail: str = "",
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(f"{status} {type_}")
        self.status = status
        self.is_about_key = type_.startswith("idempotency-key")  # of the Idempotency-Key itself, not of what was asked
        self.headers = dict(headers or {})
        self.document: dict[str, Any] = {"type": f"{TYPES}/{type_}", "title": title, "status": status}
        if detail:
            self.document["detail"] = detail
        if errors:
            self.document["errors"] = [dict(error) for error in errors]
        self.document.update(more)

    def response(self) -> web.Response:
        return web.Response(
            status=self.status,
            body=json.dumps(self.document).encode(),
            content_type="application/problem+json",
            headers=self.headers,
        )


def invalid(field: str, message: str) -> Problem:
    """422 for one field."""
    return invalid_fields([{"field": field, "message": message}])


def invalid_fields(errors: Sequence[Mapping[str, str]]) -> Problem:
    detail = "; ".join(
        f"{error['field']}: {error['message']}" if error["field"] else error["message"] for error in errors
    )
    return Problem(422, "invalid", "The request cannot be carried out as it is", detail[:1000], errors=errors)


def not_found(what: str) -> Problem:
    return Problem(404, "not-found", "Not found", f"there is no {what} here")


def unauthorised() -> Problem:
    return Problem(
        401,
        "unauthorised",
        "An API key is needed",
        "send `Authorization: Bearer KEY`; `optgate key create NAME` makes one",
        headers={"WWW-Authenticate": 'Bearer realm="optgate"'},
    )


def internal() -> Problem:
    """For a surprise, which whoever answers with this has logged."""
    return Problem(500, "internal", "Something went wrong here", "it was logged; nothing was acknowledged")


def away() -> Problem:
    return Problem(
        503,
        "database-away",
        "The database cannot be reached",
        "nothing of it was acknowledged, and it may have been written or not: try again",
        headers={"Retry-After": "5"},
    )


def from_validation(error: ValidationError) -> Problem:
    """422 with a line for each field; never the values. Of a body that is wrong throughout, only that: to name a
    hundred thousand fields takes a second in which nobody else is served."""
    if error.error_count() > MOST_NAMED:
        return invalid("", f"{error.error_count():,} things in it are wrong: compare it with the reference, /docs")
    return invalid_fields(
        [
            {
                "field": ".".join(str(part) for part in e["loc"]),
                "message": "there is no such field"
                if e["type"] == "extra_forbidden"
                else str(e["msg"]).removeprefix("Value error, "),
            }
            for e in error.errors(include_input=False, include_url=False)
        ]
    )


_REFUSALS = {
    "needs_evidence": "the person said no: a yes needs `evidence` with `obtained_at` after that no, and `how`",
    "persons_no": "the person said no: it cannot be set back to not asked",
    "machine": "a no is never turned by a machine",
}


def _refused(error: Refused) -> Problem:
    why = error.refusals[0].why
    return Problem(
        409,
        {"needs_evidence": "needs-evidence", "persons_no": "persons-no", "machine": "persons-no"}[why],
        "A person's no stands",
        _REFUSALS[why],
        errors=[
            {"field": f"{r.subject.kind} {r.subject.key}".strip(), "message": _REFUSALS[r.why]} for r in error.refusals
        ],
    )


def from_exception(error: Exception) -> Problem | None:
    """The problem an exception stands for; None for a surprise."""
    match error:
        case Problem():
            return error
        case ValidationError():
            return from_validation(error)
        case Refused():
            return _refused(error)
        case Forged() | Malformed() | Unproved():
            return _of_a_webhook(error)
        case ExternalIdTaken():
            return Problem(
                409,
                "external-id-taken",
                "Another profile has this external id",
                f"it is {error}",
                profile_id=str(error),
            )
        case AttributesTooLarge():
            return invalid("attributes", f"all of them together, as JSON, hold at most {MOST_CHARACTERS:,} characters")
        case NameTaken() | HeadlineTaken() | UnknownPreference() | UnknownGroup() | WrongGroup() | BadOrder():
            return _of_a_name(error)
        case DispositionTaken() | UnknownDisposition() | Retired() | NeedsAddress():
            return _of_a_talk(error)
        case BadForm() | InUse() | Builtin():
            return _stays(error)
        case DatabaseAway():
            return away()
        case web.RequestPayloadError() | web.HTTPException():
            return _of_http(error)
    return away() if is_away(error) else None


def _stays(error: BadForm | InUse | Builtin) -> Problem:
    match error:
        case BadForm():
            return invalid_fields([{"field": one.field, "message": one.message} for one in error.wrongs])
        case InUse():
            words = f"{error}: set it inactive instead, so that what it has shown stays proved"
            return Problem(409, "in-use", "It is in use", words)
        case Builtin():
            return Problem(
                409, "builtin-rule", "A built-in rule stays", "switch it off with `active: false`, or edit it"
            )


def _of_a_name(error: Exception) -> Problem:
    """What is named is there already, or is not, or stands where it cannot."""
    match error:
        case NameTaken():
            return Problem(409, "name-taken", "The name is taken", "another preference has this name")
        case HeadlineTaken():
            return Problem(409, "name-taken", "The headline is taken", "another group has this headline")
        case UnknownPreference():
            return invalid("preference", f"there is no preference named {str(error)!r}")
        case UnknownGroup():
            return invalid("group", f"there is no group with the headline or id {str(error)!r}")
        case WrongGroup():
            return invalid("group", str(error))
    return invalid("", f"the order must name each once: {error}")


def _of_a_talk(error: Exception) -> Problem:
    match error:
        case DispositionTaken():
            return Problem(409, "name-taken", "The name is taken", "another disposition has this name")
        case UnknownDisposition():
            return invalid("disposition", f"there is no disposition named {str(error)!r}")
        case Retired():
            return invalid("disposition", f"{str(error)!r} is inactive: pick another, or make it active")
    return invalid("address", "the disposition is about the address that was contacted: say which it was")


def _of_a_webhook(error: Forged | Malformed | Unproved) -> Problem:
    match error:
        case Forged():
            return Problem(403, "forged", "The signature does not hold")
        case Malformed():
            return Problem(400, "malformed", "The request cannot be understood", str(error))
        case Unproved():
            headers = {"Retry-After": "30"}
            return Problem(503, "unproved", "Whether it is genuine cannot be told now", str(error), headers=headers)


def _of_http(error: web.RequestPayloadError | web.HTTPException) -> Problem:
    if isinstance(error, web.RequestPayloadError):
        return Problem(400, "malformed", "The body cannot be read", "its encoding is broken")
    names_the_limit = isinstance(error, web.HTTPRequestEntityTooLarge)
    detail = (error.text or "") if names_the_limit else ""
    return Problem(error.status, "http", error.reason, detail, headers=_kept(error))


def _kept(error: web.HTTPException) -> dict[str, str]:
    return {name: value for name, value in error.headers.items() if name in ("Allow", "Retry-After", "Location")}
