"""Finds the enum columns in each part of a query, from the tables that its SELECT reads.

Where they cannot be determined (a subquery, a table that the query defines, an ambiguous name) nothing is assumed, and
the query is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

from quarterdeck.store.telemetry.enums import Enums, name_numbers
from quarterdeck.store.telemetry.grammar import nodes

_Tree = dict[str, Any]
#: the enums and the names of all columns of a table; None when it does not exist
Columns = Callable[[str], tuple[Enums, frozenset[str]] | None]


def name_query_numbers(tree: _Tree, columns: Columns) -> bool:
    """Replace the numbers that the query compares enums with by names; return whether there were any."""
    own = frozenset(node["name"] for node in nodes(tree) if node.get("type") == "WithElement")
    changed = False
    for select in nodes(tree):
        if select.get("type") == "SelectQuery":
            known = _known(select, own, columns)
            changed = name_numbers(_own_nodes(select), known) or changed
    return changed


def _known(select: _Tree, own: frozenset[str], columns: Columns) -> Enums:
    """Return the enums by every name that refers to one of them here."""
    sources = list(_sources(select, own))
    found = [(names, columns(table) if table else None) for names, table in sources]
    aliases = {part["alias"] for part in _own_nodes(select) if part.get("alias") and part.get("type") != "Subquery"}
    known: dict[str, Mapping[str, str]] = {}
    for names, held in found:
        if held is None:
            continue
        for column, values in held[0].items():
            known |= {f"{name}.{column}": values for name in names}
            others = [each for each in found if each[0] is not names]
            if all(other is not None and column not in other[1] for _, other in others) and column not in aliases:
                known[column] = values
    return known


def _sources(select: _Tree, own: frozenset[str]) -> Iterator[tuple[list[str], str]]:
    """Yield the tables that the SELECT reads: the qualifiers of its columns, and the table; "" for one not of ours."""
    for element in cast("list[_Tree]", select.get("tables", {}).get("children", [])):
        expression = cast("_Tree | None", element.get("table_expression"))
        if expression is None:  # ARRAY JOIN creates its own columns
            yield [], ""
            continue
        identifier = cast("_Tree | None", expression.get("database_and_table_name"))
        if identifier is None:
            yield [], ""
            continue
        table = str(identifier.get("name_parts", [identifier["name"]])[-1])
        names = [str(identifier["alias"])] if identifier.get("alias") else [table]
        yield names, "" if identifier["name"] in own else table


def _own_nodes(tree: _Tree) -> Iterator[_Tree]:
    """Yield every node of the tree, except those in subqueries."""
    waiting: list[Any] = list(tree.values())
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting.extend(cast("list[Any]", node))
        elif isinstance(node, dict):
            node = cast("_Tree", node)
            if node.get("type") not in ("SelectQuery", "SelectWithUnionQuery"):
                yield node
                waiting.extend(node.values())
