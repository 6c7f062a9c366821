"""mcp.md: the tools of the MCP API, with their arguments, from the descriptions and schemas that clients receive."""

from __future__ import annotations

from typing import Any

from quarterdeck.api.mcp.catalogue import TOOLS
from quarterdeck.api.mcp.tool import Tool
from tools.reference.markdown import code, json, table

_INTRODUCTION = """# MCP tools

These are the tools of the [MCP API](../guide/mcp.md), with the descriptions that clients receive. A `Selector` is
explained in [types](types.md).
"""


def page() -> str:
    """Return the page."""
    index = table(
        ("tool", "title", "needs", ""),
        [
            (f"[{each.name}](#{each.name})", each.title, each.role, "" if each.reads else "changes hosts, audited")
            for each in TOOLS
        ],
    )
    return "\n".join([_INTRODUCTION, index, *map(_section, TOOLS)])


def _section(tool: Tool) -> str:
    schema = tool.input_schema
    required = schema.get("required", ())
    rows = [
        (code(name), _type(each), "required" if name in required else _default(each), each.get("description", ""))
        for name, each in schema["properties"].items()
    ]
    answer = tool.output_schema
    keys = ", ".join(map(code, answer["properties"]))
    arguments = table(("argument", "type", "default", "meaning"), rows)
    return f"## {tool.name}\n\n{tool.description}\n\n{arguments}\nIts answer has {keys}.\n"


def _type(schema: dict[str, Any]) -> str:
    """Return the type of an argument in words, with its limits."""
    if "$ref" in schema:
        return code(str(schema["$ref"]).rpartition("/")[2])
    if "allOf" in schema:
        return _type(schema["allOf"][0])
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"] if each.get("type") != "null")
    if "enum" in schema:
        return ", ".join(map(code, schema["enum"]))
    limits = [f"{word} {schema[key]:g}" for key, word in _LIMITS.items() if key in schema]
    return ", ".join([code(schema.get("type", "any")), *limits])


_LIMITS = {"minimum": "at least", "exclusiveMinimum": "more than", "maximum": "at most"}


def _default(schema: dict[str, Any]) -> str:
    value = schema.get("default")
    return "" if value in ("", None, [], {}) else code(json(value))
