"""What a statement reads: the engine's own parser says it, and this decides whether it may run.

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

#: functions that reach beyond their arguments: files, the network, the server's own settings
FORBIDDEN_FUNCTIONS = frozenset(
    {
        *("file", "filesystemavailable", "filesystemcapacity", "filesystemunreserved", "catboostevaluate"),
        *("joinget", "joingetornull", "hascolumnintable", "getserversetting", "getclienthttpheader", "getmacro"),
        *("showcertificate", "generateserialid", "aiclassify", "aiembed", "aiextract", "aifilter", "aigenerate"),
        *("airedact", "aisimilarity", "aitranslate"),
    }
)
#: functions that may stand where a table stands: they make rows from their arguments
TABLE_FUNCTIONS = frozenset(
    {"numbers", "numbers_mt", "zeros", "zeros_mt", "generateseries", "generate_series", "generaterandom", "primes"}
    | {"values", "sqlstandardvalues", "view", "null"}
)
ONLY_SELECT = "Only SELECT and EXPLAIN can be run here; tables and their columns are listed by `qd tables`."
_FORMAT_HINT = "Ask for the format with the request: json, csv or arrow."


class Statement(Struct, frozen=True, kw_only=True):
    """A statement that may run: its text written out from the tree, and what it refers to."""

    sql: str
    tables: tuple[str, ...]  #: what it reads, but for what it defines itself
    mentioned: tuple[str, ...]  #: names to the right of IN: read too where they are tables
    parameters: tuple[str, ...]


class Grammar:
    """What may be said to one engine: `database` is ours, `foreign` are its others; `higher_order` functions call
    functions by name."""

    def __init__(self, *, database: str, foreign: Iterable[str], higher_order: Iterable[str]) -> None:
        self._database = database
        self._foreign = frozenset(name.lower() for name in foreign)
        self._higher_order = frozenset(name.lower() for name in higher_order)

    def statement(self, tree: dict[str, Any], sql: str) -> Statement:
        """The statement of the tree, or `BadQuery` with what is wrong."""
        _check_root(tree)
        found: dict[str, dict[str, None]] = {"table": {}, "own": {}, "mentioned": {}, "parameter": {}}
        for node in _nodes(tree):
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
                    _check_function(str(node.get("func_name", "")))
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
        """Checks that the tree is `SELECT (…)` with one expression in it and nothing around it, or `BadQuery`."""
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
        """Checks a call; the names in it that the engine takes for tables if there are such: those right of IN."""
        name = str(node["name"]).lower()
        _check_function(name)
        arguments = cast("list[dict[str, Any]]", node.get("arguments", {}).get("children", []))
        names = [argument for argument in arguments if argument.get("type") == "Identifier"]
        if name in self._higher_order:
            for argument in names:
                _check_function(argument["name"])
        if not name.endswith("in") or not names or names[-1] is not arguments[-1]:
            return []
        parts: list[str] = names[-1].get("name_parts", [names[-1]["name"]])
        if len(parts) > 1 and parts[0].lower() in self._foreign:
            raise _not_ours(parts)
        return [parts[-1]] if len(parts) == 1 or parts[0] == self._database else []


def _nodes(tree: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every node of the tree, parents before their children."""
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


def _check_function(name: str) -> None:
    if name.lower() in FORBIDDEN_FUNCTIONS:
        raise BadQuery(f"The function {name} cannot be used here: it reads more than tables.")


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
