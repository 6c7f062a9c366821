"""All tools, by name, and which of them a role may see."""

from __future__ import annotations

from collections.abc import Sequence

from quarterdeck.api.mcp import commands, messages, nodes, tables, why
from quarterdeck.api.mcp.tool import Tool
from quarterdeck.model.tokens import Role

TOOLS: tuple[Tool, ...] = (*nodes.TOOLS, *tables.TOOLS, *messages.TOOLS, *why.TOOLS, *commands.TOOLS)
BY_NAME = {tool.name: tool for tool in TOOLS}

INSTRUCTIONS = (
    "Quarterdeck manages a fleet of Linux hosts (nodes): it runs commands and services on them and collects what eBPF"
    " modules see in their kernels into tables. To find out what is wrong, begin with `why` without arguments: it lists"
    " everything that is not well; then `why` with a kind and a name gives reasons and last log lines."
    " For measurements use list_tables, describe_table and query. Times are UTC."
)


def visible(role: Role) -> Sequence[Tool]:
    """Return the tools that a token of this role may call."""
    return [tool for tool in TOOLS if role.covers(tool.role)]
