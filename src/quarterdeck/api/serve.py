"""Serves the application with granian inside the running event loop: API, link and store share one process."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress

from granian.constants import Interfaces
from granian.log import LogLevels
from granian.server.embed import Server as Granian
from litestar import Litestar

from quarterdeck.api.ending import ended_by
from quarterdeck.api.paths import keep_slashes
from quarterdeck.model.errors import BadConfig, Unavailable

#: its records go where ours go
_LOGGING = {"formatters": {}, "handlers": {}, "root": {}, "loggers": {"_granian": {"propagate": True}}}
#: seconds that open requests get to finish at the end
GRACE_S = 3


class HttpServer:
    """The listening half of the API. `address` is known after `start`, also when port 0 was asked for."""

    def __init__(self, app: Litestar, address: str) -> None:
        self._app = app
        self.address = address
        self._stopping = asyncio.Event()
        self._granian: Granian | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Listens; raises `BadConfig` when the address cannot be bound."""
        host, port = _free_port(self.address)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._granian = Granian(
            ended_by(keep_slashes(self._app), self._stopping),
            address=host,
            port=port,
            interface=Interfaces.ASGI,
            log_level=LogLevels.error,
            log_dictconfig=_LOGGING,
            websockets=False,
        )
        self._task = asyncio.create_task(self._granian.serve(), name="http")
        await _answers(host, port, self._task)

    async def ended(self) -> None:
        """Waits as long as it serves; `Unavailable` when it ends without having been told to."""
        assert self._task is not None
        await asyncio.shield(self._task)
        raise Unavailable("The HTTP server ended by itself.", hint="Its log says why.")

    async def stop(self) -> None:
        """Stops listening and ends live streams; requests under way get `GRACE_S`."""
        if self._granian is None or self._task is None:
            return
        self._stopping.set()
        self._granian.stop()
        with suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._task


def _free_port(address: str) -> tuple[str, int]:
    """Host and port of "host:port", with port 0 replaced by one that is free; the address is checked by binding it."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, int(port)))
            return host, int(probe.getsockname()[1])
    except (OSError, ValueError, OverflowError) as error:
        raise BadConfig(
            f"Cannot listen for HTTP on '{address}': {error}.", hint="Choose another with --http HOST:PORT or QD_HTTP."
        ) from error


async def _answers(host: str, port: int, serving: asyncio.Task[None]) -> None:
    """Returns once the port accepts connections."""
    while not serving.done():
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        return
    serving.result()
    raise BadConfig(f"The HTTP server on {host}:{port} ended at once.", hint="Its log says why.")
