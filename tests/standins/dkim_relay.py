"""A relay that signs: Debian's own Postfix and opendkim, in a folder of their own, on loopback, ended by their pids.

What it takes it signs (DKIM) and passes on to `onward`. It needs root, as Postfix does.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.channels.loopback import free_port

DOMAIN, SELECTOR = "example.org", "optgate"
PATIENCE_SECONDS = 20.0
MISSING = "needs root, and Debian's postfix, opendkim and opendkim-tools"


def is_here() -> bool:
    names = ("postfix", "opendkim", "opendkim-genkey")
    return os.geteuid() == 0 and all(shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin") for name in names)


@dataclass(frozen=True)
class DkimRelay:
    port: int
    folder: Path

    def log(self) -> str:
        file = self.folder / "maillog"
        return file.read_text() if file.exists() else ""

    def verify(self, content: bytes) -> str:
        """What opendkim says of a mail, with the public key out of a file instead of the DNS."""
        mail = self.folder / "verified.eml"
        mail.write_bytes(content)
        record = (self.folder / "key.txt").read_text()
        public = "".join(part for part in record.split('"')[1::2]).replace(" ", "").replace("\n", "")
        (self.folder / "public").write_text(f"{SELECTOR}._domainkey.{DOMAIN} {public}\n")
        (self.folder / "verify.conf").write_text(
            f"Mode v\nSyslog no\nTestPublicKeys {self.folder}/public\nRequireSafeKeys no\nUserID root\n"
        )
        command = ["/usr/sbin/opendkim", "-x", str(self.folder / "verify.conf"), "-vvv", "-t", str(mail)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.stdout + done.stderr


@contextlib.contextmanager
def signing(onward: int, sign_headers: str) -> Iterator[DkimRelay]:
    """A relay that signs these headers (opendkim's `SignHeaders`) and hands on to a port of this machine."""
    folder = Path(tempfile.mkdtemp(prefix="optgate-dkim-"))
    folder.chmod(0o755)  # Postfix's programs run as its own user
    started: list[subprocess.Popen[bytes]] = []
    try:
        milter, port = free_port(), free_port()
        started.append(_opendkim(folder, milter, sign_headers))
        _wait_for(milter)
        started.append(_postfix(folder, port, milter, onward))
        _wait_for(port)
        yield DkimRelay(port, folder)
    finally:
        for process in reversed(started):
            _end(process)
        shutil.rmtree(folder, ignore_errors=True)


def _opendkim(folder: Path, port: int, sign_headers: str) -> subprocess.Popen[bytes]:
    subprocess.run(
        ["/usr/sbin/opendkim-genkey", "-b", "2048", "-d", DOMAIN, "-s", SELECTOR, "-D", str(folder)], check=True
    )
    (folder / f"{SELECTOR}.txt").rename(folder / "key.txt")
    (folder / "internal").write_text("127.0.0.1\n")
    (folder / "opendkim.conf").write_text(
        f"Mode s\nDomain {DOMAIN}\nSelector {SELECTOR}\nKeyFile {folder}/{SELECTOR}.private\n"
        f"Socket inet:{port}@127.0.0.1\nInternalHosts {folder}/internal\nCanonicalization relaxed/relaxed\n"
        f"SignHeaders {sign_headers}\nSyslog no\nRequireSafeKeys no\nUserID root\nBackground no\n"
    )
    return _run(["/usr/sbin/opendkim", "-f", "-x", str(folder / "opendkim.conf")], folder / "opendkim.log")


_MASTER = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def _postfix(folder: Path, port: int, milter: int, onward: int) -> subprocess.Popen[bytes]:
    config = folder / "postfix"
    for name in ("postfix", "queue", "data"):
        (folder / name).mkdir(mode=0o755)
    shutil.chown(folder / "data", "postfix")
    options = {
        "compatibility_level": "3.6", "queue_directory": folder / "queue", "data_directory": folder / "data",
        "command_directory": "/usr/sbin", "daemon_directory": "/usr/lib/postfix/sbin", "mail_owner": "postfix",
        "setgid_group": "postdrop", "myhostname": "relay.example.org", "mydestination": "", "alias_maps": "",
        "inet_interfaces": "127.0.0.1", "inet_protocols": "ipv4", "mynetworks": "127.0.0.0/8",
        "relayhost": f"[127.0.0.1]:{onward}", "smtp_dns_support_level": "disabled", "smtp_host_lookup": "native",
        "smtpd_milters": f"inet:127.0.0.1:{milter}", "milter_default_action": "tempfail",
        "maillog_file": folder / "maillog", "maillog_file_prefixes": folder,
    }  # fmt: skip
    (config / "main.cf").write_text("".join(f"{name} = {value}\n" for name, value in options.items()))
    (config / "master.cf").write_text(_MASTER.format(port=port))
    subprocess.run(["/usr/sbin/postfix", "-c", str(config), "check"], check=True, capture_output=True)
    return _run(["/usr/lib/postfix/sbin/master", "-c", str(config), "-d"], folder / "postfix.log")


def _run(command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)


def _wait_for(port: int) -> None:
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise AssertionError(f"nothing listens on port {port}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
