"""How long the proof of a long history takes, against reading the same rows once and hashing them.

A database is filled with people who text STOP and START, in bulk, as the gateway would have written it. Then the
commands run on it as an operator runs them; each is shown beside the limit, with the most memory that it held.

    python -m bench verify [EVENTS] [DATABASE-URL]

Without a URL it is a new SQLite file; a PostgreSQL database must be new and empty.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Table, text

from consent import chain, reading
from consent.states import Event, Subject, fold
from gateway.prepare import prepare
from gateway.settings import Settings
from store.clock import utcnow
from store.engine import Database
from store.tables import (
    addresses,
    consent_chains,
    consent_events,
    consent_states,
    evidence,
    messages,
    profile_addresses,
    profiles,
    receipts,
)

EVENTS = 1_000_000
PEOPLE_AT_ONCE = 2000
BEGAN = datetime(2025, 1, 1, 12, tzinfo=UTC)
COMMANDS = (("ledger", "verify"), ("ledger", "rebuild", "--check"), ("verify",))
LINES = """SELECT profile_id, position, e.id, at, to_state, e.hash, salt, CAST(body AS text)
           FROM consent_events AS e JOIN evidence ON event_id = e.id ORDER BY profile_id, position"""
TABLES = (
    profiles,
    addresses,
    profile_addresses,
    consent_events,
    evidence,
    consent_chains,
    consent_states,
    messages,
    receipts,
)

Rows = dict[Table, list[dict[str, Any]]]


def history(events: int) -> Iterator[Rows]:
    """The rows of every table, a few thousand people at a time; each has one to five lines."""
    seq = person = 0
    while seq < events:
        rows: Rows = {table: [] for table in TABLES}
        for _ in range(PEOPLE_AT_ONCE):
            lines = min(1 + person % 5, events - seq)
            if lines:
                _add_person(rows, person, seq, lines)
            person += 1
            seq += lines
        yield rows


def _id(prefix: str, number: int) -> str:
    return f"{prefix}_{number:026d}"


def _add_person(rows: Rows, person: int, seq: int, lines: int) -> None:
    profile_id, address_id, number = _id("pro", person), _id("adr", person), f"+1415{person:07d}"
    at = BEGAN + timedelta(seconds=seq)
    rows[profiles].append(
        {"id": profile_id, "attributes": {}, "defaults_version": 1, "created_at": at, "updated_at": at}
    )
    rows[addresses].append(
        {
            "id": address_id,
            "channel": "sms",
            "value": number,
            "hash": f"{person:064x}",
            "version": seq + lines,
            "created_at": at,
        }
    )
    rows[profile_addresses].append(
        {"profile_id": profile_id, "address_id": address_id, "channel": "sms", "position": 0, "since": at}
    )
    events: list[Event] = []
    previous = chain.START
    for position in range(1, lines + 1):
        seq += 1
        event = _event(profile_id, address_id, seq, position)
        events.append(event)
        previous = _add_line(rows, event, number, seq, position, previous)
    rows[consent_chains].append({"profile_id": profile_id, "count": lines, "head": previous})
    for subject, flag in fold(events, {address_id: "sms"}).items():
        rows[consent_states].append(reading.state_row(profile_id, subject, flag))


def _event(profile_id: str, address_id: str, seq: int, position: int) -> Event:
    """STOP and START in turn."""
    return Event(
        id=_id("evt", seq),
        change_id=_id("chg", seq),
        profile_id=profile_id,
        subject=Subject("channel", "sms"),
        address_id=address_id,
        with_address=True,
        from_state="not_asked" if position == 1 else ("no", "yes")[position % 2],
        to_state=("yes", "no")[position % 2],
        basis=(None if position % 2 else "express"),
        expires_at=None,
        at=BEGAN + timedelta(seconds=seq),
        provider_at=None,
        source="keyword",
        actor="customer",
        personal=True,
        via=None,
        superseded=False,
    )


def _add_line(rows: Rows, event: Event, number: str, seq: int, position: int, previous: str) -> str:
    word = "STOP" if event.to_state == "no" else "START"
    message_id, provider_id, to = _id("msg", seq), f"SM{seq:032d}", "+12025550100"
    body = {"message_id": message_id, "text": word, "from": number, "to": to, "rule": f"rul_builtin_sms_{word.lower()}"}
    salt = f"{seq:032x}"
    proof = chain.evidence_hash(salt, body)
    digest = chain.line_hash(event, seq=seq, position=position, evidence=proof, previous=previous)
    row: dict[str, Any] = {name: getattr(event, name) for name in Event.__dataclass_fields__ if name != "subject"}
    row |= {"seq": seq, "position": position, "subject_kind": event.subject.kind, "subject_key": event.subject.key}
    rows[consent_events].append(row | {"evidence_hash": proof, "previous_hash": previous, "hash": digest})
    rows[evidence].append({"event_id": event.id, "salt": salt, "body": body})
    rows[messages].append(
        {
            "id": message_id, "connection": "sms", "channel": "sms", "account": "AC1", "provider_id": provider_id,
            "address_id": event.address_id, "profile_id": event.profile_id, "sender": number, "receiver": to,
            "body": word, "fields": {}, "change_id": event.change_id, "created_at": event.at,
        }
    )  # fmt: skip
    rows[receipts].append(
        {
            "account": "AC1", "provider_id": provider_id, "message_id": message_id,
            "content_type": "application/xml", "answer": b"<Response/>", "received_at": event.at,
        }
    )  # fmt: skip
    return digest


async def fill(url: str, events: int) -> None:
    database = Database(url)
    try:
        await prepare(database, Settings(), now=utcnow())
        for rows in history(events):
            async with database.write() as conn:
                for table, of in rows.items():
                    if of:
                        await conn.execute(table.insert(), of)
        if database.dialect == "postgresql":
            async with database.write() as conn:
                await conn.execute(text("SELECT setval('consent_event_seq', :last)"), {"last": events})
                await conn.execute(text("ANALYZE"))
    finally:
        await database.dispose()


async def limit(url: str) -> float:
    """Seconds to read every line with its evidence, once, in the order of the chains, and to hash it with the last."""
    database = Database(url)
    began = time.perf_counter()
    digest = b""
    try:
        async with database.read() as conn:
            result = await conn.stream(text(LINES), execution_options={"yield_per": 1000})
            async for page in result.partitions(1000):
                for row in page:
                    digest = hashlib.sha256(digest + "".join(map(str, row)).encode()).digest()
        return time.perf_counter() - began
    finally:
        await database.dispose()


def command(url: str, *words: str) -> tuple[float, int]:
    """Seconds that a command took, and the most memory it held, in MB; raises where it does not end well."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPTGATE_")}
    environment |= {"OPTGATE_DATABASE__URL": url}
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as nowhere, tempfile.TemporaryFile() as said:  # a folder without optgate.toml
        path = os.pathsep.join(filter(None, (os.getcwd(), environment.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.cli", *words],
            cwd=nowhere, env=environment | {"PYTHONPATH": path}, stdout=said, stderr=said,
        )  # fmt: skip
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            raise RuntimeError(f"optgate {' '.join(words)}: {said.read(2000).decode()}")
    return time.perf_counter() - began, used.ru_maxrss // (1024 if sys.platform == "linux" else 1024 * 1024)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("events", nargs="?", type=int, default=EVENTS)
    parser.add_argument("url", nargs="?")


async def main(chosen: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        where = chosen.url or f"sqlite:///{folder}/optgate.db"
        began = time.perf_counter()
        await fill(where, chosen.events)
        print(f"proof of {chosen.events:,} events, filled in {time.perf_counter() - began:.0f} s")
        bound = await limit(where)
        print(f"limit: every line with its evidence read once in order, and hashed: {bound:.1f} s")
        for words in COMMANDS:
            seconds, megabytes = command(where, *words)
            print(f"optgate {' '.join(words):22}: {seconds:6.1f} s = {seconds / bound:5.1f} x limit, {megabytes} MB")
