"""A loaded guest: it takes chunks of records and returns columns.

It owns the instance and replaces it after every failure, since the memory of a failed guest cannot be trusted. It owns
the settings, which it passes to each new instance, and it checks every address and offset that a guest returns. It does
not find the records in a span; `transform` and `spans` do that.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from quarterdeck.wasm.contract import SETTER_PREFIX, check_module, check_setters, describe
from quarterdeck.wasm.description import NUMBER_TYPES, Description, Layout, OutputColumn, Setting
from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import InvalidOutput, InvalidSetting, OutOfMemory, TransformFailed
from quarterdeck.wasm.instance import Instance, Limits, LogSink, guest_log

# bytes of a span that are passed in one call: enough records that the cost of the call is small, few enough for the L2
# cache
CHUNK_BYTES = 512 * 1024

Array = np.ndarray[Any, np.dtype[Any]]
#: the values of a column; for values that differ in length, rows + 1 int32 offsets and the items they refer to
Values = Array | tuple[Array, Array]

_COUNTS = 5  # consumed, records, rows, rejected, lost


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a guest for one chunk. The arrays are guest memory: copy or encode them before the next call."""

    columns: dict[str, Values]
    rows: int
    records: int  #: input records that were processed
    consumed: int  #: bytes of the input that were processed
    rejected: int  #: records that were too short for the guest's struct or too large for its buffers
    lost: int  #: records that the kernel reported as dropped (perf buffers)


class Guest:
    """A loaded guest. Creating it raises `InvalidGuest`, `InvalidSetting`, or `TransformFailed` if it cannot start."""

    def __init__(
        self,
        engine: Engine,
        wasm: bytes,
        *,
        settings: Mapping[str, float] | None = None,
        limits: Limits | None = None,
        log: LogSink = guest_log,
    ) -> None:
        self._engine = engine
        self._limits = limits or Limits()
        self._log = log
        self._module = engine.compile(wasm)
        check_module(self._module)
        self._instance: Instance | None = self._new_instance()
        self.description: Description = describe(self._instance)
        check_setters(self._module, self.description)
        self._settings = _checked_settings(self.description, settings or {})
        self._result = struct.Struct(f"<{_COUNTS + 2 * len(self.description.columns)}I")
        self._input = 0
        self._capacity = CHUNK_BYTES
        self._prepare(self._instance)

    @property
    def capacity(self) -> int:
        """Return the most bytes that one chunk may have."""
        return self._capacity

    def grow(self, size: int) -> None:
        """Reserve memory for chunks of `size` bytes, for an unusually large record. Raise `OutOfMemory`."""
        if size > self._capacity:
            self._capacity = size
            self._input = self._input_buffer(self._running())

    def give(self, layout: Layout, address: int, size: int) -> Output:
        """Pass the `size` bytes at `address` of this process to the guest and return its output.

        `size` is at most `capacity`. Raise `TransformFailed`; the next call then uses a new instance.
        """
        instance = self._running()
        try:
            ctypes.memmove(instance.address + self._input, address, size)
            return self._read_output(instance, instance.transform(layout, self._input, size), size)
        except TransformFailed:
            self._instance = None
            raise

    def _running(self) -> Instance:
        if self._instance is None:
            instance = self._new_instance()
            self._prepare(instance)
            self._instance = instance
        return self._instance

    def _new_instance(self) -> Instance:
        return Instance(self._engine, self._module, limits=self._limits, log=self._log)

    def _prepare(self, instance: Instance) -> None:
        for name, value in self._settings.items():
            instance.call(SETTER_PREFIX + name, value)
        self._input = self._input_buffer(instance)

    def _input_buffer(self, instance: Instance) -> int:
        address: int = instance.call("qd_input", self._capacity) & 0xFFFFFFFF
        if not address:
            raise OutOfMemory(
                f"the guest has no room for {self._capacity} bytes of input: its memory has {instance.size} "
                f"bytes of at most "
                f"{self._limits.memory_bytes}. Lower QD_ROWS or QD_ITEMS, or raise the limit"
            )
        if address % 8 or address + self._capacity > instance.size:
            raise InvalidOutput(
                f"qd_input({self._capacity}) returned {address:#x}, expected an address of that many bytes in "
                f"the guest's memory "
                f"of {instance.size} bytes, divisible by 8"
            )
        return address

    def _read_output(self, instance: Instance, address: int, size: int) -> Output:
        consumed, records, rows, rejected, lost, *places = self._result.unpack(
            instance.read(address, self._result.size)
        )
        if consumed > size:
            raise InvalidOutput(f"the guest says that it consumed {consumed} bytes of {size}")
        columns = {
            column.name: _values(instance, column, rows, places[2 * index], places[2 * index + 1])
            for index, column in enumerate(self.description.columns)
        }
        return Output(columns=columns, rows=rows, records=records, consumed=consumed, rejected=rejected, lost=lost)


def _values(instance: Instance, column: OutputColumn, rows: int, values: int, offsets: int) -> Values:
    dtype = column.dtype
    if not column.varying:
        array = _array(instance, column, dtype, rows, values)
        return array != 0 if column.type == "bool" else array
    ends = _array(instance, column, _OFFSETS, rows + 1, offsets)
    if ends[0] != 0 or (ends[1:] < ends[:-1]).any():
        raise InvalidOutput(f"the offsets of the column {column.name} do not start at 0 or go back")
    return ends, _array(instance, column, dtype, int(ends[-1]), values)


_OFFSETS = np.dtype("int32")


def _array(instance: Instance, column: OutputColumn, dtype: np.dtype[Any], count: int, address: int) -> Array:
    if address + count * dtype.itemsize > instance.size or address % dtype.base.itemsize:
        raise InvalidOutput(
            f"the column {column.name} ({column.type}) is said to have {count} values at {address:#x}: outside "
            f"the guest's memory "
            f"of {instance.size} bytes, or not aligned to {dtype.base.itemsize}"
        )
    return np.ndarray((count,), dtype, instance.view, address)


def _checked_settings(description: Description, settings: Mapping[str, float]) -> dict[str, float]:
    """Return the settings as the numbers that their setters take.

    Raise `InvalidSetting` with the valid names or values.
    """
    known = {setting.name: setting for setting in description.settings}
    for name in settings:
        if name not in known:
            names = ", ".join(known) or "none"
            raise InvalidSetting(f"the transform has no setting {name!r}; it has: {names}")
    return {name: _number(known[name], value) for name, value in settings.items()}


def _number(setting: Setting, value: object) -> float:
    dtype = NUMBER_TYPES[setting.type]
    if setting.type == "bool" and isinstance(value, bool):
        return int(value)
    if dtype.kind == "f" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if dtype.kind in "iu" and setting.type != "bool" and isinstance(value, int) and not isinstance(value, bool):
        bounds = np.iinfo(dtype)
        if bounds.min <= value <= bounds.max:
            bits = 64 if dtype.itemsize == 8 else 32
            return value - (1 << bits) if value >> (bits - 1) == 1 else value  # wasm's integers are unsigned
        raise InvalidSetting(f"{setting.name} is a {setting.type}, {bounds.min} to {bounds.max}; found {value}")
    raise InvalidSetting(f"{setting.name} is a {setting.type}; found {value!r}, a {type(value).__name__}")
