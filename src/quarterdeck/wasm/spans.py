"""The positions of records in a ring or perf buffer, as arrays: offsets and lengths of the payloads.

A built-in guest (`guests/spans.wasm.c`) walks over a copy of the span, since a walk over records of different sizes is
a loop, and Python must not loop over records. It reads the span and never writes to it. A record whose header was
committed during the walk has a complete payload when it is later read through the offsets.
"""

from __future__ import annotations

import ctypes
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np

from quarterdeck.wasm.description import Layout
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import GuestMissing
from quarterdeck.wasm.guest import Array, Guest

RING_HEADER_BYTES = 8
PERF_HEADER_BYTES = 12  # the header of a sample, and the length of its payload
_BUSY = 1 << 31
_LENGTH = (1 << 30) - 1


class Payloads(NamedTuple):
    """The payloads of a span: uint32 arrays of offsets from its start.

    The first `consumed` bytes of the span are whole records.
    """

    offsets: Array
    lengths: Array
    consumed: int


class PerfPayloads(NamedTuple):
    """The payloads of a span of a perf buffer, and the number of records that the kernel reported as lost."""

    offsets: Array
    lengths: Array
    consumed: int
    lost: int


def built_in(name: str) -> bytes:
    """Return the wasm of a built-in guest. Raise `GuestMissing` when it was not compiled."""
    guest = files("quarterdeck.wasm") / "guests" / f"{name}.wasm"
    if not guest.is_file():
        raise GuestMissing(
            f"{guest} is missing: it is compiled when Quarterdeck is built; in a checkout run `make setup`"
        )
    return guest.read_bytes()


class SpanWalker:
    """A walker over spans, for one thread at a time.

    The arrays it returns are copies. Creating it may raise `GuestMissing`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._wasm = built_in("spans")
        self._loaded: Guest | None = None

    @property
    def _guest(self) -> Guest:
        if self._loaded is None:  # not every span needs a walk
            self._loaded = Guest(self._engine, self._wasm)
        return self._loaded

    def walk(self, address: int, nbytes: int) -> Payloads:
        """Return the payloads in the `nbytes` at `address`, a span of a BPF ring buffer (mapped twice where it wraps).

        Discarded records are left out. The walk stops at the first record that is incomplete or still being written.
        """
        offsets, lengths, consumed, _ = self._walk(Layout.RING, address, nbytes)
        return Payloads(offsets, lengths, consumed)

    def walk_perf(self, address: int, nbytes: int) -> PerfPayloads:
        """Return the payloads of PERF_RECORD_SAMPLE (with PERF_SAMPLE_RAW) in a linear span of a perf buffer.

        The kernel pads a payload so that it ends at 8 bytes after its 4-byte length: lengths may be up to 7 too large.
        """
        return self._walk(Layout.PERF, address, nbytes)

    def _walk(self, layout: Layout, address: int, nbytes: int) -> PerfPayloads:
        guest = self._guest
        offsets: list[Array] = []
        lengths: list[Array] = []
        at = lost = 0
        while at < nbytes:
            output = guest.give(layout, address + at, min(nbytes - at, guest.capacity))
            lost += output.lost
            offsets.append(np.asarray(output.columns["offset"]) + np.uint32(at))
            lengths.append(np.asarray(output.columns["length"]).copy())
            at += output.consumed
            if not output.consumed:
                large = next_ring_record_bytes(address + at) if layout is Layout.RING else 0
                if not guest.capacity < large <= nbytes - at:
                    break
                guest.grow(large)
        return PerfPayloads(_joined(offsets), _joined(lengths), at, lost)


def uniform_records(address: int, nbytes: int, payload: int) -> int:
    """Return the number of records in a span of a ring if all are committed and have `payload` bytes, else 0.

    It reads only the headers. For a ring whose records all have one struct, this takes a tenth of the time of a walk.
    """
    step = ring_record_bytes(payload)
    span: Any = (ctypes.c_char * nbytes).from_address(address)
    headers = np.ndarray((nbytes // step,), np.uint32, span, strides=(step,))
    return len(headers) if (headers == payload).all() else 0


def ring_record_bytes(payload: int) -> int:
    """Return the bytes that a payload takes in a ring, with its header and padding."""
    return (payload + RING_HEADER_BYTES + 7) & ~7


def next_ring_record_bytes(address: int) -> int:
    """Return the bytes that the record at `address` takes in its ring; 0 while it is being written."""
    header = ctypes.c_uint32.from_address(address).value
    return 0 if header & _BUSY else ring_record_bytes(header & _LENGTH)


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate([np.empty(0, np.uint32), *arrays])
