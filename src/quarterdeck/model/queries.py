"""Queries: SQL over the tables, and how complete the answer is."""

from __future__ import annotations

from enum import StrEnum

from quarterdeck.model.losses import LossReason
from quarterdeck.model.struct import Struct
from quarterdeck.model.tables import Table

QueryParameter = bool | int | float | str | None


class QueryFormat(StrEnum):
    """The format of an answer's rows."""

    JSON = "json"
    CSV = "csv"
    ARROW = "arrow"


class Query(Struct, frozen=True, kw_only=True):
    """The body of `POST /api/v1/query`. Parameters are written `{name:Type}` in the SQL."""

    sql: str
    parameters: dict[str, QueryParameter] = {}
    max_rows: int = 10_000
    timeout_s: float = 30.0
    format: QueryFormat = QueryFormat.JSON


class LostRows(Struct, frozen=True, kw_only=True):
    """Rows that are missing in a table of a query."""

    table: str
    reason: LossReason
    rows: int
    nodes: int  #: number of nodes that lost rows


class Completeness(Struct, frozen=True, kw_only=True):
    """The completeness of an answer, over the whole retention of the tables it read, with the missing rows."""

    complete: bool
    truncated: bool = False  #: the result has more rows than `max_rows`
    tables: tuple[str, ...] = ()
    lost: tuple[LostRows, ...] = ()
    #: nodes that should have sent rows and are not connected now
    offline_nodes: tuple[str, ...] = ()


class AnswerColumn(Struct, frozen=True, kw_only=True):
    """A column of an answer: its name and the store's type name."""

    name: str
    type: str


class Answer(Struct, frozen=True, kw_only=True):
    """The answer to a query in JSON form.

    Integers above 2^53 are numbers; times are ISO 8601 strings; a column named like a `binary` column is in hex.
    """

    columns: tuple[AnswerColumn, ...]
    rows: list[list[object]]
    elapsed_s: float
    rows_read: int
    completeness: Completeness


class TableInfo(Struct, frozen=True, kw_only=True):
    """A table as `qd tables` lists it."""

    table: Table
    rows: int
    bytes: int  #: on disk
    oldest: float | None = None  #: seconds since the epoch
    newest: float | None = None


class TailRows(Struct, frozen=True, kw_only=True):
    """Newly stored rows, as `tail` streams them. `cursor` resumes after them."""

    columns: tuple[AnswerColumn, ...]
    rows: list[list[object]]
    cursor: str
