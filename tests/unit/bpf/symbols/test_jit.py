"""Perf maps of JIT compilers."""

from __future__ import annotations

import numpy as np

from quarterdeck.bpf.symbols.jit import parse_perf_map

PERF_MAP = b"""7f0000001000 40 LazyCompile:~main /srv/app.js:1
7f0000002000 20 py::work:/srv/work.py
0x7f0000003000 0x10 prefixed
not a line
7f0000002000 20 py::newer:/srv/work.py
7f0000004000 10 cut sh"""


def test_functions_of_a_jit_are_found_and_the_later_wins() -> None:
    addresses = [0x7F0000001020, 0x7F0000002010, 0x7F0000003000, 0x7F0000004000, 0x7F0000001040]
    assert parse_perf_map(PERF_MAP).find(np.array(addresses, dtype=np.uint64)) == [
        "LazyCompile:~main /srv/app.js:1",
        "py::newer:/srv/work.py",
        "prefixed",
        "cut sh",
        None,
    ]


def test_an_empty_map_knows_nothing() -> None:
    assert len(parse_perf_map(b"")) == 0
    assert len(parse_perf_map(b"\xff\0\n\n")) == 0
