"""A relay that signs: a Postfix of our own with Debian's opendkim behind it, on loopback, ended by its pid."""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.channels.loopback import free_port
from tests.standins import postfix
from tests.standins.postfix import Postfix

DOMAIN, SELECTOR = "example.org", "optgate"
PROGRAM = "/usr/sbin/opendkim"


def why_there_is_none() -> str | None:
    """What stands in the way of one; None: it can run."""
    if not Path(PROGRAM).exists():
        return "no opendkim, no signed mail (on Debian: apt-get install --no-install-recommends opendkim)"
    return postfix.why_there_is_none()


@dataclass(frozen=True)
class DkimRelay:
    postfix: Postfix
    folder: Path

    def verify(self, content: bytes) -> str:
        """What opendkim says of a mail, with the public key out of a file instead of the DNS."""
        mail = self.folder / "verified.eml"
        mail.write_bytes(content)
        command = [PROGRAM, "-x", str(self.folder / "verify.conf"), "-vvv", "-t", str(mail)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr


@contextlib.contextmanager
def signing(routes: Mapping[str, str], sign_headers: str) -> Iterator[DkimRelay]:
    """A relay that signs these headers (opendkim's `SignHeaders`) of what it passes on by its routes."""
    folder = Path(tempfile.mkdtemp(prefix="optgate-dkim-"))
    milter = free_port()
    _configure(folder, milter, sign_headers)
    with (folder / "log").open("wb") as log:
        opendkim = subprocess.Popen([PROGRAM, "-f", "-x", str(folder / "sign.conf")], stdout=log, stderr=log)
    try:
        _wait_for(milter)
        with postfix.running(routes, milter=milter) as relay:
            yield DkimRelay(relay, folder)
    finally:
        opendkim.terminate()
        opendkim.wait(10)
        shutil.rmtree(folder)


def _configure(folder: Path, port: int, sign_headers: str) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / "private").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
    public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    record = f"v=DKIM1;k=rsa;p={base64.b64encode(public).decode()}"
    (folder / "public").write_text(f"{SELECTOR}._domainkey.{DOMAIN} {record}\n")
    (folder / "internal").write_text("127.0.0.1\n")
    both = "Syslog no\nRequireSafeKeys no\n" + ("UserID root\n" if os.geteuid() == 0 else "")
    (folder / "verify.conf").write_text(f"Mode v\nTestPublicKeys {folder}/public\n{both}")
    (folder / "sign.conf").write_text(
        f"Mode s\nDomain {DOMAIN}\nSelector {SELECTOR}\nKeyFile {folder}/private\n"
        f"Socket inet:{port}@127.0.0.1\nInternalHosts {folder}/internal\nCanonicalization relaxed/relaxed\n"
        f"SignHeaders {sign_headers}\nBackground no\n{both}"
    )


def _wait_for(port: int) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            assert time.monotonic() < until, f"nothing listens on port {port}"
            time.sleep(0.05)
        else:
            return
