"""Foreign statsd lines: each is summed or counted, as a second reader of the same words says, and nothing fails."""

from __future__ import annotations

import math
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.agent.stats.aggregator import Aggregator
from quarterdeck.agent.stats.rows import stats_rows
from quarterdeck.agent.stats.tally import Tally
from quarterdeck.columns.arrow import encode
from quarterdeck.model.stats import StatSource
from quarterdeck.wasm.engine import Engine

SOURCE = StatSource(cmd="fuzz")
NUMBER = rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
SECTION = rb"\|(?:@(?P<rate>[^|]*)|#[^|]*|[ce]:[^|]*|T[^|]*)"
LINE = re.compile(rb"([^:|]+):([^|]+)\|(c|g|ms|h|s|kv)((?:" + SECTION.replace(b"?P<rate>", b"") + rb")*)", re.DOTALL)

PIECES = st.sampled_from(
    [
        *(
            b"a",
            b"a.b",
            b"key",
            b":",
            b"|",
            b"\n",
            b"\r\n",
            b"1",
            b"-2.5",
            b"+3",
            b"1e3",
            b"c",
            b"g",
            b"ms",
            b"h",
            b"s",
        ),
        *(
            b"kv",
            b"@0.5",
            b"@",
            b"#x:y",
            b"#,:,",
            b"\0",
            b"\xff",
            b"\xc3\xa9",
            b"_e{1,1}",
            b"|c:id",
            b" ",
            b"a:1|c",
            b"b:2|ms",
        ),
        *(b"c:x|s\n", b"g:+1|g\n", b"a:1|c|@0.1\n", b"1" * 40, b"." * 20, b"n" * 600),
    ]
)
PACKETS = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=40).map(b"".join))


def is_metric(line: bytes) -> bool:
    """By the words of the guide, in a regular expression."""
    found = LINE.fullmatch(line)
    if not found:
        return False
    name, value, kind, sections = found[1], found[2], found[3], found[4]
    if kind != b"s" and not (re.fullmatch(NUMBER, value) and math.isfinite(float(value))):
        return False
    tags = b""
    for section in sections.split(b"|")[1:]:
        if section.startswith(b"@") and not (re.fullmatch(NUMBER, section[1:]) and 0 < float(section[1:]) <= 1):
            return False
        if section.startswith(b"#"):
            tags = section[1:]
    return len(name) + len(tags) <= 1024


def lines_of(packet: bytes) -> list[bytes]:
    return [line for line in (each.removesuffix(b"\r") for each in packet.split(b"\n")) if line]


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@settings(deadline=None, max_examples=600)
@given(packets=st.lists(PACKETS, min_size=1, max_size=3))
def test_a_line_is_a_metric_for_both_readers_or_for_none(engine: Engine, packets: list[bytes]) -> None:
    tally = Tally(engine)
    for packet in packets:
        tally.feed(1, packet)
    lines = [line for packet in packets for line in lines_of(packet)]
    verdicts = Counter(is_metric(line) for line in lines)
    assert (tally.report.lines, tally.report.malformed) == (len(lines), verdicts[False]), lines
    assert int(tally.keys()["samples"].sum()) + tally.report.changed == verdicts[True]
    batch = stats_rows(tally, {1: SOURCE}, gid=1, nid=1, time_ns=1, interval_ns=1)
    assert (not batch.rows) or encode(batch)


@settings(deadline=None, max_examples=100)
@given(packets=st.lists(PACKETS, max_size=20))
def test_the_aggregator_takes_anything_and_goes_on(packets: list[bytes]) -> None:
    aggregator = AGGREGATOR
    for packet in packets:
        aggregator.feed(SOURCE, packet)
        aggregator.flush(gid=1, nid=1, time_ns=1, interval_ns=1)
    aggregator.feed(StatSource(cmd="check"), b"still.here:1|c")
    assert aggregator.flush(gid=1, nid=1, time_ns=1, interval_ns=1) == 1


AGGREGATOR = Aggregator(emit=lambda *_: None, lose=lambda _: None)
