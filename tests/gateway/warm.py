"""`optgate` from a warm parent: what a command would import first is there, and all else is as in a process of its own.

The parent forks for each command. The child takes over the folder, the variables and the outputs it is given, and ends
as Python ends. That each command finds its imports when it is cold is looked at in test_cli.py.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Parent:
    """The warm process; one command at a time."""

    def __init__(self, ready: Callable[[], None]) -> None:
        """`ready` is called in the process before it becomes Python."""
        self._asking, theirs = socket.socketpair()
        variables = {name: value for name, value in os.environ.items() if not name.startswith(("OPTGATE_", "PYTHON"))}
        variables |= {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"}
        command = [sys.executable, "-m", "tests.gateway.warm", str(theirs.fileno())]
        with theirs:
            how = {
                "cwd": ROOT,
                "env": variables,
                "pass_fds": [theirs.fileno()],
                "preexec_fn": ready,
                "start_new_session": True,
            }
            self._process = subprocess.Popen(command, **how)  # type: ignore[call-overload]
        self._turn = threading.Lock()
        atexit.register(self.end)

    def run(
        self, words: Sequence[str | bytes], folder: Path, variables: Mapping[str, str], seconds: float
    ) -> subprocess.CompletedProcess[str]:
        """Run `optgate WORDS`; raises TimeoutError, after which no command can be run any more."""
        asked = {"words": [os.fsdecode(word) for word in words], "folder": str(folder), "variables": dict(variables)}
        with self._turn, open(os.devnull) as nothing, _Output() as out, _Output() as err:
            self._asking.settimeout(seconds)
            socket.send_fds(self._asking, [b"!"], [nothing.fileno(), out.into, err.into])
            self._asking.sendall(json.dumps(asked).encode() + b"\n")
            try:
                told = self._asking.makefile("rb").readline()
            except TimeoutError:
                os.killpg(self._process.pid, signal.SIGKILL)  # also the command, which has the outputs
                raise
            return subprocess.CompletedProcess(list(words), int(told), out.text(), err.text())

    def end(self) -> None:
        self._asking.close()
        self._process.kill()
        self._process.wait()


class _Output:
    """A pipe that is read while a command writes to it."""

    def __enter__(self) -> _Output:
        self._from, self.into = os.pipe()
        self._read = b""
        self._reading = threading.Thread(target=self._follow)
        self._reading.start()
        return self

    def _follow(self) -> None:
        with open(self._from, "rb") as pipe:
            self._read = pipe.read()

    def text(self) -> str:
        """All of it, to the end of the last process that had it open."""
        self._close()
        return self._read.decode()

    def _close(self) -> None:
        if self.into >= 0:
            os.close(self.into)
            self.into = -1
        self._reading.join()

    def __exit__(self, *_: object) -> None:
        self._close()


# --- in the warm process -----------------------------------------------------------------------


def serve(asking: socket.socket) -> None:
    """Fork for each command that is asked for; a child comes back from here as `optgate` with its arguments."""
    lines = asking.makefile("rb")
    while True:
        _, files, _, _ = socket.recv_fds(asking, 1, 3)
        if not files:
            os._exit(0)  # whoever asked has gone
        asked = json.loads(lines.readline())
        child = os.fork()
        if not child:
            lines.close()
            asking.close()
            return become(asked, files)
        for file in files:
            os.close(file)
        _, status = os.waitpid(child, 0)
        asking.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))


def become(asked: dict[str, object], files: Sequence[int]) -> None:
    for place, file in enumerate(files):
        os.dup2(file, place)
        os.close(file)
    os.chdir(str(asked["folder"]))
    os.environ.clear()
    os.environ.update(asked["variables"])  # type: ignore[arg-type]
    sys.argv[1:] = asked["words"]  # type: ignore[assignment]


def warm() -> None:
    """Load what commands load when they are run."""
    import aiosqlite
    import asyncpg

    import audience.exporting
    import audience.importing
    import consent.proof
    import gateway.serve
    import gateway.verify
    import inbox.trial

    _ = aiosqlite, asyncpg, audience, consent, gateway, inbox
    gc.freeze()  # no child need look at it, and thereby copy it


if __name__ == "__main__":
    from gateway.cli import main

    warm()
    serve(socket.socket(fileno=int(sys.argv[1])))
    sys.argv[0], __package__ = str(ROOT / "gateway" / "cli.py"), "gateway"  # of which click makes its `Usage:`
    main()
