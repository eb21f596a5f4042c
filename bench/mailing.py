"""What the measurements of mail have in common: the mail, and people to send it to."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import text

from bench import people
from bench.gateways import settings_on
from store.engine import Database

ORIGIN = "https://gw.example.org"
SENDER = "Example Theatre <hello@example.org>"
ORGANISATION, POSTAL_ADDRESS = "Example Theatre", "12 Long Lane, London N1"
_ROW = (
    '<tr><td align="center" style="padding:8px;font-family:Arial">Hamlet, '
    '<a href="https://example.org/hamlet">on sale</a>.</td></tr>\n'
)
CONTENT = {
    "subject": "The autumn season is on sale",
    "text": "Hello,\n\nthe autumn season is on sale: https://example.org/autumn\n",
    "html": f'<table width="600" cellpadding="0">\n{_ROW * 20}</table>',
}
_OF_MAIL = (
    "UPDATE addresses SET channel = 'email', value = 'reader' || substr(value, 6) || '@example.net'",
    "UPDATE profile_addresses SET channel = 'email'",
    "UPDATE consent_states SET key = 'email' WHERE kind = 'channel'",
)


def reader(number: int) -> str:
    return f"reader{number:08d}@example.net"


async def fill(url: str, count: int) -> str:
    """People who all said yes to e-mail; returns an API key."""
    key = await people.fill(url, settings_on(url), count, all_say_yes=True)
    database = Database(url)
    try:
        async with database.write() as conn:
            for statement in _OF_MAIL:
                await conn.execute(text(statement))
    finally:
        await database.dispose()
    return key


def write_config(folder: Path, database_url: str, port: int, connections: int) -> Path:
    file = folder / f"{abs(hash((database_url, port)))}.toml"
    file.write_text(
        f"""[server]
port = 0
public_url = "{ORIGIN}"
[database]
url = "{database_url}"
[organisation]
name = "{ORGANISATION}"
postal_address = "{POSTAL_ADDRESS}"
[connections.email]
provider = "smtp"
channel = "email"
host = "127.0.0.1"
port = {port}
tls = "none"
from = "{SENDER}"
connections = {connections}
rate = 100000
"""
    )
    return file
