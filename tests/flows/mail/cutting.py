"""A way to a mail server on which an answer is lost: the mail is there, and whoever brought it never hears so."""

from __future__ import annotations

import asyncio
import contextlib

_KEPT = b"250 2.6.0 "


class Cut:
    """Listens at `port` and passes all on to `to`, and back; the first answer that a mail is kept is lost, and with it
    the connection."""

    def __init__(self, port: int, to: int) -> None:
        self._port, self._to = port, to
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost = 0

    async def __aenter__(self) -> Cut:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        there_reader, there = await asyncio.open_connection("127.0.0.1", self._to)
        there_to_here = asyncio.create_task(self._pass_back(there_reader, writer))
        try:
            while not there_to_here.done() and (came := await reader.read(65_536)):
                there.write(came)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            there_to_here.cancel()
            for end in (writer, there):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()
            self._tasks.discard(task)

    async def _pass_back(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while came := await reader.read(65_536):
            if came.startswith(_KEPT) and not self.lost:
                self.lost += 1
                break
            writer.write(came)
        writer.transport.abort()
