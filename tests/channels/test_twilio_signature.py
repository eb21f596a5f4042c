"""W1 and W4: what is not signed by Twilio, for this URL, with our secret, is Forged."""

import json
from hashlib import sha256

import pytest
from multidict import CIMultiDict
from twilio.request_validator import RequestValidator

from channels.twilio.signature import Signature
from channels.values import Forged, WebhookRequest
from tests.channels.requests_as_sent import ORIGIN, PATH, SAMPLES, TOKEN, posted, sample, signature

STOP = sample("sms_advanced_opt_out")
SHA256 = {"X_Twilio_Webhooks_Signature_Settings": "key=webhooks_sharedkey_1,algorithm=HMAC_SHA256"}
OURS = Signature(ORIGIN, TOKEN, {"webhooks_sharedkey_1": "shared secret"})


@pytest.mark.parametrize("vector", json.loads((SAMPLES / "vectors.json").read_text()), ids=lambda one: one["name"])
def test_a_published_vector_is_genuine(vector):
    ours = Signature(vector["origin"], vector["token"])
    ours.check(posted(vector["body"].encode(), vector["signature"], path=vector["path"]))


def shared(body: bytes, secret: str) -> str:
    return signature(body, token=secret, algorithm="HMAC_SHA256")


GENUINE = {
    "as Twilio sends it": posted(STOP),
    "parameters in another order": posted(b"&".join(reversed(STOP.split(b"&"))), signature(STOP)),
    "a parameter with its value twice (Twilio signs distinct values)": posted(STOP + b"&NumMedia=0", signature(STOP)),
    "signed with the default port": posted(STOP, signature(STOP, f"{ORIGIN}:443{PATH}")),
    "other percent-encoding of the same body": posted(STOP.replace(b"Stop+", b"%53top%20"), signature(STOP)),
    "a blank parameter": posted(STOP + b"&ToCity="),
    "a query in the URL": posted(STOP, signature(STOP, f"{ORIGIN}{PATH}?a=%2F%7E&b"), path=f"{PATH}?a=%2F%7E&b"),
    "a shared key": posted(STOP, shared(STOP, "shared secret"), **SHA256),
    "the auth token by SHA-256, for a key that we were not told": posted(
        STOP, shared(STOP, TOKEN), X_Twilio_Webhooks_Signature_Settings="key=other, algorithm=hmac_sha256"
    ),
    "settings that name no algorithm": posted(STOP, X_Twilio_Webhooks_Signature_Settings="key=other"),
}


@pytest.mark.parametrize("request_", GENUINE.values(), ids=GENUINE)
def test_what_twilio_signed_is_genuine(request_):
    form = OURS.check(request_)
    assert form is not None
    assert form["Body"] == "Stop "


def without_signature() -> WebhookRequest:
    return WebhookRequest("POST", PATH, CIMultiDict({"Content-Type": "application/x-www-form-urlencoded"}), STOP)


def twice_signed() -> WebhookRequest:
    request = posted(STOP)
    request.headers.add("x-twilio-signature", signature(STOP))
    return request


FORGED = {
    "no signature": without_signature(),
    "an empty one": posted(STOP, ""),
    "two": twice_signed(),
    "a wrong one": posted(STOP, "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
    "the right one and more": posted(STOP, signature(STOP) + "A"),
    "the right one, cut": posted(STOP, signature(STOP)[:-1]),
    "the right one in lower case": posted(STOP, signature(STOP).lower()),
    "one that is no ASCII": posted(STOP, "ü" * 28),
    "one with bytes that are no UTF-8": posted(STOP, "\udcff" * 28),
    "another account's token": posted(STOP, signature(STOP, token="f" * 32)),
    "another path": posted(STOP, path="/webhooks/whatsapp"),
    "a longer path": posted(STOP, path=PATH + "/"),
    "a path with bytes that are no UTF-8": posted(STOP, path=PATH + "\udcff"),
    "another encoding of the path": posted(STOP, path="/webhooks/%73ms"),
    "an absolute path": posted(STOP, path=ORIGIN + PATH),
    "a query that was not there": posted(STOP, path=PATH + "?a=1"),
    "another query": posted(STOP, signature(STOP, f"{ORIGIN}{PATH}?a=1"), path=f"{PATH}?a=2"),
    "a query taken away": posted(STOP, signature(STOP, f"{ORIGIN}{PATH}?a=1")),
    "another host": posted(STOP, signature(STOP, f"https://evil.example{PATH}")),
    "another scheme": posted(STOP, signature(STOP, f"http://gw.example.test{PATH}")),
    "another port": posted(STOP, signature(STOP, f"{ORIGIN}:8443{PATH}")),
    "a changed value": posted(STOP.replace(b"Stop+", b"Start+"), signature(STOP)),
    "a trailing blank trimmed": posted(STOP.replace(b"Stop+", b"Stop"), signature(STOP)),
    "another sender": posted(STOP.replace(b"14155550100", b"14155550101"), signature(STOP)),
    "a parameter more": posted(STOP + b"&Extra=1", signature(STOP)),
    "a blank parameter more": posted(STOP + b"&Extra=", signature(STOP)),
    "a parameter less": posted(STOP.replace(b"&OptOutType=STOP", b""), signature(STOP)),
    "a parameter twice, with another value": posted(STOP + b"&Body=Start", signature(STOP)),
    "another name for a parameter": posted(STOP.replace(b"Body=", b"body="), signature(STOP)),
    "no body": posted(b"", signature(STOP)),
    "declared as something else": posted(STOP, signature(STOP), content_type="text/plain"),
    "declared as JSON": posted(STOP, signature(STOP), content_type="application/json"),
    "bytes that are no UTF-8": posted(STOP + b"%FF\xff", signature(STOP)),
    "more than 1,000 fields": posted(STOP + b"&a=1" * 1000, signature(STOP)),
    "a shared key, another's secret": posted(STOP, shared(STOP, "another"), **SHA256),
    "a shared key, signed by the auth token": posted(STOP, shared(STOP, TOKEN), **SHA256),
    "SHA-256 without the header": posted(STOP, shared(STOP, TOKEN)),
    "SHA-1 with the SHA-256 header": posted(STOP, signature(STOP, token="shared secret"), **SHA256),
    "an unknown algorithm": posted(STOP, X_Twilio_Webhooks_Signature_Settings="key=1,algorithm=NONE"),
}  # fmt: skip


@pytest.mark.parametrize("request_", FORGED.values(), ids=FORGED)
def test_what_twilio_did_not_sign_is_forged(request_):
    with pytest.raises(Forged):
        OURS.check(request_)


@pytest.mark.parametrize("public_url", ["https://gw.example.test/optgate", "https://gw.example.test/optgate/"])
def test_the_public_url_may_have_a_prefix_that_the_proxy_takes_away(public_url):
    ours = Signature(public_url, TOKEN)
    ours.check(posted(STOP, signature(STOP, f"https://gw.example.test/optgate{PATH}")))
    with pytest.raises(Forged):
        ours.check(posted(STOP))


def hashed(body: bytes, digest: str | None = None, token: str = TOKEN) -> WebhookRequest:
    path = f"{PATH}?bodySHA256={digest or sha256(body).hexdigest()}"
    given = RequestValidator(token).compute_signature(ORIGIN + path, {})
    return posted(body, given, path=path, content_type="application/json")


def test_a_genuine_request_that_is_no_form_is_told_apart():
    assert OURS.check(hashed(b'{"property": "value", "boolean": true}')) is None


@pytest.mark.parametrize(
    "request_", [hashed(b"{}", "0" * 64), hashed(b"{}", token="another"), hashed(b"\xff")], ids=["hash", "key", "bytes"]
)  # fmt: skip
def test_a_body_with_a_wrong_hash_is_forged(request_):
    with pytest.raises(Forged):
        OURS.check(request_)
