"""A database of people to send to, made in the database itself: a million takes a minute.

Of a hundred: 94 have a number, two of these share theirs with the one before; of those with a number some 60 said yes
to texts and 20 said no; 70 said yes to the preference `news`, 10 said no. The history is not filled: who sends reads
the flags alone.
"""

from __future__ import annotations

from sqlalchemy import text

from gateway import keys
from gateway.prepare import prepare
from gateway.settings import Settings
from store.clock import utcnow
from store.engine import Database

PREFERENCE = "news"
_AT = "'2025-01-01 12:00:00.000000'"
_FLAG = """INSERT INTO consent_states (profile_id, kind, key, state, basis, at, order_at, recorded_at, source, actor,
    change_id, event_id, opens, firm)
    SELECT {pro}, '{kind}', '{key}', CASE WHEN {yes} THEN 'yes' ELSE 'no' END, CASE WHEN {yes} THEN 'express' END,
    {at}, {at}, {at}, 'import', 'system', 'chg_1', 'evt_1', {false}, {false} FROM {numbers} WHERE {asked}"""


def _statements(dialect: str, people: int, *, all_say_yes: bool) -> list[str]:
    postgresql = dialect == "postgresql"
    series = "(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {last}) SELECT n FROM s) AS s"
    numbers = f"generate_series(0, {people - 1}) AS s(n)" if postgresql else series.replace("{last}", str(people - 1))
    at = f"timestamptz {_AT}" if postgresql else _AT
    false, true = ("false", "true") if postgresql else ("0", "1")
    padded = "substr(CAST(100000000 + {n} AS text), 2)"  # eight digits
    own = padded.format(n="n")
    holds = "n" if all_say_yes else "(n - CASE WHEN n % 100 IN (21, 61) THEN 1 ELSE 0 END)"  # whose number it is
    pro, adr = f"'pro_' || '{'0' * 18}' || {own}", f"'adr_' || '{'0' * 18}' || "
    has = "n % 100 < 100" if all_say_yes else "n % 100 < 94"
    yes = "n % 100 < 100" if all_say_yes else "n % 5 < 3"
    json = "CAST('{}' AS jsonb)" if postgresql else "'{}'"
    flag = _FLAG.replace("{numbers}", numbers).replace("{pro}", pro).replace("{at}", at).replace("{false}", false)

    def flags(kind: str, key: str, yes: str, asked: str) -> str:
        return flag.format(kind=kind, key=key, yes=yes, asked=asked)

    return [
        f"""INSERT INTO profiles (id, attributes, defaults_version, created_at, updated_at)
            SELECT {pro}, {json}, 1, {at}, {at} FROM {numbers}""",
        f"""INSERT INTO addresses (id, channel, value, hash, created_at)
            SELECT {adr}{own}, 'sms', '+1312' || {own}, 'hash' || {own}, {at} FROM {numbers}
            WHERE {has} AND n = {holds}""",
        f"""INSERT INTO profile_addresses (profile_id, address_id, channel, is_primary, position, since)
            SELECT {pro}, {adr}{padded.format(n=holds)}, 'sms', {true}, 0, {at} FROM {numbers} WHERE {has}""",
        flags("channel", "sms", yes, f"{has} AND ({yes} OR n % 5 = 3)"),
        f"""INSERT INTO preferences (id, name, text, contexts, created_at, updated_at)
            VALUES ('prf_news', '{PREFERENCE}', 'News', {json.replace("{}", "[]")}, {at}, {at})""",
        flags("preference", "prf_news", "n % 10 < 7" if not all_say_yes else yes, "n % 10 < 8"),
    ]


async def fill(url: str, settings: Settings, people: int, *, all_say_yes: bool = False) -> str:
    """Prepare a new database and fill it; returns an API key."""
    database = Database(url)
    try:
        await prepare(database, settings, now=utcnow())
        async with database.write() as conn:
            for statement in _statements(database.dialect, people, all_say_yes=all_say_yes):
                await conn.execute(text(statement))
        if database.dialect == "postgresql":
            async with database.write() as conn:
                await conn.execute(text("ANALYZE"))
        return await database.transact(lambda conn: keys.create(conn, "bench", now=utcnow()))
    finally:
        await database.dispose()
