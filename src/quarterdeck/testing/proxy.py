"""A TCP proxy whose line can be cut: bytes vanish, connections stay open, and neither side is told."""

from __future__ import annotations

import asyncio
from typing import Self


class CuttableProxy:
    """Listens on a free port and passes bytes to `target` ("host:port") until `cut`, and again after `mend`."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.address = ""

    def cut(self) -> None:
        """From now on nothing passes, in either direction, old connections and new ones."""
        self._open.clear()

    def mend(self) -> None:
        """What waits passes, and all that follows."""
        self._open.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pass(source, sink))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(65536):
                await self._open.wait()
                sink.write(piece)
                await sink.drain()
            await self._open.wait()  # the end of a connection does not pass a cut line either
        except ConnectionError:
            pass
        finally:
            sink.close()
