"""The short tier: a gateway dies at every named point once, and at some random ones; on each database, nothing is lost.

The long one is `python3 dev.py torture`. A seed that failed is run again with OPTGATE_TEST_TORTURE_SEED.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import pytest

from store.crash import POINTS
from tests import postgres
from tests.conftest import NO_POSTGRESQL
from tests.torture.run import every_point, opened

RANDOM_POINTS = 6


@pytest.mark.timeout(600)  # both take one to two minutes on two cores that do nothing else, which these do
async def test_a_gateway_that_dies_at_any_point_breaks_no_promise(
    dialect: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: postgres.Server | None = request.getfixturevalue("server") if dialect == "postgresql" else None
    if dialect == "postgresql" and server is None:
        pytest.skip(NO_POSTGRESQL)
    seed = os.environ.get("OPTGATE_TEST_TORTURE_SEED") or secrets.token_hex(4)
    print(f"seed {seed}")
    async with opened(tmp_path, dialect, seed, server, print) as torture:
        await torture.through(every_point(nth=(1,)))
        assert torture.result.missed == []
        assert set(torture.result.deaths) == set(POINTS)
        await torture.at_random(RANDOM_POINTS)
    assert torture.result.findings == [], f"seed {seed}"
