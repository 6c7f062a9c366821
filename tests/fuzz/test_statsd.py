"""Foreign statsd lines: each is summed or counted, as a second reader of the same words says, and nothing fails."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quarterdeck.agent.stats.aggregator import Aggregator
from quarterdeck.agent.stats.rows import stats_rows
from quarterdeck.agent.stats.tally import Tally
from quarterdeck.columns.arrow import encode
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.stats import StatSource
from quarterdeck.wasm.engine import Engine

SOURCE = StatSource(cmd="fuzz")
NUMBER = rb"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
LINE = re.compile(rb"([^:|]+):([^|]+)\|(c|g|ms|h|d|s|kv)((?:\|[^|]+)*)", re.DOTALL)

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
            b"_e{",
            b"_sc|",
            b"d",
            b"a:1:2|",
            b"|?new",
            b"|c:id",
            b" ",
            b"a:1|c",
            b"b:2|ms",
        ),
        *(b"c:x|s\n", b"g:+1|g\n", b"a:1|c|@0.1\n", b"1" * 40, b"." * 20, b"n" * 600),
    ]
)
PACKETS = st.one_of(st.binary(max_size=300), st.lists(PIECES, max_size=40).map(b"".join))


class Verdict(NamedTuple):
    """What a line is: how many samples, an event, a service check; or nothing of these."""

    samples: int = 0
    event: bool = False
    check: bool = False


def verdict(line: bytes) -> Verdict:
    """By the words of the guide, in regular expressions."""
    if len(line) >= 4 and line.startswith((b"_e{", b"_sc|")):
        return Verdict(event=line[1:2] == b"e", check=line[1:2] == b"s")
    return Verdict(samples=samples_in(line))


def samples_in(line: bytes) -> int:
    found = LINE.fullmatch(line)
    if not found:
        return 0
    name, value, kind, sections = found[1], found[2], found[3], found[4]
    values = [value] if kind == b"s" else value.split(b":")
    if kind != b"s" and not all(re.fullmatch(NUMBER, each) and math.isfinite(float(each)) for each in values):
        return 0
    tags = b""
    for section in sections.split(b"|")[1:]:
        if section.startswith(b"@") and not (re.fullmatch(NUMBER, section[1:]) and 0 < float(section[1:]) <= 1):
            return 0
        if section.startswith(b"#"):
            tags = section[1:]
    return len(values) if len(name) + len(tags) <= 1024 else 0


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
    verdicts = [verdict(line) for line in lines]
    report = tally.report
    assert (report.lines, report.malformed) == (len(lines), verdicts.count(Verdict())), lines
    assert report.events == sum(each.event for each in verdicts)
    assert report.checks == sum(each.check for each in verdicts)
    samples = int(tally.keys()["samples"].sum())
    if report.changed:
        assert samples < sum(each.samples for each in verdicts)
    else:
        assert samples == sum(each.samples for each in verdicts)
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


AGGREGATOR = Aggregator(Outlet(emit=lambda *_: None, lose=lambda _: None))
