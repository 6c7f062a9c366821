"""Columns of type `binary` in JSON answers: they are read as hexadecimal text, because JSON cannot carry bytes.

Owns the rewriting of statements for that. Statements for CSV and Arrow answers, which can carry bytes, are never
rewritten.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgspec.structs import replace as changed

from quarterdeck.model.queries import AnswerColumn
from quarterdeck.store.telemetry.grammar import Statement
from quarterdeck.store.telemetry.schema import quoted

_ENGINE_TYPES = frozenset({"String", "Nullable(String)", "LowCardinality(String)"})


def in_hex(statement: Statement, names: Collection[str]) -> Statement:
    """Return the statement with these columns as hex; each name must occur once."""
    if not names:
        return statement
    columns = ", ".join(f"lower(hex({quoted(name)})) AS {quoted(name)}" for name in names)
    return changed(statement, sql=f"SELECT * REPLACE ({columns}) FROM ({statement.sql})")  # noqa: S608 - it was parsed


def described(statement: Statement) -> Statement:
    """Return a statement that asks for the columns of an answer: rows of name, type and more."""
    return changed(statement, sql=f"DESCRIBE TABLE ({statement.sql})")


def with_hex(statement: Statement, columns: Iterable[AnswerColumn], binary: Collection[str]) -> Statement:
    """Return the statement with these columns as hex; unchanged if they are not strings, or two have one name."""
    found = list(columns)
    names = [column.name for column in found]
    hexed = [each.name for each in found if each.name in binary and each.type in _ENGINE_TYPES]
    return statement if len(set(names)) < len(names) else in_hex(statement, hexed)
