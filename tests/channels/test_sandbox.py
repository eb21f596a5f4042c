import asyncio
import json

import pytest
from multidict import CIMultiDict

from channels import lease
from channels.sandbox import BODY_BYTES, Sandbox, SandboxMessage
from channels.values import Accepted, Inbound, InDoubt, Malformed, NotSent, Outbound, Rejected, WebhookRequest


class Kept(list):
    async def keep(self, message):
        self.append(message)


@pytest.fixture
def kept():
    return Kept()


def sandbox(kept, channel="sms", **more):
    return Sandbox(name=channel, channel=channel, keep=kept.keep, **more)


def posted(body: object) -> WebhookRequest:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return WebhookRequest("POST", "/webhooks/sms", CIMultiDict(), raw)


STOP = {"from": "+14155550100", "to": "+12025550100", "body": "STOP", "message_id": "m1"}


@pytest.mark.parametrize("channel", ["sms", "whatsapp", "email"])
def test_what_is_posted_becomes_a_message(kept, channel):
    (message,) = sandbox(kept, channel).receive(posted(STOP))
    assert message == Inbound(
        connection=channel, channel=channel, account=f"sandbox:{channel}", provider_id="m1", sender="+14155550100",
        receiver="+12025550100", text="STOP",
        **({"subject": "", "typed": "STOP"} if channel == "email" else {}),
    )  # fmt: skip


def test_a_subject_is_of_an_email_only(kept):
    (message,) = sandbox(kept, "email").receive(posted(STOP | {"subject": "Hello"}))
    assert message.subject == "Hello"
    with pytest.raises(Malformed, match="subject"):
        sandbox(kept, "sms").receive(posted(STOP | {"subject": "Hello"}))


def test_a_message_without_an_id_gets_one_of_its_own(kept):
    unnamed = {name: value for name, value in STOP.items() if name != "message_id"}
    one = sandbox(kept)
    assert one.receive(posted(unnamed))[0].provider_id != one.receive(posted(unnamed))[0].provider_id
    assert sandbox(kept, new_id=lambda: "made").receive(posted(unnamed))[0].provider_id == "made"


def test_the_whatsapp_prefix_decides_the_channel(kept):
    (message,) = sandbox(kept).receive(posted(STOP | {"from": "whatsapp:+14155550100"}))
    assert (message.channel, message.sender) == ("whatsapp", "+14155550100")


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (STOP | {"channel": "sms"}, "channel: extra_forbidden"),
        (STOP | {"body": 1}, "body: string_type"),
        (STOP | {"from": ""}, "from: string_too_short"),
        (STOP | {"message_id": "a b"}, "message_id: string_pattern_mismatch"),
        ({"from": "+1"}, "body: missing, to: missing"),
        ([], "body: model_type"),
        (b"", "body: json_invalid"),
        (b"{", "body: json_invalid"),
        (b"\xff", "body: json_invalid"),
        (b"[" * 100_000, "body: json_invalid"),
        (b'{"body": "\\ud800"}', "body: json_invalid"),
        (b" " * (BODY_BYTES + 1), "too large"),
    ],
)
def test_what_cannot_be_understood_is_malformed_and_names_the_field(kept, body, why):
    with pytest.raises(Malformed) as caught:
        sandbox(kept).receive(posted(body))
    assert str(caught.value) == why


def test_nul_is_taken_out(kept):
    assert sandbox(kept).receive(posted(STOP | {"body": "ST\0OP"}))[0].text == "STOP"


def test_the_answer_is_the_same_bytes_again(kept):
    one = sandbox(kept)
    (message,) = one.receive(posted(STOP))
    answer = one.answer(message, "Zoë, you are out.")
    assert answer == one.answer(message, "Zoë, you are out.")
    assert json.loads(answer.body) == {"message_id": "m1", "reply": "Zoë, you are out."}
    assert json.loads(one.answer(message, None).body) == {"message_id": "m1", "reply": None}
    assert answer.content_type == "application/json"


async def test_a_sent_message_is_kept_and_accepted(kept):
    outcome = await sandbox(kept).send(Outbound("t1", "sms", "+14155550100", "Hello"))
    assert outcome == Accepted("sbx_t1")
    assert kept == [SandboxMessage("sms", "+12025550100", "+14155550100", "Hello", "t1")]


async def test_a_template_can_be_read(kept):
    template = {"name": "autumn", "language": "en", "variables": {"1": "Ana"}}
    await sandbox(kept, "whatsapp").send(Outbound("t1", "whatsapp", "+14155550100", template=template))
    assert kept[0].body == '[template autumn] {"1": "Ana"}'


async def test_when_the_lease_is_over_nothing_is_kept(kept):
    with lease.lease(lease.boottime() - 1), pytest.raises(lease.LeaseOver):
        await sandbox(kept).send(Outbound("t1", "sms", "+14155550100", "Hello"))
    assert kept == []


async def test_a_message_that_could_not_be_kept_is_in_doubt():
    async def fails(message):
        raise OSError("disk full")

    one = Sandbox(name="sms", channel="sms", keep=fails)
    assert await one.send(Outbound("t1", "sms", "+14155550100", "Hello")) == InDoubt("not kept: OSError")


async def test_failures_come_in_their_shares_and_can_be_foretold(kept):
    failures = ("rejected", "opted_out", "undeliverable", "not_sent", "slow_down", "in_doubt", "in_doubt_sent")
    shares = dict.fromkeys(failures, 0.1)
    one = sandbox(kept, failures=shares)
    fates = [one.fate(f"t{n}") for n in range(2000)]
    assert all(150 < fates.count(failure) < 250 for failure in shares)
    ends = [await one.send(Outbound(f"t{n}", "sms", "+14155550100", "x")) for n in range(2000)]
    for fate, end in zip(fates, ends, strict=True):
        match fate, end:
            case (None, Accepted()) | ("in_doubt" | "in_doubt_sent", InDoubt()):
                pass
            case ("rejected", Rejected(opted_out=False)) | ("opted_out", Rejected(opted_out=True)):
                pass
            case ("undeliverable", Rejected(undeliverable=True)) | ("not_sent", NotSent(slow_down=False)):
                pass
            case ("slow_down", NotSent(slow_down=True)):
                pass
            case _:
                pytest.fail(f"{fate} ended in {end}")
    assert len(kept) == fates.count(None) + fates.count("in_doubt_sent")


async def test_a_share_of_one_is_everyone(kept):
    one = sandbox(kept, failures={"not_sent": 1.0})
    assert {one.fate(f"t{n}") for n in range(500)} == {"not_sent"}


async def test_the_delay_is_taken(kept):
    began = asyncio.get_running_loop().time()
    await sandbox(kept, delay_seconds=0.1).send(Outbound("t1", "sms", "+14155550100", "x"))
    assert asyncio.get_running_loop().time() - began >= 0.09


@pytest.mark.parametrize(
    "wrong", [{"channel": "fax"}, {"failures": {"lost": 0.1}}, {"failures": {"rejected": -1}},
              {"failures": {"rejected": 0.6, "not_sent": 0.6}}]
)  # fmt: skip
def test_a_sandbox_that_makes_no_sense_is_refused(kept, wrong):
    with pytest.raises(ValueError, match=r"."):
        sandbox(kept, **wrong)
