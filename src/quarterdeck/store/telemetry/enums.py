"""Enum columns in conditions: they are stored by name, and users compare them with names and with numbers.

`error != 0` means `error != 'OK'`. Owns the translation of the numbers in the syntax tree to names; it never reads
rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

from quarterdeck.model.errors import BadQuery
from quarterdeck.model.tables import Column

#: the names of the numbers of each enum column
Enums = Mapping[str, Mapping[str, str]]

_SAME = frozenset(
    {"equals", "notequals", "in", "notin", "globalin", "globalnotin", "isdistinctfrom", "isnotdistinctfrom"}
)
_ORDER = frozenset({"less", "greater", "lessorequals", "greaterorequals"})
_NUMBERS = frozenset({"UInt64", "Int64"})
_LISTS = frozenset({"Tuple", "Array"})


def enums(columns: Sequence[Column]) -> Enums:
    """Return the enum columns."""
    return {column.name: column.values for column in columns if column.values}


def name_numbers(of: Iterable[dict[str, Any]], known: Enums) -> bool:
    """Replace the numbers that enums are compared with in these nodes by names; return whether there were any.

    Raise `BadQuery` for a comparison by order, which enums do not have.
    """
    changed = False
    for node in of:
        if node.get("type") == "Function" and (name := str(node["name"]).lower()) in _SAME | _ORDER:
            changed = _compared(name, cast("list[dict[str, Any]]", node["arguments"]["children"]), known) or changed
    return changed


def _compared(name: str, sides: list[dict[str, Any]], known: Enums) -> bool:
    columns = [str(side["name"]) for side in sides if side.get("type") == "Identifier" and side["name"] in known]
    literals = [side["value"] for side in sides if side.get("type") == "Literal"]
    if len(columns) != 1 or len(literals) != 1:
        return False
    found = _named(literals[0], known[columns[0]])
    if found == literals[0]:
        return False
    if name in _ORDER:
        raise BadQuery(
            f"'{columns[0]}' is an enum, which has no order.", hint="Compare it with = and != or IN, by name or number."
        )
    literals[0].clear()
    literals[0].update(found)
    return True


def _named(value: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return the literal with names in place of numbers."""
    kind, content = value.get("field_type"), value.get("value")
    if kind in _NUMBERS:
        return {"field_type": "String", "value": names.get(str(content), str(content))}
    if kind in _LISTS:
        return value | {"value": [_named(each, names) for each in cast("list[dict[str, Any]]", content)]}
    return value
