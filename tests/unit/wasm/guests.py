"""Guests for the tests: C compiled once in a test process, WAT, and spans built by hand."""

from __future__ import annotations

import functools
import re
import tempfile
from pathlib import Path

import numpy as np
import wasmtime

from quarterdeck.wasm.build import compile_guest

ABI_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "wasm-abi.md"

EVENT = np.dtype([("ts", "u8"), ("pid", "u4"), ("bytes", "u4"), ("comm", "S16")])

#: keeps every event with a pid
PIDS = """
#include "quarterdeck.h"
struct event { u64 ts; u32 pid; u32 bytes; char comm[16]; };
QD_TABLE((u64, time), (u32, pid), (string, comm))
QD_TRANSFORM(struct event, e)
{
    if (e->pid)
        QD_ROW(.time = e->ts, .pid = e->pid, .comm = qd_str(e->comm));
}
"""

#: does what the record requests: 1 reads outside its memory, 2 never returns, 3 takes all memory, 4 stops, 5 overflows
#: its stack, 6 divides by zero
MISCHIEF = """
#include "quarterdeck.h"
struct event { u32 what; u32 value; };
static u32 calls;
static u32 deep(volatile u32 *at) { volatile u32 room[64]; room[0] = *at; return *at ? deep(room) + room[0] : 0; }
QD_SETTING(u32, factor, 1)
QD_TABLE((u32, value), (u32, call))
QD_TRANSFORM(struct event, e)
{
    volatile u32 zero = 0;
    calls++;
    switch (e->what) {
    case 1: zero = *(volatile u32 *)0xfffffff0; break;
    case 2: for (;;) zero++;
    case 3: while (__builtin_wasm_memory_grow(0, 16) != (size_t)-1) {} __builtin_trap();
    case 4: __builtin_trap();
    case 5: zero = 1; zero = deep(&zero); break;
    case 6: zero = e->value / zero; break;
    }
    QD_ROW(.value = e->value * factor, .call = calls);
}
"""


@functools.cache
def compiled(source: str) -> bytes:
    """Return the wasm of C `source`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "guest.wasm")
        warnings = compile_guest(source.encode(), out)
        assert not warnings, warnings
        return out.read_bytes()


def from_wat(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


def from_page(language: str) -> str:
    """Return the first example in that language in docs/reference/wasm-abi.md."""
    found = re.search(rf"^```{language}\n(.*?)^```$", ABI_PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, f"{ABI_PAGE} has no example in {language}"
    return found[1]


def ring(
    payloads: list[bytes], *, discarded: frozenset[int] = frozenset(), busy: frozenset[int] = frozenset()
) -> bytes:
    """Return a span of a BPF ring buffer with these payloads; the indexes select discarded and unfinished records."""
    span = bytearray()
    for index, payload in enumerate(payloads):
        header = len(payload) | (index in discarded) << 30 | (index in busy) << 31
        span += header.to_bytes(4, "little") + bytes(4) + payload + bytes(-len(payload) % 8)
    return bytes(span)


def perf(payloads: list[bytes], *, lost: dict[int, int] | None = None) -> bytes:
    """Return a span of a perf buffer: samples, and before each index in `lost` a record of so many lost ones."""
    span = bytearray()
    for index, payload in enumerate(payloads):
        if lost and index in lost:
            span += _perf_header(2, 24) + bytes(8) + lost[index].to_bytes(8, "little")
        room = (len(payload) + 4 + 7 & ~7) - 4  # the kernel pads the payload, and includes the padding in its length
        span += _perf_header(9, 8 + 4 + room) + room.to_bytes(4, "little") + payload.ljust(room, b"\0")
    return bytes(span)


def _perf_header(kind: int, size: int) -> bytes:
    return kind.to_bytes(4, "little") + bytes(2) + size.to_bytes(2, "little")
