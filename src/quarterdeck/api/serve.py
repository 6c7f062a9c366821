"""The HTTP server: granian in the running event loop, so that API, link and store share one process.

It listens on a TCP port, and on a Unix socket for this machine's own `qd` and health checks. The socket has its own
queue and connections: clients of the port cannot fill them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.embed import Server as Granian
from litestar import Litestar
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from quarterdeck.api.admitting import admitting
from quarterdeck.api.origins import own_names, own_requests_only
from quarterdeck.api.paths import keep_slashes
from quarterdeck.api.security_headers import with_security_headers
from quarterdeck.api.shutdown import disconnect_at
from quarterdeck.kit.strangers import Strangers
from quarterdeck.model.errors import BadConfig, Unavailable

log = logging.getLogger(__name__)

#: granian's log records go to our log
_LOGGING = {"formatters": {}, "handlers": {}, "root": {}, "loggers": {"_granian": {"propagate": True}}}
#: seconds that open requests have to finish when the server stops
GRACE_S = 3
#: seconds after which a connection without a complete request head is closed: it has not presented a token yet
HEAD_TIMEOUT_S = 10.0
#: open connections at a time
CONNECTIONS = 4096
#: the most of them at the Unix socket
LOCAL_CONNECTIONS = 1024
_BACKLOG = 4096  # connections waiting to be accepted; the system may allow fewer
_SOCKET_PATH_BYTES = 107  # unix(7)
_BUFFER_BYTES = 64 * 1024  # per connection; a request head must fit


class HttpServer:
    """The listener of the API. `address` has the actual port after `start`, also when port 0 was configured."""

    def __init__(
        self,
        app: Litestar,
        address: str,
        *,
        names: Iterable[str] = (),
        local: Path | None = None,
        connections: int = CONNECTIONS,
        head_timeout_s: float = HEAD_TIMEOUT_S,
    ) -> None:
        """Prepare to listen at `address`, whose further host names are `names`, and at the Unix socket `local`."""
        self._app = app
        self._names = tuple(names)
        self.address = address
        self._connections = connections
        self._head_timeout_s = head_timeout_s
        self._stopping = asyncio.Event()
        self._room = Strangers(limit=connections)
        self._local = local.resolve() if local is not None else None
        self._servers: list[Granian] = []
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start listening; raise `BadConfig` when the address cannot be bound."""
        host, port = _free_port(self.address)
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        app = disconnect_at(self._stopping, keep_slashes(self._app))
        # no browser reaches the Unix socket
        own_only = with_security_headers(own_requests_only(app, own_names(self.address, self._names)))
        self._servers.append(self._server(admitting(own_only, self._room), self._connections, address=host, port=port))
        if self._local is not None and _fits(self._local):
            self._local.unlink(missing_ok=True)  # of a server that was killed
            local = _without_lifespan(with_security_headers(app))
            self._servers.append(self._server(local, min(self._connections, LOCAL_CONNECTIONS), uds=self._local))
        self._task = asyncio.create_task(self._serve(), name="http")
        await _answers(lambda: asyncio.open_connection(host, port), self._task)
        if len(self._servers) > 1:
            await _answers(lambda: asyncio.open_unix_connection(self._local), self._task)
        self._room.start(port)

    async def _serve(self) -> None:
        """Serve until one of the listeners ends."""
        serving = [asyncio.create_task(server.serve()) for server in self._servers]
        try:
            await asyncio.wait(serving, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for server in self._servers:
                server.stop()
            await asyncio.gather(*serving)

    def _server(self, app: ASGIApp, connections: int, **listening: Any) -> Granian:
        return Granian(
            app,
            **listening,
            interface=Interfaces.ASGI,
            log_level=LogLevels.error,
            log_dictconfig=_LOGGING,
            websockets=False,
            # granian waits without limit for the first byte of a connection on a port that also accepts HTTP/2
            http=HTTPModes.http1,
            http1_settings=HTTP1Settings(
                header_read_timeout=int(self._head_timeout_s * 1000), max_buffer_size=_BUFFER_BYTES
            ),
            backlog=_BACKLOG,
            backpressure=connections,
        )

    async def ended(self) -> None:
        """Wait until the server ends; raise `Unavailable` if it ends without a call of `stop`."""
        assert self._task is not None
        await asyncio.shield(self._task)
        raise Unavailable("The HTTP server ended unexpectedly.", hint="The log has the reason.")

    async def stop(self) -> None:
        """Stop listening and end live streams; give requests in progress `GRACE_S` to finish."""
        if self._task is None:
            return
        await self._room.stop()
        self._stopping.set()
        for server in self._servers:
            server.stop()
        with suppress(asyncio.CancelledError, TimeoutError):
            async with asyncio.timeout(GRACE_S):
                await self._task


def _without_lifespan(app: ASGIApp) -> ASGIApp:
    """Return the application without its lifespan, which the other listener runs: it must run only once."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        if str(scope["type"]) != "lifespan":
            await app(scope, receive, send)
            return
        for phase in ("startup", "shutdown"):
            await receive()
            await send(cast("Message", {"type": f"lifespan.{phase}.complete"}))

    return cast("ASGIApp", served)


def _fits(local: Path) -> bool:
    """Return whether the path of a Unix socket is short enough for the system; say in the log if it is not."""
    fits = len(os.fsencode(local)) <= _SOCKET_PATH_BYTES
    if not fits:
        log.warning("no local socket: the path %s is longer than %d bytes", local, _SOCKET_PATH_BYTES)
    return fits


def _free_port(address: str) -> tuple[str, int]:
    """Return the host and port of "host:port", with port 0 replaced by a free one. Bind the address to check it."""
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


async def _answers(
    connect: Callable[[], Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]], serving: asyncio.Task[None]
) -> None:
    """Return once the listener accepts connections."""
    while not serving.done():
        try:
            _, writer = await connect()
        except OSError:
            await asyncio.sleep(0.01)
            continue
        writer.close()
        return
    serving.result()
    raise BadConfig("The HTTP server ended during its start.", hint="The log has the reason.")
