"""Calls of MCP tools with the client of the official SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult

from quarterdeck.client import Endpoint

#: tools that every role has
READING = {"list_nodes", "list_tables", "describe_table", "query", "read_logs", "why"}


@asynccontextmanager
async def opened(endpoint: Endpoint, token: str = "", *, mode: str = "auto") -> AsyncGenerator[Client]:
    """Open a client, with the endpoint's token or another one. `mode`: "auto", or "legacy" for a handshake."""
    headers = {"Authorization": f"Bearer {token or endpoint.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
        transport = streamable_http_client(f"{endpoint.url}/mcp", http_client=http)
        async with Client(transport, mode=mode) as client:
            yield client


async def tools(client: Client) -> set[str]:
    """Return the names of the tools that the client sees."""
    return {tool.name for tool in (await client.list_tools()).tools}


async def call(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the answer of a tool, which must not be an error."""
    failed, content = await _call(client, tool, arguments)
    assert not failed, content
    return content


async def fail(client: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the problem document of a call, which must fail."""
    failed, content = await _call(client, tool, arguments)
    assert failed, content
    return content


async def _call(client: Client, tool: str, arguments: dict[str, Any]) -> tuple[bool, dict[str, Any]]:
    """Return whether the call failed, and the structured content, which the text repeats."""
    result = await client.call_tool(tool, arguments)
    assert isinstance(result, CallToolResult)
    (text,) = result.content
    assert text.type == "text"
    assert json.loads(text.text) == result.structured_content
    return result.is_error, result.structured_content
