"""Ordinary messages go on: once at least, signed, however long the reader is away."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.providers.sandbox import Sandbox
from gateway.scrape import WATCH
from gateway.settings import Settings
from inbox import forwards as on_their_way
from inbox.forwards import MOST_TRIES
from store.tables import forwards
from tests.flows.running import ANA, BEN, PATIENCE_SECONDS, Gateway, changed, eventually
from tests.standins.reader import SECRET, Reader


@pytest.fixture
async def reader() -> AsyncIterator[Reader]:
    async with Reader() as reader:
        yield reader


@pytest.fixture
def settings(settings: Settings, reader: Reader) -> Settings:
    box = Sandbox.model_validate({"provider": "sandbox", "channel": "email", "from": "news@example.com"})
    connections = settings.connections | {"mail": box}
    with_mail = settings.model_copy(update={"connections": connections})
    return with_mail.model_copy(
        update={"connections": changed(with_mail, "sms", **_to_url(reader.url))},
    )


def _to_url(url: str) -> dict[str, Any]:
    made = Sandbox.model_validate(
        {"provider": "sandbox", "channel": "sms", "forward_to": url, "forward_secret": SECRET}
    )
    return {"forward_to": made.forward_to, "forward_secret": made.forward_secret}


async def arrived(
    reader: Reader, number: int = 1, *, seconds: float = PATIENCE_SECONDS
) -> list[tuple[str, dict[str, Any]]]:
    async def enough() -> bool:
        return len(reader.log) >= number

    await eventually(enough, seconds=seconds)
    return reader.log


async def forward(gateway: Gateway, status: str) -> dict[str, Any]:
    """The one forward, once it has come so far."""

    async def so_far() -> dict[str, Any] | None:
        [one] = (await gateway.api("GET", "/v1/forwards"))["items"]
        return dict(one) if one["status"] == status else None

    return await eventually(so_far)  # type: ignore[return-value]


async def test_what_no_rule_matched_goes_on_at_once_and_what_one_did_stays(gateway: Gateway, reader: Reader) -> None:
    await gateway.text_in("STOP", ANA)
    await gateway.text_in("HELP", ANA)
    await gateway.text_in("Is there parking?", ANA)
    [(id_, event)] = await arrived(reader)
    assert (event["type"], event["data"]["body"], event["data"]["from"]) == (
        "message.received",
        "Is there parking?",
        ANA,
    )
    done = await forward(gateway, "done")
    assert (done["id"], done["tries"], done["message_id"]) == (id_, 1, event["data"]["id"])


async def test_a_message_of_another_connection_stays(gateway: Gateway, reader: Reader) -> None:
    await gateway.sandbox_in("Is there parking?", ANA)
    assert await gateway.rows("forwards") == []


async def test_a_message_that_comes_again_goes_on_once(gateway: Gateway, reader: Reader) -> None:
    body = gateway.form("Is there parking?", ANA)
    for _ in range(3):
        await gateway.post(body)
    await forward(gateway, "done")
    assert len(reader.log) == 1


async def test_what_is_not_taken_is_tried_again_under_the_same_id(gateway: Gateway, reader: Reader) -> None:
    reader.answers = [503, 302, (429, {"Retry-After": "600"})]
    await gateway.text_in("Is there parking?", ANA)
    for answer, seconds in ((503, 6), (302, 31), (429, 601)):

        async def noted(answer: int = answer) -> bool:
            [row] = await gateway.rows("forwards")
            return bool(row["error"] == f"HTTP {answer}")

        await eventually(noted)
        gateway.clock.advance(seconds=seconds)
    await forward(gateway, "done")
    assert len({id_ for id_, _ in reader.log}) == 1
    assert len(reader.log) == 4


async def test_one_that_nobody_takes_is_parked_and_tried_again_when_asked(gateway: Gateway, reader: Reader) -> None:
    reader.answers = [500, 500]
    await gateway.house.forwarder.stop()
    await gateway.text_in("Is there parking?", ANA)
    await gateway.house.database.transact(
        lambda conn: conn.execute(update(forwards).values(tries=MOST_TRIES - 2))  # three days later
    )
    await gateway.restart()
    await arrived(reader)
    assert (await forward(gateway, "queued"))["tries"] == MOST_TRIES - 1
    gateway.clock.advance(hours=4)
    parked = await forward(gateway, "parked")
    assert (parked["error"], parked["next_try_at"]) == ("HTTP 500", None)
    await gateway.api("POST", f"/v1/forwards/{parked['id']}/retry", status=202)
    await forward(gateway, "done")
    await gateway.api("POST", f"/v1/forwards/{parked['id']}/retry", status=409)
    await gateway.api("POST", "/v1/forwards/fwd_none/retry", status=404)


async def test_one_whose_process_died_is_taken_up_by_the_next(gateway: Gateway, reader: Reader) -> None:
    await gateway.house.forwarder.stop()
    await gateway.text_in("Is there parking?", ANA)
    await gateway.restart()
    await forward(gateway, "done")
    assert len(reader.log) == 1


async def test_a_reader_that_hangs_holds_up_no_other(gateway: Gateway, reader: Reader) -> None:
    async with Reader() as hanging:
        hanging.answering.clear()
        box = changed(gateway.settings, "box", **_to_url(hanging.url))
        await gateway.restart(connections=box)
        for number in range(20):
            await gateway.sandbox_in(f"Anybody there? {number}", BEN)
        await hanging.asked.wait()
        for number in range(3):
            await gateway.text_in(f"Is there parking? {number}", ANA)
            await arrived(reader, number + 1, seconds=8)  # in fifteen it would have been given up on
        hanging.answering.set()


async def test_messages_go_on_to_a_mailbox(gateway: Gateway) -> None:
    await gateway.restart(connections=changed(gateway.settings, "sms", forward_to="desk@example.org"))
    await gateway.text_in("Is there parking?", ANA)
    await forward(gateway, "done")
    [sent] = (await gateway.api("GET", "/v1/sandbox/messages"))["items"]
    assert (sent["connection"], sent["to"]) == ("mail", "desk@example.org")
    assert "Is there parking?" in sent["body"]
    assert ANA in sent["body"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"forward_to": "https://example.org/in"}, "forward_secret"),
        ({"forward_to": "http://example.org/in", "forward_secret": SECRET}, "https://"),
        ({"forward_to": "https://user:pass@example.org/in", "forward_secret": SECRET}, "plain URL"),
        ({"forward_to": "desk"}, "neither a mailbox nor a URL"),
        ({"forward_to": "https://example.org/in", "forward_secret": "short"}, "whsec_"),
    ],
)
def test_a_wrong_place_to_forward_to_is_named(options: dict[str, str], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        Sandbox.model_validate({"provider": "sandbox", "channel": "sms", **options})


async def test_what_has_not_arrived_is_counted(gateway: Gateway, reader: Reader) -> None:
    async def counted() -> dict[str, str]:
        page = (await gateway.app[WATCH].page()).decode()
        lines = [line for line in page.splitlines() if line.startswith("optgate_forwards{")]
        return {line.split('status="')[1].split('"')[0]: line.split()[-1] for line in lines}

    reader.answers = [503]
    await gateway.text_in("Is there parking?", ANA)
    await arrived(reader)
    assert await counted() == {"queued": "1.0", "parked": "0.0"}
    gateway.clock.advance(seconds=10)
    await forward(gateway, "done")
    assert await counted() == {"queued": "0.0", "parked": "0.0"}


async def test_what_waits_for_a_connection_that_forwards_no_more_is_counted(gateway: Gateway) -> None:
    async def add(conn: AsyncConnection) -> None:
        await on_their_way.add(conn, [("msg_1", "renamed")], now=gateway.clock())

    await gateway.house.database.transact(add)
    page = (await gateway.app[WATCH].page()).decode()
    assert 'optgate_forwards{connection="renamed",status="queued"} 1.0' in page
