"""Lists in pages, and whether the gateway is alive and ready."""

from __future__ import annotations

import asyncio

from sqlalchemy import insert

from gateway.api.answers import PAGE_BYTES, PART
from gateway.app import DRAINING
from gateway.prepare import prepare
from profiles import records
from store.engine import Database
from store.ids import new_id
from store.tables import form_versions, forms
from tests.flows.running import Gateway


def number(place: int) -> str:
    return f"+1415555{place:04d}"


async def walked(gateway: Gateway, path: str, limit: int) -> tuple[list[str], int]:
    """Every item's id by pages of this size, and how many pages it took."""
    ids: list[str] = []
    pages = 0
    cursor = ""
    sign = "&" if "?" in path else "?"
    while True:
        page = await gateway.api("GET", f"{path}{sign}limit={limit}{cursor}")
        assert page.keys() == {"items", "next"}
        assert len(page["items"]) <= limit
        ids += [item.get("id") or item["message_id"] for item in page["items"]]
        pages += 1
        if page["next"] is None:
            return ids, pages
        cursor = f"&cursor={page['next']}"


async def test_every_list_is_read_through_its_pages_without_a_gap_or_a_repetition(gateway: Gateway) -> None:
    people = [await gateway.person(f"sms:{number(place)}", tags=["vip"]) for place in range(7)]
    await gateway.text_in("STOP", number(0))
    for person in people[1:]:
        await gateway.say(person["id"], channels={"sms": "yes"})
    for state in ("no", "yes", "no", "yes", "no", "yes"):
        await gateway.say(people[1]["id"], channels={"email": state})
    for text in ("a", "b", "c", "d"):
        await gateway.text_in(text, number(0))
    shown = await gateway.sent({"all": True}, connection="box")
    for _ in range(6):
        await gateway.broadcast({"tag": "nobody"}, connection="box")
    for name in ("a", "b", "c", "d", "e", "f", "g"):
        await gateway.api("POST", "/v1/preferences", json={"name": name})
    for path in (
        "/v1/profiles",
        "/v1/profiles?tag=vip",
        "/v1/profiles?q=555",
        "/v1/consent-events",
        "/v1/messages",
        "/v1/broadcasts",
        "/v1/preferences",
        "/v1/sandbox/messages",
        f"/v1/profiles/{people[1]['id']}/history",
        f"/v1/broadcasts/{shown['id']}/deliveries",
        "/v1/messages?direction=inbound",
    ):
        whole, one = await walked(gateway, path, 500)
        assert (len(whole) > 4, one) == (True, 1), path
        for limit in (1, 2, 3, len(whole)):
            paged, pages = await walked(gateway, path, limit)
            assert paged == whole, (path, limit)
            assert pages in (-(-len(whole) // limit), len(whole) // limit + 1), (path, limit)
    whole, _ = await walked(gateway, "/v1/rules", 500)
    assert (await walked(gateway, "/v1/rules", 60))[0] == whole


async def test_a_page_holds_fifty_unless_asked_and_five_hundred_at_most(gateway: Gateway) -> None:
    page = await gateway.api("GET", "/v1/rules")
    assert (len(page["items"]), page["next"] is None) == (50, False)
    assert len((await gateway.api("GET", "/v1/rules?limit=500"))["items"]) > 50
    for limit in ("0", "501", "-1", "1.5", "x", "1_0", "%20", "5&limit=6"):
        got = await gateway.ask("GET", f"/v1/rules?limit={limit}")
        assert (got.status, got.json["errors"][0]["field"]) == (422, "limit"), limit


async def test_a_cursor_that_is_none_of_ours_is_refused(gateway: Gateway) -> None:
    for path in (
        "/v1/profiles",
        "/v1/consent-events",
        "/v1/messages",
        "/v1/broadcasts",
        "/v1/rules",
        "/v1/preferences",
    ):
        for cursor in ("!!!!", "%00", "A", "w6k", "AAAA", "%C3%A9", "A" * 4000):
            got = await gateway.ask("GET", f"{path}?cursor={cursor}")
            assert (got.status, got.json["errors"][0]["field"]) == (422, "cursor"), (path, cursor)


async def test_alive_and_ready_until_it_drains(gateway: Gateway) -> None:
    assert (await gateway.send("GET", "/healthz")).json == {"status": "ok"}
    assert (await gateway.send("GET", "/readyz")).json == {"status": "ready"}
    gateway.app[DRAINING].set()
    ready = await gateway.send("GET", "/readyz")
    assert (ready.status, ready.json) == (503, {"status": "draining"})
    assert (await gateway.send("GET", "/healthz")).status == 200


async def test_two_starts_at_once_on_one_new_database_make_one_house(gateway: Gateway) -> None:
    """Several replicas start at the same moment (on SQLite: commands beside the gateway)."""

    others = [Database(gateway.settings.database.url) for _ in range(3)]
    books = await asyncio.gather(*(prepare(other, gateway.settings, now=gateway.clock()) for other in others))
    for other in others:
        await other.dispose()
    assert {book.key for book in books} == {gateway.house.book.key}


async def test_a_page_of_what_is_large_ends_early_and_leads_on(gateway: Gateway) -> None:
    """Five hundred of them were 32 MB, made in one go while nobody else was served."""
    fat = {"note": "é" * 65_000}
    for _ in range(3):
        await gateway.house.database.transact(
            lambda conn: records.make(conn, [{"attributes": fat}] * 40, defaults_version=0, now=gateway.clock())
        )
    ana = await gateway.person(f"sms:{number(0)}")
    for turn in range(110):
        shown = {**fat, "how": "at the desk", "obtained_at": gateway.clock().isoformat()}
        await gateway.say(ana["id"], channels={"sms": ("yes", "no")[turn % 2]}, evidence=shown)
    for path, count in (("/v1/profiles", 121), ("/v1/consent-events", 110), (f"/v1/profiles/{ana['id']}/history", 110)):
        got = await gateway.ask("GET", f"{path}?limit=500")
        assert len(got.body.decode()) < PAGE_BYTES + PART * 70_000, path
        assert len(got.json["items"]) < count
        assert got.json["next"] is not None
        ids, pages = await walked(gateway, path, 500)
        assert (len(ids), len(set(ids)), pages) == (count, count, 2), path
        assert (await walked(gateway, path, 7))[0] == ids
    sheet = await gateway.ask("GET", "/v1/consent-events?format=csv")
    assert len(sheet.body.splitlines()) == 111, "and a file is whole"


async def test_a_page_of_forms_or_of_their_versions_ends_early_too(gateway: Gateway) -> None:
    form = {"description": "f", "channel": "email", "confirmation_message": "é" * 4000, "button_text": "Yes"}
    fields = [f"attributes.a{number}" for number in range(20)]
    form |= {"headline": "h" * 200, "fields": fields, "labels": dict.fromkeys(fields, "é" * 200)}
    names = [f"Drama {number}" for number in range(50)]
    for name in names:
        await gateway.api("POST", "/v1/preferences", json={"name": name, "text": "é" * 2000})
    made = await gateway.api("POST", "/v1/forms", json=form | {"preferences": [{"name": name} for name in names]})
    [row], [version] = await gateway.rows("forms"), await gateway.rows("form_versions")
    async with gateway.house.database.write() as conn:
        more = [version | {"version": number} for number in range(2, 111)]
        await conn.execute(insert(form_versions), more)
        ids = [new_id("frm") for _ in range(109)]
        await conn.execute(insert(forms), [row | {"id": id_} for id_ in ids])
        await conn.execute(insert(form_versions), [version | {"form_id": id_} for id_ in ids])
    for path in ("/v1/forms", f"/v1/forms/{made['id']}/versions"):
        first = await gateway.api("GET", f"{path}?limit=500")
        assert len(first["items"]) == PART, path
        rest = await gateway.api("GET", f"{path}?limit=500&cursor={first['next']}")
        last = await gateway.api("GET", f"{path}?limit=500&cursor={rest['next']}")
        keys = [
            one["id" if path == "/v1/forms" else "version"] for page in (first, rest, last) for one in page["items"]
        ]
        assert (len(keys), len(set(keys)), last["next"]) == (110, 110, None)
