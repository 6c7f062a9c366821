"""Markdown from values, and the descriptions of members in a class's source."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, get_args, get_origin

import msgspec


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines) + "\n"


def code(value: object) -> str:
    """Return the value as code, or "" for an empty value."""
    text = str(value)
    return f"`{text}`" if text else ""


def summary(documented: object) -> str:
    """Return a docstring on one line."""
    return " ".join((inspect.getdoc(documented) or "").split())


def comments(kind: type) -> dict[str, str]:
    """Return member → its `#:` comment (before it, or after it on the same line), of a struct or enum."""
    lines = textwrap.dedent(inspect.getsource(kind)).splitlines()
    found: dict[str, str] = {}
    before: list[str] = []
    for line in lines[1:]:
        comment = re.match(r"    #: ?(.*)", line)
        member = re.match(r"    (\w+)(?::| =)", line)
        if comment:
            before.append(comment[1])
        elif member:
            behind = re.search(r"  #:? (.*)$", line)
            found[member[1]] = " ".join([*before, *([behind[1]] if behind else [])])
            before = []
    return found


def annotated(kind: type) -> dict[str, str]:
    """Return member → its type as the source writes it, without its length limit."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    unbounded = _Unbounded(vars(sys.modules[kind.__module__]))
    return {
        node.target.id: ast.unparse(unbounded.visit(node.annotation))
        for node in body.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


class _Unbounded(ast.NodeTransformer):
    """A transformer that replaces `Annotated[type, …]`, and names that stand for it, by the type itself."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self._names = names

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "Annotated":
            assert isinstance(node.slice, ast.Tuple)
            return self.visit(node.slice.elts[0])
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> ast.AST:
        meant = self._names.get(node.id)
        return ast.Name(_unbounded(meant)) if get_origin(meant) is Annotated else node


def _unbounded(meant: Any) -> str:
    if get_origin(meant) is Annotated:
        return _unbounded(get_args(meant)[0])
    parts = ", ".join("..." if part is Ellipsis else _unbounded(part) for part in get_args(meant))
    return f"{get_origin(meant).__name__}[{parts}]" if parts else meant.__name__


def members(kind: type[msgspec.Struct]) -> tuple[dict[str, str], dict[str, str]]:
    """Return what `comments` and `annotated` return for a struct, including inherited ones."""
    meanings: dict[str, str] = {}
    typed: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("quarterdeck."):
            meanings |= comments(base)
            typed |= annotated(base)
    return meanings, typed


def struct(kind: type[msgspec.Struct]) -> str:
    """Return a table of a struct's keys, including inherited ones: type, default, meaning."""
    meanings, typed = members(kind)
    rows = [
        (code(field.encode_name), code(typed[field.name]), default(field), meanings[field.name])
        for field in msgspec.structs.fields(kind)
    ]
    return table(("key", "type", "default", "meaning"), rows) if rows else "Nothing but its kind.\n"


def default(field: msgspec.structs.FieldInfo) -> str:
    """Return the default of a key as code, "required" when it has none."""
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return "required"
    return "" if value in ("", (), {}, None) or isinstance(value, msgspec.Struct) else code(json(value))


def json(value: object) -> str:
    """Return a value as JSON."""
    return msgspec.json.encode(value).decode()


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
