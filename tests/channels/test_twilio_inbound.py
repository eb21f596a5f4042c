"""Recorded requests → values, and what the provider is answered."""

import asyncio
from xml.etree import ElementTree

import pytest
from twilio.twiml.messaging_response import MessagingResponse

from channels.http import open_session
from channels.twilio.adapter import BODY_BYTES, Twilio
from channels.values import Forged, Inbound, Malformed
from tests.channels.requests_as_sent import ACCOUNT, ORIGIN, TOKEN, posted, sample


@pytest.fixture
async def sms():
    async with open_session() as session:
        yield Twilio(name="sms", channel="sms", account_sid=ACCOUNT, auth_token=TOKEN, public_url=ORIGIN,
                     session=session, sender="+14155550199")  # fmt: skip


async def test_a_text_becomes_a_message(sms):
    assert sms.receive(posted(sample("sms_stop"))) == [
        Inbound(
            connection="sms", channel="sms", account=ACCOUNT, provider_id="SM00000000000000000000000000000001",
            sender="+14155550100", receiver="+14155550199", text="Stop",
            fields={"ToCountry": "US", "ToState": "CA", "ToCity": "", "ToZip": "", "FromZip": "94107",
                    "FromState": "CA", "FromCity": "SAN FRANCISCO", "FromCountry": "US",
                    "NumMedia": "0", "NumSegments": "1",
                    "SmsMessageSid": "SM00000000000000000000000000000001", "SmsStatus": "received",
                    "SmsSid": "SM00000000000000000000000000000001", "ApiVersion": "2010-04-01"},
        )
    ]  # fmt: skip


def only(adapter, body: bytes) -> Inbound:
    (message,) = adapter.receive(posted(body))
    return message


async def test_the_providers_verdict_is_taken_over(sms):
    body = sample("sms_advanced_opt_out")
    verdicts = {b"STOP": "opt_out", b"START": "opt_in", b"HELP": "help", b"stop": "opt_out", b"": None, b"OTHER": None}
    for said, verdict in verdicts.items():
        assert only(sms, body.replace(b"OptOutType=STOP", b"OptOutType=" + said)).verdict == verdict
    assert only(sms, body).text == "Stop ", "as the person wrote it"


async def test_a_picture_without_words_is_a_message_with_an_empty_text(sms):
    message = only(sms, sample("mms_picture"))
    assert (message.text, message.fields["NumMedia"]) == ("", "1")
    assert message.fields["MediaUrl0"].startswith("https://api.twilio.com/")


async def test_the_prefix_decides_the_channel_not_the_connection(sms):
    message = only(sms, sample("whatsapp_text"))
    assert (message.connection, message.channel) == ("sms", "whatsapp")
    assert (message.sender, message.receiver) == ("+14155550100", "+14155550199")
    assert (message.text, message.name) == ("Café & théâtre?", "Zoë 🎭")
    assert message.also_from == ()


async def test_a_buttons_text_is_the_text_and_its_payload_comes_along(sms):
    message = only(sms, sample("whatsapp_button").replace(b"Body=Stop+promotions", b"Body=something+else"))
    assert (message.text, message.payload) == ("Stop promotions", "stop_promotions")
    assert message.fields["Body"] == "something else"


async def test_number_and_scoped_id_are_addresses_of_one_person(sms):
    assert only(sms, sample("whatsapp_button")).also_from == ("US.1234",)


async def test_a_person_without_a_visible_number_is_their_scoped_id(sms):
    message = only(sms, sample("whatsapp_no_number"))
    assert (message.channel, message.sender, message.also_from) == ("whatsapp", "US.1234", ())


async def test_another_whatsapp_number_of_the_sender_is_an_address_of_theirs(sms):
    body = sample("whatsapp_text")
    assert only(sms, body.replace(b"WaId=14155550100", b"WaId=5215512345678")).also_from == ("+5215512345678",)
    assert only(sms, body.replace(b"WaId=14155550100", b"WaId=ana")).also_from == ()


@pytest.mark.parametrize("left", ["MessageSid", "SmsSid", "SmsMessageSid"])
async def test_one_of_three_names_for_the_id_is_enough(sms, left):
    body = sample("sms_stop")
    for name in {"MessageSid", "SmsSid", "SmsMessageSid"} - {left}:
        body = body.replace(f"&{name}=SM".encode(), b"&x=SM")
    assert only(sms, body).provider_id == "SM00000000000000000000000000000001"


@pytest.mark.parametrize(
    "account",
    [b"AC00000000000000000000000000000002", b"", "AÇ".encode(), b"%FF", ACCOUNT.encode() + b"&AccountSid=AC2"],
)
async def test_another_accounts_message_is_forged(sms, account):
    with pytest.raises(Forged):
        sms.receive(posted(sample("sms_stop").replace(ACCOUNT.encode(), account)))


async def test_a_message_without_an_account_is_forged(sms):
    with pytest.raises(Forged):
        sms.receive(posted(sample("sms_stop").replace(b"AccountSid=", b"Account=")))


STOP = sample("sms_stop")
MALFORMED = {
    "MessageSid": STOP.replace(b"Sid=SM00000000000000000000000000000001", b"Sid=").replace(b"SmsMessageSid=", b"x="),
    "From": STOP.replace(b"&From=%2B14155550100", b""),
    "From ": STOP.replace(b"&From=%2B14155550100", b"&From=++"),
    "From  ": STOP.replace(b"&From=%2B14155550100", b"&From=whatsapp%3A"),
    "From   ": STOP.replace(b"&From=%2B14155550100", b"&From=%2B1415%0A5550100"),
    "given twice: From": STOP + b"&From=%2B14155550101",
    "given twice: Body": STOP + b"&Body=Start",
    "MessageStatus": sample("delivery_report"),
    "too large": STOP + b"&Extra=" + b"x" * BODY_BYTES,
}


@pytest.mark.parametrize(("why", "body"), MALFORMED.items(), ids=MALFORMED)
async def test_a_genuine_request_that_cannot_be_understood_is_malformed_and_says_why(sms, why, body):
    with pytest.raises(Malformed, match=why.strip()) as caught:
        sms.receive(posted(body))
    assert "4155550100" not in str(caught.value)


async def test_the_signature_is_asked_before_anything_else(sms):
    for body in MALFORMED.values():
        with pytest.raises(Forged):
            sms.receive(posted(body, "wrong"))


@pytest.mark.parametrize(
    ("encoded", "text"),
    [
        (b"ST%00OP%00", "STOP"),
        (b"STOP+%FF%C3", "STOP \ufffd\ufffd"),
        (b"%ED%A0%80", "\ufffd\ufffd\ufffd"),
        (b"a%26b%3Dc%2Bd%25", "a&b=c+d%"),
        (b"%", "%"),
        (b"a;b", "a;b"),
        ("ＳＴＯＰ".encode(), "ＳＴＯＰ"),
        (b"", ""),
    ],
)
async def test_no_text_ends_in_an_exception_and_none_is_lost(sms, encoded, text):
    assert only(sms, STOP.replace(b"Body=Stop", b"Body=" + encoded)).text == text


async def test_a_value_can_always_be_kept_by_either_database(sms):
    message = only(sms, STOP + b"&A%00=%00%FF&ProfileName=%00x")
    assert message.fields["A"] == "\ufffd"
    assert message.name == "x"
    repr(message).encode()


async def test_a_message_without_a_receiver_or_text_is_not_lost(sms):
    message = only(sms, STOP.replace(b"&To=%2B14155550199", b"").replace(b"&Body=Stop", b"&OptOutType=STOP"))
    assert (message.receiver, message.text, message.verdict) == ("", "", "opt_out")


@pytest.mark.parametrize("reply", ["You are out.", "Müller & <Söhne>", "a ]]> b", "tabs\tand\nlines", "🎭", "'\""])
async def test_the_reply_goes_back_in_twiml(sms, reply):
    answer = sms.answer(only(sms, STOP), reply)
    assert answer.content_type == "application/xml"
    library = MessagingResponse()
    library.message(reply)
    assert ElementTree.canonicalize(answer.body.decode()) == ElementTree.canonicalize(str(library))
    assert answer == sms.answer(only(sms, STOP), reply), "the same bytes again"


@pytest.mark.parametrize("reply", [None, "", "\0\x07"])
async def test_silence_is_an_empty_response(sms, reply):
    assert sms.answer(only(sms, STOP), reply).body == b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


async def test_a_reply_with_forbidden_characters_is_still_xml(sms):
    answer = sms.answer(only(sms, STOP), "a\0b\x0bc\ufffed\ud800e")
    assert ElementTree.fromstring(answer.body).findtext("Message") == "abcde"


async def test_a_connection_that_can_never_work_is_refused(sms):
    good = {"name": "sms", "channel": "sms", "account_sid": ACCOUNT, "auth_token": TOKEN, "public_url": ORIGIN,
            "session": sms._client.http_client._session, "sender": "+14155550199"}  # fmt: skip
    for wrong in (
        {"channel": "email"}, {"sender": None}, {"auth_token": ""}, {"public_url": "gw.example.test"},
        {"public_url": "https://gw.example.test/?a=1"}, {"api_url": "http://127.0.0.1:99999"},
    ):  # fmt: skip
        with pytest.raises(ValueError, match=r"."):
            Twilio(**{**good, **wrong})
    assert Twilio(**{**good, "sender": "whatsapp:+14155550199"}).own_addresses == {"+14155550199"}


async def test_ten_thousand_messages_are_read_in_a_few_seconds(sms):
    request = posted(sample("whatsapp_button"))
    began = asyncio.get_running_loop().time()
    for _ in range(1000):
        sms.receive(request)
    assert asyncio.get_running_loop().time() - began < 2.0  # 0.1 s on an idle core
