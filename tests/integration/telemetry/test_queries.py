"""Answers: values, formats, limits, errors, and completeness."""

from __future__ import annotations

import asyncio
import csv
import io
import time
from collections.abc import Sequence

import msgspec
import pyarrow as pa
import pytest

from quarterdeck.model.errors import BadQuery, QuarterdeckError, TimedOut, TooLarge
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.queries import Query, QueryFormat
from quarterdeck.model.tokens import ApiToken, Role
from quarterdeck.server.ingest.batches import from_agent
from quarterdeck.server.ingest.ingest import INSERTS, Ingest
from quarterdeck.server.queries import OF_VIEWERS, TIME_LIMITS_S, Queries
from quarterdeck.server.signals import LocalSignals
from quarterdeck.server.tables import BUILT_IN, Tables
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from tests.endless_queries import endless, running
from tests.support import until
from tests.telemetry import (
    ADMIN,
    ALL_TYPES,
    MEMORY,
    VIEWER,
    agent,
    ask,
    batch,
    body_of,
    every_value,
    execs,
    export,
    only_losses,
)


async def test_values(queries: Queries, ingest: Ingest) -> None:
    now = time.time_ns()
    await ingest.accept(from_agent(agent(), batch(execs(1, time_ns=now), 1)))
    answer = await ask(
        queries, Query(sql="SELECT time, nid, comm, toUInt64(18446744073709551615) AS big, 0 / 0 FROM execs")
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
    answer = await ask(
        queries, Query(sql="SELECT {a:String}, {b:UInt8}, {c:Bool}, {d:Nullable(UInt8)}", parameters=parameters)
    )
    assert answer.rows == [[text, 5, True, None]]
    with pytest.raises(BadQuery, match="'e' without a value"):
        await ask(queries, Query(sql="SELECT {e:UInt8}", parameters=parameters))


@pytest.mark.parametrize(("rows", "truncated"), [(5, False), (6, False), (7, True), (20_000, True)])
async def test_rows_beyond_the_limit_are_cut_and_said_so(queries: Queries, rows: int, truncated: bool) -> None:
    sql = f"SELECT number AS n, 'a \"quoted\"\nline' AS text FROM numbers({rows})"
    answer = await ask(queries, Query(sql=sql, max_rows=6))
    assert [row[0] for row in answer.rows] == list(range(min(rows, 6)))
    assert (answer.completeness.truncated, answer.completeness.complete) == (truncated, not truncated)
    body, completeness = await export(queries, Query(sql=sql, max_rows=6, format=QueryFormat.CSV))
    table = list(csv.reader(io.StringIO(body.decode(), newline="")))
    assert (len(table), completeness.truncated) == (1 + min(rows, 6), truncated)
    assert table[:2] == [["n", "text"], ["0", 'a "quoted"\nline']]
    body, completeness = await export(queries, Query(sql=sql, max_rows=6, format=QueryFormat.ARROW))
    assert pa.ipc.open_stream(body).read_all()["n"].to_pylist() == list(range(min(rows, 6)))
    assert completeness.truncated == truncated


async def test_a_query_really_stops_at_its_time_limit(queries: Queries, embedded_store: TelemetryStore) -> None:
    with pytest.raises(TimedOut):
        await ask(queries, Query(sql=endless(), timeout_s=1))
    assert running(embedded_store) == 0


async def test_a_query_gets_no_more_memory_than_it_may(queries: Queries) -> None:
    with pytest.raises(TooLarge):
        await ask(queries, Query(sql="SELECT groupArray(number) FROM numbers(1000000000)"))


async def test_a_failed_query_leaves_nothing_in_the_next_answer(queries: Queries) -> None:
    """chDB keeps what a failed query had written, and puts it before the next answer of the session."""
    for _ in range(3):
        with pytest.raises(BadQuery):
            await ask(queries, Query(sql="SELECT sum(throwIf(number = 1000000)) FROM numbers(2000000)"))
        assert (await ask(queries, Query(sql="SELECT 1"))).rows == [[1]]


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
        await ask(queries, Query(sql=sql))
    assert len(str(found.value)) < 300
    for noise in ("DB::Exception", "version", "Stack trace", "In scope"):
        assert noise not in str(found.value)


@pytest.mark.parametrize("query", [Query(sql="SELECT 1", max_rows=0), Query(sql="SELECT 1", timeout_s=0)])
async def test_query_limits_out_of_range_are_refused(queries: Queries, query: Query) -> None:
    with pytest.raises(BadQuery):
        await ask(queries, query)


async def test_an_answer_says_what_is_missing_from_the_tables_it_read(
    embedded_store: TelemetryStore, tables: Tables, ingest: Ingest, signals: LocalSignals
) -> None:
    asked: list[Sequence[str]] = []

    async def offline(names: Sequence[str]) -> tuple[str, ...]:
        asked.append(names)
        return ("web-1",)

    queries = Queries(embedded_store, tables, offline=offline, memory=MEMORY)
    signals.listen(INSERTS, queries.arrived)
    for nid in (1, 2):
        losses = [
            Loss(table="execs", reason=LossReason.RING_FULL, rows=10),
            Loss(table="t", reason=LossReason.TRAP, rows=1),
        ]
        await ingest.accept(from_agent(agent(nid), only_losses(losses)))
    answer = await ask(queries, Query(sql="SELECT count() FROM execs WHERE pid IN (SELECT pid FROM execs)"))
    lost = [(loss.table, loss.reason, loss.rows, loss.nodes) for loss in answer.completeness.lost]
    assert (answer.completeness.tables, lost) == (("execs",), [("execs", LossReason.RING_FULL, 20, 2)])
    assert (answer.completeness.complete, answer.completeness.offline_nodes, asked) == (False, ("web-1",), [("execs",)])
    await ingest.accept(from_agent(agent(3), only_losses([Loss(table="execs", reason=LossReason.RING_FULL, rows=1)])))
    again = await ask(queries, Query(sql="SELECT 1 FROM execs"))
    assert [loss.rows for loss in again.completeness.lost] == [21]
    assert (await ask(queries, Query(sql="SELECT 1"))).completeness.complete
    await queries.stop()


async def test_tables_are_listed_with_their_sizes(tables: Tables, ingest: Ingest) -> None:
    await ingest.accept(from_agent(agent(), batch(execs(10, time_ns=time.time_ns()), 10)))
    found = {info.table.name: info for info in await tables.list()}
    assert set(found) == {"execs", *(table.name for table in BUILT_IN)}
    assert (found["execs"].rows, found["losses"].rows, found["losses"].oldest) == (10, 0, None)
    assert found["execs"].newest == pytest.approx(time.time(), abs=60)


async def test_a_server_that_stops_does_not_wait_for_long_queries(
    queries: Queries, embedded_store: TelemetryStore
) -> None:
    slow = asyncio.create_task(ask(queries, Query(sql=endless(), timeout_s=300)))
    await until(lambda: running(embedded_store))
    async with asyncio.timeout(60):
        await queries.stop()
        with pytest.raises(QuarterdeckError):
            await slow


async def test_a_query_whose_caller_leaves_is_stopped(queries: Queries, embedded_store: TelemetryStore) -> None:
    leaving = asyncio.create_task(ask(queries, Query(sql=endless(41), timeout_s=300), VIEWER))
    other = asyncio.create_task(ask(queries, Query(sql=endless(42), timeout_s=300), VIEWER))
    await until(lambda: running(embedded_store, 41) and running(embedded_store, 42))
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    assert running(embedded_store, 41) == 0
    assert running(embedded_store, 42) == 1
    other.cancel()
    await asyncio.gather(other, return_exceptions=True)
    assert running(embedded_store, 42) == 0
    assert (await ask(queries, Query(sql="SELECT 1"), VIEWER)).rows == [[1]]


async def test_viewers_that_ask_for_ever_keep_nobody_else_from_asking(
    queries: Queries, embedded_store: TelemetryStore
) -> None:
    viewers = [ApiToken(id=name, name=name, role=Role.VIEWER) for name in ("v1", "v2", "v3")]
    slow = [asyncio.create_task(ask(queries, Query(sql=endless(43), timeout_s=300), viewer)) for viewer in viewers * 5]
    await until(lambda: running(embedded_store, 43) == OF_VIEWERS)
    for token in (ADMIN, ApiToken(id="o", name="o", role=Role.OPERATOR)):
        assert (await ask(queries, Query(sql="SELECT 2 FROM execs"), token)).rows == []
    with pytest.raises(TimedOut, match="did not start in time"):
        await ask(queries, Query(sql="SELECT 2", timeout_s=0.3), VIEWER)
    for task in slow:
        task.cancel()
    await asyncio.gather(*slow, return_exceptions=True)
    assert (await ask(queries, Query(sql="SELECT 3"), VIEWER)).rows == [[3]]


@pytest.mark.parametrize(("role", "limit_s"), TIME_LIMITS_S.items())
async def test_a_role_says_how_long_a_query_may_take(queries: Queries, role: Role, limit_s: int) -> None:
    token = ApiToken(id="t", name="t", role=role)
    assert (await ask(queries, Query(sql="SELECT 1", timeout_s=limit_s), token)).rows == [[1]]
    with pytest.raises(BadQuery, match=f"at most {limit_s} for the role {role}"):
        await ask(queries, Query(sql="SELECT 1", timeout_s=limit_s + 1), token)


@pytest.mark.parametrize("format_", QueryFormat)
async def test_an_answer_that_is_too_large_is_an_error_that_says_so(
    embedded_store: TelemetryStore, tables: Tables, format_: QueryFormat
) -> None:
    async def offline(_: object) -> tuple[str, ...]:
        return ()

    small = msgspec.structs.replace(MEMORY, answer_bytes=1_000_000)
    queries = Queries(embedded_store, tables, offline=offline, memory=small)
    query = Query(sql="SELECT number FROM numbers(5000000)", max_rows=5_000_000, format=format_)
    with pytest.raises(TooLarge, match="exceeds its limits"):
        await queries.run(query, ADMIN)
    await queries.stop()


async def test_grouping_and_sorting_go_on_with_files_where_memory_ends(queries: Queries) -> None:
    sql = "SELECT number % 9000000 AS k, count() FROM numbers(9000000) GROUP BY k ORDER BY k LIMIT 1"
    assert (await ask(queries, Query(sql=sql, timeout_s=120))).rows == [[0, 1]]


async def test_the_loop_goes_on_while_a_large_answer_is_written(queries: Queries) -> None:
    """Nothing of it is made into values: what happens between two turns of the loop is counted, not timed."""
    reply = await queries.run(Query(sql="SELECT number FROM numbers(3000000)", max_rows=3_000_000), ADMIN)
    assert sum(map(len, reply.parts)) > 20_000_000
    assert all(isinstance(part, bytes | memoryview) for part in reply.parts)


@pytest.fixture
async def whole(queries: Queries, tables: Tables, ingest: Ingest) -> Queries:
    """With a row for each value of an enum: 1 and -2, and one that has no name."""
    await tables.ensure(ALL_TYPES)
    await ingest.accept(from_agent(agent(), batch(body_of(ALL_TYPES, every_value(3)), 3, table=ALL_TYPES)))
    return queries


@pytest.mark.parametrize(
    ("sql", "like"),
    [
        ("SELECT count() FROM {t} WHERE c_enum != 1", "SELECT count() FROM {t} WHERE c_enum != 'ONE'"),
        (
            "SELECT count() FROM {t} WHERE -2 = c_enum OR c_enum IN (1, -2)",
            "SELECT count() FROM {t} WHERE c_enum IN ('ONE', 'MINUS_TWO')",
        ),
        ("SELECT count() FROM {t} AS a WHERE a.c_enum = 1", "SELECT count() FROM {t} WHERE c_enum = 'ONE'"),
        (
            "SELECT countIf(c_enum = 1) FROM {t} PREWHERE c_enum NOT IN (-2, 7)",
            "SELECT countIf(c_enum = 'ONE') FROM {t}",
        ),
        (
            "SELECT count() FROM {t} a JOIN {t} b ON a.c_enum = b.c_enum WHERE a.c_enum = 1 AND b.c_enum != -2",
            "SELECT count() FROM {t} WHERE c_enum = 'ONE'",
        ),
        ("SELECT count() FROM (SELECT * FROM {t} WHERE c_enum = 1)", "SELECT count() FROM {t} WHERE c_enum = 'ONE'"),
        (
            "SELECT count() FROM {t} WHERE c_enum IN (SELECT c_enum FROM {t} WHERE c_enum = 1)",
            "SELECT count() FROM {t} WHERE c_enum = 'ONE'",
        ),
        (
            "WITH w AS (SELECT * FROM {t} WHERE c_enum = 1) SELECT count() FROM w",
            "SELECT count() FROM {t} WHERE c_enum = 'ONE'",
        ),
        # somebody else's name is left alone
        ("SELECT countIf(c_enum = 1) FROM (SELECT 1 AS c_enum)", "SELECT 1"),
        ("SELECT 1 AS c_enum FROM {t} WHERE c_enum = 1 LIMIT 1", "SELECT 1"),
        ("WITH {t} AS (SELECT 1 AS c_enum) SELECT countIf(c_enum = 1) FROM {t}", "SELECT 1"),
    ],
)
async def test_enums_are_compared_with_numbers(whole: Queries, sql: str, like: str) -> None:
    found, expected = [await ask(whole, Query(sql=each.replace("{t}", ALL_TYPES.name))) for each in (sql, like)]
    assert found.rows == expected.rows != [[0]]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count() FROM (SELECT * FROM {t}) WHERE c_enum != 1",
        "WITH w AS (SELECT * FROM {t}) SELECT 1 FROM w WHERE c_enum = 1",
    ],
)
async def test_a_number_compared_with_an_enum_of_a_subquery_is_refused_with_its_names(whole: Queries, sql: str) -> None:
    with pytest.raises(BadQuery) as caught:
        await ask(whole, Query(sql=sql.replace("{t}", ALL_TYPES.name)))
    assert "c_enum has ONE, MINUS_TWO" in caught.value.hint


async def test_enums_cannot_be_compared_by_order_in_a_query(whole: Queries) -> None:
    with pytest.raises(BadQuery, match="no order"):
        await ask(whole, Query(sql=f"SELECT count() FROM {ALL_TYPES.name} WHERE c_enum > 1"))
