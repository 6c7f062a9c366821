"""Markdown from values, and the words that a class's source gives to its members."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Sequence

import msgspec


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines) + "\n"


def code(value: object) -> str:
    """The value as code, or nothing for nothing."""
    text = str(value)
    return f"`{text}`" if text else ""


def summary(documented: object) -> str:
    """A docstring on one line."""
    return " ".join((inspect.getdoc(documented) or "").split())


def comments(kind: type) -> dict[str, str]:
    """Member → what its `#:` comment says (before it, or behind it on the same line), of a struct or enum."""
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


def annotations(kind: type) -> dict[str, str]:
    """Member → its type as the source writes it."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        node.target.id: ast.unparse(node.annotation)
        for node in body.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }


def members(kind: type[msgspec.Struct]) -> tuple[dict[str, str], dict[str, str]]:
    """The `comments` and `annotations` of a struct with those that it inherits."""
    said: dict[str, str] = {}
    typed: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if base.__module__.startswith("quarterdeck."):
            said |= comments(base)
            typed |= annotations(base)
    return said, typed


def struct(kind: type[msgspec.Struct]) -> str:
    """A table of a struct's keys, those that it inherits too: type, default, meaning."""
    said, typed = members(kind)
    rows = [
        (code(field.encode_name), code(typed[field.name]), default(field), said[field.name])
        for field in msgspec.structs.fields(kind)
    ]
    return table(("key", "type", "default", "meaning"), rows) if rows else "Nothing but its kind.\n"


def default(field: msgspec.structs.FieldInfo) -> str:
    """The default of a key as code, "required" when it has none."""
    if field.default is not msgspec.NODEFAULT:
        value = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        value = field.default_factory()
    else:
        return "required"
    return "" if value in ("", (), {}, None) or isinstance(value, msgspec.Struct) else code(json(value))


def json(value: object) -> str:
    """A value as JSON."""
    return msgspec.json.encode(value).decode()


def _cell(value: object) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")
