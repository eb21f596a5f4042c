"""What an operator did or has that cannot work: said in one line, without a trace."""

from __future__ import annotations


class Unusable(Exception):
    """The message names what is wrong and what to do."""


class ConfigError(Unusable):
    """The configuration cannot be used; the message names option, problem and file, and never a secret."""


class CannotServe(Unusable):
    """The gateway cannot start."""


class NotReady(Unusable):
    """There is no database, or not one that this command could read."""
