"""Nothing but reading our own tables passes as a query, embedded and by URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from quarterdeck.model.errors import BadQuery, QuarterdeckError
from quarterdeck.store.telemetry.clickhouse import TelemetryStore
from quarterdeck.store.telemetry.functions import HARMLESS, KINDS
from quarterdeck.store.telemetry.readers import Limits, _settings
from quarterdeck.store.telemetry.sessions import embedded
from tests.telemetry import EXECS

LIMITS = Limits(rows=100, time_s=10, memory_bytes=200_000_000, answer_bytes=100_000_000)

#: every form of IN that the engine has
IN_FAMILY = [
    f"{everywhere}{'Not' if everywhere and negated else negated.lower()}{nulls}In{ignored}"
    for everywhere in ("", "global")
    for negated in ("", "Not")
    for nulls in ("", "Null")
    for ignored in ("", "IgnoreSet")
]
IN_FAMILY = [name[0].lower() + name[1:] for name in IN_FAMILY]

REFUSED = [
    "INSERT INTO execs (pid) VALUES (1)",
    "INSERT INTO execs SELECT * FROM execs",
    "DROP TABLE execs",
    "TRUNCATE TABLE execs",
    "ALTER TABLE execs DELETE WHERE 1",
    "ALTER TABLE execs ADD COLUMN x UInt8",
    "DELETE FROM execs WHERE 1",
    "UPDATE execs SET pid = 1 WHERE 1",
    "CREATE TABLE x (a UInt8) ENGINE = Memory",
    "CREATE TEMPORARY TABLE x (a UInt8)",
    "CREATE VIEW x AS SELECT 1",
    "CREATE FUNCTION f AS (x) -> x",
    "CREATE USER u",
    "GRANT ALL ON *.* TO default",
    "RENAME TABLE execs TO other",
    "EXCHANGE TABLES execs AND execs",
    "DETACH TABLE execs",
    "ATTACH TABLE x",
    "OPTIMIZE TABLE execs",
    "BACKUP TABLE execs TO File('/tmp/x')",
    "SYSTEM SHUTDOWN",
    "SYSTEM FLUSH LOGS",
    "KILL QUERY WHERE 1",
    "SET max_execution_time = 0",
    "SET readonly = 0",
    "USE system",
    "SHOW TABLES",
    "DESCRIBE TABLE execs",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE execs",
    "SELECT 1 -- x\n; DROP TABLE execs",
    "SELECT 1 INTO OUTFILE '{outside}'",
    "EXPLAIN SELECT 1 INTO OUTFILE '{outside}'",
    "SELECT 1 FORMAT CSV",
    "SELECT 1 SETTINGS max_execution_time = 0",
    "SELECT 1 SETTINGS readonly = 0",
    "SELECT * FROM (SELECT 1 SETTINGS max_threads = 1)",
    "SELECT (SELECT 1 SETTINGS max_memory_usage = 0)",
    "SELECT * FROM file('/etc/passwd', 'LineAsString')",
    "INSERT INTO FUNCTION file('{outside}') SELECT 1",
    "SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString')",
    "SELECT * FROM executable('id', 'TSV', 'x String')",
    "SELECT * FROM remote('127.0.0.1:9000', system.one)",
    "SELECT * FROM cluster('default', system.one)",
    "SELECT * FROM s3('http://127.0.0.1:1/x/y')",
    "SELECT * FROM mysql('127.0.0.1:1', 'a', 'b', 'c', 'd')",
    "SELECT * FROM sqlite('/tmp/x.db', 't')",
    "SELECT * FROM Python(REFUSED)",
    "SELECT * FROM merge('system', '.*')",
    "SELECT * FROM dictionary('x')",
    "SELECT * FROM loop(execs)",
    "SELECT * FROM viewExplain('EXPLAIN', '', (SELECT 1))",
    "SELECT * FROM eval('SELECT 1')",
    "SELECT * FROM mergeTreeIndex('system', 'one')",
    "SELECT * FROM system.processes",
    "SELECT * FROM system.tables",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM `system`.`one`",
    "SELECT * FROM execs WHERE pid IN (SELECT 1 FROM system.one)",
    "SELECT * FROM execs WHERE comm IN system.users",
    "SELECT * FROM execs WHERE comm NOT IN system.users",
    "WITH x AS (SELECT * FROM system.one) SELECT * FROM x",
    "SELECT * FROM view(SELECT * FROM system.one)",
    "SELECT 1 UNION ALL SELECT 1 FROM system.one",
    "SELECT (SELECT count() FROM system.processes)",
    "SELECT file('/etc/passwd')",
    "SELECT `file`('/etc/passwd')",
    "SELECT arrayMap(file, ['/etc/passwd'])",
    "SELECT arrayMap((file), ['/etc/passwd'])",
    "SELECT arrayMap(x -> file(x), ['/etc/passwd'])",
    "SELECT arrayMap({name:Identifier}, ['/etc/passwd'])",
    "SELECT * APPLY(file) FROM values('a String', '/etc/passwd')",
    "SELECT * APPLY(x -> file(x)) FROM values('a String', '/etc/passwd')",
    "SELECT * REPLACE(file('/etc/passwd') AS a) FROM values('a String', 'x')",
    "SELECT count() FROM execs GROUP BY file('/etc/passwd')",
    "SELECT 1 ORDER BY file('/etc/passwd')",
    "SELECT 1 LIMIT length(file('/etc/passwd'))",
    "WITH file('/etc/passwd') AS x SELECT x",
    "EXPLAIN SELECT file('/etc/passwd')",
    "SELECT * FROM {table:Identifier}",
    "SELECT filesystemAvailable()",
    *(f"SELECT {name}(1, system.one)" for name in IN_FAMILY),
    *(f"SELECT count() FROM execs WHERE {name}(comm, system.users)" for name in IN_FAMILY),
    "SELECT count() FROM execs WHERE has(system.one, 1)",
    "SELECT inIgnoreSet(1, execs)",
    "SELECT 1 IN file('/etc/passwd')",
    "SELECT 1 IN merge('system', '.*')",
    "SELECT 1 IN numbers(system.one)",
    "SELECT dictGet('d', 'a', 1)",
    "SELECT joinGet('j', 'a', 1)",
    "SELECT hasColumnInTable('system', 'one', 'dummy')",
    "SELECT chdb('SELECT 1')",
    "SELECT logTrace('x')",
    "SELECT mergeTreePartInfo('x')",
    "SELECT regionToName(1)",
    "SELECT evalMLMethod(1)",
    "SELECT hostName()",
    "SELECT getSetting('max_threads')",
    "SELECT pgTableIsVisible(1)",
    "SELECT arrayMap(dictGet, ['x'])",
    "SELECT getServerSetting('max_connections')",
    "",
    "  ",
    "-- nothing",
]


@pytest.fixture
def opened(store: TelemetryStore) -> TelemetryStore:
    store.ensure(EXECS)
    return store


def test_what_would_do_more_than_read_our_tables_is_refused(opened: TelemetryStore, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    passed: list[str] = []
    for text in REFUSED:
        sql = text.replace("{outside}", str(outside))
        try:
            opened.query(opened.parse(sql), shape="CSV", limits=LIMITS, parameters={"name": "file", "table": "one"})
        except BadQuery:
            continue
        passed.append(sql)
    assert passed == []
    assert not outside.exists()
    assert opened.names() == ["execs"]


READ = [
    "SELECT count() FROM execs",
    "SELECT count() FROM execs;",
    "SELECT count() FROM execs -- with a remark",
    "select count() /* FROM system.one; DROP TABLE execs */ from execs",
    "WITH system AS (SELECT 1 AS processes) SELECT processes FROM system",
    "SELECT 'DROP TABLE execs; SELECT * FROM system.one'",
    "SELECT number FROM numbers(3) UNION ALL SELECT 1",
    "SELECT a.pid FROM execs AS a JOIN execs AS b USING (pid)",
    "SELECT comm, count() OVER (PARTITION BY comm) FROM execs QUALIFY 1",
    "SELECT * EXCEPT (time) FROM execs WHERE pid IN (SELECT pid FROM execs) LIMIT 1 BY comm",
    "SELECT arrayMap(x -> x + 1, [1]), arrayMap(lower, ['A'])",
    "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x < 3) SELECT x FROM t",
    "EXPLAIN SELECT * FROM execs",
    "(SELECT 1) EXCEPT (SELECT 2)",
    "SELECT * FROM values('a UInt8', 1, 2)",
    "SELECT countIf(pid = 1), uniqExactIf(comm, 1), sumMapIf(map('a', 1), 1), quantiles(0.5, 0.9)(pid) FROM execs",
    "SELECT CASE WHEN pid = 1 THEN 'a' ELSE 'b' END, CASE comm WHEN 'a' THEN 1 ELSE 2 END FROM execs",
    "SELECT CAST(pid AS String), pid::UInt64, toString(pid), if(pid > 1, 1, 2), pid > 1 ? 1 : 2 FROM execs",
    "SELECT comm LIKE 'a%', comm ILIKE 'a', comm NOT LIKE 'x', comm BETWEEN 'a' AND 'b', comm IS NULL FROM execs",
    "SELECT (1, 2).1, [1, 2][1], map('a', 1)['a'], tuple(1), -pid, NOT pid, pid % 2, pid || 'x' FROM execs",
    "SELECT INTERVAL 1 DAY + now(), date_trunc('hour', time), extract(year FROM time), toStartOfHour(time) FROM execs",
    "SELECT rank() OVER (ORDER BY pid), lagInFrame(pid) OVER (ORDER BY pid), row_number() OVER () FROM execs",
    "SELECT grouping(pid), count(DISTINCT comm) FROM execs GROUP BY GROUPING SETS ((pid), ())",
    "SELECT pid, count() FROM execs GROUP BY pid WITH ROLLUP",
    "SELECT 1 WHERE EXISTS (SELECT 1 FROM execs)",
    "SELECT arrayJoin([1, 2]), position('a', 'b'), substring('abc', 1, 2), trim(BOTH ' ' FROM ' a ')",
    "SELECT JSONExtractString('{}', 'a'), formatReadableSize(1), bar(1, 0, 10, 5), cutToFirstSignificantSubdomain('a')",
    "SELECT toTimezone(time, 'Europe/Berlin'), timezone(), JSONMergePatch('{}', '{}'), wkt((1., 2.)) FROM execs",
    "SELECT arrayReduce('sum', [1]), arrayFold((a, x) -> a + x, [1], toInt64(0)), IPv4NumToString(1), toTypeName(1)",
    "SELECT count() FROM execs WHERE pid IN (1, 2) AND comm NOT IN ('a') AND (pid, comm) IN (SELECT 1, 'a')",
]


def test_every_function_of_the_engine_is_looked_at(opened: TelemetryStore) -> None:
    """What may be called is of a kind that only makes values, or is named; no form of IN is missed."""
    rows = opened._rows("SELECT name, categories, is_aggregate, alias_to FROM system.functions")
    kinds = {name.lower(): kind for name, kind, _, _ in rows if kind}
    may = {name.lower() for name, *_ in rows} - opened._grammar._refused
    for name, kind, aggregate, original in rows:
        if name.lower() in may and not aggregate:
            assert (kind or kinds[original.lower()]) in KINDS or {name.lower(), original.lower()} & HARMLESS, name
    assert {name.lower() for name in IN_FAMILY} <= kinds.keys()
    assert len(may) > 1000
    for name in ("file", "dictget", "joinget", "hascolumnintable", "chdb", "getserverport", "tcpport", "logtrace"):
        assert name not in may


def test_what_only_reads_may_run(opened: TelemetryStore) -> None:
    for sql in READ:
        opened.query(opened.parse(sql), shape="CSV", limits=LIMITS)


def test_even_without_the_grammar_a_session_cannot_write_or_lift_its_limits(engine_folder: Path) -> None:
    session = embedded(engine_folder, 1_000_000_000)(_settings(LIMITS, "mark"))
    for sql in ("SET readonly = 0", "SET max_execution_time = 0", "CREATE DATABASE x", "SYSTEM FLUSH LOGS"):
        with pytest.raises(Exception, match="READONLY"):
            session.command(sql)
    session.close()


@pytest.mark.parametrize(
    ("where", "why"),
    [
        ("pid = 1) OR (1", None),
        ("pid IN (SELECT pid FROM execs)", None),
        ("1 FROM system.one", "Syntax error"),
        ("1), (2", "several"),
        ("1) UNION ALL (SELECT 1", "more than that"),
        ("1) FROM execs WHERE (1", "more than that"),
        ("file('/etc/passwd') = ''", "file"),
        ("pid =", "Syntax error"),
        ("1; DROP TABLE execs", "Syntax error"),
    ],
)
def test_a_condition_is_one_expression(opened: TelemetryStore, where: str, why: str | None) -> None:
    if why is None:
        assert opened.condition(where, {}).startswith("(")
        return
    with pytest.raises(QuarterdeckError, match=why):
        opened.condition(where, {})


def test_what_a_statement_reads(opened: TelemetryStore) -> None:
    database = opened.database
    statement = opened.parse(
        f"WITH own AS (SELECT 1) SELECT {{a:UInt8}} FROM own, execs, `{database}`.other"
        " WHERE pid IN third AND b.c IN (1)"
    )
    assert (statement.tables, statement.mentioned, statement.parameters) == (("execs", "other"), ("third",), ("a",))
