"""W4, W6 and W7: one bad part of a batch costs no other, what is another number's is not ours, and junk is no 500."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from channels.meta import batch
from channels.values import AddressReport, Forged, Inbound, Malformed, Parked, Report
from tests.channels.meta_requests import NUMBER_ID, OTHER_NUMBER_ID, change, parsed, sample, text
from tests.channels.meta_requests import batch as body_of

OURS = batch.Ours("cloud", NUMBER_ID)
STATUS = {"id": "wamid.9", "status": "delivered", "biz_opaque_callback_data": "att_1"}
STOP = {"wa_id": "14155550123", "category": "marketing_messages", "value": "stop", "timestamp": "1795176000"}


def read(body: bytes) -> list[Any]:
    return batch.read(body, OURS)


BAD: dict[str, Any] = {
    "null": None,
    "a number": 7,
    "a list": [1],
    "an empty object": {},
    "no id": {"from": "14155550123", "type": "text", "text": {"body": "STOP"}},
    "an id that is none": text("STOP") | {"id": "a b"},
    "an id that is too long": text("STOP") | {"id": "w" * 300},
    "an id that is an object": text("STOP") | {"id": {"$gt": ""}},
    "nobody": text("STOP", ""),
    "a sender that is none": text("STOP", "everybody"),
    "a sender that is a list": text("STOP") | {"from": ["14155550123"]},
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_of_fifty_messages_one_is_bad_and_49_are_kept(bad: Any) -> None:
    messages: list[Any] = [text("STOP", f"1415555{n:04d}", id_=f"wamid.{n}") for n in range(50)]
    messages[17] = bad
    told = read(body_of(change(messages=messages)))
    assert [type(one) for one in told].count(Inbound) == 49
    [parked] = [one for one in told if isinstance(one, Parked)]
    assert json.loads(parked.raw) == bad
    assert parked.why.startswith("message: missing or unreadable: ")
    assert "415555" not in parked.why


def test_a_bad_part_of_any_kind_is_parked_and_all_else_is_read() -> None:
    body = {
        "object": "whatsapp_business_account",
        "entry": [
            7,
            {"id": "1"},
            {"id": "1", "changes": ["x", {"field": "messages"}, {"value": {}}, {"field": "messages", "value": {}}]},
            {"id": "1", "changes": [change(messages=[text("STOP")], statuses=[STATUS, {"status": "read"}, STATUS])]},
            {"id": "1", "changes": [change("user_preferences", user_preferences=[STOP, {**STOP, "wa_id": "?"}, None])]},
        ],
    }
    told = read(json.dumps(body).encode())
    assert [one.why for one in told if isinstance(one, Parked)] == [
        "entry: missing or unreadable: changes",
        "entry: missing or unreadable: changes",
        "change: missing or unreadable: field",
        "change: missing or unreadable: value",
        "change: missing or unreadable: field",
        "messages: missing or unreadable: metadata",
        "status: missing or unreadable: id",
        "preference: missing or unreadable: wa_id",
        "preference: missing or unreadable: all of it",
    ]
    kept = [type(one) for one in told if not isinstance(one, Parked)]
    assert kept == [Inbound, Report, Report, AddressReport]


def test_the_same_part_is_parked_as_the_same_bytes() -> None:
    first, again = (read(body_of(change(messages=[{"b": 1, "a": "é"}]))) for _ in range(2))
    assert first == again == [Parked(b'{"a":"\\u00e9","b":1}', "message: missing or unreadable: from")]


def test_fields_that_nobody_reads_are_passed_over() -> None:
    template = {"field": "message_template_status_update", "value": {"event": "APPROVED"}}
    echoes = change("smb_message_echoes", message_echoes=[text("STOP")])
    history = change("history", history=[{"threads": [{"messages": [text("STOP")]}]}], messages=[text("STOP")])
    assert read(body_of(template, echoes, history)) == []
    assert read(b'{"object":"whatsapp_business_account","entry":[]}') == []


# --- whose ------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [{"messages": [text("STOP")]}, {"statuses": [STATUS]}, {}])
def test_what_is_for_another_number_is_forged(value: dict[str, Any]) -> None:
    with pytest.raises(Forged):
        read(body_of(change(number_id=OTHER_NUMBER_ID, **value)))
    with pytest.raises(Forged):
        read(body_of(*[change(number_id=OTHER_NUMBER_ID, **value)] * 3))


def test_of_a_batch_for_two_numbers_ours_is_read_and_the_others_is_parked() -> None:
    theirs = change(number_id=OTHER_NUMBER_ID, messages=[text("START", id_="wamid.2")])
    told = read(body_of(theirs, change(messages=[text("STOP")])))
    assert [type(one) for one in told] == [Inbound, Parked]
    assert told[0].text == "STOP"
    assert json.loads(told[1].raw) == theirs


def test_a_stop_of_marketing_is_taken_whatever_number_it_names_a_resume_is_not() -> None:
    both = [STOP, {**STOP, "value": "resume"}]
    told = read(body_of(change("user_preferences", OTHER_NUMBER_ID, user_preferences=both)))
    assert [(one.kind, one.account) for one in told] == [("stop", f"meta:{OTHER_NUMBER_ID}")]
    told = read(body_of(change("user_preferences", user_preferences=both)))
    assert [one.kind for one in told] == ["stop", "resume"]


def test_a_stop_that_names_no_number_is_taken() -> None:
    one = change("user_preferences", user_preferences=[STOP])
    del one["value"]["metadata"]
    assert [one.kind for one in read(body_of(one))] == ["stop"]


# --- junk -------------------------------------------------------------------------------------

JUNK = {
    "nothing": b"",
    "no JSON": b"hello",
    "no UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "null": b"null",
    "a text": b'"whatsapp_business_account"',
    "another object": b'{"object":"page","entry":[]}',
    "no object": b'{"entry":[]}',
    "no entry": b'{"object":"whatsapp_business_account"}',
    "an entry that is none": b'{"object":"whatsapp_business_account","entry":{"changes":[]}}',
    "too deep": b'{"a":' * 100_000,
    "a number too long": b'{"object":' + b"9" * 5000 + b"}",
    "a million values": b'{"object":"whatsapp_business_account","entry":[' + b"0," * 1_000_000 + b"0]}",
    "Twilio's": b"MessageSid=SM1&Body=STOP",
}


@pytest.mark.parametrize("body", JUNK.values(), ids=JUNK)
def test_what_is_no_batch_is_malformed_and_its_content_is_not_told(body: bytes) -> None:
    with pytest.raises(Malformed) as caught:
        read(body)
    assert str(caught.value) in {
        "not JSON", "missing or unknown: object", "missing or unknown: entry", "more values than any batch has",
    }  # fmt: skip


NESTED = [None, True, 0, 1.5, "", "\ud800\0", [], [[]], {}, {"id": {}}, {"body": []}, [None], "x" * 5000]


@pytest.mark.parametrize(
    "place", ["from", "id", "timestamp", "type", "text", "interactive", "button", "group_id", "system"]
)
@pytest.mark.parametrize("kind", ["text", "interactive", "button", "image", "edit", "system", "new_kind"])
def test_whatever_stands_in_a_field_of_a_message_it_is_kept_or_parked(place: str, kind: str) -> None:
    for odd in NESTED:
        message = text("STOP") | {"type": kind, kind: {"type": "button_reply", "button_reply": odd}} | {place: odd}
        told = read(body_of(change(messages=[message], contacts=[odd, {"profile": odd, "wa_id": odd, "user_id": odd}])))
        for one in told:
            assert isinstance(one, Inbound | Parked)
            if isinstance(one, Inbound):
                one.text.encode()
                json.dumps(dict(one.fields)).encode()


@pytest.mark.parametrize("place", ["id", "status", "errors", "biz_opaque_callback_data", "timestamp", "recipient_type"])
def test_whatever_stands_in_a_field_of_a_status_it_is_read_or_parked(place: str) -> None:
    for odd in [*NESTED, [{"code": "131050; DROP"}], [{"code": 131050.5}], [{"code": 9**99}]]:
        for one in read(body_of(change(statuses=[STATUS | {"status": "failed"} | {place: odd}]))):
            assert isinstance(one, Report | Parked)
            assert not (isinstance(one, Report) and one.opted_out)


def test_a_thousand_updates_take_no_time_to_speak_of() -> None:
    messages = [text("STOP", f"1415555{n:04d}", id_=f"wamid.{n}") for n in range(1000)]
    contacts = [{"profile": {"name": f"x{n}"}, "wa_id": f"1415555{n:04d}"} for n in range(1000)]
    body = body_of(change(messages=messages, contacts=contacts))
    began = time.process_time()
    told = read(body)
    assert len({one.name for one in told}) == len(told) == 1000
    assert time.process_time() - began < 0.3


def test_every_sample_is_read_without_a_part_that_is_parked() -> None:
    for name in sorted(path.stem for path in (batch_samples())):
        assert not [one for one in read(sample(name)) if isinstance(one, Parked)], name
        assert parsed(name)["object"] == "whatsapp_business_account"


def batch_samples() -> Any:
    from tests.channels.meta_requests import SAMPLES

    return SAMPLES.glob("*.json")
