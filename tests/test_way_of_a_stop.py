"""The way of a STOP, traced: the files that a real one enters, in order, are those that the document names."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import FrameType

import aiohttp
from aiohttp import web
from twilio.request_validator import RequestValidator

from gateway import app as gateway_app
from gateway.settings import Settings

ROOT = Path(__file__).parent.parent
ROOMS = ("gateway", "broadcasts", "inbox", "audience", "outbox", "consent", "profiles", "rules", "channels")
TOKEN = "0123456789abcdef0123456789abcdef"
ACCOUNT = "AC" + "0" * 32


async def text_in(port: int, message_id: str, sender: str, body: str) -> str:
    form = {"MessageSid": message_id, "AccountSid": ACCOUNT, "From": sender, "To": "+14155550100", "Body": body}
    signature = RequestValidator(TOKEN).compute_signature("http://127.0.0.1:8080/webhooks/sms", form)
    async with (
        aiohttp.ClientSession() as client,
        client.post(
            f"http://127.0.0.1:{port}/webhooks/sms", data=form, headers={"X-Twilio-Signature": signature}
        ) as response,
    ):
        assert response.status == 200
        return await response.text()


def documented() -> list[str]:
    page = (ROOT / "docs" / "architecture.md").read_text()
    section = page.split("## The way of a STOP")[1].split("```")[1]
    return re.findall(r"^([a-z_]+/\S+\.py)", section, re.MULTILINE)


async def test_a_stop_enters_the_files_that_the_architecture_names_in_that_order(tmp_path: Path) -> None:
    app = gateway_app.build(
        Settings.model_validate(
            {
                "database": {"url": f"sqlite:///{tmp_path / 'optgate.db'}"},
                "connections": {
                    "sms": {
                        "provider": "twilio",
                        "channel": "sms",
                        "account_sid": ACCOUNT,
                        "auth_token": TOKEN,
                        "from": "+14155550100",
                    }
                },
            }
        )
    )
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        await text_in(port, "SM1", "+14155550101", "hello")  # what is made once is made
        await app[gateway_app.base.HOUSE].planner.stop()  # loops of their own are no part of the way
        await app[gateway_app.base.HOUSE].dispatcher.stop()
        app[gateway_app.SCHEDULER].pause()
        entered: dict[str, None] = {}

        def note(frame: FrameType, event: str, _argument: object) -> None:
            name = frame.f_code.co_filename
            if event == "call" and name.startswith(str(ROOT)):
                place = Path(name).relative_to(ROOT).as_posix()
                if place.split("/")[0] in ROOMS:
                    entered.setdefault(place)

        sys.setprofile(note)
        try:
            answer = await text_in(port, "SM2", "+14155550102", "STOP")
        finally:
            sys.setprofile(None)
    finally:
        await runner.cleanup()
    assert "unsubscribed" in answer
    assert list(entered) == documented()
