"""The tools about tables: what of a large answer is returned, and descriptions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from quarterdeck.api.mcp.bounds import ANSWER_BYTES
from quarterdeck.api.mcp.tables import AskQuery, DescribeTable, ListTables, describe_table, list_tables, query
from quarterdeck.model.errors import NotFound
from quarterdeck.model.losses import LOSSES_TABLE
from quarterdeck.model.messages import MESSAGES_TABLE
from quarterdeck.model.queries import Answer, AnswerColumn, Completeness, Query, TableInfo
from quarterdeck.server.queries import Reply
from tests.telemetry import VIEWER


class Queries:
    """Answers with these rows."""

    def __init__(self, rows: list[list[object]], *, truncated: bool = False) -> None:
        self._rows = rows
        self._complete = Completeness(complete=not truncated, truncated=truncated)
        self.asked: list[Query] = []

    async def run(self, asked: Query, _: object) -> Reply:
        self.asked.append(asked)
        columns = (AnswerColumn(name="n", type="UInt64"),)
        answer = Answer(columns=columns, rows=self._rows, elapsed_s=0.1, rows_read=7, completeness=self._complete)
        body = msgspec.json.encode(answer)
        return Reply((body[:9], memoryview(body[9:])), self._complete)


def backend(**services: Any) -> Any:
    return SimpleNamespace(**services)


async def test_rows_are_returned_as_they_are() -> None:
    queries = Queries([[2**64 - 1, None], ["x", [1.5]]])
    answer = await query(backend(queries=queries), AskQuery(sql="S", parameters={"a": 1}, max_rows=5), VIEWER)
    assert (answer.rows, answer.cut, answer.rows_read) == ([[2**64 - 1, None], ["x", [1.5]]], "", 7)
    assert queries.asked == [Query(sql="S", parameters={"a": 1}, max_rows=5, timeout_s=30.0)]


async def test_what_does_not_fit_is_left_out_and_counted() -> None:
    rows: list[list[object]] = [["x" * 1000] for _ in range(100)]
    answer = await query(backend(queries=Queries(rows, truncated=True)), AskQuery(sql="S"), VIEWER)
    assert 0 < len(answer.rows) < 100
    assert len(msgspec.json.encode(answer.rows)) <= ANSWER_BYTES + 1
    assert answer.cut.startswith(f"{100 - len(answer.rows)} rows were left out for size.")
    assert answer.cut.endswith("There are more rows than max_rows.")


class Tables:
    async def list(self) -> list[TableInfo]:
        return [
            TableInfo(table=LOSSES_TABLE, rows=3, bytes=100, oldest=0.0, newest=60.0),
            TableInfo(table=MESSAGES_TABLE, rows=0, bytes=0),
        ]


async def test_tables_are_found_by_text_and_described() -> None:
    there = backend(tables=Tables())
    assert [each.name for each in (await list_tables(there, ListTables(), VIEWER)).tables] == ["losses", "messages"]
    (only,) = (await list_tables(there, ListTables(text="PROCESSES"), VIEWER)).tables
    assert (only.name, only.oldest, "level" in only.columns) == ("messages", "", True)
    shown = await describe_table(there, DescribeTable(table="losses"), VIEWER)
    assert (shown.rows, shown.newest) == (3, "1970-01-01 00:01:00 UTC")
    assert [column.name for column in shown.columns[:3]] == ["gid", "nid", "time"]
    with pytest.raises(NotFound, match="losses"):
        await describe_table(there, DescribeTable(table="loses"), VIEWER)
