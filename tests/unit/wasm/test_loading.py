"""The checks of a transform's guest, settings and memory before it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import (
    InvalidSetting,
    OutOfMemory,
    RecordMismatch,
)
from quarterdeck.wasm.instance import Limits
from quarterdeck.wasm.transform import Transform

from .guests import MISCHIEF, PIDS, compiled
from .rows import rows


class TestLoad:
    def test_a_record_of_another_size_is_refused(self, engine: Engine) -> None:
        with pytest.raises(
            RecordMismatch, match=r"compiled for record sizes of 32 bytes \(struct event\).*gives 40"
        ) as e:
            Transform.load(engine, compiled(PIDS), layout=Layout.RING, sizes=(40,))
        assert "a pointer, long or size_t has 4 bytes in wasm32" in str(e.value)

    def test_entries_are_not_for_a_transform_of_records(self, engine: Engine) -> None:
        with pytest.raises(RecordMismatch, match="takes RECORDS, RING, PERF, the host would give it ENTRIES"):
            Transform.load(engine, compiled(PIDS), layout=Layout.ENTRIES, sizes=(4, 28))

    def test_settings_are_set_and_have_defaults(self, engine: Engine) -> None:
        source = """
        #include "quarterdeck.h"
        struct event { u32 number; };
        QD_SETTING(u64, add, 1ull << 40)
        QD_SETTING(s32, times, -2)
        QD_SETTING(u8, small, 255)
        QD_SETTING(f32, ratio, 0.5f)
        QD_SETTING(bool, flag, true)
        QD_TABLE((s64, sum), (u8, low), (f32, part), (bool, on))
        QD_TRANSFORM(struct event, e)
        {
            QD_ROW(.sum = (s64)add + times * (s64)e->number, .low = small, .part = ratio, .on = flag);
        }
        """
        span = np.array([5], "u4").tobytes()
        default = Transform.load(engine, compiled(source), layout=Layout.RECORDS)
        assert rows(default, span)[0] == {"sum": [2**40 - 10], "low": [255], "part": [0.5], "on": [True]}
        values = {"add": 2**64 - 1, "times": -(2**31), "small": 0, "ratio": 2, "flag": False}
        changed = Transform.load(engine, compiled(source), layout=Layout.RECORDS, settings=values)
        assert rows(changed, span)[0] == {"sum": [-1 - 5 * 2**31], "low": [0], "part": [2.0], "on": [False]}
        assert [(s.name, s.type, s.default) for s in default.description.settings] == [
            ("add", "uint64", "1ull << 40"),
            ("times", "int32", "-2"),
            ("small", "uint8", "255"),
            ("ratio", "float32", "0.5f"),
            ("flag", "bool", "true"),
        ]

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"factr": 1}, "no setting 'factr'; it has: factor"),
            ({"factor": -1}, "factor is a uint32, 0 to 4294967295; found -1"),
            ({"factor": 2**32}, "found 4294967296"),
            ({"factor": 1.5}, r"factor is a uint32; found 1\.5, a float"),
            ({"factor": "1"}, "found '1', a str"),
            ({"factor": True}, "found True, a bool"),
        ],
    )
    def test_a_wrong_setting_is_named(self, engine: Engine, values: Any, words: str) -> None:
        with pytest.raises(InvalidSetting, match=words):
            Transform.load(engine, compiled(MISCHIEF), layout=Layout.RING, settings=values)

    def test_a_guest_larger_than_its_limit_is_told_so(self, engine: Engine) -> None:
        small = Limits(memory_bytes=512 * 1024)
        with pytest.raises(OutOfMemory, match="QD_ROWS"):
            Transform.load(engine, compiled(PIDS), layout=Layout.RING, limits=small)
        with pytest.raises(OutOfMemory, match="has no room for 524288 bytes of input"):
            Transform.load(engine, compiled(MISCHIEF), layout=Layout.RING, limits=small)
