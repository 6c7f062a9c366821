"""A hash map of 100,000 entries (keys of 40 bytes, values of 48) to columns, taken out of the map.

The agent's MapReader drains the map by batch calls, and its Extractor makes the thirteen columns; the clock runs for
both. The map is filled by a program in the kernel before each drain.

Peer, in the same run on the same map: key by key, as a Python user of libbpf would (cffi: get_next_key, then
lookup_and_delete), into one block of memory that numpy can read; no columns are made of it.

Target: ≤ 60 ms a drain, at least 5 times faster than key by key.
"""

from __future__ import annotations

import statistics
import struct
import time
from collections.abc import Callable
from typing import Any

import cffi

from bench.measure import CONSUMER_CPU, Target, note, pin, report
from bench.storm import HERE
from quarterdeck.agent.memory import keep_freed_blocks
from quarterdeck.agent.modules.clock import EpochClock
from quarterdeck.agent.modules.extract import Extractor, Tools
from quarterdeck.agent.modules.loading import Loader
from quarterdeck.agent.modules.maps import MapReader
from quarterdeck.agent.modules.stacks import Stacks
from quarterdeck.agent.modules.texts import Texts
from quarterdeck.bpf import syscall
from quarterdeck.bpf.maps import KernelMap
from quarterdeck.bpf.symbols import Symbolizer
from quarterdeck.modulekit.build import build_module
from quarterdeck.modulekit.folder import read_folder
from quarterdeck.wasm.engine import Engine

ENTRIES = 100_000
ROUNDS, PEER_ROUNDS = 15, 5


def main() -> None:
    keep_freed_blocks()
    pin(CONSUMER_CPU)
    build = (built := build_module(read_folder(HERE / "modules" / "flows"))).build
    opened = Loader(build.manifest, built.artefacts[build.object.sha256], lambda _: None).load(lambda _: None).object
    kernel_map = KernelMap(opened.maps["flows"].fd)
    engine = Engine()
    tools = Tools(Texts(engine), EpochClock(), Stacks(Symbolizer(), {}))
    reader = MapReader(
        build.sources[0], build.manifest.name, kernel_map=kernel_map, into=Extractor(build.sources[0], tools)
    )

    def fill() -> None:
        syscall.run_program(opened.programs["fill"].fd, context=struct.pack("=I", ENTRIES))

    def drain() -> int:
        reader.read(time.monotonic())
        return sum(batch.rows for batch in reader.pile.take())

    def walk() -> int:
        return _key_by_key(kernel_map)

    try:
        ours = _rounds("drain", ROUNDS, fill, drain)
        theirs = _rounds("key by key", PEER_ROUNDS, fill, walk)
    finally:
        opened.close()
        engine.close()
    report(
        "map_to_columns",
        figures={"drain_ms": ours, "times_faster_than_key_by_key": theirs / ours, "ns_per_entry": ours * 1e6 / ENTRIES},
        peer={"name": "libbpf, key by key from Python", "drain_ms": theirs},
        ratio=theirs / ours,
        targets=(Target("drain_ms", at_most=60), Target("times_faster_than_key_by_key", at_least=5)),
    )


def _rounds(name: str, rounds: int, fill: Callable[[], None], drain: Callable[[], int]) -> float:
    """Return the median of the milliseconds that a drain takes, without the first one."""
    taken_ms: list[float] = []
    for _ in range(rounds + 1):
        fill()
        began = time.perf_counter()
        entries = drain()
        taken_ms.append((time.perf_counter() - began) * 1000)
        if entries != ENTRIES:
            raise RuntimeError(f"{name} found {entries} of {ENTRIES} entries")
    note(f"{name}: {', '.join(f'{each:.0f}' for each in taken_ms[1:])} ms")
    return statistics.median(taken_ms[1:])


def _key_by_key(kernel_map: KernelMap) -> int:
    ffi = cffi.FFI()
    ffi.cdef("""
        int bpf_map_get_next_key(int fd, const void *key, void *next_key);
        int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value);
    """)
    libbpf: Any = ffi.dlopen("libbpf.so.1")
    fd, key_size, value_size = kernel_map.fd, kernel_map.key_size, kernel_map.value_size
    row, room = key_size + value_size, kernel_map.max_entries
    block = ffi.new("char[]", row * (room + 1))
    taken, key = 0, ffi.NULL
    more = libbpf.bpf_map_get_next_key(fd, key, block) == 0
    while more:
        key = block + taken * row
        more = libbpf.bpf_map_get_next_key(fd, key, key + row) == 0  # before the key that leads to it is gone
        libbpf.bpf_map_lookup_and_delete_elem(fd, key, key + key_size)
        taken += 1
    return taken
