"""Modules whose events a test can count: a row for each getppid that this process makes, in as many tables as wanted.

`made` is the program's own count, read as a table beside the rows; `call` makes events. What became of them is asked
in SQL, and must add up to the event.
"""

from __future__ import annotations

import os
import platform
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Self

from quarterdeck.client import Client
from quarterdeck.model.losses import LossReason
from tests.fleet import eventually

#: getppid: a call that nothing else in this process makes
_GETPPID = {"x86_64": 110, "aarch64": 173}[platform.machine()]

#: 32 random bytes in each record, so that batches stay as large as their rows
PROGRAM = f"""
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char LICENSE[] SEC("license") = "GPL";
const volatile u32 only_pid = 0;
u64 made;
struct event {{ u64 ts; u64 seq; u32 salt[8]; }};
#define RING(name, bytes) \\
    struct {{ __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, bytes); }} name SEC(".maps")
DECLARATIONS
static __always_inline void send(void *ring, u64 seq, u64 ago_ns)
{{
    struct event *e = bpf_ringbuf_reserve(ring, sizeof(*e), 0);
    if (!e) return;
    e->ts = bpf_ktime_get_ns() - ago_ns;
    e->seq = seq;
    for (int i = 0; i < 8; i++) e->salt[i] = bpf_get_prandom_u32();
    bpf_ringbuf_submit(e, 0);
}}
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{{
    if (id != {_GETPPID} || (bpf_get_current_pid_tgid() >> 32) != only_pid) return 0;
    u64 seq = __sync_fetch_and_add(&made, 1);
    BODY
    return 0;
}}
"""


def program(declarations: str, body: str) -> bytes:
    """The source of a program that does `body` for each event, number `seq`."""
    return PROGRAM.replace("DECLARATIONS", declarations).replace("BODY", body).encode()


def counted(name: str) -> dict[str, bytes]:
    """The folder of a module with one table of its name, and a ring that holds a hundred thousand events."""
    manifest = f'name = "{name}"\n[[table]]\nname = "{name}"\nfrom = "ring"\nrow = "event"\n'
    source = program("RING(ring, 8 << 20);", "send(&ring, seq, 0);")
    return {"module.toml": manifest.encode(), f"{name}.bpf.c": source}


def deploy(client: Client, files: dict[str, bytes], name: str) -> None:
    """Create the module and deploy it everywhere; it sees this process only."""
    client.modules.create(files)
    client.modules.deploy(name, settings={"only_pid": os.getpid()})


def call(events: int, *, pause_s: float = 0.0, bursts: int = 1) -> int:
    """Make `bursts` times so many events; returns how many that is."""
    for _ in range(bursts):
        for _ in range(events):
            os.getppid()
        time.sleep(pause_s)
    return events * bursts


class Storm:
    """Events made in a thread, from the beginning of the block until `end`, or its end."""

    def __init__(self) -> None:
        self._made = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> int:
        """How many events there were."""
        self._over.set()
        self._thread.join()
        return self._made

    def _run(self) -> None:
        while not self._over.is_set():
            self._made += call(100, pause_s=0.01)


@dataclass(frozen=True)
class Outcome:
    """What became of a table's events on one node, or on all."""

    rows: int
    distinct: int  #: rows of different events
    lost: Counter[LossReason]

    @property
    def accounted(self) -> int:
        return self.rows + self.lost.total()


def outcome(client: Client, table: str, *, node: str = "") -> Outcome:
    """Ask the store. Rows of several runs of a program count as distinct if their times differ."""
    where = f"nid = {client.nodes.get(node).nid}" if node else "1"
    query = client.queries.run
    ((rows, distinct),) = query(f"SELECT count(), uniqExact(nid, seq, time) FROM {table} WHERE {where}").rows
    lost = query(f"SELECT reason, sum(rows) FROM losses WHERE table = '{table}' AND {where} GROUP BY reason")
    assert isinstance(rows, int)
    assert isinstance(distinct, int)
    return Outcome(rows, distinct, Counter({LossReason(str(reason)): int(str(n)) for reason, n in lost.rows}))


def settled(client: Client, table: str, events: int, *, node: str = "") -> Outcome:
    """What became of `events` events, once every one is stored or counted as lost."""
    seen: list[Outcome] = []

    def look() -> bool:
        seen[:] = [outcome(client, table, node=node)]
        return seen[0].accounted >= events

    try:
        eventually(look, "every event to be a row or a loss")
    except AssertionError as error:
        raise AssertionError(f"{error}: {table} {node}, {events} events, found {seen[0]}") from None
    assert seen[0].accounted == events, (table, node, seen[0])
    return seen[0]
