"""Bytes in JSON answers: columns of type `binary` are hexadecimal text."""

from __future__ import annotations

import asyncio
import time

import numpy as np
import pytest

from quarterdeck.columns.arrow import encode
from quarterdeck.columns.batch import Batch
from quarterdeck.columns.values import Varying, strings
from quarterdeck.model.queries import Query, QueryFormat
from quarterdeck.model.tables import Column, ColumnRole, ColumnType, Table
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.queries import Queries
from quarterdeck.server.tables import Tables
from quarterdeck.server.tail import Tail
from tests.telemetry import agent, ask, batch, export

PACKETS = Table(
    name="packets",
    columns=(
        Column(name="time", type=ColumnType.TIMESTAMP, role=ColumnRole.TIME),
        Column(name="length", type=ColumnType.UINT32),
        Column(name="data", type=ColumnType.BINARY),
        Column(name="comm", type=ColumnType.STRING),
    ),
)
CONTENTS = [bytes(range(256)), b"\xff\xfe\0", b"", b"text", b"\xc3\x28"]
HEX = [content.hex() for content in CONTENTS]


@pytest.fixture
async def filled(tables: Tables, ingest: Ingest) -> None:
    await tables.ensure(PACKETS)
    columns = {
        "time": time.time_ns() + np.arange(len(CONTENTS), dtype=np.int64),
        "length": np.array([len(each) for each in CONTENTS], np.uint32),
        "data": Varying(
            np.cumsum([0, *map(len, CONTENTS)], dtype=np.int32), np.frombuffer(b"".join(CONTENTS), np.uint8)
        ),
        "comm": strings(["sh"] * len(CONTENTS)),
    }
    body = encode(Batch(PACKETS, columns, len(CONTENTS)))
    await ingest.accept(from_agent(agent(), batch(body, len(CONTENTS), table=PACKETS)))


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT data FROM packets ORDER BY time", [[each] for each in HEX]),
        ("SELECT comm, data, length FROM packets ORDER BY time DESC LIMIT 2", [["sh", HEX[4], 2], ["sh", HEX[3], 4]]),
        ("SELECT data FROM packets WHERE data = 'text'", [["74657874"]]),
        ("SELECT data, count() FROM packets GROUP BY data ORDER BY data LIMIT 1", [["", 1]]),
        ("SELECT length(data) AS data FROM packets ORDER BY data LIMIT 2", [[0], [2]]),
        ("WITH p AS (SELECT data FROM packets WHERE length = 3) SELECT * FROM p", [["fffe00"]]),
        ("SELECT data FROM packets WHERE length = {n:UInt32}", [["fffe00"]]),
        ("SELECT comm FROM packets LIMIT 1", [["sh"]]),
    ],
)
async def test_an_answer_in_json_has_bytes_in_hex(sql: str, rows: list[list[object]], queries: Queries) -> None:
    answer = await ask(queries, Query(sql=sql, parameters={"n": 3} if "{n" in sql else {}))
    assert answer.rows == rows


@pytest.mark.usefixtures("filled")
async def test_names_and_completeness_are_those_of_the_query(queries: Queries) -> None:
    answer = await ask(queries, Query(sql="SELECT data, comm FROM packets ORDER BY time", max_rows=2))
    assert [(column.name, column.type) for column in answer.columns] == [("data", "String"), ("comm", "String")]
    assert (len(answer.rows), answer.completeness.truncated, answer.completeness.tables) == (2, True, ("packets",))


@pytest.mark.usefixtures("filled")
async def test_csv_and_arrow_have_the_bytes_themselves(queries: Queries) -> None:
    body, _ = await export(queries, Query(sql="SELECT data FROM packets WHERE length = 3", format=QueryFormat.CSV))
    assert b"\xff\xfe\0" in body


async def test_a_tail_has_bytes_in_hex(tail: Tail, tables: Tables, filled: None, ingest: Ingest) -> None:
    rows = await tail.open("packets", where="data != 'text'", cursor="0.0")
    async with asyncio.timeout(20):
        page = await anext(rows)
    at = [column.name for column in page.columns].index("data")
    assert sorted(str(row[at]) for row in page.rows) == sorted(HEX[:3] + HEX[4:])
