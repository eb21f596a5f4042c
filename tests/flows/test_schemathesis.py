"""What the reference says, tried by machine: no answer that it does not tell, none that is our own fault."""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path

import pytest

from tests.flows.running import ANA, BEN, Gateway

CHECKS = ",".join(
    (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    )
)
PEOPLE = {"channels": {"sms": "yes"}}


@pytest.mark.timeout(600)
async def test_every_operation_answers_as_its_reference_says(gateway: Gateway, tmp_path: Path) -> None:
    await gateway.api("POST", "/v1/preferences", json={"name": "Drama"})
    for number in (ANA, BEN):
        await gateway.person(f"sms:{number}", consent=PEOPLE)
    await gateway.sent({"all": True}, connection="box")
    seed, key = random.randrange(10**6), await gateway.key("admin")
    print("seed", seed)
    command = (
        str(Path(sys.executable).parent / "schemathesis"), "run", f"{gateway.url}/v1/openapi.json",
        "--header", f"Authorization: Bearer {key}", "--checks", CHECKS, "--seed", str(seed), "--max-examples", "5",
        "--phases", "coverage,fuzzing,stateful", "--workers", "1", "--continue-on-failure",
    )  # fmt: skip
    run = await asyncio.create_subprocess_exec(
        *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    told, _ = await run.communicate()
    assert run.returncode == 0, told.decode()[-6000:]
    assert b"Tested: " in told
