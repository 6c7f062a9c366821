"""Valid statsd lines and their meaning, and invalid lines."""

from __future__ import annotations

import pytest

from quarterdeck.agent.stats.tally import CELLS, INPUT_BYTES, KEYS, Tally
from tests.unit.agent.stats.said import rows


def test_each_kind_is_summed_in_its_way(tally: Tally) -> None:
    tally.feed(
        1, b"c:1|c\nc:2|c\nc:-4|c\ng:5|g\ng:7|g\nt:2|ms\nt:4|ms\nh:1|h\ns:ann|s\ns:bob|s\ns:ann|s\nk:1|kv\nk:9|kv\n"
    )
    found = {name: (row["kind"], row["value"], row["samples"]) for name, row in rows(tally).items()}
    assert found == {
        "c": ("counter", -1.0, 3),
        "g": ("gauge", 7.0, 2),
        "t": ("timer", 3.0, 2),
        "h": ("timer", 1.0, 1),
        "s": ("set", 2.0, 3),
        "k": ("last", 9.0, 2),
    }


def test_a_gauge_with_a_sign_changes_by_so_much_also_in_the_next_interval(tally: Tally) -> None:
    tally.feed(1, b"g:10|g\ng:+5|g\ng:-2.5|g")
    assert rows(tally)["g"]["value"] == 12.5
    tally.turn(idle=10)
    assert rows(tally) == {}
    tally.feed(1, b"g:-2.5|g\nnew:-3|g")
    assert {name: row["value"] for name, row in rows(tally).items()} == {"g": 10.0, "new": -3.0}


def test_a_counter_begins_each_interval_at_zero(tally: Tally) -> None:
    for _ in range(3):
        tally.feed(1, b"c:2|c")
        assert rows(tally)["c"]["value"] == 2
        tally.turn(idle=10)


def test_a_sample_stands_for_one_divided_by_its_rate(tally: Tally) -> None:
    tally.feed(1, b"c:3|c|@0.1\nt:10|ms|@0.25\nt:20|ms\ng:4|g|@0.5\n")
    found = rows(tally)
    assert (found["c"]["value"], found["c"]["count"], found["c"]["samples"]) == (30, 10, 1)
    assert (found["t"]["count"], found["t"]["sum"], found["t"]["mean"]) == (5, 60, 12)
    assert (found["g"]["value"], found["g"]["count"]) == (4, 1)
    assert found["c"]["rate"] == 3


@pytest.mark.parametrize(
    "text",
    [
        *("0", "1", "-1", "+1", "3.25", ".5", "5.", "1e3", "1E-3", "-2.5e+2", "0.1", "123456789012345", "1e22"),
        *("000000000000000000000000000001", "0.000001", "4.9e-320"),
    ],
)
def test_numbers_are_what_python_reads(tally: Tally, text: str) -> None:
    tally.feed(1, f"k:{text}|kv".encode())
    assert rows(tally)["k"]["value"] == float(text)


@pytest.mark.parametrize(
    "text", ["3.14159265358979323846", "98765432109876543210987", "1.2345678901234567e-200", "1.7e308"]
)
def test_long_numbers_are_near_it(tally: Tally, text: str) -> None:
    tally.feed(1, f"k:{text}|kv".encode())
    assert rows(tally)["k"]["value"] == pytest.approx(float(text), rel=1e-14)


@pytest.mark.parametrize(
    "line",
    [
        *(
            b"a",
            b":",
            b"|",
            b":1|c",
            b"a:|c",
            b"a:1",
            b"a:1|",
            b"a:1|x",
            b"a:1|cc",
            b"a:1|C",
            b"a|1:c",
            b"a:1|c|",
            b"a:1|c||",
        ),
        *(
            b"a:x|c",
            b"a:1x|c",
            b"a:1e|c",
            b"a:--1|c",
            b"a:nan|c",
            b"a:inf|g",
            b"a:1e999|c",
            b"a: 1|c",
            b"a:.|c",
            b"a:|s",
        ),
        *(
            b"a:1|c|@0",
            b"a:1|c|@-1",
            b"a:1|c|@2",
            b"a:1|c|@",
            b"a:1|c|@x",
            b"a:1:|c",
            b"a::1|c",
            b"a:1:x|g",
            b"a:1:2:|ms",
        ),
        *(b"a:1:2:|ms", b"_e", b"_sc", b"_e:x|c", b"a" * 1025 + b":1|c", b"a:1|c|#" + b"t" * 1024, b"\0", b"\xff\xfe"),
    ],
)
def test_what_is_no_metric_is_counted_and_shown_and_the_next_line_is_read(tally: Tally, line: bytes) -> None:
    tally.feed(1, b"before:1|c\n" + line + b"\nafter:1|c\n")
    assert set(rows(tally)) == {"before", "after"}
    assert (tally.report.lines, tally.report.malformed) == (3, 1)
    assert str(tally.report.malformed_sample) == line[:120].decode(errors="backslashreplace")
    tally.turn(idle=10)
    assert (tally.report.malformed, str(tally.report.malformed_sample)) == (0, "")


def test_line_ends_of_windows_empty_lines_and_a_last_line_without_end(tally: Tally) -> None:
    tally.feed(1, b"\r\n\na:1|c\r\n\n\nb:1|c")
    assert (set(rows(tally)), tally.report.malformed, tally.report.lines) == ({"a", "b"}, 0, 2)


def test_sections_come_in_any_order_and_those_of_newer_clients_are_passed_over(tally: Tally) -> None:
    tally.feed(1, b"a:1|c|#x:y|@0.5|c:0123|T1656581400|e:it-false")
    assert (rows(tally)["a"]["value"], rows(tally)["a"]["tags"], tally.report.malformed) == (2, {"x": "y"}, 0)
    tally.feed(1, b"a:1|c|?new|card:low|c|#x:y")
    assert (rows(tally)["a"]["value"], tally.report.malformed) == (3, 0)


def test_values_of_one_key_may_be_packed_but_not_those_of_a_set(tally: Tally) -> None:
    tally.feed(1, b"c:1:2:3|c\nd:10:20:30|d|@0.5|#x:y\ng:5:+2:-1|g\nh:1|h\nh:3|ms\ns:a:b:c|s\nk:1:2|kv")
    found = rows(tally)
    assert (found["c"]["value"], found["c"]["samples"]) == (6, 3)
    assert [found["d"][name] for name in ("mean", "min", "max", "count", "samples")] == [20, 10, 30, 6, 3]
    assert found["d"]["kind"] == found["h"]["kind"]
    assert (found["g"]["value"], found["k"]["value"], found["s"]["value"]) == (6, 2, 1)
    assert (tally.report.malformed, tally.report.lines) == (0, 7)


def test_events_and_service_checks_are_counted_by_themselves(tally: Tally) -> None:
    tally.feed(1, b"_e{5,4}:title|text|t:error\n_e{1,1}:a|s\n_sc|redis|2|m:down\n_gauge:1|g\n_e:2|c")
    report = tally.report
    assert (report.events, report.checks, report.malformed, report.lines) == (2, 1, 0, 5)
    assert set(rows(tally)) == {"_gauge", "_e"}
    tally.turn(idle=10)
    assert (report.events, report.checks) == (0, 0)


def test_a_key_keeps_its_first_kind(tally: Tally) -> None:
    tally.feed(1, b"a:1|c\na:5|g\na:7|ms\na:2|c")
    assert (rows(tally)["a"]["kind"], rows(tally)["a"]["value"]) == ("counter", 3)
    assert (tally.report.changed, str(tally.report.changed_sample), tally.report.malformed) == (2, "a:5|g", 0)
    tally.turn(idle=10)
    tally.feed(1, b"a:5|g")
    assert (tally.report.changed, rows(tally)) == (1, {})


def test_source_name_and_tags_make_a_key(tally: Tally) -> None:
    tally.feed(1, b"a:1|c\na:1|c|#x\na:1|c|#y\nax:1|c\na:1|c")
    tally.feed(2, b"a:1|g")
    assert [int(samples) for samples in tally.keys()["samples"]] == [2, 1, 1, 1, 1]
    assert tally.report.changed == 0


def test_keys_beyond_the_limit_are_counted_and_the_known_go_on(tally: Tally) -> None:
    tally.feed(1, b"".join(b"key%d:1|c\n" % number for number in range(KEYS + 10)))
    assert (tally.report.keys, tally.report.keyless) == (KEYS, 10)
    tally.feed(1, b"key0:1|c\nkey%d:1|c" % (KEYS - 1))
    assert tally.report.keyless == 10
    assert int(tally.keys()["samples"].sum()) == KEYS + 2


def test_keys_that_nobody_uses_make_room(tally: Tally) -> None:
    half = KEYS // 2 - 1
    for interval in range(5):
        tally.feed(1, b"".join(b"of%d.%d:1|c|#n:%d\n" % (interval, number, number) for number in range(half)))
        tally.feed(1, b"always:%d|g" % interval)
        found = rows(tally)
        assert len(found) == half + 1
        assert found[f"of{interval}.77"]["tags"] == {"n": "77"}
        assert found["always"]["value"] == interval
        assert tally.report.keyless == 0
        tally.turn(idle=1)
    assert tally.report.keys == half + 1
    tally.turn(idle=1)
    assert (tally.report.keys, tally.report.texts) == (0, 0)


def test_members_beyond_the_limit_are_counted(tally: Tally) -> None:
    tally.feed(1, b"".join(b"s:user%d|s\n" % number for number in range(CELLS + 1000)))
    assert tally.report.crowded >= 1000
    assert rows(tally)["s"]["value"] == CELLS + 1000 - tally.report.crowded
    assert rows(tally)["s"]["samples"] == CELLS + 1000
    tally.turn(idle=10)
    tally.feed(1, b"s:a|s\ns:b|s")
    assert (rows(tally)["s"]["value"], tally.report.crowded) == (2, 0)


def test_batches_larger_than_the_input_are_cut_between_lines(tally: Tally) -> None:
    lines = b"".join(b"a.rather.long.name.%d:1|c\n" % (number % 7) for number in range(30_000))
    assert len(lines) > 2 * INPUT_BYTES
    tally.feed(1, memoryview(lines))
    assert sum(row["value"] for row in rows(tally).values()) == 30_000
    assert tally.report.malformed == 0


def test_a_line_longer_than_the_input_is_no_metric_and_nothing_else_is_lost(tally: Tally) -> None:
    tally.feed(1, b"a:1|c\n" + b"x" * (2 * INPUT_BYTES) + b"\nb:1|c")
    assert (set(rows(tally)), tally.report.malformed > 0) == ({"a", "b"}, True)
