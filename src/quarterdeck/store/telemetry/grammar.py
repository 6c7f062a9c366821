"""Decides whether a statement may run, from the syntax tree of the engine's own parser.

Three things make a query read-only, none of which is a pattern matched against its text. The session it runs in has
`readonly = 1`, which no statement in it can lift (`readers`). The engine's parser turns the text into exactly one
syntax tree, and what runs is that tree written out again, so nothing can hide behind comments or semicolons. And the
tree is walked here: it must be a SELECT, over our own tables, and call nothing that reads what is not a table. The
last is needed because the embedded engine lets even a read-only session call `file('/etc/passwd')` or KILL QUERY.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, cast

from quarterdeck.model.errors import BadQuery
from quarterdeck.model.struct import Struct
from quarterdeck.store.telemetry.functions import TABLE_FUNCTIONS

ONLY_SELECT = "Only SELECT and EXPLAIN can be run here; tables and their columns are listed by `qd tables`."
_FORMAT_HINT = "Ask for the format with the request: json, csv or arrow."


class Statement(Struct, frozen=True, kw_only=True):
    """A statement that may run: its text written out from the tree, and what it refers to."""

    sql: str
    tables: tuple[str, ...]  #: the tables that it reads, except those that it defines itself
    mentioned: tuple[str, ...]  #: names to the right of IN, which are read too where they are tables
    parameters: tuple[str, ...]


class Grammar:
    """The rules for statements to one engine. `database` is ours, `foreign` are the engine's other databases; `refused`
    functions may not be called (see `functions`), and `higher_order` ones call functions by name.
    """

    def __init__(
        self, *, database: str, foreign: Iterable[str], refused: Iterable[str], higher_order: Iterable[str]
    ) -> None:
        self._database = database
        self._foreign = frozenset(name.lower() for name in foreign)
        self._refused = frozenset(refused)
        self._higher_order = frozenset(name.lower() for name in higher_order)

    def statement(self, tree: dict[str, Any], sql: str) -> Statement:
        """Return the statement of the tree; raise `BadQuery` with the reason when it may not run."""
        _check_root(tree)
        found: dict[str, dict[str, None]] = {"table": {}, "own": {}, "mentioned": {}, "parameter": {}}
        for node in nodes(tree):
            match node.get("type"):
                case "SetQuery":
                    raise BadQuery("SETTINGS cannot be part of the query.", hint="Limits come with the request.")
                case "TableExpression" if "table_function" in node:
                    _check_table_function(node["table_function"]["name"])
                case "TableIdentifier":
                    found["table"][self._table(node)] = None
                case "WithElement":
                    found["own"][node["name"]] = None
                case "QueryParameter":
                    found["parameter"][_parameter(node)] = None
                case "ColumnsApplyTransformer":
                    self._check_function(str(node.get("func_name", "")))
                case "Function":
                    found["mentioned"] |= dict.fromkeys(self._called(node))
                case _:
                    pass
        return Statement(
            sql=sql,
            tables=tuple(name for name in found["table"] if name not in found["own"]),
            mentioned=tuple(found["mentioned"]),
            parameters=tuple(found["parameter"]),
        )

    def expression(self, tree: dict[str, Any]) -> None:
        """Check that the tree is `SELECT (…)` with exactly one expression, or raise `BadQuery`."""
        self.statement(tree, "")
        selects = tree["list_of_selects"]["children"]
        select = selects[0]
        if len(selects) != 1 or select.get("type") != "SelectQuery" or set(select) - {"type", "select"}:
            raise BadQuery("Expected one condition, found more than that.", hint="Write it as after WHERE.")
        if len(select["select"]["children"]) != 1:
            raise BadQuery("Expected one condition, found several.", hint="Join them with AND or OR.")

    def _table(self, node: dict[str, Any]) -> str:
        parts: list[str] = node.get("name_parts", [node["name"]])
        if node.get("children"):
            raise BadQuery("A table's name cannot be a parameter.", hint="Parameters stand for values.")
        if len(parts) > 1 and parts[0] != self._database:
            raise _not_ours(parts)
        return parts[-1]

    def _called(self, node: dict[str, Any]) -> list[str]:
        """Check a call; return the names in it that the engine would take for tables: those to the right of IN."""
        name = str(node["name"]).lower()
        self._check_function(name)
        arguments = cast("list[dict[str, Any]]", node.get("arguments", {}).get("children", []))
        names = [argument for argument in arguments if argument.get("type") == "Identifier"]
        if name in self._higher_order:
            for argument in names:
                self._check_function(argument["name"])
        for argument in names:
            self._check_place(argument)
        if not name.endswith("in") or not names or names[-1] is not arguments[-1]:
            return []
        parts: list[str] = names[-1].get("name_parts", [names[-1]["name"]])
        return [parts[-1]] if len(parts) == 1 or parts[0] == self._database else []

    def _check_place(self, identifier: dict[str, Any]) -> None:
        """Raise if an argument names something in another database, whatever the function would do with it."""
        parts: list[str] = identifier.get("name_parts", [identifier["name"]])
        if len(parts) > 1 and parts[0].lower() in self._foreign:
            raise _not_ours(parts)

    def _check_function(self, name: str) -> None:
        if name.lower() in self._refused:
            raise BadQuery(f"The function {name} cannot be used here: it reads more than tables.")


def nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield every node of the tree, parents before their children."""
    waiting: list[Any] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            node = cast("dict[str, Any]", node)
            if "type" in node:
                yield node
            waiting.extend(reversed(node.values()))
        elif isinstance(node, list):
            waiting.extend(reversed(cast("list[Any]", node)))


def _check_root(tree: dict[str, Any]) -> None:
    root = tree["query"] if tree.get("type") == "ExplainQuery" and "query" in tree else tree
    if root.get("type") != "SelectWithUnionQuery":
        raise BadQuery(ONLY_SELECT)
    for part in (tree, root):
        if "out_file" in part:
            raise BadQuery("INTO OUTFILE would write on the server.", hint=_FORMAT_HINT)
        if "format_ast" in part:
            raise BadQuery("FORMAT cannot be part of the query.", hint=_FORMAT_HINT)


def _check_table_function(name: str) -> None:
    if name.lower() not in TABLE_FUNCTIONS:
        raise BadQuery(
            f"{name}(…) cannot be read from here.", hint=f"Tables, and {', '.join(sorted(TABLE_FUNCTIONS))}, can."
        )


def _parameter(node: dict[str, Any]) -> str:
    if node.get("param_type") == "Identifier":
        raise BadQuery(f"The parameter '{node['name']}' cannot be a name.", hint="Parameters stand for values.")
    return node["name"]


def _not_ours(parts: list[str]) -> BadQuery:
    return BadQuery(f"'{'.'.join(parts)}' cannot be read here.", hint="`qd tables` lists the tables.")
