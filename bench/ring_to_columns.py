"""Fixed 64-byte events from a ring buffer to columns.

A process pinned to one CPU enters getppid() as often as it can; a program on `tp_btf/sys_enter` sends an event of 64
bytes each time. The agent's runtime takes them on the other CPU: edge thread, StreamReader, Extractor, ten columns.
What is measured is the CPU time of the edge thread; making compressed Arrow of the columns, on the next thread and the
same CPU, is `encode_ns`.

The limit of events/s is the storm: `untraced_calls_per_s` is what it makes when no program of this experiment looks
on. Where that is little above the target, something else uses the CPUs or traces system calls too.

Peer, in the same run and on the same program: libbpf's `ring_buffer__poll` with a Python callback for each event
(cffi), which unpacks the event and does nothing with it.

Target: ≥ 2 M events/s, none dropped, ≤ 40 ns of CPU an event, ≥ 15 times fewer than the callback.
"""

from __future__ import annotations

import statistics
import struct
import time
from typing import Any, NamedTuple

import cffi

from bench.edge import LocalEdge
from bench.measure import CONSUMER_CPU, Target, note, pin, report
from bench.storm import Storm, storm_module
from quarterdeck.agent.modules.loading import Loaded, Loader
from quarterdeck.agent.modules.settings import apply_settings
from quarterdeck.modulekit.build import Built, build_module

ROUNDS, ROUND_S = 5, 3.0
PEER_ROUNDS = 3
EVENT = struct.Struct("=Q4I5Q")
TARGETS = (
    Target("cpu_ns_per_event", at_most=40),
    Target("events_per_s", at_least=2e6),
    Target("dropped", at_most=0),
    Target("times_fewer_cpu_than_callback", at_least=15),
)


class Round(NamedTuple):
    """One storm, seen by one reader."""

    events_per_s: float
    dropped: int
    cpu_ns: float  #: an event that was read
    encode_ns: float = 0.0


def main() -> None:
    built = build_module(storm_module())
    pin(CONSUMER_CPU)
    with Storm() as storm:
        alone = storm.blow(ROUND_S)
        note(f"the storm alone: {alone.calls / alone.seconds / 1e6:.2f} M calls/s")
        ours = columns_rounds(built, storm)
        peer = [callback_round(built, storm) for _ in range(PEER_ROUNDS)]
    cpu_ns = statistics.median(each.cpu_ns for each in ours)
    callback_ns = statistics.median(each.cpu_ns for each in peer)
    report(
        "ring_to_columns",
        figures={
            "cpu_ns_per_event": cpu_ns,
            "events_per_s": statistics.median(each.events_per_s for each in ours),
            "dropped": sum(each.dropped for each in ours),
            "times_fewer_cpu_than_callback": callback_ns / cpu_ns,
            "encode_ns_per_event": statistics.median(each.encode_ns for each in ours),
            "untraced_calls_per_s": alone.calls / alone.seconds,
        },
        peer={
            "name": "libbpf ring_buffer__poll, a Python callback an event",
            "cpu_ns_per_event": callback_ns,
            "events_per_s": statistics.median(each.events_per_s for each in peer),
            "dropped": sum(each.dropped for each in peer),
        },
        ratio=callback_ns / cpu_ns,
        targets=TARGETS,
    )


def columns_rounds(built: Built, storm: Storm) -> list[Round]:
    """The agent's way, round after round; also what `transform` measures."""
    rounds: list[Round] = []
    with LocalEdge(built, storm.settings) as edge:
        storm.blow(0.5)  # the first pages, the first compilation
        time.sleep(0.5)
        for _ in range(ROUNDS):
            before, columns_ns, encoding_ns = edge.counts, edge.columns_ns, edge.encoding_ns
            made = storm.blow(ROUND_S)
            edge.settle(before.records + before.lost + made.calls)
            read = edge.counts.records - before.records
            rounds.append(
                Round(
                    events_per_s=read / made.seconds,
                    dropped=made.calls - read,
                    cpu_ns=(edge.columns_ns - columns_ns) / read,
                    encode_ns=(edge.encoding_ns - encoding_ns) / read,
                )
            )
            note(f"columns: {rounds[-1]}")
    return rounds


def callback_round(built: Built, storm: Storm) -> Round:
    """libbpf's way, as its users write it in Python."""
    ffi = cffi.FFI()
    ffi.cdef("""
        struct ring_buffer *ring_buffer__new(int fd, int (*call)(void *, void *, size_t), void *context, void *options);
        int ring_buffer__poll(struct ring_buffer *rings, int timeout_ms);
        int ring_buffer__consume(struct ring_buffer *rings);
        void ring_buffer__free(struct ring_buffer *rings);
    """)
    libbpf: Any = ffi.dlopen("libbpf.so.1")
    seen = 0
    unpack, buffer = EVENT.unpack, ffi.buffer

    @ffi.callback("int(void *, void *, size_t)")
    def take(_context: object, event: Any, size: int) -> int:
        nonlocal seen
        unpack(buffer(event, size))
        seen += 1
        return 0

    loaded = _loaded(built, storm)
    rings = libbpf.ring_buffer__new(loaded.object.maps["events"].fd, take, ffi.NULL, ffi.NULL)
    try:
        began_ns = time.thread_time_ns()
        storm.begin(ROUND_S)
        deadline = time.monotonic() + ROUND_S
        while time.monotonic() < deadline:
            libbpf.ring_buffer__poll(rings, 10)  # the program wakes nobody, so this may find nothing and wait
            libbpf.ring_buffer__consume(rings)
        made = storm.end()
        libbpf.ring_buffer__consume(rings)
        cpu_ns = (time.thread_time_ns() - began_ns) / seen
    finally:
        libbpf.ring_buffer__free(rings)
        loaded.object.close()
    result = Round(events_per_s=seen / made.seconds, dropped=made.calls - seen, cpu_ns=cpu_ns)
    note(f"callback: {result}")
    return result


def _loaded(built: Built, storm: Storm) -> Loaded:
    """The same program, read by nobody yet."""
    build = built.build
    loader = Loader(
        build.manifest,
        built.artefacts[build.object.sha256],
        lambda opened: apply_settings(opened, build, dict(storm.settings)),
    )
    return loader.load(lambda _: None)
