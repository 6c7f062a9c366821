"""A tool: its name and description, the structs of its arguments and answer, and the function that does the work."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from quarterdeck.api.mcp.backend import Backend
from quarterdeck.model.struct import Struct
from quarterdeck.model.tokens import ApiToken, Role


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One tool. `description` is for language models: what it answers, when to use it, and what to use instead."""

    name: str
    title: str
    description: str
    arguments: type[Struct]
    answer: type[Struct]
    call: Callable[[Backend, Any, ApiToken], Awaitable[Struct]]
    role: Role = Role.VIEWER
    action: str = ""  #: its action in the audit log, the same as REST's; "": it only reads, and is not audited

    @property
    def reads(self) -> bool:
        """Return whether it changes nothing."""
        return not self.action

    @property
    def input_schema(self) -> dict[str, Any]:
        """Return the JSON schema of its arguments."""
        return schema_of(self.arguments)

    @property
    def output_schema(self) -> dict[str, Any]:
        """Return the JSON schema of its answer."""
        return schema_of(self.answer)


def schema_of(kind: type[Struct]) -> dict[str, Any]:
    """Return the JSON schema of a struct, an object at its root as MCP requires, with other structs in `$defs`."""
    _, found = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    components: dict[str, Any] = dict(found)
    root: dict[str, Any] = components.pop(kind.__name__)
    return root | {"$defs": components} if components else root
