"""The canaries themselves: what they are to find, they find."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from tests import canaries
from tests.flows.running import ANA, Gateway


@pytest.mark.parametrize(
    "line",
    [
        {"event": f"told {ANA}"},
        {"event": "x", "error": "+1 (415) 555-0123"},
        {"event": "x", "reason": "og_abcdefgh12345678"},
        {"event": "x", "where": "ana@example.org"},
        {"event": "x", "status": "see you tonight"},
    ],
)
def test_a_line_with_a_canary_is_found(line: dict[str, Any]) -> None:
    with canaries.listening() as lines:
        canaries.plant({"messages": [{"body": "see you tonight"}]})
        structlog.get_logger("x").warning(**line)
        with pytest.raises(AssertionError):
            canaries.must_not_stand_in(lines)


async def test_what_a_flow_says_is_planted(gateway: Gateway) -> None:
    await gateway.text_in("three tickets, please", ANA)
    await gateway.person(f"sms:{ANA}", first_name="Anastasia")
    for said in ("three tickets, please", "Anastasia", ANA):
        with pytest.raises(AssertionError):
            canaries.must_not_stand_in([f"x {said} y"])
