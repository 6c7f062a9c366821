"""The tools: who may see them, and what their schemas and descriptions say."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator

from quarterdeck.api.mcp.catalogue import BY_NAME, INSTRUCTIONS, TOOLS, visible
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.model.tokens import Role

NAMES = [tool.name for tool in TOOLS]


def test_each_name_is_one_tool() -> None:
    assert len(BY_NAME) == len(TOOLS)


@pytest.mark.parametrize(
    ("role", "more"), [(Role.VIEWER, set[str]()), (Role.OPERATOR, {"run_command"}), (Role.ADMIN, {"run_command"})]
)
def test_a_role_sees_what_it_may_call(role: Role, more: set[str]) -> None:
    reading = {"list_nodes", "list_tables", "describe_table", "query", "read_logs", "why"}
    assert {tool.name for tool in visible(role)} == reading | more


@pytest.mark.parametrize("tool", TOOLS, ids=NAMES)
def test_what_changes_something_needs_an_operator_and_is_audited(tool: Tool) -> None:
    assert tool.reads == (tool.role is Role.VIEWER)
    assert tool.reads == (not tool.action)


@pytest.mark.parametrize("tool", TOOLS, ids=NAMES)
def test_schemas_are_objects_that_refer_only_to_themselves(tool: Tool) -> None:
    for schema in (tool.input_schema, tool.output_schema):
        Draft202012Validator.check_schema(schema)
        assert schema["type"] == "object"
        assert set(_references(schema)) <= {f"#/$defs/{name}" for name in schema.get("$defs", {})}


@pytest.mark.parametrize("tool", TOOLS, ids=NAMES)
def test_every_argument_is_explained_and_an_unknown_one_is_refused(tool: Tool) -> None:
    schema = tool.input_schema
    assert schema["additionalProperties"] is False
    unexplained = [name for name, each in schema["properties"].items() if not each.get("description")]
    assert not unexplained


@pytest.mark.parametrize("tool", TOOLS, ids=NAMES)
def test_a_description_is_short_and_names_only_tools_that_exist(tool: Tool) -> None:
    assert 50 < len(tool.description) < 700
    words = {word.strip("`.,;()") for text in (tool.description, INSTRUCTIONS) for word in text.split()}
    named = {word for word in words if word.partition("_")[0] in {"list", "describe", "read", "run"} and "_" in word}
    assert named <= BY_NAME.keys()


def _references(schema: Any) -> list[str]:
    if isinstance(schema, dict):
        own = [schema["$ref"]] if "$ref" in schema else []
        return own + [each for part in schema.values() for each in _references(part)]
    return [each for part in schema for each in _references(part)] if isinstance(schema, list) else []
