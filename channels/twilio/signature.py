"""Did Twilio sign this, for this very URL, with a secret of ours?

The twilio library's RequestValidator decides; here are its inputs: the *configured* public URL before the raw path,
and all parameters, repeated and blank ones too, as Twilio signed them
(twilio.com/docs/usage/webhooks/webhooks-security).
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from urllib.parse import parse_qs, parse_qsl, urlsplit

from multidict import MultiDict
from twilio.request_validator import (  # type: ignore[import-untyped]
    HMAC_SHA1,
    HMAC_SHA256,
    SIGNATURE_HEADER,
    SIGNATURE_SETTINGS_HEADER,
    RequestValidator,
    get_signature_algorithm,
)

from channels.values import Forged, WebhookRequest

FORM = "application/x-www-form-urlencoded"
FIELDS_AT_MOST = 1000


class Signature:
    """Checks requests to one connection.

    `signing_keys` are Twilio's SharedKeys (public beta), by id, for requests whose settings header names one; without
    them, and for every other request, the auth token is the secret.
    """

    def __init__(self, public_url: str, auth_token: str, signing_keys: Mapping[str, str] | None = None) -> None:
        self._public_url = public_url.rstrip("/")
        self._validator = RequestValidator(auth_token)
        self._of_key = {key: RequestValidator(secret) for key, secret in (signing_keys or {}).items()}

    def check(self, request: WebhookRequest) -> MultiDict[str] | None:
        """The parameters that were signed; None for a genuine request that is no form. Raises Forged.

        What cannot be checked (no form and no body hash, more than 1,000 fields) is Forged too: so whatever is later
        found Malformed is known to come from Twilio.
        """
        given = _only(request.headers, SIGNATURE_HEADER)
        settings = _only(request.headers, SIGNATURE_SETTINGS_HEADER, default="")
        algorithm = get_signature_algorithm(settings).upper()
        if algorithm not in (HMAC_SHA1, HMAC_SHA256):  # asked here: the library would log the stranger's words
            raise Forged("unknown signature algorithm")
        form = _form(request)
        signed = _hashed_text(request) if form is None else form
        if not self._matches(self._key(settings), self._public_url + request.raw_path, signed, given, algorithm):
            raise Forged("wrong signature")
        return form

    def _key(self, settings: str) -> RequestValidator:
        parts = (part.partition("=") for part in settings.split(","))
        named = next((value.strip() for name, _, value in parts if name.strip() == "key"), "")
        return self._of_key.get(named, self._validator)

    def _matches(
        self, key: RequestValidator, url: str, signed: MultiDict[str] | str, given: str, algorithm: str
    ) -> bool:
        try:
            if not isinstance(signed, str):
                expected = key.compute_signature(url, signed, algorithm)
                if hmac.compare_digest(expected.encode(), given.encode(errors="replace")):
                    return True
            # The library's own check adds the variants with and without the default port, and the body's hash.
            return bool(key.validate(url, signed, given, algorithm))
        except ValueError:  # a path or header with bytes that are no UTF-8: Twilio signs none such
            return False


def _only(headers: Mapping[str, str], name: str, default: str | None = None) -> str:
    getall = getattr(headers, "getall", None)
    values = getall(name, []) if getall else [headers[name]] if name in headers else []
    if not values and default is not None:
        return default
    if len(values) != 1:
        raise Forged("no signature" if not values else "more than one signature")
    return str(values[0])


def _form(request: WebhookRequest) -> MultiDict[str] | None:
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() != FORM:
        return None
    try:
        fields = parse_qsl(
            request.body.decode("utf-8", "replace"),
            keep_blank_values=True,
            max_num_fields=FIELDS_AT_MOST,
            errors="replace",
        )
    except ValueError:
        raise Forged("too many fields to check") from None
    return MultiDict(fields)


def _hashed_text(request: WebhookRequest) -> str:
    """The body of a request that signs only its URL, with the body's hash in it."""
    if "bodySHA256" not in parse_qs(urlsplit(request.raw_path).query):
        raise Forged("neither a form nor a hash of the body")
    try:
        return request.body.decode()
    except UnicodeDecodeError:
        raise Forged("wrong signature") from None
