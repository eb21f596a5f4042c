"""A relay by aiosmtpd that accepts every mail at once, and tells how fast they came.

    python -m bench.sink COUNT

It prints two addresses: of an HTTP server that tells as `bench.stub` does, and the port for mail.
"""

from __future__ import annotations

import asyncio
import sys
import time
import uuid
from typing import Any

from aiosmtpd.smtp import SMTP

from bench.stub import Stub


class Handler:
    async def handle_DATA(self, _server: Any, _session: Any, _envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        Stub.times.append(time.perf_counter())
        return f"250 2.0.0 Ok: queued as {uuid.uuid4().hex}"


async def main() -> None:
    Stub.count = int(sys.argv[1])
    loop = asyncio.get_running_loop()
    mail = await loop.create_server(lambda: SMTP(Handler(), hostname="relay"), "127.0.0.1", 0, backlog=1024)
    told = await loop.create_server(Stub, "127.0.0.1", 0)
    ports = [server.sockets[0].getsockname()[1] for server in (told, mail)]
    print(f"http://127.0.0.1:{ports[0]} {ports[1]}", flush=True)
    await asyncio.gather(mail.serve_forever(), told.serve_forever())


if __name__ == "__main__":
    asyncio.run(main())
