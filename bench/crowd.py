"""Hostile clients of a gateway, until they are killed: `python -m bench.crowd PORT COUNT WAY`."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys

HEAD = b"POST /webhooks/sms HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
WAYS = {  # what each says first, and then again and again
    "that say nothing": (b"", b""),
    "that drip headers": (HEAD + b"X-Slow: ", b"y"),
    "that drip a body": (HEAD + b"\r\n", b"y"),
}
DRIP_SECONDS = 2.0  # from one byte of a client to the next


class Crowd:
    """Connections that keep the gateway waiting; who is turned out comes again."""

    def __init__(self, port: int, first: bytes, then: bytes) -> None:
        self._port = port
        self._first = first
        self._then = then

    async def come(self, count: int) -> None:
        self._sockets = [await self._one() for _ in range(count)]

    async def stay(self) -> None:
        while True:
            for place, one in enumerate(self._sockets):
                if place % 20 == 0:
                    await asyncio.sleep(DRIP_SECONDS * 20 / len(self._sockets))
                if not self._is_open(one):
                    one.close()
                    self._sockets[place] = await self._one()

    async def _one(self) -> socket.socket:
        one = socket.socket()
        one.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(one, ("127.0.0.1", self._port))
        await loop.sock_sendall(one, self._first)
        return one

    def _is_open(self, one: socket.socket) -> bool:
        try:
            one.send(self._then)
            one.recv(100)  # the end, or that we took too long
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False


async def main(port: int, count: int, way: str) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 2 * count), hard), hard))
    crowd = Crowd(port, *WAYS[way])
    await crowd.come(count)
    print("here", flush=True)
    await crowd.stay()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
