"""types.md: the types of columns, the roles of columns, and the reasons for missing rows."""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.columns import arrow
from quarterdeck.model.losses import LossReason
from quarterdeck.model.queries import Completeness, LostRows
from quarterdeck.model.tables import Column, ColumnRole, ColumnType
from quarterdeck.store.telemetry.schema import store_type
from tools.reference.markdown import code, comments, struct, summary, table

_NESTED = {ColumnType.LIST, ColumnType.MAP}


def page() -> str:
    """Return the page."""
    rows = [(code(kind), code(_stored(kind)), comments(ColumnType)[kind.name]) for kind in ColumnType]
    return "\n".join(
        [
            "# Types, roles, losses\n\n## Column types\n\n`list` and `map` are shown with items of `uint64`.\n",
            table(("type", "ClickHouse type in the store", ""), rows),
            f"The Arrow types in which columns are sent:\n\n```\n{_travelling()}\n```\n",
            "## A column\n",
            struct(Column),
            f"## Roles\n\n{summary(ColumnRole)}\n\n" + ", ".join(code(role) for role in ColumnRole) + "\n",
            "## Reasons for missing rows\n\nLost rows are counted in the table `losses`, with one of these reasons.\n",
            _members(LossReason),
            f"## Completeness of an answer\n\n{summary(Completeness)}\n",
            struct(Completeness),
            f"{summary(LostRows)}\n",
            struct(LostRows),
        ]
    )


def _stored(kind: ColumnType) -> str:
    return store_type(Column(name="c", type=kind, item=ColumnType.UINT64 if kind in _NESTED else None))


def _travelling() -> str:
    """Return the table of Arrow types: the indented part of the docstring of the module that writes them."""
    lines = (arrow.__doc__ or "").splitlines()
    return "\n".join(line.strip() for line in lines if line.startswith("    "))


def _members(kind: type[StrEnum]) -> str:
    meanings = comments(kind)
    return table(("reason", "meaning"), [(code(member), meanings[member.name]) for member in kind])
