"""Forms for the flows: made as rows, and sent in as the pages do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert

from forms.catalogue import Shown
from forms.desk import DESK
from forms.intake import receive
from forms.submission import Submission
from store.ids import new_id
from store.tables import form_versions, forms
from tests.flows.running import Gateway, eventually

WORDS = "Send me news of new plays."


async def form(gateway: Gateway, channel: str = "email", **more: Any) -> str:
    """A form at version 3; returns its id."""
    given = {"confirmation_message": WORDS, "button_text": "Yes", "entry": "typed", "confirm": "none"}
    shown = Shown.model_validate(given | {"channel": channel} | more)
    form_id, now = new_id("frm"), gateway.clock()
    row = {"id": form_id, "description": "a form", "channel": channel, "version": 3}
    version = {"form_id": form_id, "version": 3, "body": shown.model_dump(mode="json")}
    async with gateway.house.database.write() as conn:
        await conn.execute(insert(forms), [row | {"created_at": now, "updated_at": now}])
        await conn.execute(insert(form_versions), [version | {"created_by": "key:crm", "created_at": now}])
    return form_id


async def box(gateway: Gateway, name: str, **more: Any) -> dict[str, Any]:
    """A preference as a box of a form."""
    made = await gateway.api("POST", "/v1/preferences", json={"name": name, "text": f"I like {name}"} | more)
    return {"id": made["id"], "text": made["text"]}


async def send_in(
    gateway: Gateway, form_id: str, address: str, answers: Mapping[str, bool] | None = None, **more: Any
) -> None:
    """Somebody sends the form in with this address."""
    given: dict[str, Any] = {
        "channel": "email" if "@" in address else "sms",
        "evidence": {"page": "https://www.example.org/join", "ip": "192.0.2.7", "user_agent": "Firefox"},
    }
    sent = Submission(form_id, 3, address=address, answers=dict(answers or {}), **(given | more))
    await receive(gateway.app[DESK], sent)


async def outcomes(gateway: Gateway) -> list[str]:
    """What came of each submission, in their order."""
    return [row["outcome"] for row in sorted(await gateway.rows("submissions"), key=lambda row: str(row["id"]))]


async def sandbox(gateway: Gateway, address: str, number: int = 1) -> list[dict[str, Any]]:
    """What was sent to an address by a sandbox, the oldest first, once there are so many."""

    async def enough() -> list[dict[str, Any]] | None:
        sent = (await gateway.api("GET", "/v1/sandbox/messages?limit=500"))["items"]
        found = [one for one in sent if one["to"] == address]
        return found[::-1] if len(found) >= number else None

    return await eventually(enough)  # type: ignore[return-value]


async def confirm_path(gateway: Gateway, address: str, number: int = 1) -> str:
    """The path of the link in the newest of so many questions to an address."""
    body = (await sandbox(gateway, address, number))[-1]["body"]
    return f"/confirm/{str(body).split('/confirm/')[1].split()[0]}"


async def texts(gateway: Gateway, address: str) -> list[str]:
    """What Optgate has to send, or has sent, to an address as a service."""
    asked = [one for one in await gateway.rows("deliveries") if one["class"] == "service"]
    ids = {one["id"]: one["value"] for one in await gateway.rows("addresses")}
    return [one["content"].get("body") or one["content"]["text"] for one in asked if ids[one["address_id"]] == address]
