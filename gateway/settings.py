"""Configuration: file, then environment; the environment wins. A wrong option is an error that names it.

    OPTGATE_SERVER__PORT=9000   OPTGATE_CONNECTIONS__SMS__AUTH_TOKEN=…

config.example.toml shows every option with its default; a test holds the two together.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import phonenumbers
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from gateway.errors import ConfigError
from gateway.providers.base import Networks, Section
from gateway.providers.known import PROVIDERS, WAYS_IN, Connection
from gateway.providers.sandbox import Sandbox
from outbox.hours import BadHours
from outbox.jurisdictions import read_law
from profiles.zones import is_zone
from rules.builtin import PACKS
from store.engine import normalise_url

PREFIX = "OPTGATE_"
DEFAULT_FILE = "optgate.toml"
# Variables with our prefix that are no options.
_NOT_OPTIONS = ("OPTGATE_CONFIG", "OPTGATE_CRASH", "OPTGATE_REQUIRE_", "OPTGATE_TEST_", "OPTGATE_NO_SKIP")

YesNo = Literal["yes", "no"]


class Server(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str = "http://127.0.0.1:8080"
    trusted_proxies: Networks = Field(default=[])
    secret: SecretStr | None = None
    old_secrets: list[SecretStr] = Field(default=[])

    @field_validator("secret")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and len(value.get_secret_value()) < 16:
            raise ValueError("needs at least 16 characters (`openssl rand -hex 32` makes some); without it one is made")
        return value

    @field_validator("old_secrets")
    @classmethod
    def _were_secrets(cls, value: list[SecretStr]) -> list[SecretStr]:
        if any(len(one.get_secret_value()) < 16 for one in value):
            raise ValueError("each was once a secret, of at least 16 characters")
        return value

    @field_validator("public_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("write it with https://, as providers and customers see it")
        if parts.query or parts.fragment or parts.username:
            raise ValueError("it must not hold a query, a fragment or a user")
        return value.rstrip("/")

    @property
    def is_loopback(self) -> bool:
        """Whether the public URL itself is this very machine's: then the sandbox needs no key."""
        host = urlsplit(self.public_url).hostname or ""
        if host == "localhost":
            return True
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return False


_URL_OPTIONS = {"ssl", "host", "port", "passfile", "target_session_attrs", "prepared_statement_cache_size"}


class DatabaseSettings(Section):
    url: str = "sqlite:///optgate.db"

    @field_validator("url")
    @classmethod
    def _supported(cls, value: str) -> str:
        try:
            url = normalise_url(value)
        except ValueError:
            raise
        except Exception as error:
            raise ValueError(
                "not a database URL: use sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME"
            ) from error
        unknown = sorted(set(url.query) - _URL_OPTIONS) if url.get_backend_name() == "postgresql" else []
        if unknown:  # libpq's, which the driver does not know
            raise ValueError(f"{unknown[0]} is no option here; for an encrypted connection write ?ssl=require")
        return value


class Defaults(Section):
    sms: YesNo = "no"
    whatsapp: YesNo = "no"
    email: YesNo = "no"
    voice: YesNo = "no"
    post: YesNo = "no"
    region: str = "US"
    timezone: str = "UTC"

    @field_validator("region")
    @classmethod
    def _known_region(cls, value: str) -> str:
        if value not in phonenumbers.SUPPORTED_REGIONS:
            raise ValueError("use the two letters of a country, such as US, GB or DE")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        if not is_zone(value):
            raise ValueError("use a name of the time zone database, such as Europe/Madrid")
        return ZoneInfo(value).key

    @property
    def states(self) -> dict[str, str]:
        return {"sms": self.sms, "whatsapp": self.whatsapp, "email": self.email, "voice": self.voice, "post": self.post}


MOST_OF_A_NAME = 100  # it stands in texts of 160 characters


class Organisation(Section):
    name: str = "Example Theatre"
    postal_address: str = ""
    contact: str = ""
    privacy_url: str = ""

    @field_validator("name")
    @classmethod
    def _in_a_line(cls, value: str) -> str:
        value = value.strip()
        if not value or len(value) > MOST_OF_A_NAME or not value.isprintable():
            raise ValueError(
                f"write it in one line of 1 to {MOST_OF_A_NAME} characters: every text of ours begins with it"
            )
        return value


class FrequencyCap(Section):
    messages: int = Field(ge=1)
    days: int = Field(ge=1, le=366)


class Api(Section):
    calls_per_minute: int = Field(default=30_000, ge=1)


class Sending(Section):
    quiet_hours: Literal["law", "off"] = "law"
    quiet_hours_table: Path | None = None
    frequency_cap: FrequencyCap | None = None

    @field_validator("quiet_hours_table")
    @classmethod
    def _readable_table(cls, value: Path | None) -> Path | None:
        if value is not None:
            try:
                read_law(value)
            except OSError as error:
                raise ValueError(f"{value} cannot be read: {error.strerror}") from error
            except BadHours as error:
                raise ValueError(f"{value}: {error}") from error
        return value


class Forms(Section):
    details: list[Annotated[str, Field(pattern=r"^(first_name|last_name|attributes\.[A-Za-z0-9_]{1,60})$")]] = Field(
        default=["first_name", "last_name"]
    )
    countries: list[str] = Field(default=[])
    preselected_counts: bool = False
    posts_per_address: int = Field(default=5, ge=1)
    posts_per_network: int = Field(default=100, ge=1)
    posts_per_form: int = Field(default=5000, ge=1)
    numbers_per_country: int = Field(default=200, ge=0)
    numbers_per_form: int = Field(default=500, ge=0)

    @field_validator("countries")
    @classmethod
    def _known_countries(cls, value: list[str]) -> list[str]:
        if unknown := sorted(set(value) - set(phonenumbers.SUPPORTED_REGIONS)):
            raise ValueError(f"{unknown[0]} is no country: write two letters, such as US, GB or DE")
        return value


class RuleSettings(Section):
    packs: list[Literal["en", "fr", "es", "de", "pt", "it"]] = Field(default_factory=lambda: list(PACKS))  # type: ignore[arg-type]


class Settings(BaseSettings):
    """Everything an operator can set."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        nested_model_default_partial_update=True,
    )

    server: Server = Server()
    database: DatabaseSettings = DatabaseSettings()
    defaults: Defaults = Defaults()
    organisation: Organisation = Organisation()
    api: Api = Api()
    sending: Sending = Sending()
    rules: RuleSettings = RuleSettings()
    forms: Forms = Forms()
    connections: dict[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")], Connection] = {}

    @model_validator(mode="after")
    def _can_forward(self) -> Settings:
        for name, connection in self.connections.items():
            if connection.forward_to is not None and connection.forward_url is None:
                self.carrier(name)
        return self

    @property
    def typed_countries(self) -> frozenset[str]:
        """Whose numbers may be typed into a form."""
        return frozenset(self.forms.countries or [self.defaults.region])

    def carrier(self, name: str) -> str:
        """The e-mail connection that carries a connection's messages to a mailbox; raises ValueError for none."""
        mails = [other for other, one in self.connections.items() if one.channel == "email"]
        wanted = self.connections[name].forward_by or (name if name in mails else next(iter(mails), None))
        if wanted is None:
            raise ValueError(f"[connections.{name}] forward_to: no e-mail connection is configured to carry it")
        if wanted not in mails:
            known = f"use one of {', '.join(mails)}" if mails else "none is configured"
            raise ValueError(f"[connections.{name}] forward_by: there is no such e-mail connection: {known}")
        return wanted

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic-settings'
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings, env_settings, TomlConfigSettingsSource(settings_cls))


def sandboxes() -> dict[str, Sandbox]:
    """The connections of a gateway without a configuration file: one sandbox per channel."""
    return {channel: Sandbox(channel=channel) for channel in ("sms", "whatsapp", "email")}


def find_file(named: Path | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The configuration file: as named, else OPTGATE_CONFIG, else optgate.toml here, else none.

    Raises ConfigError when a file that was named is not there.
    """
    asked = named or (Path(environ["OPTGATE_CONFIG"]) if environ.get("OPTGATE_CONFIG") else None)
    if asked is not None:
        if not _can_be_a_file(asked):
            what = "is a folder, not a configuration file" if asked.is_dir() else "there is no such configuration file"
            raise ConfigError(f"{asked}: {what}")
        return asked
    return Path(DEFAULT_FILE) if Path(DEFAULT_FILE).is_file() else None


def _can_be_a_file(path: Path) -> bool:
    """Whether a file is there, or somewhere that is closed to us: reading it will say so."""
    try:
        return path.is_file()
    except PermissionError:
        return True


def load(named: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raises ConfigError."""
    file = find_file(named, environ)
    _refuse_unknown_variables(environ)

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        settings = FromFile()
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}; correct the file's owner or rights") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text, which TOML has to be") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: not TOML: {error}") from error
    except SettingsError as error:  # which names the section only
        section = re.search(r'"(\w+)"', str(error))
        within = f"{PREFIX}{section[1] if section else ''}__".upper()
        names = ", ".join(sorted(name for name in environ if name.upper().startswith(within)))
        raise ConfigError(f"{names or within}: write lists and tables as JSON") from None
    except ValidationError as error:
        raise ConfigError("\n".join(_problem(e, file, environ) for e in error.errors(include_input=False))) from None
    if file is None and not settings.connections:
        return settings.model_copy(update={"connections": sandboxes()})
    return settings


def _refuse_unknown_variables(environ: Mapping[str, str]) -> None:
    for name in environ:
        if not name.upper().startswith(PREFIX) or name.upper().startswith(_NOT_OPTIONS):
            continue
        section, _, option = name.upper().removeprefix(PREFIX).partition("__")
        if section.lower() not in Settings.model_fields or not option:
            known = ", ".join(sorted(Settings.model_fields))
            raise ConfigError(
                f"{name}: there is no such option; write {PREFIX}SECTION__OPTION with one of the sections {known}"
            )


def _problem(error: Any, file: Path | None, environ: Mapping[str, str]) -> str:
    """One line: where it stands, which option, what is wrong."""
    # A provider stands in the location as the union's tag, after a connection or `inbound`: it is no option's name.
    parts = [
        str(p)
        for i, p in enumerate(error["loc"])
        if not (i == 2 and error["loc"][0] == "connections" and p in PROVIDERS)
        and not (i == 4 and error["loc"][3] == "inbound")
    ]
    variable = PREFIX + "__".join(parts).upper()
    where = variable if variable in {name.upper() for name in environ} else str(file or "the configuration")
    if not parts:  # of several connections together: the words name them
        return f"{where}: {_words(error, variable)}"
    section, option = ".".join(parts[:-1]), parts[-1]
    if error["type"] in ("union_tag_invalid", "union_tag_not_found"):
        section, option = ".".join(parts), "provider"
    return f"{where}: {f'[{section}] ' if section else ''}{option}: {_words(error, variable)}"


def _words(error: Any, variable: str) -> str:
    """What is wrong with the value, and what to write instead; never the value itself."""
    providers = ", ".join(WAYS_IN if error["loc"][-1:] == ("inbound",) else PROVIDERS)
    match error["type"]:
        case "extra_forbidden":
            return "there is no such option"
        case "union_tag_not_found":
            return f"is missing: use one of {providers}"
        case "union_tag_invalid":  # whose own words quote what was written
            return f"there is no such provider: use one of {providers}"
        case "missing":
            return f"is missing: set it here, or in the environment as {variable}"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "must be a table of options"
        case "string_type":
            return "must be text: write it in quotes"
        case "string_too_short" | "too_short":
            return f"is empty: set it here, or in the environment as {variable}"
        case "string_pattern_mismatch" if error["loc"][-1] == "account_sid":
            return "must be the account's SID, which begins with AC; it stands in Twilio's console"
        case "string_pattern_mismatch" if error["loc"][-1] == "phone_number_id":
            return "must be the number's id, all digits; it stands at Meta, under the app's WhatsApp, API setup"
        case "string_pattern_mismatch" if "topic_arns" in error["loc"]:
            return "must be the ARN of a topic, such as arn:aws:sns:eu-west-1:123456789012:mail, as SNS shows it"
        case "string_pattern_mismatch" if error["loc"][-1] == "[key]":
            return "a connection's name holds a-z, 0-9, - and _ alone: it stands in the webhook's path"
    return str(error["msg"]).removeprefix("Value error, ")
