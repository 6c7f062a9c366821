"""The tally: takes statsd lines and holds sums by key, in the memory of a WASM guest (`wasm/guests/statsd.wasm.c`).

Owns that memory and its layout. A batch costs one call, whatever its content: the guest parses, finds keys and adds up.
Used by one thread at a time. The guest's limits: 16,384 keys, 4 MiB of names, 262,144 cells (a cell is one member of a
set, or the samples of a timer that are within 1.6 % of each other). What exceeds them is counted.
"""

from __future__ import annotations

import ctypes
from enum import IntEnum
from typing import Any

import numpy as np
import wasmtime
from numpy.typing import NDArray

from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.spans import built_in
from quarterdeck.wasm.unchecked import TransformCall, bind

INPUT_BYTES = 256 * 1024
PACKETS = 128  #: packets that can be received at once
PACKET_BYTES = 64 * 1024  #: from the beginning of one packet to the next
PACKET_ROOM_BYTES = PACKET_BYTES - 16  #: a longer one is cut
KEYS = 16 * 1024
TEXT_BYTES = 4 * 1024 * 1024
CELLS = 256 * 1024

KEY = np.dtype(
    [
        ("hash", "<u8"),
        *((name, "<u4") for name in ("source", "text", "name_size", "tags_size", "kind", "idle")),
        ("samples", "<u8"),
        *((name, "<f8") for name in ("count", "sum", "min", "max", "last")),
    ]
)
CELL = np.dtype([("what", "<u8"), ("key", "<u4"), ("slot", "<u4"), ("weight", "<f8")])


class _Sample(ctypes.LittleEndianStructure):
    _fields_ = (("size", ctypes.c_uint32), ("text", ctypes.c_ubyte * 120))

    def __str__(self) -> str:
        return bytes(self.text[: self.size]).decode(errors="backslashreplace")


class Report(ctypes.LittleEndianStructure):
    """The events of this interval; `keys`, `cells` and `texts` are the parts in use."""

    _fields_ = (
        *((name, ctypes.c_uint64) for name in ("lines", "packets", "malformed", "changed", "keyless", "crowded")),
        *((name, ctypes.c_uint64) for name in ("events", "checks")),
        *((name, ctypes.c_uint32) for name in ("keys", "cells", "texts", "pad")),
        ("malformed_sample", _Sample),
        ("changed_sample", _Sample),
    )
    lines: int
    packets: int
    malformed: int  #: lines that are not metrics
    changed: int  #: lines whose key is of another kind
    keyless: int  #: lines whose key exceeds the limit
    crowded: int  #: samples whose cell exceeds the limit: counted and summed, but missing in percentiles and sets
    events: int  #: lines that are an event, not a metric
    checks: int  #: lines that are a service check, not a metric
    keys: int
    cells: int
    texts: int
    malformed_sample: _Sample  #: the first of them
    changed_sample: _Sample


class _Place(IntEnum):
    """Arguments of the guest's function `place`."""

    INPUT = 0
    PACKETS = 1
    HEADERS = 2
    KEYS = 3
    CELLS = 4
    TEXTS = 5
    REPORT = 6


class Tally:
    """Keys and their sums. An Engine compiles its guest once (and keeps it, where it has a cache)."""

    def __init__(self, engine: Engine) -> None:
        self._store = wasmtime.Store(engine.wasmtime)
        self._store.set_epoch_deadline(1 << 62)  # its loops end with their input
        exports = wasmtime.Instance(self._store, engine.compile(built_in("statsd")), []).exports(self._store)
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        size = memory.data_len(self._store)
        base = ctypes.addressof(memory.data_ptr(self._store).contents)  # it never grows, so it never moves
        place = _function(self._store, exports["place"])
        self._feed = _function(self._store, exports["feed"])
        self._receive = _function(self._store, exports["receive"])
        self._turn = _function(self._store, exports["turn"])
        at = {each: base + place(each, 0, 0) for each in _Place}
        assert max(at.values()) < base + size
        #: where packets and their headers are written, as addresses of this process
        self.packets, self.headers = at[_Place.PACKETS], at[_Place.HEADERS]
        self._input = memoryview((ctypes.c_ubyte * INPUT_BYTES).from_address(at[_Place.INPUT])).cast("B")
        self._keys = _array(at[_Place.KEYS], KEY, KEYS)
        self._cells = _array(at[_Place.CELLS], CELL, CELLS)
        self._texts = _array(at[_Place.TEXTS], np.dtype(np.uint8), TEXT_BYTES)
        self.report = Report.from_address(at[_Place.REPORT])

    def feed(self, source: int, data: bytes | memoryview) -> None:
        """Take lines; the last may lack its end. `source`: a number that identifies the source of keys."""
        rest = memoryview(data).cast("B")
        while len(rest) > INPUT_BYTES:
            piece = bytes(rest[:INPUT_BYTES])
            end = piece.rfind(b"\n") + 1 or INPUT_BYTES  # a longer line is invalid
            self._put(source, rest[:end])
            rest = rest[end:]
        self._put(source, rest)

    def receive(self, source: int, packets: int) -> None:
        """Take the packets in `packets`, as recvmmsg(2) described them in `headers`."""
        self._receive(source, packets, 0)

    def keys(self) -> NDArray[Any]:
        """Return every known key (`KEY`), as a view; also those without samples in this interval."""
        return self._keys[: self.report.keys]

    def cells(self) -> NDArray[Any]:
        """Return the cells of timers and sets in this interval (`CELL`), as a view; `key` is a place in `keys`."""
        return self._cells[: self.report.cells]

    def texts(self) -> NDArray[np.uint8]:
        """Return names and tags, as a view: of a key, `name_size` bytes from `text`, then `tags_size`."""
        return self._texts[: self.report.texts]

    def turn(self, *, idle: int) -> None:
        """Start an interval. Keys without a sample in the last `idle` ones are forgotten."""
        self._turn(idle, 0, 0)

    def _put(self, source: int, data: memoryview) -> None:
        self._input[: len(data)] = data
        self._feed(source, len(data), 0)


def _function(store: wasmtime.Store, export: object) -> TransformCall:
    assert isinstance(export, wasmtime.Func)
    return bind(store, export)


def _array(address: int, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
    view = (ctypes.c_ubyte * (dtype.itemsize * length)).from_address(address)
    return np.frombuffer(memoryview(view).cast("B"), dtype)
