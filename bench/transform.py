"""The same 64-byte events through a WASM transform that filters and computes.

As `ring_to_columns`, but the module has a transform (modules/storm_slow/slow.wasm.c): it keeps every second event and
computes three of the six columns. What is measured is the CPU time of the edge thread for each event that was read, the
transform's included.

Peer, in the same run: the same storm without a transform, all ten columns.

Target: ≤ 60 ns of CPU an event.
"""

from __future__ import annotations

import statistics

from bench.measure import CONSUMER_CPU, Target, pin, report
from bench.ring_to_columns import columns_rounds
from bench.storm import Storm, storm_module
from quarterdeck.modulekit.build import build_module


def main() -> None:
    transformed = build_module(storm_module(through_wasm=True))
    plain = build_module(storm_module())
    pin(CONSUMER_CPU)
    with Storm() as storm:
        ours = columns_rounds(transformed, storm)
        peer = columns_rounds(plain, storm)
    cpu_ns = statistics.median(each.cpu_ns for each in ours)
    plain_ns = statistics.median(each.cpu_ns for each in peer)
    report(
        "transform",
        figures={
            "cpu_ns_per_event": cpu_ns,
            "events_per_s": statistics.median(each.events_per_s for each in ours),
            "dropped": sum(each.dropped for each in ours),
        },
        peer={"name": "the same events without a transform", "cpu_ns_per_event": plain_ns},
        ratio=plain_ns / cpu_ns,
        targets=(Target("cpu_ns_per_event", at_most=60),),
    )
