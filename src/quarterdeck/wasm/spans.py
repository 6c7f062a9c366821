"""Where the records are in a ring or perf buffer, as arrays: offsets and lengths of the payloads.

The walk is done by a guest that comes with Quarterdeck (`guests/spans.wasm.c`), on a copy of the span, since a walk
over records of many sizes is a loop and Python must not loop over records. It reads the span and never writes to it. A
header that the walk found committed was so before the payload is read again through the offsets, so the payload is
whole.
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
PERF_HEADER_BYTES = 12  # of a sample: its header and the length of its payload
_BUSY = 1 << 31
_LENGTH = (1 << 30) - 1


class Payloads(NamedTuple):
    """The payloads of a span: uint32 arrays, offsets from its start. Its first `consumed` bytes are whole records."""

    offsets: Array
    lengths: Array
    consumed: int


class PerfPayloads(NamedTuple):
    """The same of a perf buffer, and how many records the kernel says it lost."""

    offsets: Array
    lengths: Array
    consumed: int
    lost: int


def built_in(name: str) -> bytes:
    """The wasm of a guest that comes with Quarterdeck; GuestMissing when it was not compiled."""
    guest = files("quarterdeck.wasm") / "guests" / f"{name}.wasm"
    if not guest.is_file():
        raise GuestMissing(
            f"{guest} is missing: it is compiled when Quarterdeck is built; in a checkout run `make setup`"
        )
    return guest.read_bytes()


class SpanWalker:
    """Walks spans; one thread at a time. The arrays it returns are copies. Raises GuestMissing at once."""

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
        """The payloads in the `nbytes` at `address`, a span of a BPF ring buffer (a wrapped one is mapped twice).

        Leaves out discarded records, and stops at the first that is still being written or not whole.
        """
        offsets, lengths, consumed, _ = self._walk(Layout.RING, address, nbytes)
        return Payloads(offsets, lengths, consumed)

    def walk_perf(self, address: int, nbytes: int) -> PerfPayloads:
        """The payloads of PERF_RECORD_SAMPLE (of PERF_SAMPLE_RAW) in a linear span of a perf buffer.

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
    """How many records are in a span of a ring if all are committed and have `payload` bytes; 0 if one is not so.

    A look at the headers alone, for the ring whose records are all of one struct: a tenth of the cost of a walk.
    """
    step = ring_record_bytes(payload)
    span: Any = (ctypes.c_char * nbytes).from_address(address)
    headers = np.ndarray((nbytes // step,), np.uint32, span, strides=(step,))
    return len(headers) if (headers == payload).all() else 0


def ring_record_bytes(payload: int) -> int:
    """What a payload takes in a ring, with its header and padding."""
    return (payload + RING_HEADER_BYTES + 7) & ~7


def next_ring_record_bytes(address: int) -> int:
    """What the record at `address` takes in its ring; 0 while it is being written."""
    header = ctypes.c_uint32.from_address(address).value
    return 0 if header & _BUSY else ring_record_bytes(header & _LENGTH)


def _joined(arrays: list[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else np.concatenate([np.empty(0, np.uint32), *arrays])
