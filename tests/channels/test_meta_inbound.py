"""Every kind of message that Meta documents → an Inbound value."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from channels.meta import batch
from channels.values import Inbound
from tests.channels.meta_requests import ANA_ID, NUMBER_ID, OURS, change, sample, text
from tests.channels.meta_requests import batch as body_of

ANA = "+14155550123"
AT = datetime(2026, 11, 20, 12, tzinfo=UTC)


def read(body: bytes) -> list[Any]:
    return batch.read(body, batch.Ours("cloud", NUMBER_ID))


def only(body: bytes) -> Inbound:
    [message] = read(body)
    assert isinstance(message, Inbound), message
    return message


def test_a_text_is_read_whole() -> None:
    assert only(sample("text")) == Inbound(
        connection="cloud",
        channel="whatsapp",
        account=f"meta:{NUMBER_ID}",
        provider_id="wamid.HBgLMTQxNTU1NTAxMjMVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=",
        sender=ANA,
        receiver=OURS,
        text="Stop ",
        provider_at=AT,
        name="Ana Ruiz",
        fields={"type": "text"},
    )


WORDS: dict[str, tuple[str, str | None]] = {
    "text_with_context": ("STOP", None),
    "button": ("Stop promotions", "optout-autumn"),
    "button_reply": ("Yes, please", "yes-1"),
    "list_reply": ("Drama", "row-2"),
    "nfm_reply": ("Sent", None),
    "image_with_caption": ("stop sending these", None),
    "video_with_caption": ("look", None),
    "document_with_caption": ("my ticket", None),
    "order": ("two for Friday", None),
    "edit": ("stop", None),
    "escaped": ("ARRÊT 😀", None),
    "milliseconds": ("Stop", None),
    "standby": ("STOP", None),
}


@pytest.mark.parametrize(("name", "words"), WORDS.items(), ids=WORDS)
def test_a_kind_that_carries_words_is_read_for_them(name: str, words: tuple[str, str | None]) -> None:
    message = only(sample(name))
    assert (message.text, message.payload) == words
    assert (message.sender, message.automatic) == (ANA, None)


@pytest.mark.parametrize("name", ["audio", "sticker", "location", "contacts", "reaction", "unsupported", "revoke"])
def test_a_kind_without_words_is_kept_with_an_empty_text(name: str) -> None:
    message = only(sample(name))
    assert (message.text, message.payload, message.sender) == ("", None, ANA)
    assert message.fields["type"] == name
    part = "errors" if name == "unsupported" else name
    sent = json.loads(sample(name))["entry"][0]["changes"][0]["value"]["messages"][0]
    assert json.loads(message.fields[part]) == sent[part]


def test_what_comes_beside_the_words_is_kept_as_it_came() -> None:
    fields = only(sample("text_with_context")).fields
    assert json.loads(fields["context"])["id"] == "wamid.OURS"
    assert json.loads(fields["referral"])["source_type"] == "ad"


def test_a_message_in_a_group_is_none_to_us() -> None:
    assert read(sample("group")) == []


# --- who --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "sender", "also"),
    [
        ("scoped_id_alone", ANA_ID, ()),
        ("number_and_scoped_id", ANA, (ANA_ID,)),
        ("another_wa_id", "+5511955550123", ("+551155550123",)),
    ],
)
def test_a_sender_is_a_number_or_a_scoped_id_or_both(name: str, sender: str, also: tuple[str, ...]) -> None:
    message = only(sample(name))
    assert (message.sender, message.also_from) == (sender, also)


def test_an_id_of_the_contact_alone_is_the_senders() -> None:
    message = text("Stop")
    message.pop("from")
    contact = {"profile": {"name": "Ana"}, "user_id": ANA_ID}
    assert only(body_of(change(messages=[message], contacts=[contact]))).sender == ANA_ID


def test_in_a_batch_nobody_is_given_anothers_id_or_name() -> None:
    ana = {"profile": {"name": "Ana"}, "wa_id": "14155550123", "user_id": ANA_ID}
    messages = [text("a", id_="wamid.1"), text("b", "14155550124", id_="wamid.2")]
    first, second = read(body_of(change(messages=messages, contacts=[ana])))
    assert (first.sender, first.also_from, first.name) == (ANA, (ANA_ID,), "Ana")
    assert (second.sender, second.also_from, second.name) == ("+14155550124", (), None)


def test_one_contact_with_another_id_is_not_the_senders() -> None:
    message = text("Stop") | {"from_user_id": ANA_ID}
    stranger = {"profile": {"name": "Ben"}, "wa_id": "14155550199", "user_id": "US.2"}
    found = only(body_of(change(messages=[message], contacts=[stranger])))
    assert (found.sender, found.also_from, found.name) == (ANA, (ANA_ID,), None)


@pytest.mark.parametrize(("name", "sender"), [("changed_number", ANA), ("changed_scoped_id", "US.1")])
def test_what_whatsapp_tells_by_itself_says_nothing_and_links_nobody(name: str, sender: str) -> None:
    message = only(sample(name))
    assert (message.automatic, message.text, message.payload) == ("system", "", None)
    assert (message.sender, message.also_from) == (sender, ())
    assert "changed" in json.loads(message.fields["system"])["type"]


def test_no_text_beside_a_system_message_is_the_persons() -> None:
    message = text("STOP") | {"type": "system", "system": {"type": "user_changed_number", "body": "STOP"}}
    assert only(body_of(change(messages=[message]))).text == ""


# --- when -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "at"),
    [
        ("1795176000", AT),
        (1795176000, AT),
        ("1795176000250", AT.replace(microsecond=250_000)),
        (1795176000250, AT.replace(microsecond=250_000)),
        ("0", None),  # a time before WhatsApp would put a STOP behind every yes
        ("1000000000", None),
        ("", None),
        (None, None),
        ("soon", None),
        ("-1795176000", None),
        ("1795176000.5", None),
        ("٣٣٣٣٣٣٣٣٣٣", None),
        ("9" * 40, None),
        (True, None),
        ([1795176000], None),
    ],
)
def test_a_time_is_seconds_or_milliseconds_or_nothing(given: Any, at: datetime | None) -> None:
    assert only(body_of(change(messages=[text("Stop") | {"timestamp": given}]))).provider_at == at


def test_a_message_that_lacks_all_but_sender_and_id_is_kept() -> None:
    [message] = read(body_of(change(messages=[{"id": "wamid.1", "from": "14155550123"}])))
    assert (message.text, message.sender, message.fields) == ("", ANA, {})


def test_a_text_without_its_kind_is_still_a_stop() -> None:
    message = text("STOP")
    message.pop("type")
    assert only(body_of(change(messages=[message]))).text == "STOP"


def test_no_text_holds_what_a_database_cannot_keep() -> None:
    message = text("S\0TOP \ud800") | {"context": {"id": "\ud800\0"}}
    found = only(body_of(change(messages=[message])))
    assert found.text == "STOP \ufffd"
    for value in found.fields.values():
        assert value.isascii()
        assert "\0" not in value
