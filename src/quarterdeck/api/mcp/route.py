"""The route of the MCP API. The SDK is imported at its first request, in a thread.

`api.origins` refuses foreign hosts and origins on every route, as the transport of the protocol requires.
"""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, post
from litestar.handlers import HTTPRouteHandler

from quarterdeck.api.disconnects import while_connected
from quarterdeck.api.mcp.backend import Backend
from quarterdeck.api.mcp.calls import Calls
from quarterdeck.model.tokens import ApiToken, Role

if TYPE_CHECKING:
    from quarterdeck.api.mcp.sdk import Protocol

PATH = "/mcp"
#: bytes of a request: the arguments of one call
BODY_LIMIT_BYTES = 1024 * 1024


class Mcp:
    """The MCP API of a server."""

    def __init__(self, backend: Backend) -> None:
        self._calls = Calls(backend)
        self._starting = asyncio.Lock()
        self._protocol: Protocol | None = None

    async def answer(self, request: Request[ApiToken, Any, Any]) -> Response[bytes]:
        """Answer a request; its call is cancelled when the client disconnects."""
        body = await request.body()
        protocol = self._protocol or await self._start()
        scope: dict[str, Any] = {**request.scope, "user": request.user}
        answer = await while_connected(request, protocol.answer(scope, body))
        headers = {name: value for name, value in answer.headers.items() if name != "content-length"}
        return Response(answer.body, status_code=answer.status, headers=headers)

    async def close(self) -> None:
        """Cancel the calls that run."""
        if self._protocol is not None:
            await self._protocol.stop()

    async def _start(self) -> Protocol:
        async with self._starting:
            if self._protocol is None:
                sdk = await asyncio.to_thread(import_module, "quarterdeck.api.mcp.sdk")
                protocol: Protocol = sdk.Protocol(self._calls, body_limit_bytes=BODY_LIMIT_BYTES)
                await protocol.start()
                self._protocol = protocol
            return self._protocol


def create_route(mcp: Mcp) -> HTTPRouteHandler:
    """Return the handler of `POST /mcp`. GET and DELETE, which only servers with sessions have, are answered by 405."""

    @post(
        PATH,
        operation_id="mcp",
        status_code=200,
        role=Role.VIEWER,
        request_max_body_size=BODY_LIMIT_BYTES,
        tags=["mcp"],
    )
    async def handle(request: Request[ApiToken, Any, Any]) -> Response[bytes]:
        """Take one message of the Model Context Protocol (streamable HTTP, stateless), and answer it as JSON.

        Viewers have the tools that read, operators also run_command. Errors of tools are results with `isError`, whose
        content is a problem document.
        """
        return await mcp.answer(request)

    return handle
