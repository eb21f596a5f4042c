"""Where a person is: the hours that hold there, and the time zones a number may be in. Pure, once the table is read.

An area code is the accepted proxy for the place; it is data (quiet_hours.toml), to be read anew with the law.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import phonenumbers

from outbox.hours import BadHours, Hours, weekly

_NORTH_AMERICA = 1
_TABLE = Path(__file__).with_name("quiet_hours.toml")


@dataclass(frozen=True, slots=True)
class Law:
    """The allowed hours by country or part of one."""

    rows: Mapping[str, Hours]
    area_codes: Mapping[str, str]  # of North America → the row
    default: Hours

    def hours_for(self, number: str) -> Hours:
        """The hours for an E.164 number; the default's where the number tells no country."""
        country, area_code = _origin(number)
        part = self.area_codes.get(area_code or "")
        return self.rows.get(part or "", self.rows.get(country or "", self.default))


def read_law(path: Path | None = None) -> Law:
    """The table in `path`, or the one that comes with us; raises BadHours and OSError."""
    from phonenumbers import timezone  # noqa: F401 - large: read with the law, not in the middle of a claim

    try:
        table: dict[str, dict[str, Any]] = tomllib.loads((path or _TABLE).read_text("utf-8"))
    except UnicodeDecodeError as error:
        raise BadHours("not UTF-8 text, which TOML has to be") from error
    except tomllib.TOMLDecodeError as error:
        raise BadHours(f"not TOML: {error}") from error
    rows: dict[str, Hours] = {}
    area_codes: dict[str, str] = {}
    for name, row in table.items():
        try:
            days = {key: value for key, value in row.items() if key not in ("source", "area_codes")}
            rows[name] = weekly(days)
            area_codes |= {str(code): name for code in row.get("area_codes", ())}
        except (BadHours, TypeError, AttributeError) as error:
            raise BadHours(f"[{name}] {error}") from error
    if "default" not in rows:
        raise BadHours("[default] is missing")
    return Law(rows, area_codes, rows.pop("default"))


@lru_cache(maxsize=10_000)
def _origin(number: str) -> tuple[str | None, str | None]:
    """Country (ISO 3166) and North American area code of a number, where it tells them."""
    try:
        parsed = phonenumbers.parse(number)
    except phonenumbers.NumberParseException:
        return None, None
    code = parsed.country_code or 0
    country = phonenumbers.region_code_for_number(parsed) or phonenumbers.region_code_for_country_code(code)
    return country, str(parsed.national_number)[:3] if code == _NORTH_AMERICA else None


@lru_cache(maxsize=10_000)
def zones_of(number: str) -> tuple[str, ...]:
    """The time zones that an E.164 number may be in; none where it does not tell."""
    from phonenumbers import timezone  # its table is large: only for who needs it

    try:
        zones = timezone.time_zones_for_number(phonenumbers.parse(number))
    except phonenumbers.NumberParseException:
        return ()
    return tuple(zone for zone in zones if zone != timezone.UNKNOWN_TIMEZONE)
