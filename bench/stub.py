"""Twilio's place taken by as little as can be: accepts every message at once, and tells how fast they came.

    python -m bench.stub COUNT

GET answers with JSON: the seconds in which the middle eight tenths of the last COUNT posts came, or null before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time


class Stub(asyncio.Protocol):
    count = 0
    times: list[float] = []  # noqa: RUF012 - one process, one list

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self._buffer) < end + 4 + length:
                return
            self._buffer = self._buffer[end + 4 + length :]
            self._answer(head.startswith(b"get "))

    def _answer(self, is_question: bool) -> None:
        if is_question:
            body = json.dumps({"seconds": self._spread(), "came": len(self.times)})
        else:
            self.times.append(time.perf_counter())
            body = json.dumps({"sid": f"SM{len(self.times):032x}", "status": "queued", "error_code": None})
        answer = f"HTTP/1.1 {200 if is_question else 201} OK\r\nContent-Type: application/json\r\n"
        self._transport.write(f"{answer}Content-Length: {len(body)}\r\n\r\n{body}".encode())  # type: ignore[attr-defined]

    def _spread(self) -> float | None:
        if len(self.times) < self.count:
            return None
        last = sorted(self.times[-self.count :])
        return last[self.count * 9 // 10] - last[self.count // 10]


async def main() -> None:
    Stub.count = int(sys.argv[1])
    server = await asyncio.get_running_loop().create_server(Stub, "127.0.0.1", 0, backlog=1024)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
