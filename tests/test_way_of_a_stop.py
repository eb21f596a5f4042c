"""The way of a STOP, traced: the files that a real one enters, in order, are those that the document names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType

import aiohttp
from twilio.request_validator import RequestValidator

from bench.gateways import ACCOUNT, TOKEN, URL, settings_on
from gateway import app as gateway_app
from gateway.door import Door

ROOT = Path(__file__).parent.parent
ROOMS = ("gateway", "broadcasts", "inbox", "audience", "outbox", "consent", "profiles", "rules", "channels")


async def text_in(url: str, message_id: str, sender: str, body: str) -> str:
    form = {"MessageSid": message_id, "AccountSid": ACCOUNT, "From": sender, "To": "+14155550100", "Body": body}
    signature = RequestValidator(TOKEN).compute_signature(URL, form)
    async with (
        aiohttp.ClientSession() as client,
        client.post(url, data=form, headers={"X-Twilio-Signature": signature}) as response,
    ):
        assert response.status == 200
        return await response.text()


def documented() -> list[str]:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split("## The way of a STOP")[1].split("```")[1]
    return re.findall(r"^([a-z_]+/\S+\.py)", section, re.MULTILINE)


async def test_a_stop_enters_the_files_that_the_architecture_names_in_that_order(tmp_path: Path) -> None:
    app = gateway_app.build(settings_on(f"sqlite:///{tmp_path / 'optgate.db'}"))
    door = Door(app)
    await door.start()
    url = f"http://127.0.0.1:{await door.listen('127.0.0.1', 0)}/webhooks/sms"
    try:
        await text_in(url, "SM1", "+14155550101", "hello")  # what is made once is made
        await app[gateway_app.base.HOUSE].stop_work()  # loops of their own are no part of the way
        app[gateway_app.SCHEDULER].pause()
        entered: dict[str, None] = {}

        def note(frame: FrameType, event: str, _argument: object) -> None:
            name = frame.f_code.co_filename
            if event == "call" and name.startswith(f"{ROOT}/"):
                place = Path(name).relative_to(ROOT).as_posix()
                if place.split("/")[0] in ROOMS:
                    entered.setdefault(place)

        async with app[gateway_app.base.HOUSE].database._writer.connect() as conn:
            sqlite = (await conn.get_raw_connection()).driver_connection
        assert sqlite is not None
        await sqlite._execute(sys.setprofile, note)  # in its thread, where the transaction runs
        sys.setprofile(note)
        try:
            answer = await text_in(url, "SM2", "+14155550102", "STOP")
        finally:
            sys.setprofile(None)
            await sqlite._execute(sys.setprofile, None)
    finally:
        await door.close()
    assert "unsubscribed" in answer
    assert list(entered) == documented()
