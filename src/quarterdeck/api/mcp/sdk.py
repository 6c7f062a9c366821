"""The official SDK: it speaks the protocol in all its versions, and passes calls on to `calls`.

Each request stands for itself (stateless, JSON answers), so any number of servers can share the clients, and an answer
is complete before it is sent. Nothing else imports the SDK, which takes a third of a second.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any, NamedTuple, cast

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.exceptions import MCPError
from starlette.types import Message, Scope

from quarterdeck import __version__
from quarterdeck.api.mcp.calls import Calls, Outcome
from quarterdeck.api.mcp.catalogue import BY_NAME, INSTRUCTIONS, visible
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.kit.tasks import cancel
from quarterdeck.model.errors import NotFound
from quarterdeck.model.tokens import ApiToken

logging.getLogger("mcp").setLevel(logging.WARNING)  # it logs each request of an older client as the end of a session

_Context = ServerRequestContext[Any, Any]


class Answer(NamedTuple):
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Protocol:
    """The SDK's server. It must be started, in a running event loop, before it answers."""

    def __init__(self, calls: Calls, *, body_limit_bytes: int) -> None:
        self._calls = calls
        server = Server[Any](
            "quarterdeck",
            version=__version__,
            title="Quarterdeck",
            instructions=INSTRUCTIONS,
            on_list_tools=self._list_tools,
            on_call_tool=self._call_tool,
            get_tool_input_schema=_input_schema,
        )
        self._manager = StreamableHTTPSessionManager(
            server, json_response=True, stateless=True, max_request_body_size=body_limit_bytes
        )
        self._running = set[asyncio.Task[Outcome]]()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the task group in which the SDK runs its requests."""
        started = asyncio.Event()
        self._task = asyncio.create_task(self._run(started), name="mcp")
        await started.wait()

    async def stop(self) -> None:
        """Cancel the requests that run."""
        if self._task is not None:
            await cancel(self._task)
        if self._running:
            await asyncio.wait(self._running)

    async def answer(self, scope: Scope, body: bytes) -> Answer:
        """Return the answer to a request whose `scope` has its token as `user`."""
        given = False
        messages: list[Message] = []

        async def receive() -> Message:
            nonlocal given
            if given:
                await asyncio.Event().wait()  # who disconnects has this call cancelled, see `route`
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Message) -> None:
            messages.append(message)

        await self._manager.handle_request(scope, receive, send)
        start, *rest = messages
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
        return Answer(start["status"], headers, b"".join(part.get("body", b"") for part in rest))

    async def _run(self, started: asyncio.Event) -> None:
        async with self._manager.run():
            started.set()
            await asyncio.Event().wait()

    async def _list_tools(self, context: _Context, _: types.PaginatedRequestParams | None) -> types.ListToolsResult:
        return types.ListToolsResult(tools=[_described(tool) for tool in visible(_token(context).role)])

    async def _call_tool(self, context: _Context, asked: types.CallToolRequestParams) -> types.CallToolResult:
        token = _token(context)
        try:
            tool = self._calls.find(asked.name, token)
        except NotFound as error:
            raise MCPError(types.INVALID_PARAMS, str(error)) from error
        outcome = await self._apart(self._calls.call(tool, asked.arguments or {}, token))
        return types.CallToolResult(
            content=[types.TextContent(text=outcome.text)],
            structured_content=outcome.content,
            is_error=outcome.failed,
        )

    async def _apart(self, call: Coroutine[Any, Any, Outcome]) -> Outcome:
        """Await a call in a task of its own, which is cancelled only once.

        The SDK cancels its task repeatedly until it ends, which would interrupt the end of a query.
        """
        running = asyncio.create_task(call)
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        try:
            await asyncio.wait({running})
        finally:
            running.cancel()
        return running.result()


def _token(context: _Context) -> ApiToken:
    """Return the token that `api.access` has checked."""
    request: Any = context.request
    return cast("ApiToken", request.scope["user"])


def _input_schema(name: str) -> dict[str, Any] | None:
    return BY_NAME[name].input_schema if name in BY_NAME else None


def _described(tool: Tool) -> types.Tool:
    return types.Tool(
        name=tool.name,
        title=tool.title,
        description=tool.description,
        input_schema=tool.input_schema,
        output_schema=tool.output_schema,
        annotations=types.ToolAnnotations(
            title=tool.title,
            read_only_hint=tool.reads,
            destructive_hint=not tool.reads,
            idempotent_hint=tool.reads,
            open_world_hint=False,
        ),
    )
