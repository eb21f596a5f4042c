"""Configuration: the file, then the environment; what is wrong is named, and no secret is printed."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gateway import settings
from gateway.errors import ConfigError
from gateway.providers.known import PROVIDERS
from gateway.providers.smtp import Smtp, SmtpIn
from gateway.providers.twilio import Twilio
from gateway.settings import Settings, load

EXAMPLE = Path(__file__).resolve().parents[2] / "config.example.toml"
SECRET = "canary-9f8e7d6c5b4a"
TWILIO = f"""
[connections.sms]
channel = "sms"
provider = "twilio"
account_sid = "AC1"
auth_token = "{SECRET}"
from = "+14155550100"
"""
META = f"""
[connections.wa]
channel = "whatsapp"
provider = "meta"
phone_number_id = "+14155550100"
app_secret = "{SECRET}"
access_token = "{SECRET}"
verify_token = "{SECRET}"
"""
MAIL = """
[connections.mail]
channel = "email"
provider = "smtp"
host = "smtp.example.org"
from = "hello@example.org"
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration but the test's own."""
    for name in list(os.environ):
        if name.upper().startswith("OPTGATE_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "optgate.toml") -> Path:
    file = Path(name)
    file.write_text(text)
    return file


def problem(text: str = "", **variables: str) -> str:
    """The message about this file and these variables."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        with pytest.raises(ConfigError) as caught:
            load(written(text))
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None or SECRET not in str(caught.value.__cause__)
    return str(caught.value)


# --- where it comes from ----------------------------------------------------------------------


def test_without_a_file_there_are_three_sandboxes_on_sqlite() -> None:
    found = load()
    assert {name: (c.provider, c.channel) for name, c in found.connections.items()} == {
        name: ("sandbox", name) for name in ("sms", "whatsapp", "email")
    }
    assert found.database.url == "sqlite:///optgate.db"
    assert found.defaults.states == dict.fromkeys(("sms", "whatsapp", "email", "voice", "post"), "no")


def test_a_file_without_connections_has_none() -> None:
    assert load(written("[server]\nport = 9000\n")).connections == {}


def test_the_file_is_the_named_one_else_the_variables_else_the_one_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for port, name in ((9001, "optgate.toml"), (9002, "by-variable.toml"), (9003, "named.toml")):
        written(f"[server]\nport = {port}\n", name)
    assert load().server.port == 9001
    monkeypatch.setenv("OPTGATE_CONFIG", "by-variable.toml")
    assert load().server.port == 9002
    assert load(Path("named.toml")).server.port == 9003
    with pytest.raises(ConfigError, match=r"^gone\.toml: there is no such configuration file$"):
        load(Path("gone.toml"))


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(f'[server]\nport = 9000\nhost = "::1"\n[organisation]\nname = "File"\n{TWILIO}')
    monkeypatch.setenv("OPTGATE_SERVER__PORT", "9999")
    monkeypatch.setenv("optgate_organisation__name", "Environment")
    monkeypatch.setenv("OPTGATE_CONNECTIONS__SMS__AUTH_TOKEN", "from the environment")
    monkeypatch.setenv("OPTGATE_RULES__PACKS", '["en", "de"]')
    found = load(file)
    assert (found.server.port, found.server.host, found.organisation.name) == (9999, "::1", "Environment")
    sms = found.connections["sms"]
    assert isinstance(sms, Twilio)
    assert (sms.auth_token.get_secret_value(), sms.account_sid) == ("from the environment", "AC1")
    assert found.rules.packs == ["en", "de"]


def test_variables_that_are_no_options_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPTGATE_REQUIRE_PG", "OPTGATE_TEST_PG_URL", "OPTGATE_NO_SKIP"):
        monkeypatch.setenv(name, "1")
    assert load().server.port == 8080


# --- what is wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[server]\nport = 70000", "optgate.toml: [server] port: Input should be less than or equal to 65535"),
        ('[server]\nport = "many"', "optgate.toml: [server] port: Input should be a valid integer"),
        ("[server]\nprot = 1", "optgate.toml: [server] prot: there is no such option"),
        ("[sever]\nport = 1", "optgate.toml: sever: there is no such option"),
        ('[server]\npublic_url = "gw.example.test"', "optgate.toml: [server] public_url: write it with https://"),
        ('[server]\npublic_url = "https://u@h/?q"', "optgate.toml: [server] public_url: it must not hold"),
        ('[server]\ntrusted_proxies = ["x"]', "optgate.toml: [server] trusted_proxies: 'x' does not appear to be"),
        (f'[server]\nsecret = "{SECRET[:8]}"', "optgate.toml: [server] secret: needs at least 16 characters"),
        ('[database]\nurl = "mysql://h/n"', "optgate.toml: [database] url: mysql is not supported"),
        ('[database]\nurl = "sqlite://"', "optgate.toml: [database] url: SQLite needs a file"),
        (f'[database]\nurl = "{SECRET}"', "optgate.toml: [database] url: not a database URL"),
        ('[defaults]\nsms = "maybe"', "optgate.toml: [defaults] sms: Input should be 'yes' or 'no'"),
        ("[defaults]\nsms = true", "optgate.toml: [defaults] sms: Input should be 'yes' or 'no'"),
        ('[defaults]\nregion = "Europe"', "optgate.toml: [defaults] region: use the two letters of a country"),
        ('[defaults]\ntimezone = "CEST"', "optgate.toml: [defaults] timezone: use a name of the time zone database"),
        (
            '[organisation]\nname = " "',
            "optgate.toml: [organisation] name: write it in one line of 1 to 100 characters",
        ),
        ('[organisation]\nname = "A\\nB"', "optgate.toml: [organisation] name: write it in one line of 1 to 100"),
        ('[sending]\nquiet_hours = "night"', "optgate.toml: [sending] quiet_hours: Input should be 'law' or 'off'"),
        ("[sending]\nfrequency_cap = 4", "optgate.toml: [sending] frequency_cap: must be a table of options"),
        (
            "[sending]\nfrequency_cap = { messages = 0, days = 7 }",
            "optgate.toml: [sending.frequency_cap] messages: Input should be greater than or equal to 1",
        ),
        (
            "[sending]\nfrequency_cap = { messages = 1 }",
            "optgate.toml: [sending.frequency_cap] days: is missing: set it here",
        ),
        (
            '[sending]\nquiet_hours_table = "gone.toml"',
            "optgate.toml: [sending] quiet_hours_table: gone.toml cannot be read: No such file",
        ),
        (TWILIO + "rate = 0", "optgate.toml: [connections.sms] rate: Input should be greater than or equal to 0.01"),
        (TWILIO + "rate = inf", "optgate.toml: [connections.sms] rate: Input should be less than or equal to 100000"),
        (
            TWILIO + 'stop_notice = "sometimes"',
            "optgate.toml: [connections.sms] stop_notice: Input should be 'first', 'always' or 'never'",
        ),
        ('[rules]\npacks = ["xx"]', "optgate.toml: [rules.packs] 0: Input should be"),
        (TWILIO.replace("from = ", "form = "), "optgate.toml: [connections.sms] form: there is no such option"),
        (TWILIO.replace('"AC1"', '"SK1"'), "optgate.toml: [connections.sms] account_sid: must be the account's SID"),
        (
            META,
            "optgate.toml: [connections.wa] phone_number_id: must be the number's id, all digits",
        ),
        (
            MAIL + 'inbound = { provider = "sendgird" }',
            "optgate.toml: [connections.mail.inbound] provider: there is no such provider: use one of sendgrid, ",
        ),
        (
            MAIL + "inbound = {}",
            "optgate.toml: [connections.mail.inbound] provider: is missing: use one of sendgrid, mailgun, postmark, ",
        ),
        (
            MAIL + 'inbound = { provider = "ses", topic_arns = ["mail"] }',
            "optgate.toml: [connections.mail.inbound.topic_arns] 0: must be the ARN of a topic, such as arn:aws:sns:",
        ),
        (
            TWILIO + 'forward_to = "desk@example.org"',
            "optgate.toml: [connections.sms] forward_to: no e-mail connection is configured to carry it",
        ),
        (
            TWILIO + f'forward_to = "desk@example.org"\nforward_by = "mial"\n{MAIL}',
            "optgate.toml: [connections.sms] forward_by: there is no such e-mail connection: use one of mail",
        ),
        (
            TWILIO.replace('from = "+14155550100"', ""),
            "optgate.toml: [connections] sms: needs `from`, the number that sends, or `messaging_service_sid`",
        ),
        (
            TWILIO.replace('"twilio"', '"acme"'),
            f"optgate.toml: [connections.sms] provider: there is no such provider: use one of {', '.join(PROVIDERS)}",
        ),
        (
            TWILIO.replace('channel = "sms"', 'channel = "email"'),
            "optgate.toml: [connections.sms] channel: Input should be",
        ),
        (
            TWILIO.replace("connections.sms", 'connections."a/b"'),
            "optgate.toml: [connections.a/b] [key]: a connection's name holds a-z",
        ),
        (
            TWILIO.replace('provider = "twilio"', ""),
            f"optgate.toml: [connections.sms] provider: is missing: use one of {', '.join(PROVIDERS)}",
        ),
        (
            TWILIO.replace(f'auth_token = "{SECRET}"', ""),
            "optgate.toml: [connections.sms] auth_token: is missing: set it here, or in the environment as "
            "OPTGATE_CONNECTIONS__SMS__AUTH_TOKEN",
        ),
        (TWILIO.replace(SECRET, ""), "optgate.toml: [connections.sms] auth_token: is empty: set it here, or"),
        (TWILIO.replace('"+14155550100"', "14155550100"), "optgate.toml: [connections.sms] from: must be text: write"),
        (TWILIO.replace("+14155550100", "(415) 555-0100"), "optgate.toml: [connections.sms] from: not a number that"),
        (
            TWILIO.replace('= "sms"', '= "whatsapp"').replace("+14155550100", "The Theatre"),
            "optgate.toml: [connections.sms] from: not a number that Twilio sends from",
        ),
        (
            MAIL + 'inbound = { provider = "smtp", listen = "2525" }',
            "optgate.toml: [connections.mail.inbound] listen: write it as HOST:PORT, such as 127.0.0.1:2525",
        ),
        (
            MAIL + 'inbound = { provider = "smtp", listen = "::1:2525" }',
            "optgate.toml: [connections.mail.inbound] listen: write it as HOST:PORT",
        ),
        (
            MAIL + 'inbound = { provider = "smtp", listen = "[::1]:2525", trusted = ["mx"] }',
            "optgate.toml: [connections.mail.inbound] trusted: 'mx' does not appear to be",
        ),
        ('[connections]\nsms = "twilio"', "optgate.toml: [connections] sms: must be a table of options"),
        (
            f'[database]\nurl = "postgresql://u:{SECRET}@h/n?sslmode=require"',
            "optgate.toml: [database] url: sslmode is no option here; for an encrypted connection write ?ssl=require",
        ),
        (f"[server\n# {SECRET}", "optgate.toml: not TOML:"),
    ],
)
def test_a_wrong_option_is_named_with_the_problem_and_the_file(text: str, line: str) -> None:
    assert problem(text).startswith(line)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (b"", "[default] is missing"),
        (b"[default\n", "not TOML"),
        (b'[default]\nhours = ["08:00-20:00"]\nsource = "loi fran\xe7aise"\n', "not UTF-8 text"),
        (b'[default]\nhours = "08:00-20:00"\n', "[default]"),
        (b'[default]\nhours = ["08:00-20:00"]\n[FR]\nhours = ["20:00-08:00"]\n', "[FR] '20:00-08:00': write it as"),
        (b'[default]\nhours = ["08:00-20:00"]\n[FR]\nhours = []\n', "[FR] nothing could ever be sent"),
        (b'default = "08:00-20:00"\n', "[default]"),
    ],
)
def test_a_table_of_quiet_hours_that_cannot_be_used_is_named(table: bytes, words: str) -> None:
    Path("hours.toml").write_bytes(table)
    line = problem('[sending]\nquiet_hours_table = "hours.toml"')
    assert line.startswith("optgate.toml: [sending] quiet_hours_table: hours.toml: ")
    assert words in line


def test_the_ways_of_sending_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    written('[default]\nhours = ["09:00-12:00"]\n', "hours.toml")
    monkeypatch.setenv("OPTGATE_SENDING__FREQUENCY_CAP__DAYS", "30")
    file = written(
        '[sending]\nquiet_hours = "off"\nquiet_hours_table = "hours.toml"\n'
        f'frequency_cap = {{ messages = 4, days = 7 }}\n{TWILIO}stop_notice = "always"\n'
    )
    found = load(file)
    assert (found.sending.quiet_hours, found.sending.quiet_hours_table) == ("off", Path("hours.toml"))
    assert found.sending.frequency_cap == settings.FrequencyCap(messages=4, days=30)
    assert found.connections["sms"].stop_notice == "always"


@pytest.mark.parametrize("sender", ["+14155550100", "whatsapp:+14155550100", "12345", "The Theatre", "MG-1 & Co"])
def test_whatever_twilio_sends_from_may_be_named(sender: str) -> None:
    found = load(written(TWILIO.replace("+14155550100", sender))).connections["sms"]
    assert found.sender == sender


@pytest.mark.parametrize(
    ("listen", "place"),
    [
        ("127.0.0.1:2525", ("127.0.0.1", 2525)),
        ("[::1]:24", ("::1", 24)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_where_mail_is_listened_for_is_read(listen: str, place: tuple[str, int]) -> None:
    options = f'inbound = {{ provider = "smtp", listen = "{listen}" }}'
    connection = load(written(MAIL + options)).connections["mail"]
    assert isinstance(connection, Smtp)
    assert isinstance(connection.inbound, SmtpIn)
    assert connection.inbound.place == place


def test_a_file_that_cannot_be_read_is_said_so() -> None:
    Path("folder").mkdir()
    Path("latin.toml").write_bytes('[organisation]\nname = "Thé"'.encode("latin-1"))
    with pytest.raises(ConfigError, match=r"^folder: is a folder, not a configuration file$"):
        load(Path("folder"))
    with pytest.raises(ConfigError, match=r"^latin\.toml: not UTF-8 text"):
        load(Path("latin.toml"))


def test_every_wrong_option_has_its_line() -> None:
    lines = problem("[server]\nport = -1\nhots = 1\n[defaults]\nsms = 1\n").splitlines()
    assert [re.split(r": ", line)[1] for line in lines] == ["[server] port", "[server] hots", "[defaults] sms"]


def test_a_wrong_variable_is_named_itself() -> None:
    assert problem(OPTGATE_SERVER__PORT="many").startswith("OPTGATE_SERVER__PORT: [server] port: Input should be")
    assert problem(OPTGATE_SERVER__PROT="1").startswith("OPTGATE_SERVER__PROT: [server] prot: there is no such option")
    packs = problem(OPTGATE_RULES__PACKS="en,de", OPTGATE_SERVER__PORT="1")
    assert packs == "OPTGATE_RULES__PACKS: write lists and tables as JSON"
    for name in ("OPTGATE_PORT", "OPTGATE_SEVER__PORT", "OPTGATE_SERVER", "OPTGATE_SERVER__"):
        assert problem(**{name: SECRET}).startswith(f"{name}: there is no such option")


def test_a_secret_is_in_no_message_and_in_no_description(monkeypatch: pytest.MonkeyPatch) -> None:
    problem(TWILIO + "port = 1\n")
    problem(TWILIO.replace("sms", "SMS"))
    problem(f'[database]\nurl = "postgresql://u:{SECRET}@h:port/n"')
    problem(f'[connections.sms]\nprovider = "{SECRET}"')
    problem(TWILIO, OPTGATE_CONNECTIONS=f"{{{SECRET}")
    problem(TWILIO, OPTGATE_RULES__PACKS=SECRET)
    problem(TWILIO, OPTGATE_SERVER__SECRET="")
    monkeypatch.setenv("OPTGATE_SERVER__SECRET", SECRET)
    found = load(written(TWILIO))
    assert SECRET not in f"{found!r} {found} {found.model_dump()} {found.model_dump_json()}"


# --- config.example.toml ----------------------------------------------------------------------


def _options(model: type[BaseModel]) -> dict[str, Any]:
    return {field.alias or name: field for name, field in model.model_fields.items()}


def _section(name: str) -> type[BaseModel]:
    if name.startswith("connections."):
        return PROVIDERS[load(EXAMPLE).connections[name.removeprefix("connections.")].provider]
    annotation = Settings.model_fields[name].annotation
    assert isinstance(annotation, type)
    return annotation


def _uncommented(text: str) -> dict[str, set[str]]:
    """The names in each section, those of options that are commented out too."""
    named: dict[str, set[str]] = {}
    section = ""
    for line in text.splitlines():
        if header := re.match(r"\[([a-z.]+)\]", line):
            section = header[1]
            named[section] = set()
        elif option := re.match(r"(?:# )?([a-z_]+) = ", line):
            named[section].add(option[1])
    return named


def test_the_example_loads_and_shows_every_provider_once() -> None:
    found = load(EXAMPLE)
    assert sorted(one.provider for one in found.connections.values()) == sorted(PROVIDERS)


def test_the_example_names_every_option_and_no_other() -> None:
    named = _uncommented(EXAMPLE.read_text())
    connections = {f"connections.{name}" for name in load(EXAMPLE).connections}
    assert named.keys() == {name for name in Settings.model_fields if name != "connections"} | connections
    for section, options in named.items():
        assert options == _options(_section(section)).keys(), section


def test_the_example_shows_every_default() -> None:
    for section, values in tomllib.loads(EXAMPLE.read_text()).items():
        if section != "connections":
            defaults = Settings.model_fields[section].default.model_dump()
            assert values == {name: defaults[name] for name in values}, section
    for values in tomllib.loads(EXAMPLE.read_text())["connections"].values():
        options = _options(PROVIDERS[values["provider"]])
        for name, value in values.items():
            if not options[name].is_required() and name not in ("from", "provider"):
                assert value == options[name].default, name


def test_every_line_of_the_example_that_is_no_obvious_option_says_what_it_is() -> None:
    for line in EXAMPLE.read_text().splitlines():
        assert len(line) <= 140, line
