"""Answers: values, formats, limits, words of refusals, and how complete they are."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Sequence

import pyarrow as pa
import pytest

from quarterdeck.model.errors import BadQuery, QuarterdeckError, TimedOut, TooLarge
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.queries import Query, QueryFormat
from quarterdeck.server.ingest.ingest import Ingest
from quarterdeck.server.queries import Queries
from quarterdeck.server.tables import BUILT_IN, Tables
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from tests.telemetry import agent, batch, execs, only_losses


async def test_values(queries: Queries, ingest: Ingest) -> None:
    now = time.time_ns()
    await ingest.accept(agent(), batch(execs(1, time_ns=now), 1))
    answer = await queries.run(
        Query(sql="SELECT time, nid, comm, toUInt64(18446744073709551615) AS big, 0 / 0 FROM execs")
    )
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now // 10**9))
    assert answer.rows == [[f"{moment}.{now % 10**9:09}Z", 7, "sh", 2**64 - 1, None]]
    assert [(column.name, column.type) for column in answer.columns[:2]] == [
        ("time", "DateTime64(9, 'UTC')"),
        ("nid", "UInt32"),
    ]
    assert answer.rows_read == 1
    assert answer.completeness.complete


async def test_parameters_are_values_whatever_is_in_them(queries: Queries) -> None:
    text = "'; DROP TABLE execs --\n\t\\ % {x} é"
    parameters = {"a": text, "b": 5, "c": True, "d": None, "unused": 1}
    answer = await queries.run(
        Query(sql="SELECT {a:String}, {b:UInt8}, {c:Bool}, {d:Nullable(UInt8)}", parameters=parameters)
    )
    assert answer.rows == [[text, 5, True, None]]
    with pytest.raises(BadQuery, match="'e' without a value"):
        await queries.run(Query(sql="SELECT {e:UInt8}", parameters=parameters))


@pytest.mark.parametrize(("rows", "truncated"), [(5, False), (6, False), (7, True), (20_000, True)])
async def test_rows_beyond_the_limit_are_cut_and_said_so(queries: Queries, rows: int, truncated: bool) -> None:
    sql = f"SELECT number AS n, 'a \"quoted\"\nline' AS text FROM numbers({rows})"
    answer = await queries.run(Query(sql=sql, max_rows=6))
    assert [row[0] for row in answer.rows] == list(range(min(rows, 6)))
    assert (answer.completeness.truncated, answer.completeness.complete) == (truncated, not truncated)
    body, completeness = await queries.export(Query(sql=sql, max_rows=6, format=QueryFormat.CSV))
    table = list(csv.reader(io.StringIO(body.decode(), newline="")))
    assert (len(table), completeness.truncated) == (1 + min(rows, 6), truncated)
    assert table[:2] == [["n", "text"], ["0", 'a "quoted"\nline']]
    body, completeness = await queries.export(Query(sql=sql, max_rows=6, format=QueryFormat.ARROW))
    assert pa.ipc.open_stream(body).read_all()["n"].to_pylist() == list(range(min(rows, 6)))
    assert completeness.truncated == truncated


async def test_a_query_really_stops_at_its_time_limit(queries: Queries, embedded_store: TelemetryStore) -> None:
    with pytest.raises(TimedOut):
        await queries.run(Query(sql="SELECT sum(sipHash64(number)) FROM numbers(1000000000000)", timeout_s=1))
    running = embedded_store._rows("SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%'")
    assert running == [[1]]  # the question itself


async def test_a_query_gets_no_more_memory_than_it_may(queries: Queries) -> None:
    with pytest.raises(TooLarge):
        await queries.run(Query(sql="SELECT groupArray(number) FROM numbers(1000000000)"))


async def test_a_failed_query_leaves_nothing_in_the_next_answer(queries: Queries) -> None:
    """chDB keeps what a failed query had written, and puts it before the next answer of the session."""
    for _ in range(3):
        with pytest.raises(BadQuery):
            await queries.run(Query(sql="SELECT sum(throwIf(number = 1000000)) FROM numbers(2000000)"))
        assert (await queries.run(Query(sql="SELECT 1"))).rows == [[1]]


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT * FROM exec", r"There is no table 'exec'\. Did you mean execs\?"),
        ("SELECT * FROM nothing_like_it", r"`qd tables` lists"),
        ("SELECT * form execs", r"Syntax error: failed at position 15 \(execs\)"),
        ("SELECT pidd FROM execs", r"Unknown expression identifier `pidd`"),
        ("SELECT toUInt8('x')", r"Cannot parse string 'x' as UInt8"),
    ],
)
async def test_what_is_wrong_is_said_in_few_words(queries: Queries, sql: str, words: str) -> None:
    with pytest.raises(BadQuery, match=words) as found:
        await queries.run(Query(sql=sql))
    assert len(str(found.value)) < 300
    for noise in ("DB::Exception", "version", "Stack trace", "In scope"):
        assert noise not in str(found.value)


@pytest.mark.parametrize("query", [Query(sql="SELECT 1", max_rows=0), Query(sql="SELECT 1", timeout_s=0)])
async def test_limits_have_limits(queries: Queries, query: Query) -> None:
    with pytest.raises(BadQuery):
        await queries.run(query)


async def test_an_answer_says_what_is_missing_from_the_tables_it_read(
    embedded_store: TelemetryStore, tables: Tables, ingest: Ingest
) -> None:
    asked: list[Sequence[str]] = []

    async def offline(names: Sequence[str]) -> tuple[str, ...]:
        asked.append(names)
        return ("web-1",)

    queries = Queries(embedded_store, tables, offline=offline, memory_bytes=200_000_000)
    ingest.listen(queries.arrived)
    for nid in (1, 2):
        losses = [
            Loss(table="execs", reason=LossReason.RING_FULL, rows=10),
            Loss(table="t", reason=LossReason.TRAP, rows=1),
        ]
        await ingest.accept(agent(nid), only_losses(losses))
    answer = await queries.run(Query(sql="SELECT count() FROM execs WHERE pid IN (SELECT pid FROM execs)"))
    lost = [(loss.table, loss.reason, loss.rows, loss.nodes) for loss in answer.completeness.lost]
    assert (answer.completeness.tables, lost) == (("execs",), [("execs", LossReason.RING_FULL, 20, 2)])
    assert (answer.completeness.complete, answer.completeness.offline_nodes, asked) == (False, ("web-1",), [("execs",)])
    await ingest.accept(agent(3), only_losses([Loss(table="execs", reason=LossReason.RING_FULL, rows=1)]))
    again = await queries.run(Query(sql="SELECT 1 FROM execs"))
    assert [loss.rows for loss in again.completeness.lost] == [21]
    assert (await queries.run(Query(sql="SELECT 1"))).completeness.complete
    await queries.stop()


async def test_tables_are_listed_with_their_sizes(tables: Tables, ingest: Ingest) -> None:
    await ingest.accept(agent(), batch(execs(10, time_ns=time.time_ns()), 10))
    found = {info.table.name: info for info in await tables.list()}
    assert set(found) == {"execs", *(table.name for table in BUILT_IN)}
    assert (found["execs"].rows, found["losses"].rows, found["losses"].oldest) == (10, 0, None)
    assert found["execs"].newest == pytest.approx(time.time(), abs=60)


async def test_a_server_that_stops_does_not_wait_for_long_queries(queries: Queries) -> None:
    sql = "SELECT count() FROM numbers(1000000000000) WHERE cityHash64(number) = 1"  # an hour's work
    slow = asyncio.create_task(queries.run(Query(sql=sql, timeout_s=300)))
    await asyncio.sleep(1.0)
    assert not slow.done()
    async with asyncio.timeout(60):
        await queries.stop()
        with pytest.raises(QuarterdeckError):
            await slow
