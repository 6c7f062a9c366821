"""Reads strings from records, one field of all records at once: finds NULs, packs bytes, counts offsets.

NumPy needs 40–170 ns per string for this (it cannot copy pieces of different lengths at once), a loop in WebAssembly
6–20 ns. Owns that loop's memory, into which the records are copied once for all of their text fields. Used by one
thread at a time; it returns copies.
"""

from __future__ import annotations

import ctypes
import struct
from enum import IntEnum
from importlib.resources import files

import numpy as np
import wasmtime

from quarterdeck.bpf.records import Records
from quarterdeck.columns.values import NO_BYTES, Varying
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.unchecked import bind

_PAGE_BYTES = 65_536
_SLACK_BYTES = 16  # the loop moves 16 bytes at a time
_PARAMETERS = struct.Struct("<9I")
_INPUT = 64  # where the records' bytes begin, behind the parameters


class End(IntEnum):
    """The end of a string; the numbers are those of the loop."""

    NUL = 0  #: before its first NUL
    FIELD = 1  #: with the field or the record
    LAST = 2  #: before its trailing NULs


class Texts:
    """The compiled loop. An Engine compiles it once (and keeps it, where it has a cache)."""

    def __init__(self, engine: Engine) -> None:
        source = (files("quarterdeck.agent.modules") / "gather.wat").read_bytes()
        self._store = wasmtime.Store(engine.wasmtime)
        self._store.set_epoch_deadline(1 << 62)  # the loop always ends
        module = engine.compile(bytes(wasmtime.wat2wasm(source)))
        exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        memory, gather = exports["memory"], exports["gather"]
        assert isinstance(memory, wasmtime.Memory)
        assert isinstance(gather, wasmtime.Func)
        self._memory = memory
        self._gather = bind(self._store, gather)
        self._loaded: Records | None = None
        self._grow(_PAGE_BYTES)

    def forget(self) -> None:
        """Drop the reference to the last records: their memory may be returned."""
        self._loaded = None

    def take(self, records: Records, *, offset: int, width: int, end: End) -> Varying:
        """Return the strings that begin `offset` bytes into each record, in at most `width` bytes."""
        n = len(records)
        if not n:
            return Varying(np.zeros(1, np.int32), NO_BYTES)
        if self._loaded is not records:
            self._load(records)
        fields = self._input, self._starts, self._sizes, n, offset, int(end), self._offsets, self._items, width
        _PARAMETERS.pack_into(self._bytes.data, 0, *fields)
        size = self._gather(0, 0, 0)
        offsets = np.ndarray((n + 1,), np.int32, self._bytes, self._offsets)
        return Varying(offsets.copy(), self._bytes[self._items : self._items + size].copy())

    def _load(self, records: Records) -> None:
        """Copy the records in, and place the arrays behind them."""
        n = len(records)
        first, last = int(records.offsets[0]), int(records.offsets[-1])
        size = last + int(records.sizes[-1]) - first
        self._input = _INPUT
        self._starts = _aligned(_INPUT + size + _SLACK_BYTES)
        self._sizes = self._starts + 4 * n
        self._offsets = self._sizes + 4 * n
        self._items = _aligned(self._offsets + 4 * (n + 1))
        self._grow(self._items + size + _SLACK_BYTES)
        self._bytes[_INPUT : _INPUT + size] = records.data[first : first + size]
        starts = np.ndarray((n,), np.uint32, self._bytes, self._starts)
        np.subtract(records.offsets, first, out=starts, casting="unsafe")
        np.ndarray((n,), np.uint32, self._bytes, self._sizes)[:] = records.sizes
        self._loaded = records

    def _grow(self, size: int) -> None:
        have = self._memory.data_len(self._store)
        if size > have or not hasattr(self, "_bytes"):
            self._memory.grow(self._store, max(0, -(-(size - have) // _PAGE_BYTES)))
            length = self._memory.data_len(self._store)
            address = ctypes.addressof(self._memory.data_ptr(self._store).contents)
            self._bytes = np.ctypeslib.as_array((ctypes.c_uint8 * length).from_address(address))


def _aligned(address: int) -> int:
    return -(-address // 16) * 16
