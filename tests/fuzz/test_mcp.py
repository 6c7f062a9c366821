"""Every tool of the MCP API under generated arguments: it may refuse them, it must not fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quarterdeck.api.mcp.bounds import ANSWER_LIMIT_BYTES
from quarterdeck.api.mcp.catalogue import TOOLS
from quarterdeck.api.mcp.tool import Tool
from tests.fleet import Fleet

#: invalid request, invalid parameters, no JSON
REFUSED = (-32600, -32602, -32700)
#: texts that mean something to one tool or another
WORDS = ("losses", "SELECT 1", "SELECT * FROM losses", "1h", "2026-01-01", "7-9", "*", "1/1", "role", "\0", "\ud800")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet")) as running:
        yield running


@pytest.mark.parametrize("tool", TOOLS, ids=[tool.name for tool in TOOLS])
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_no_tool_fails(tool: Tool, fleet: Fleet, data: st.DataObject) -> None:
    arguments: Any = data.draw(_values(tool.input_schema, tool.input_schema))
    result = _call(fleet, tool.name, arguments)
    content = result["structuredContent"]
    assert not result.get("isError") or content["status"] < 500 or content["code"] in {"timed_out", "unavailable"}
    assert len(result["content"][0]["text"]) < ANSWER_LIMIT_BYTES


#: values of any type, which most arguments refuse
_ANYTHING = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()


def _values(schema: dict[str, Any], root: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return values that fit the schema, and now and then one that does not."""
    for several in ("anyOf", "allOf"):
        if several in schema:
            return st.one_of([_values(each, root) for each in schema[several]])
    if "$ref" in schema:
        return _values(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema:
        return st.sampled_from(schema["enum"]) | st.text(max_size=3)
    least, most = schema.get("minimum"), schema.get("maximum")
    simple: dict[str, st.SearchStrategy[Any]] = {
        "integer": st.integers(least, most) | st.integers(),
        "number": st.floats(least, most, allow_nan=False, allow_infinity=False) | st.integers(),
        "string": st.text(max_size=50) | st.sampled_from(WORDS),
        "boolean": st.booleans(),
        "object": st.dictionaries(st.text(max_size=5), _ANYTHING, max_size=3),
    }
    if "properties" in schema:
        fields = {name: _values(each, root) for name, each in schema["properties"].items()}
        needed = {name: fields.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(needed, optional=fields)
    if schema.get("type") == "array":
        return st.lists(_values(schema.get("items", {}), root), max_size=3)
    return simple.get(schema.get("type", ""), _ANYTHING)


def _call(fleet: Fleet, tool: str, arguments: Any) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    headers = {
        "Authorization": f"Bearer {fleet.client.endpoint.token}",
        "Accept": "application/json",
        "Content-Type": "application/json",
    }
    sent = json.dumps(body)
    answer = httpx.post(f"http://{fleet.http}/mcp", content=sent, headers=headers, timeout=150).json()
    if "error" in answer:  # the SDK itself refused it, such as half a surrogate pair
        assert answer["error"]["code"] in REFUSED, answer
        return {"structuredContent": {}, "content": [{"text": ""}]}
    return answer["result"]
