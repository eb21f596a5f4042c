"""How much the clients of the mail listener may bring, and how long they may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one client, but for what is said of all together."""

    mail_bytes: int = 25 * 1024 * 1024
    held_bytes: int = 128 * 1024 * 1024  # of all mails together that are on their way
    connections: int = 100  # of all
    recipients: int = 100  # of one mail (RFC 5321, 4.5.3.1.8); the relay brings it again for the others
    line_bytes: int = 2048  # of a command: 512, and what extensions may add
    commands: int = 1000  # of each kind on one connection; of those that bring mail ten times as many
    idle_seconds: float = 300.0  # RFC 5321, 4.5.3.2.7
    mail_seconds: float = 600.0  # for the text of one mail
    session_seconds: float = 3600.0
    drain_seconds: float = 15.0  # for mails on their way when the gateway stops


class Room:
    """What all mails that are on their way take up together."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0

    def place(self) -> Place:
        return Place(self)


class Place:
    """What one mail takes up, until it is left."""

    _DOTS = 1024 * 1024  # on the way a mail may be longer, by a dot before each line that begins with one

    def __init__(self, room: Room) -> None:
        self._room = room
        self._held = 0
        self.refusal = ""  # why there was no room for more

    def take(self, count: int) -> bool:
        """Whether there is room for so many bytes more."""
        limits = self._room.limits
        if self._held + count > limits.mail_bytes + self._DOTS:
            self.refusal = self.too_large
        elif self._room.held + count > limits.held_bytes:
            self.refusal = "452 4.3.1 Too many large mails at once, try again"
        else:
            self._held += count
            self._room.held += count
            return True
        return False

    @property
    def too_large(self) -> str:
        return f"552 5.3.4 The mail is larger than {self._room.limits.mail_bytes} bytes"

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._room.held -= self._held
        self._held = 0
