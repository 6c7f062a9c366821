"""A guest that fails loses its chunk and reports why."""

from __future__ import annotations

import numpy as np
import pytest

from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import (
    InvalidOutput,
    OutOfMemory,
    TimedOut,
    TransformFailed,
    Trapped,
)
from quarterdeck.wasm.transform import Transform

from .guests import MISCHIEF, compiled, from_page, from_wat, perf, ring
from .rows import LIMITS, rows


class TestFailure:
    @pytest.mark.parametrize(
        ("what", "error", "words"),
        [
            (1, Trapped, "out of bounds memory access"),
            (2, TimedOut, r"did not return within 0\.1 s"),
            (3, OutOfMemory, "its limit being 8388608"),
            (4, Trapped, "unreachable"),
            (5, Trapped, "out of bounds|stack exhausted"),
            (6, Trapped, "divide by zero"),
        ],
    )
    @pytest.mark.parametrize("layout", [Layout.RECORDS, Layout.RING, Layout.PERF])
    def test_it_costs_its_chunk_and_the_next_one_runs(
        self, engine: Engine, layout: Layout, what: int, error: type[TransformFailed], words: str
    ) -> None:
        wasm = compiled(MISCHIEF)
        transform = Transform.load(engine, wasm, layout=layout, sizes=(8,), settings={"factor": 3}, limits=LIMITS)
        records = [np.array([kind, 7], "u4").tobytes() for kind in (0, what, 0)]
        span = {Layout.RECORDS: b"".join, Layout.RING: ring, Layout.PERF: perf}[layout](records)
        with pytest.raises(error, match=words) as caught:
            list(transform.run_buffer(span))
        assert (caught.value.consumed, caught.value.records) == (len(span), 3)
        good = {Layout.RECORDS: b"".join, Layout.RING: ring, Layout.PERF: perf}[layout](records[:1])
        table, _ = rows(transform, good)
        assert table == {"value": [21], "call": [1]}, "a fresh instance, with the settings of the first"

    def test_it_does_not_cost_the_chunks_before_and_after(self, engine: Engine) -> None:
        transform = Transform.load(engine, compiled(MISCHIEF), layout=Layout.RING, sizes=(8,), limits=LIMITS)
        array = np.zeros((100_000, 2), "u4")
        array[:, 1] = np.arange(100_000)
        array[50_000, 0] = 4
        span = ring([row.tobytes() for row in array])
        seen: list[int] = []
        lost = at = 0
        while at < len(span):
            try:
                for output in transform.run_buffer(span[at:]):
                    at += output.consumed
                    values = output.columns["value"]
                    assert isinstance(values, np.ndarray)
                    seen += values.tolist()
            except Trapped as failure:
                at += failure.consumed
                lost += failure.records
        assert 0 < lost < 40_000
        assert 50_000 not in seen
        assert len(seen) + lost == 100_000

    def test_lost_records_of_a_failed_chunk_are_told(self, engine: Engine) -> None:
        transform = Transform.load(engine, compiled(MISCHIEF), layout=Layout.PERF, limits=LIMITS)
        with pytest.raises(Trapped) as caught:
            list(transform.run_buffer(perf([np.array([4, 0], "u4").tobytes()], lost={0: 11})))
        assert (caught.value.records, caught.value.lost) == (1, 11)

    def test_a_guest_without_progress_is_told_apart(self, engine: Engine) -> None:
        stuck = from_page("wat").replace("(i32.sub (local.get $at) (local.get $input))", "(i32.const 0)")
        transform = Transform.load(engine, from_wat(stuck), layout=Layout.RECORDS)
        with pytest.raises(InvalidOutput, match="consumed 0 bytes of 16"):
            list(transform.run_buffer(bytes(16)))

    def test_a_guest_that_stops_inside_a_record_is_told_apart(self, engine: Engine) -> None:
        stuck = from_page("wat").replace("(i32.sub (local.get $at) (local.get $input))", "(i32.const 12)")
        for layout, span in ((Layout.RECORDS, bytes(16)), (Layout.RING, ring([bytes(8)] * 2))):
            transform = Transform.load(engine, from_wat(stuck), layout=layout)
            with pytest.raises(InvalidOutput, match="not where a record ends"):
                list(transform.run_buffer(span))
