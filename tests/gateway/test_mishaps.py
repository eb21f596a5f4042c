"""What an operator may run into: each is said in a line or two that name what is wrong and what to do."""

from __future__ import annotations

import asyncio
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from tests import postgres
from tests.gateway.test_cli import Operator, said

CANARY = "canary-9f8e7d6c"
PROOFS = (
    ("ledger", "verify"),
    ("ledger", "rebuild"),
    ("ledger", "rebuild", "--check"),
    ("verify",),
    ("rules", "test", "--channel", "sms", "stop"),
    ("key", "list"),
    ("key", "revoke", "crm"),
)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path, "sqlite:///optgate.db")


def told(operator: Operator, *words: str) -> str:
    """What a command that failed said: at most two plain lines, without a password."""
    line = said(operator.run(*words), 1)
    assert len(line.strip().splitlines()) <= 2, line
    assert CANARY not in line
    return line


# --- no database, or another -------------------------------------------------------------------


@pytest.mark.parametrize("words", PROOFS)
def test_what_is_proved_or_shown_is_never_made(operator: Operator, words: tuple[str, ...]) -> None:
    before = sorted(operator.folder.iterdir())
    line = told(operator, *words)
    assert f"there is no database at sqlite:///optgate.db in {operator.folder}" in line
    assert "name its configuration with --config FILE or OPTGATE_CONFIG" in line
    assert "`optgate migrate`" in line
    assert sorted(operator.folder.iterdir()) == before


def test_check_says_that_there_is_no_database_and_makes_none(operator: Operator) -> None:
    for url, at in (("sqlite:///optgate.db", "optgate.db"), ("sqlite:///gone/optgate.db", "gone/optgate.db")):
        operator.write(url)
        done = operator.run("check")
        assert (done.returncode, done.stderr) == (1, "")
        assert f"problem database: there is no database at sqlite:///{at}" in done.stdout
    assert [file.name for file in operator.folder.iterdir()] == ["optgate.toml"]


def test_an_empty_database_is_left_empty(tmp_path: Path, make_database_url: Callable[..., str]) -> None:
    url = make_database_url(migrated=False)
    if url.startswith("sqlite"):
        Path(url.removeprefix("sqlite:///")).touch()
    operator = Operator(tmp_path, url)
    for _ in range(2):
        assert "holds nothing of Optgate's" in told(operator, "ledger", "verify")


@pytest.mark.parametrize(
    "script",
    [
        "CREATE TABLE customers (id INTEGER)",
        # Who migrates with Alembic as we do, and counts as we do.
        "CREATE TABLE customers (id INTEGER); CREATE TABLE alembic_version (version_num VARCHAR(32));"
        "INSERT INTO alembic_version VALUES ('0001')",
    ],
    ids=["tables", "migrations"],
)
def test_the_file_of_another_program_is_named_so_and_left_alone(operator: Operator, script: str) -> None:
    file = operator.folder / "optgate.db"
    with closing(sqlite3.connect(file)) as theirs:
        theirs.executescript(script)
    before = file.read_bytes()
    words = "the database at sqlite:///optgate.db is another program's, not Optgate's: let [database] url name one of"
    commands = ("ledger", "verify"), ("migrate",), ("serve",), ("key", "create", "crm"), ("export", "profiles")
    for command in commands:
        assert words in told(operator, *command)
    assert f"problem database: {words}" in operator.run("check").stdout
    assert file.read_bytes() == before


def test_a_database_of_a_newer_version_is_left_alone(operator: Operator) -> None:
    said(operator.run("migrate"), 0)
    database = sqlite3.connect(operator.folder / "optgate.db")
    with database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    assert "is of a newer Optgate than this one: use that one" in told(operator, "ledger", "verify")
    for command in ("migrate", "serve"):
        assert "at migration 9999, which this version of Optgate does not know: use the newer one" in told(
            operator, command
        )


def test_migrate_leaves_nothing_for_a_first_start_to_fill(operator: Operator) -> None:
    said(operator.run("migrate"), 0)
    assert "STOP (starts_with, built-in rule" in said(operator.run("rules", "test", "--channel", "sms", "stop"), 0)


# --- files and folders -------------------------------------------------------------------------


def text(folder: Path) -> None:
    (folder / "x.db").write_text("not a database, but long enough to look like one " * 100)


def unreadable(folder: Path) -> None:
    sqlite3.connect(folder / "x.db").close()
    (folder / "x.db").touch()
    (folder / "x.db").chmod(0)


def shut(folder: Path) -> None:
    (folder / "shut").mkdir(mode=0o500)


@pytest.mark.parametrize(
    ("prepared", "url", "words"),
    [
        (text, "x.db", "x.db is not an SQLite database: correct [database] url, or move the file away"),
        (unreadable, "x.db", "x.db cannot be read and written by this user: correct the file's owner or rights"),
        (shut, "shut/x.db", "shut cannot be written by this user, and SQLite keeps files beside x.db"),
        (None, "gone/x.db", "the folder {folder}/gone does not exist; create it, or correct [database] url"),
        (None, "optgate.toml/x.db", "the folder {folder}/optgate.toml is not a folder"),
        (shut, "shut", "shut is a folder: let [database] url name a file"),
    ],
)
@pytest.mark.parametrize("words_run", [("migrate",), ("serve",), ("key", "create", "crm")])
def test_a_path_that_cannot_be_a_database_is_said_so(
    operator: Operator, prepared: Callable[[Path], None] | None, url: str, words: str, words_run: tuple[str, ...]
) -> None:
    if prepared:
        prepared(operator.folder)
    operator.write(f"sqlite:///{url}")
    assert words.format(folder=operator.folder) in told(operator, *words_run)


def test_a_configuration_that_cannot_be_read_is_said_so(operator: Operator) -> None:
    (operator.folder / "optgate.toml").chmod(0)
    assert "optgate.toml: cannot be read: Permission denied; correct the file's owner or rights" in said(
        operator.run("key", "list"), 2
    )


def test_a_configuration_in_a_folder_that_is_closed_is_said_to_be_unreadable(operator: Operator) -> None:
    shut(operator.folder)
    (operator.folder / "shut").chmod(0)
    line = said(operator.run("key", "list", "--config", "shut/optgate.toml"), 2)
    assert "shut/optgate.toml: cannot be read: Permission denied; correct the file's owner or rights" in line
    assert "Traceback" not in line


def test_a_second_gateway_on_one_file_is_refused_by_whatever_name_it_calls_it(operator: Operator) -> None:
    with operator.serving():
        (operator.folder / "link.db").symlink_to("optgate.db")
        operator.write("sqlite:///link.db")
        assert "another gateway serves link.db: stop it first, or use PostgreSQL" in told(operator, "serve")


# --- where it listens --------------------------------------------------------------------------


def test_a_host_that_is_not_ours_is_said_so(operator: Operator) -> None:
    operator.variables["OPTGATE_SERVER__HOST"] = "no-such-host.invalid"
    assert "cannot listen on no-such-host.invalid:0: " in told(operator, "serve")


# --- PostgreSQL --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded() -> Iterator[str]:
    """A PostgreSQL that asks for passwords: its URL, with places for who and what."""
    with postgres.own() as server:
        if server is None:
            pytest.skip("no PostgreSQL")
        asyncio.run(guard(server.url()))
        yield server.url("{name}").replace("optgate@", "{who}@")


async def guard(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        rules = Path(await connection.fetchval("SHOW hba_file"))
        guards = "host all guarded all scram-sha-256\nhost all shut all reject\n"
        rules.write_text(guards + rules.read_text())
        for role in (f"guarded LOGIN PASSWORD '{CANARY}'", "shut LOGIN", "poor LOGIN"):
            await connection.execute(f"CREATE ROLE {role}")
        await connection.execute("SELECT pg_reload_conf()")
        while not await connection.fetchval("SELECT count(*) FROM pg_hba_file_rules WHERE user_name = '{shut}'"):
            await asyncio.sleep(0.05)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("who", "name", "words"),
    [
        ("optgate", "nowhere", "there is no database nowhere on the server: create it with `createdb`, or correct"),
        (f"guarded:{CANARY}x", "postgres", "the server refuses the password of guarded: correct it in [database] url"),
        ("guarded", "postgres", "the server refuses the password of guarded"),
        (f"nobody:{CANARY}", "postgres", "the server does not let nobody in"),
        (f"shut:{CANARY}", "postgres", "the server does not let shut in: correct [database] url"),
        (f"poor:{CANARY}", "postgres", "poor may not do that in the database: make it the owner"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_postgresql_that_does_not_let_us_in_is_said_so(
    operator: Operator, guarded: str, who: str, name: str, words: str, command: str
) -> None:
    operator.write(guarded.format(who=who, name=name))
    line = told(operator, command)
    assert words in line
    assert f"the database postgresql://{who.partition(':')[0]}@127.0.0.1" in line


def test_a_postgresql_that_is_not_there_is_said_so(operator: Operator) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and nobody listens
        port = closed.getsockname()[1]
        for words in (["serve"], ["migrate"], ["key", "list"], ["ledger", "verify"]):
            operator.write(f"postgresql://user:{CANARY}@127.0.0.1:{port}/optgate")
            assert f"postgresql://user@127.0.0.1:{port}/optgate cannot be reached: no server listens there" in told(
                operator, *words
            )
    operator.write(f"postgresql://user:{CANARY}@no-such-host.invalid/optgate")
    assert "there is no host named no-such-host.invalid; see [database] url" in told(operator, "serve")
