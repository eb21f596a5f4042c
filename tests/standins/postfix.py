"""A real Postfix of our own: its configuration, queue and data in a folder, its ports on loopback; no system service.

    with running({"example.org": "smtp:[127.0.0.1]:2525"}) as postfix:
        postfix.hand_in("ana@example.net", "hello@example.org", b"Subject: STOP\r\n\r\n")

What it cannot deliver it tries again every second. Mail to other domains than those named is thrown away.
"""

from __future__ import annotations

import os
import shutil
import smtplib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.channels.loopback import free_port

PROGRAM = "/usr/sbin/postfix"  # seldom on the path of those who are not root
# The queue manager is woken each second: mail that it tries again while the last try still ends waits for that.
SERVICES = """\
cleanup unix n - n - 0 cleanup
qmgr unix n - n 1 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
lmtp unix - - n - - lmtp
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def why_there_is_none() -> str | None:
    """What stands in the way of one; None: it can run."""
    if not Path(PROGRAM).exists():
        return "no Postfix, no mail through a real server (on Debian: apt-get install --no-install-recommends postfix)"
    if os.geteuid() != 0 and (shutil.which("sudo") is None or _as_root("true").returncode != 0):
        return "Postfix starts for root alone, and sudo would ask: no mail through a real server"
    return None


@dataclass(frozen=True)
class Postfix:
    port: int
    folder: Path

    def hand_in(self, sender: str, recipient: str, mail: bytes) -> None:
        """Hand it a mail, as a program would; Postfix has it when this returns."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=60) as client:
            assert client.sendmail(sender, [recipient], mail, ["BODY=8BITMIME"]) == {}

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def logged(self, recipient: str) -> list[str]:
        """What became of each try to deliver to a recipient."""
        return [line for line in self.log.splitlines() if f"to=<{recipient}>" in line]


@contextmanager
def running(routes: Mapping[str, str], *, milter: int | None = None) -> Iterator[Postfix]:
    """One that relays mail to each of these domains by its transport (transport(5)); `milter`, a port of this machine,
    sees each mail before it is taken."""
    folder = Path(tempfile.mkdtemp(prefix="optgate-postfix-", dir="/tmp"))  # in a short path: its sockets need one
    folder.chmod(0o755)  # its daemons run as another user
    postfix = Postfix(free_port(), folder)
    _configure(postfix, routes, milter)
    try:
        started = _as_root(PROGRAM, "-c", str(folder / "config"), "start")
        assert started.returncode == 0, f"{started.stderr}{started.stdout}"
        _wait_for(postfix)
        yield postfix
    finally:
        pid = _as_root("cat", str(folder / "queue/pid/master.pid")).stdout.strip()
        if pid:
            _as_root("kill", pid)
        _as_root("rm", "-rf", str(folder))


def _configure(postfix: Postfix, routes: Mapping[str, str], milter: int | None) -> None:
    folder = postfix.folder
    for name in ("config", "queue"):  # the data's it makes itself, for its own user
        (folder / name).mkdir()
    (folder / "config/master.cf").write_text(f"127.0.0.1:{postfix.port} inet n - n - - smtpd\n{SERVICES}")
    (folder / "config/main.cf").write_text(f"""\
compatibility_level = 3.6
config_directory = {folder}/config
queue_directory = {folder}/queue
data_directory = {folder}/data
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = mx.example.org
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relay_domains = {", ".join(routes)}
transport_maps = inline:{{ {", ".join(f"{{ {domain} = {route} }}" for domain, route in routes.items())} }}
default_transport = discard
alias_maps =
alias_database =
message_size_limit = 60000000
mailbox_size_limit = 0
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 1s
smtpd_milters = {f"inet:127.0.0.1:{milter}" if milter else ""}
milter_default_action = tempfail
""")


def _wait_for(postfix: Postfix) -> None:
    until = time.monotonic() + 60
    while True:
        try:
            smtplib.SMTP("127.0.0.1", postfix.port, timeout=5).quit()
        except OSError:
            assert time.monotonic() < until, postfix.log
            time.sleep(0.05)
        else:
            return


def _as_root(*command: str) -> subprocess.CompletedProcess[str]:
    by = [] if os.geteuid() == 0 else ["sudo", "-n"]
    return subprocess.run([*by, *command], capture_output=True, text=True, check=False)
