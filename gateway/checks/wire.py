"""Why an HTTP request got no answer, in an operator's words."""

from __future__ import annotations

import socket
import ssl

import aiohttp

# X509_verify_cert's verdicts: https://docs.openssl.org/master/man3/X509_STORE_CTX_get_error
_CERTIFICATES = {
    9: "its certificate is not valid yet: is this machine's clock right?",
    10: "its certificate has expired: renew it",
    18: "its certificate is self-signed, which nobody else believes: get one from a certificate authority",
    19: "its certificate comes from an authority of your own, which nobody else believes",
    20: "its certificate does not lead to an authority that is known: let the server send the whole chain",
    21: "its certificate does not lead to an authority that is known: let the server send the whole chain",
    62: "its certificate is for another name",
    64: "its certificate is for another name than this number",
}


def certificate_trouble(error: BaseException | None) -> str | None:
    """What is wrong with a certificate, or with https altogether; None where it is something else."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        error = error.certificate_error
    if isinstance(error, ssl.SSLCertVerificationError):
        return _CERTIFICATES.get(error.verify_code, f"its certificate is not believed ({error.verify_message})")
    if isinstance(error, aiohttp.ClientConnectorSSLError | ssl.SSLError):
        return "it does not speak https on that port"
    return None


def is_unknown_host(error: BaseException | None) -> bool:
    """Whether the name leads nowhere."""
    return isinstance(error, aiohttp.ClientConnectorDNSError | socket.gaierror)


def why_no_answer(error: BaseException | None) -> str:
    """What kept the answer away, as the end of a sentence."""
    if (trouble := certificate_trouble(error)) is not None:
        return trouble
    if is_unknown_host(error):
        return "there is no host of that name, or no way to ask for it"
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(error, TimeoutError):
        return "there was no answer in time; a firewall, perhaps"
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or "no connection came about"
    return f"the connection broke ({type(error).__name__})"
