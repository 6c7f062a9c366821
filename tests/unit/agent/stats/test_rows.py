"""From sums to rows."""

from __future__ import annotations

import random

import numpy as np
import pytest

from quarterdeck.agent.stats.rows import stats_rows, tag_maps
from quarterdeck.agent.stats.tally import Tally
from quarterdeck.columns.arrow import encode
from quarterdeck.columns.values import strings
from quarterdeck.model.stats import StatSource
from tests.unit.agent.stats.said import SOURCE, as_list, as_rows, rows


def test_a_row_says_all_of_its_key(tally: Tally) -> None:
    tally.feed(1, b"paid:10|ms|#site:north,beta\npaid:30|ms|#site:north,beta\npaid:20|ms|@0.5|#site:north,beta")
    (row,) = as_rows(stats_rows(tally, {1: SOURCE}, gid=1, nid=7, time_ns=123, interval_ns=2_000_000_000))
    percentiles = {name: row.pop(name) for name in ("p50", "p90", "p99")}
    assert percentiles == pytest.approx({"p50": 20, "p90": 30, "p99": 30}, rel=0.01)
    assert row == {
        "time": 123,
        "key": "1.7.execute.shop.cart.paid",
        "kind": "timer",
        "cmd": "execute",
        "domain": "shop",
        "name": "cart",
        "tags": {"site": "north", "beta": ""},
        "interval": 2_000_000_000,
        "value": 20.0,
        "samples": 3,
        "count": 4.0,
        "rate": 2.0,
        "sum": 80.0,
        "min": 10.0,
        "max": 30.0,
        "mean": 20.0,
        "last": 20.0,
    }


def test_sources_keep_their_keys_apart(tally: Tally) -> None:
    tally.feed(5, b"a:1|c\nb:1|c")
    tally.feed(2, b"a:2|c")
    sources = {2: StatSource(cmd="execute", domain="d", name="n"), 5: StatSource(cmd="ping"), 9: SOURCE}
    found = as_rows(stats_rows(tally, sources, gid=1, nid=2, time_ns=0, interval_ns=1))
    assert [(row["key"], row["domain"], row["value"]) for row in found] == [
        ("1.2.ping.unknown.unknown.a", "", 1.0),
        ("1.2.ping.unknown.unknown.b", "", 1.0),
        ("1.2.execute.d.n.a", "d", 2.0),
    ]


def test_percentiles_are_within_one_percent(tally: Tally) -> None:
    chance = random.Random(7)
    spreads = {
        "even": [chance.uniform(-50, 50) for _ in range(3000)],
        "long": [chance.lognormvariate(2, 2) for _ in range(3000)],
        "one": [1234.5],
        "same": [0.0] * 10,
        "two": [1.0, 1000.0],
    }
    lines = [f"{name}:{value!r}|ms" for name, values in spreads.items() for value in values]
    chance.shuffle(lines)
    tally.feed(1, "\n".join(["other:1|c", "set:a|s", *lines]).encode())
    found = rows(tally)
    for name, values in spreads.items():
        for column, part in (("p50", 50), ("p90", 90), ("p99", 99)):
            wanted = float(np.percentile(values, part, method="inverted_cdf"))
            assert found[name][column] == pytest.approx(wanted, rel=0.01), (name, column)
        assert (found[name]["min"], found[name]["max"]) == (min(values), max(values))
        assert found[name]["mean"] == pytest.approx(float(np.mean(values)), abs=1e-9)
    assert (found["other"]["p50"], found["set"]["p99"]) == (0, 0)


def test_weights_move_percentiles(tally: Tally) -> None:
    tally.feed(1, b"t:1|ms|@0.01\n" + b"t:100|ms\n" * 50)
    assert (rows(tally)["t"]["p50"], rows(tally)["t"]["p90"]) == pytest.approx((1, 100), rel=0.01)


def test_without_samples_there_are_no_rows(tally: Tally) -> None:
    assert stats_rows(tally, {}, gid=1, nid=1, time_ns=0, interval_ns=1).rows == 0
    tally.feed(1, b"bad")
    assert rows(tally) == {}


def test_tags_become_maps() -> None:
    texts = ["", "a:b", "x", "a:b,c:d:e,,f", ",", "a:", ":v", "a:1,", "last:é"]
    assert as_list(tag_maps(strings(texts))) == [
        {},
        {"a": "b"},
        {"x": ""},
        {"a": "b", "c": "d:e", "f": ""},
        {},
        {"a": ""},
        {"": "v"},
        {"a": "1"},
        {"last": "é"},
    ]
    assert as_list(tag_maps(strings([]))) == []


def test_rows_travel_whatever_bytes_names_have(tally: Tally) -> None:
    tally.feed(1, b"\xff\xfe\0:1|c|#\xc3:\xa9,\x80\nok:1|c")
    batch = stats_rows(tally, {1: SOURCE}, gid=1, nid=7, time_ns=0, interval_ns=1)
    assert batch.rows == 2
    assert encode(batch)
