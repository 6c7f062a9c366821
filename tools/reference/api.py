"""api.md: the routes of the REST API, from its own OpenAPI document and the routes' roles."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from enum import StrEnum
from importlib import import_module
from typing import Any
from unittest.mock import MagicMock

import msgspec

from quarterdeck import model
from quarterdeck.api.access import AUDIT, PUBLIC, ROLE
from quarterdeck.api.app import create_app
from quarterdeck.model.tokens import Role
from tools.reference.markdown import code, comments, struct, summary, table

_INTRODUCTION = """# REST API

The server provides the OpenAPI document at `/schema/openapi.json` and Swagger UI at `/schema`. Send the token in the
header `Authorization: Bearer TOKEN`. The roles are viewer, operator and admin; each role includes the rights of those
before it. Errors are [problem documents](errors.md). `listAudit` returns the log of audited requests.
"""


def page() -> str:
    """Return the page."""
    app = create_app(MagicMock())  # routes are described without a server, and none is called
    document: dict[str, Any] = app.openapi_schema.to_schema()
    options = {str(handler.operation_id): handler.opt for route in app.routes for handler in _handlers(route)}
    rows: list[tuple[object, ...]] = []
    parts: list[str] = []
    for path, methods in sorted(document["paths"].items()):
        for method, operation in methods.items():
            name = operation["operationId"]
            given = options[name]
            role = "" if given.get(PUBLIC) else str(given.get(ROLE, Role.ADMIN))
            link = f"[{name}](#{name.lower()})"
            rows.append(
                (code(f"{method.upper()} {path}"), link, role or "no token", "audited" if given.get(AUDIT) else "")
            )
            parts.append(_operation(f"{method.upper()} {path}", operation))
    index = table(("request", "operationId", "needs", ""), rows)
    return "\n".join([_INTRODUCTION, index, *parts, "# Bodies and answers\n", *_shapes(document)])


def _handlers(route: Any) -> list[Any]:
    return [handler for handler in getattr(route, "route_handlers", []) if getattr(handler, "operation_id", None)]


def _operation(request: str, operation: dict[str, Any]) -> str:
    words = " ".join(operation.get("description", "").split())
    facts = [f"`{request}`"]
    facts += [
        f"{each['in']} parameter `{each['name']}`{'' if each.get('required') else ', optional'}"
        for each in operation.get("parameters", [])
    ]
    if body := operation.get("requestBody"):
        facts.append(f"body {_schema(body)}")
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            facts.append(f"answers {status}{_schema(answer, ' with ')}")
    return f"## {operation['operationId']}\n\n{words}\n\n" + "\n".join(f"- {fact}" for fact in facts) + "\n"


def _shapes(document: dict[str, Any]) -> Iterator[str]:
    """Yield the structs and enums of the model that bodies and answers consist of."""
    used = {_kind({"$ref": name}) for name in document["components"]["schemas"]}
    modules = [import_module(f"{model.__name__}.{each.name}") for each in pkgutil.iter_modules(model.__path__)]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    for kind in sorted(kinds, key=lambda kind: kind.__name__):
        if kind.__name__ in used and issubclass(kind, msgspec.Struct | StrEnum):
            members = struct(kind) if issubclass(kind, msgspec.Struct) else _values(kind)
            yield f"## {kind.__name__}\n\n{summary(kind)}\n\n{members}"


def _values(kind: type[StrEnum]) -> str:
    meanings = comments(kind)
    return "\n".join(f"- {code(member)} {meanings[member.name]}".rstrip() for member in kind) + "\n"


def _schema(holder: dict[str, Any], before: str = "") -> str:
    kinds = [_kind(content.get("schema", {})) for content in holder.get("content", {}).values()]
    named = " or ".join(code(kind) for kind in kinds if kind)
    return before + named if named else ""


def _kind(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2].rpartition("_")[2]
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    for key in ("oneOf", "anyOf"):
        if key in schema:
            return " or ".join(filter(None, (_kind(each) for each in schema[key])))
    return str(schema.get("type", ""))
