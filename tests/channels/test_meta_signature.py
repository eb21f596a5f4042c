"""W1 and W9: what Meta did not sign is Forged; a challenge is answered to whoever knows the token, as plain text."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from multidict import CIMultiDict

from channels.meta import signature as ours
from channels.values import Forged, HttpAnswer, WebhookRequest
from tests.channels.meta_requests import PATH, SECRET, VERIFY, asked, posted, sample, signature

STOP = sample("text")


def check(request: WebhookRequest) -> None:
    ours.check(request, SECRET.encode())


def test_a_vector_computed_elsewhere_is_genuine() -> None:
    body = b'{"object":"whatsapp_business_account","entry":[]}'
    given = "sha256=d3e4f9da0ce6c71ab3dba55929b8eeeee2455349e534924ead19f98d143e904f"
    ours.check(posted(body, given), b"app-secret")


@pytest.mark.parametrize("name", ["text", "escaped", "sent", "preference_stop"])
def test_what_meta_signed_is_genuine_byte_for_byte(name: str) -> None:
    check(posted(sample(name)))


def with_headers(*given: str) -> WebhookRequest:
    headers = CIMultiDict([("X-Hub-Signature-256", one) for one in given])
    return WebhookRequest("POST", PATH, headers, STOP)


def sha1() -> str:
    return "sha1=" + hmac.new(SECRET.encode(), STOP, hashlib.sha1).hexdigest()


RIGHT = signature(STOP)
FORGED = {
    "no signature": with_headers(),
    "an empty one": posted(STOP, ""),
    "two": with_headers(RIGHT, RIGHT),
    "two, the right one last": with_headers("sha256=" + "0" * 64, RIGHT),
    "a wrong one": posted(STOP, "sha256=" + "0" * 64),
    "the right one, cut": posted(STOP, RIGHT[:-1]),
    "the right one, and more": posted(STOP, RIGHT + "0"),
    "the right one, with a blank": posted(STOP, RIGHT + " "),
    "the right one without its name": posted(STOP, RIGHT.removeprefix("sha256=")),
    "the right one under another name": posted(STOP, RIGHT.replace("sha256", "sha1")),
    "the right one in upper case": posted(STOP, RIGHT.upper()),
    "by SHA-1, as in X-Hub-Signature": posted(STOP, sha1()),
    "without a key": posted(STOP, "sha256=" + hashlib.sha256(STOP).hexdigest()),
    "with another app's secret": posted(STOP, signature(STOP, "another app's secret")),
    "with an empty secret": posted(STOP, signature(STOP, "")),
    "one that is no ASCII": posted(STOP, "sha256=" + "ü" * 64),
    "one with bytes that are no UTF-8": posted(STOP, "sha256=\udcff"),
    "another text": posted(STOP.replace(b"Stop ", b"Start"), RIGHT),
    "another sender": posted(STOP.replace(b"14155550123", b"14155550124"), RIGHT),
    "another number of ours": posted(STOP.replace(b"106540352242922", b"106540352242923"), RIGHT),
    "another id": posted(STOP.replace(b"wamid.HBg", b"wamid.HBh"), RIGHT),
    "another time": posted(STOP.replace(b"1795176000", b"1795176001"), RIGHT),
    "a blank more": posted(STOP + b" ", RIGHT),
    "a byte less": posted(STOP[:-1], RIGHT),
    "written differently, meaning the same": posted(STOP.replace(b'"Stop "', rb'"St\u006fp "'), RIGHT),
    "no body": posted(b"", RIGHT),
}


@pytest.mark.parametrize("request_", FORGED.values(), ids=FORGED)
def test_what_meta_did_not_sign_is_forged(request_: WebhookRequest) -> None:
    with pytest.raises(Forged):
        check(request_)


# --- the challenge ----------------------------------------------------------------------------

TOKEN = f"hub.verify_token={VERIFY}"


@pytest.mark.parametrize(
    ("query", "challenge"),
    [
        (f"hub.mode=subscribe&{TOKEN}&hub.challenge=1158201444", b"1158201444"),
        (f"hub.challenge=1158201444&{TOKEN}&hub.mode=subscribe&more=1", b"1158201444"),
        (f"hub.mode=subscribe&{TOKEN}&hub.challenge=%3Cscript%3E", b"<script>"),
        (f"hub.mode=subscribe&{TOKEN}&hub.challenge=%FF", "\ufffd".encode()),
    ],
)
def test_a_challenge_is_answered_as_it_is_and_as_plain_text(query: str, challenge: bytes) -> None:
    assert ours.answer(asked(query), VERIFY) == HttpAnswer("text/plain", challenge)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "hub.mode=subscribe&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=&hub.challenge=1",
        "hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1",
        f"hub.mode=subscribe&{TOKEN}x&hub.challenge=1",
        f"hub.mode=subscribe&{TOKEN}&{TOKEN}&hub.challenge=1",
        f"hub.mode=unsubscribe&{TOKEN}&hub.challenge=1",
        f"{TOKEN}&hub.challenge=1",
        f"hub.mode=subscribe&{TOKEN}",
        f"hub.mode=subscribe&{TOKEN}&hub.challenge=",
        f"hub.mode=subscribe&{TOKEN}&hub.challenge=1&hub.challenge=2",
        f"hub.mode=subscribe&{TOKEN}&hub.challenge={'1' * 1001}",
        f"hub.mode=subscribe&{TOKEN}&hub.challenge=1" + "&a=1" * 50,
        "hub.mode=subscribe&hub.verify_token=%FF%00&hub.challenge=1",
    ],
)
def test_whoever_does_not_know_the_token_is_told_nothing(query: str) -> None:
    with pytest.raises(Forged):
        ours.answer(asked(query), VERIFY)
