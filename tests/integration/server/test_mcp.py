"""The MCP API with the SDK's own client, over HTTP and a real server; the agent is a test."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from mcp.shared.exceptions import MCPError

from quarterdeck.api.mcp.bounds import ANSWER_LIMIT_BYTES
from quarterdeck.client import AsyncClient
from quarterdeck.link.messages import JobOffers, JobResults
from quarterdeck.model.jobs import JobResult, JobState
from quarterdeck.model.tokens import Role
from quarterdeck.server.server import Server
from tests.endless_queries import endless, running
from tests.integration.server.agent import connected, joined
from tests.mcp_calls import READING, call, fail, opened, tools
from tests.support import until

#: the newest version of the protocol, and those before it, which begin with a handshake
MODES = ("auto", "legacy")


async def post(client: AsyncClient, body: object, headers: Mapping[str, str] | None = None) -> httpx.Response:
    """Send a message without the SDK."""
    given = {
        "Authorization": f"Bearer {client.endpoint.token}",
        "Accept": "application/json, text/event-stream",
        "Content-Type": "application/json",
        **(headers or {}),
    }
    async with httpx.AsyncClient() as http:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return await http.post(f"{client.endpoint.url}/mcp", content=content, headers=given)


@pytest.mark.parametrize("mode", MODES)
async def test_each_version_of_the_protocol_lists_and_calls_tools(client: AsyncClient, mode: str) -> None:
    async with opened(client.endpoint, mode=mode) as speaking:
        assert speaking.server_info is not None
        assert speaking.server_info.name == "quarterdeck"
        assert "why" in (speaking.instructions or "")
        assert await tools(speaking) == READING | {"run_command"}
        annotated = {tool.name: tool.annotations for tool in (await speaking.list_tools()).tools}
        assert {name for name, hints in annotated.items() if hints and not hints.read_only_hint} == {"run_command"}
        assert (await call(speaking, "query", sql="SELECT 1 AS one"))["rows"] == [[1]]


async def test_a_role_sees_and_calls_only_its_tools(server: Server, client: AsyncClient) -> None:
    viewer = (await client.api_tokens.create("vera", Role.VIEWER)).token
    async with opened(client.endpoint, viewer) as speaking:
        assert await tools(speaking) == READING
        problem = await fail(speaking, "run_command", command=["true"], all_nodes=True)
        assert (problem["code"], problem["status"]) == ("forbidden", 403)
    operator = (await client.api_tokens.create("olga", Role.OPERATOR)).token
    async with opened(client.endpoint, operator) as speaking:
        assert await tools(speaking) == READING | {"run_command"}
        problem = await fail(speaking, "run_command", command=["true"], all_nodes=True)
        assert problem["code"] == "no_such_nodes"
    entries = [(e.actor, e.role, e.action, e.result, e.detail) for e in await client.audit.list()]
    assert ("vera", "viewer", "createCommand", "forbidden", "run_command") in entries
    assert ("olga", "operator", "createCommand", "no_such_nodes", "run_command") in entries


async def test_a_request_without_a_token_or_from_a_page_elsewhere_is_refused(client: AsyncClient) -> None:
    ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    answer = await post(client, ping)
    assert (answer.json()["result"], answer.headers.get_list("content-type")) == ({}, ["application/json"])
    for header in ("", "Bearer wrong"):
        refused = await post(client, ping, {"Authorization": header})
        assert (refused.status_code, refused.json()["code"]) == (401, "unauthenticated")
        assert refused.headers["www-authenticate"] == "Bearer"
    refused = await post(client, ping, {"Origin": "https://elsewhere.example"})
    assert (refused.status_code, refused.json()["code"]) == (403, "foreign_origin")
    refused = await post(client, ping, {"Host": "elsewhere.example"})
    assert (refused.status_code, refused.json()["code"]) == (421, "foreign_host")
    assert (await post(client, ping, {"Origin": client.endpoint.url})).status_code == 200
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {client.endpoint.token}"}) as http:
        assert (await http.get(f"{client.endpoint.url}/mcp")).status_code == 405
        assert (await http.delete(f"{client.endpoint.url}/mcp")).status_code == 405


async def test_what_is_no_message_is_refused(client: AsyncClient) -> None:
    assert (await post(client, b"{")).status_code == 400
    assert (await post(client, [])).status_code == 400
    assert (await post(client, {"jsonrpc": "2.0", "id": 1, "method": "nonsense"})).json()["error"]["code"] == -32601
    assert (await post(client, b" " * 2 * 1024 * 1024)).status_code == 413
    assert (await post(client, {"jsonrpc": "2.0", "method": "notifications/initialized"})).status_code == 202


@pytest.mark.parametrize("mode", MODES)
async def test_errors_have_the_codes_and_hints_of_the_api(client: AsyncClient, mode: str) -> None:
    async with opened(client.endpoint, mode=mode) as speaking:
        problem = await fail(speaking, "describe_table", table="mesages")
        assert (problem["code"], "messages" in problem["hint"]) == ("not_found", True)
        assert (await fail(speaking, "query", sql="DROP TABLE messages"))["code"] == "bad_query"
        assert (await fail(speaking, "query", sql="SELECT 1", max_rows=0))["code"] == "bad_input"
        assert "max_row" in (await fail(speaking, "query", sql="SELECT 1", max_row=1))["detail"]
        assert (await fail(speaking, "query"))["code"] == "bad_input"
        assert (await fail(speaking, "why", kind="service", name="nothing"))["code"] == "not_found"
        assert (await fail(speaking, "why", kind="service"))["code"] == "bad_input"
        assert (await fail(speaking, "read_logs", since="yesterday"))["code"] == "bad_input"
        with pytest.raises(MCPError, match=r"There is no tool 'quary'\. Did you mean query\?") as raised:
            await speaking.call_tool("quary", {})
        assert raised.value.code == -32602


async def test_an_answer_is_cut_and_says_so(client: AsyncClient) -> None:
    async with opened(client.endpoint) as speaking:
        few = await call(speaking, "query", sql="SELECT number FROM numbers(3)", max_rows=3)
        assert (few["rows"], few["cut"], few["completeness"]["truncated"]) == ([[0], [1], [2]], "", False)
        more = await call(speaking, "query", sql="SELECT number FROM numbers(4)", max_rows=3)
        assert (len(more["rows"]), more["cut"]) == (3, "There are more rows than max_rows.")
        wide = await call(speaking, "query", sql="SELECT repeat('x', 1000) FROM numbers(500)", max_rows=500)
        assert 0 < len(wide["rows"]) < 100
        assert f"{500 - len(wide['rows'])} rows were left out for size" in wide["cut"]
        assert len(json.dumps(wide)) < ANSWER_LIMIT_BYTES
        one = await call(speaking, "query", sql=f"SELECT repeat('x', {ANSWER_LIMIT_BYTES})")
        assert one["rows"] == []
        assert "1 rows were left out" in one["cut"]


async def test_nodes_and_tables_are_described(server: Server, client: AsyncClient) -> None:
    agent = await connected(server)
    away = await joined(server, "db-1")
    async with opened(client.endpoint) as speaking:
        found = await call(speaking, "list_nodes", selector={"roles": ["web"]}, limit=1)
        assert (found["total"], found["states"], len(found["nodes"])) == (2, {"OFFLINE": 1, "ONLINE": 1}, 1)
        assert found["cut"] == "1 more nodes: use offset=1."
        found = await call(speaking, "list_nodes", state="ONLINE")
        assert [(node["name"], node["state"]) for node in found["nodes"]] == [("web-1", "ONLINE")]
        assert "cut" not in found
        tables = (await call(speaking, "list_tables", text="lost"))["tables"]
        assert [table["name"] for table in tables] == ["losses"]
        described = await call(speaking, "describe_table", table="losses")
        assert {"gid", "nid", "time", "reason"} <= {column["name"] for column in described["columns"]}
    await agent.close()
    await away.close()


@pytest.mark.parametrize("mode", MODES)
async def test_a_command_is_run_and_audited(server: Server, client: AsyncClient, mode: str) -> None:
    agent = await connected(server)
    operator = (await client.api_tokens.create("olga", Role.OPERATOR)).token
    async with opened(client.endpoint, operator, mode=mode) as speaking:
        refused = await fail(speaking, "run_command", command=["true"])
        assert (refused["code"], "all_nodes" in refused["hint"]) == ("bad_input", True)
        assert (await fail(speaking, "run_command", all_nodes=True))["code"] == "bad_input"
        asked = asyncio.create_task(
            call(speaking, "run_command", command=["df", "-h"], selector={"nodes": ["web-1"]}, max_time_s=9)
        )
        offer = (await agent.expect(JobOffers)).jobs[0]
        assert (offer.cmd, offer.args) == ("execute", {"cmd": "df", "args": ["-h"], "max_time": 9})
        long = "x" * 100_000
        result = JobResult(
            id=offer.id, state=JobState.ERROR, code=3, streams=("out\n" + long, "bad\n"), reason="exit 3"
        )
        await agent.say(JobResults(results=(result,)))
        answer = await asked
        assert (answer["finished"], answer["states"]) == (True, {"ERROR": 1})
        (node,) = answer["nodes"]
        assert (node["node"], node["state"], node["code"], node["stderr"]) == ("web-1", "ERROR", 3, "bad\n")
        assert node["stdout"].startswith("[")
        assert "characters cut] …xxx" in node["stdout"]
        why = await call(speaking, "why", kind="job", name=offer.id)
        assert not why["well"]
        assert why["findings"][0]["reason"] == "exit 3 It ended with exit code 3."
    entry = next(e for e in await client.audit.list() if e.action == "createCommand" and e.result == "ok")
    assert (entry.actor, entry.role, entry.target, entry.detail) == (
        "olga",
        "operator",
        offer.id,
        "execute df -h on web-1",
    )
    await agent.close()


async def test_a_command_that_goes_on_says_how_to_ask_again(server: Server, client: AsyncClient) -> None:
    agent = await joined(server)
    async with opened(client.endpoint) as speaking:
        answer = await call(speaking, "run_command", script="sleep 60", all_nodes=True, wait_s=0)
        assert (answer["finished"], answer["states"]) == (False, {"QUEUED": 1})
        assert answer["id"] in answer["hint"]
        assert "offline" in answer["nodes"][0]["reason"]
        why = await call(speaking, "why", kind="job", name=answer["id"])
        assert (why["well"], why["findings"][0]["state"]) == (False, "QUEUED")
        why = await call(speaking, "why")
        assert [(each["kind"], each["name"], each["state"]) for each in why["findings"]] == [
            ("node", "web-1", "OFFLINE")
        ]
        assert "0 of 1 nodes are ONLINE" in why["summary"]
        why = await call(speaking, "why", kind="node", name="web-1")
        assert "Its agent is OFFLINE" in why["findings"][0]["reason"]
    await agent.close()


@pytest.mark.parametrize("version", ["2025-06-18", "2026-07-28"])
async def test_a_call_ends_when_its_client_leaves(server: Server, client: AsyncClient, version: str) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": version,
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    }
    params: dict[str, Any] = {"name": "query", "arguments": {"sql": endless(), "timeout_s": 60}}
    if version == "2026-07-28":
        params["_meta"] = meta
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    headers = {"MCP-Protocol-Version": version, "Mcp-Method": "tools/call", "Mcp-Name": "query"}
    asked = asyncio.create_task(post(client, body, headers))
    await until(lambda: asked.done() or running(server._stores.telemetry))
    assert not asked.done(), asked.result().text
    asked.cancel()
    await asyncio.gather(asked, return_exceptions=True)
    await until(lambda: not running(server._stores.telemetry))
    async with opened(client.endpoint) as speaking:
        assert (await call(speaking, "query", sql="SELECT 1"))["rows"] == [[1]]


async def test_a_client_of_the_sdk_cancels_a_call(server: Server, client: AsyncClient) -> None:
    async with opened(client.endpoint) as speaking:
        asked = asyncio.create_task(call(speaking, "query", sql=endless(), timeout_s=60))
        await until(lambda: asked.done() or running(server._stores.telemetry))
        asked.cancel()
        await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: not running(server._stores.telemetry))
        assert (await call(speaking, "query", sql="SELECT 1"))["rows"] == [[1]]


async def test_two_clients_at_once_get_their_own_answers(client: AsyncClient) -> None:
    viewer = (await client.api_tokens.create("vera", Role.VIEWER)).token
    async with opened(client.endpoint) as one, opened(client.endpoint, viewer, mode="legacy") as other:
        numbers = range(20)
        answers = await asyncio.gather(
            *(
                call(each, "query", sql="SELECT {n:UInt32}", parameters={"n": n + 100 * place})
                for n in numbers
                for place, each in enumerate((one, other))
            )
        )
        expected = [[[n + 100 * place]] for n in numbers for place in (0, 1)]
        assert [answer["rows"] for answer in answers] == expected
        assert await tools(one) == READING | {"run_command"}
        assert await tools(other) == READING
