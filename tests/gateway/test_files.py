"""`optgate import` and `optgate export`, as an operator runs them."""

from __future__ import annotations

import csv
import json
import os
import pty
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.gateway.test_cli import PATIENCE_SECONDS, Operator, said

PEOPLE = (
    "external_id,first_name,sms,consent.sms,obtained_at,how\n"
    "crm-1,Ana,+14155550123,yes,2024-05-01T00:00:00Z,desk\n"
    "crm-2,=Ben,+14155550124,no,,\n"
    "crm-3,Cleo,+14155550125,yes,,desk\n"
)


@pytest.fixture
def operator(tmp_path: Path, make_database_url: Callable[..., str]) -> Operator:
    operator = Operator(tmp_path, make_database_url(migrated=False))
    said(operator.run("migrate"), 0)
    return operator


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Operator:
    operator = Operator(tmp_path, "sqlite:///optgate.db")
    said(operator.run("migrate"), 0)
    return operator


def write(operator: Operator, text: str, name: str = "people.csv") -> Path:
    file = operator.folder / name
    file.write_text(text, newline="")
    return file


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as opened:
        return list(csv.DictReader(opened))


def test_people_are_imported_beside_a_running_gateway_and_exported_again(operator: Operator) -> None:
    write(operator, PEOPLE)
    with operator.serving() as gateway:
        key = said(operator.run("key", "create", "crm"), 0).strip()
        told = said(operator.run("import", "people.csv"), 0)
        assert "3 rows: 3 created, 0 updated, 0 unchanged, 0 refused." in told
        assert "What became of each row is in people.csv.results.csv." in told
        [cleo, ben, ana] = gateway.ask("/v1/profiles", key=key)[1]["items"][::-1]
        assert [one["consent"]["channels"]["sms"]["state"] for one in (ana, ben, cleo)] == ["yes", "no", "yes"]
        results = table(operator.folder / "people.csv.results.csv")
        assert [(row["line"], row["outcome"], row["profile_id"]) for row in results] == [
            ("2", "created", ana["id"]), ("3", "created", ben["id"]), ("4", "created", cleo["id"]),
        ]  # fmt: skip
        assert gateway.ask("/webhooks/sms", body={"from": "+14155550123", "to": "1", "body": "STOP"})[0] == 200
        exported = said(operator.run("export", "profiles"), 0)
        write(operator, exported, "again.csv")
        assert "'=Ben" in exported, "it calculates nothing"
        summary = json.loads(said(operator.run("import", "--json", "again.csv"), 0))
        assert (summary["rows"], summary["unchanged"], summary["results"]) == (3, 3, "again.csv.results.csv")
        lines = said(operator.run("export", "consent-events"), 0)
        assert [line["source"] for line in csv.DictReader(lines.splitlines())] == ["keyword"] + ["import"] * 3
    assert "verifies" in said(operator.run("ledger", "verify"), 0)
    assert "No violation" in said(operator.run("verify"), 0)


def test_refused_rows_end_an_import_with_three_and_say_why(operator: Operator) -> None:
    write(operator, PEOPLE)
    said(operator.run("import", "people.csv"), 0)
    write(operator, PEOPLE.replace(",no,,", ",yes,,").replace("+14155550125", "12"))
    preview = operator.run("import", "--dry-run", "--json", "people.csv")
    done = operator.run("import", "people.csv")
    assert (preview.returncode, done.returncode) == (3, 3)
    told = json.loads(preview.stdout)
    assert (told["dry_run"], told["results"], told["refused"]) == (True, None, 2)
    assert told["refused_by_code"] == {"bad_cell": 1, "needs_evidence": 1}
    assert "3 rows: 0 created, 0 updated, 1 unchanged, 2 refused." in done.stdout
    assert done.stderr == ""
    results = table(operator.folder / "people.csv.results.2.csv")
    assert [row["code"] for row in results] == ["", "needs_evidence", "bad_cell"]
    assert results[1]["reason"].startswith("sms: the person said no; a yes needs obtained_at, later than that, and how")


def test_no_file_is_written_over(on_sqlite: Operator) -> None:
    write(on_sqlite, PEOPLE)
    refused = said(on_sqlite.run("import", "people.csv", "--results", "optgate.toml"), 1)
    assert "optgate.toml is there already" in refused
    refused = said(on_sqlite.run("export", "profiles", "--output", "people.csv"), 1)
    assert "people.csv is there already" in refused
    assert (on_sqlite.folder / "people.csv").read_text() == PEOPLE
    done = on_sqlite.run("export", "profiles", "--output", "out.csv", "--json")
    assert json.loads(done.stderr) == {"what": "profiles", "rows": 0, "output": "out.csv"}, "nobody was imported"


def test_what_cannot_be_imported_is_said_in_a_line(on_sqlite: Operator) -> None:
    write(on_sqlite, "sms,shoe_size\n+14155550123,43\n")
    assert "people.csv: the column shoe_size means nothing here" in said(on_sqlite.run("import", "people.csv"), 1)
    (on_sqlite.folder / "people.csv").write_bytes("sms,first_name\n+14155550123,Zoë\n".encode("latin-1"))
    told = said(on_sqlite.run("import", "people.csv"), 1)
    assert "people.csv: line 2 is not UTF-8: save the file as UTF-8" in told
    assert "nothing was taken" in told
    assert "does not exist" in said(on_sqlite.run("import", "gone.csv"), 2)
    assert "is not one of" in said(on_sqlite.run("export", "everything"), 2)
    assert sorted(file.suffix for file in on_sqlite.folder.iterdir()) == [".csv", ".db", ".toml"]


def test_an_import_makes_no_database(tmp_path: Path) -> None:
    operator = Operator(tmp_path, "sqlite:///optgate.db")
    write(operator, PEOPLE)
    assert "there is no database" in said(operator.run("import", "people.csv"), 1)
    assert not (tmp_path / "optgate.db").exists()


def test_an_import_is_interrupted_and_goes_on(on_sqlite: Operator) -> None:
    header, *_ = PEOPLE.splitlines()
    lines = [f"crm-{n},Ana,+1415{n:07d},yes,2024-05-01T00:00:00Z,desk" for n in range(5_550_000, 5_553_000)]
    write(on_sqlite, "\n".join([header, *lines]))
    command, how = on_sqlite.command("import", "people.csv")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    results = on_sqlite.folder / "people.csv.results.csv"
    until = time.monotonic() + PATIENCE_SECONDS
    while not results.exists() or results.stat().st_size < 1000:
        assert time.monotonic() < until
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    errors = process.communicate(timeout=PATIENCE_SECONDS)[1]
    assert process.returncode == 130, errors
    assert "Traceback" not in errors
    taken = len(table(results))
    with sqlite3.connect(on_sqlite.folder / "optgate.db") as database:
        [(there,)] = database.execute("SELECT count(*) FROM profiles")
    assert 0 < taken <= there < 3000
    summary = json.loads(said(on_sqlite.run("import", "--json", "people.csv"), 0))
    assert (summary["unchanged"], summary["created"]) == (there, 3000 - there)
    with sqlite3.connect(on_sqlite.folder / "optgate.db") as database:
        noted = [action for (action,) in database.execute("SELECT action FROM audit ORDER BY id")]
    began = "people.import_began"
    assert [action for action in noted if "import" in action] == [began, began, "people.imported"]


def test_a_terminal_sees_a_bar_and_a_pipe_does_not(on_sqlite: Operator) -> None:
    write(on_sqlite, PEOPLE)
    ours, theirs = pty.openpty()
    command, how = on_sqlite.command("import", "--json", "people.csv")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, check=True, timeout=PATIENCE_SECONDS, **how)
    os.close(theirs)
    assert b"Importing" in os.read(ours, 10_000)
    os.close(ours)
    assert json.loads(done.stdout)["created"] == 3
    assert on_sqlite.run("import", "people.csv").stderr == ""


def test_whoever_reads_an_export_may_stop(on_sqlite: Operator) -> None:
    header, *_ = PEOPLE.splitlines()
    lines = [f"crm-{n},Ana,+1415{n:07d},no,," for n in range(5_550_000, 5_550_900)]
    write(on_sqlite, "\n".join([header, *lines]))
    said(on_sqlite.run("import", "people.csv"), 0)
    command, how = on_sqlite.command("export", "profiles")
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **how)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("profile_id,external_id,")
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(PATIENCE_SECONDS) == 0
