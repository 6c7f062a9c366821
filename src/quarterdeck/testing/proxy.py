"""A TCP proxy that can be cut: bytes are held back and connections stay open, without notice to either side."""

from __future__ import annotations

import asyncio
from typing import Self

from quarterdeck.kit.tasks import TaskSet


class CuttableProxy:
    """A proxy on a free port that passes bytes to `target` ("host:port") until `cut`, and again after `restore`."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._open = asyncio.Event()
        self._open.set()
        self._tasks = TaskSet()
        self._server: asyncio.Server | None = None
        self.address = ""

    def cut(self) -> None:
        """Stop passing bytes in both directions, on existing and new connections."""
        self._open.clear()

    def restore(self) -> None:
        """Pass the bytes that were held back, and all later ones."""
        self._open.set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._server is not None:
            self._server.close()
        await self._tasks.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._open.wait()
        try:
            far_reader, far_writer = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.close()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._tasks.spawn(self._pass(source, sink))

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while piece := await source.read(65536):
                await self._open.wait()
                sink.write(piece)
                await sink.drain()
            await self._open.wait()  # the end of a connection is held back too
        except ConnectionError:
            pass
        finally:
            sink.close()
