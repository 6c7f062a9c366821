"""One guest in a memory of its own: called without reflection, read without a copy, limited in memory and time.

It owns the wasmtime store, and so the guest's whole state. Arrays that refer to its memory keep that memory mapped: a
late reader sees newer bytes, never an unmapped page. One thread uses it at a time. It does not decide what a failure
means for a batch; the transform does.
"""

from __future__ import annotations

import ctypes
import logging
from collections.abc import Callable
from typing import Any

import msgspec
import wasmtime

from quarterdeck.wasm.engine import Engine
from quarterdeck.wasm.errors import (
    InvalidGuest,
    InvalidOutput,
    OutOfMemory,
    TimedOut,
    TransformFailed,
    Trapped,
    WasmError,
)
from quarterdeck.wasm.unchecked import bind

LOG_LINES_PER_CALL = 16
LOG_LINE_LIMIT_BYTES = 1024
TABLE_LIMIT_ELEMENTS = 65_536

LogSink = Callable[[int, str], None]

guest_log: LogSink = logging.getLogger("quarterdeck.wasm.guest").log


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a guest: bytes of linear memory in total, and seconds for one call."""

    memory_bytes: int = 64 * 1024 * 1024
    time_s: float = 1.0


class Instance:
    """A running guest whose exports were checked. `view` is its memory as a buffer, `address` the start of that buffer.

    Creating it raises `InvalidGuest` or `TransformFailed` when the guest cannot be started. `log` receives a level
    (10–40) and a line.
    """

    def __init__(self, engine: Engine, module: wasmtime.Module, *, limits: Limits, log: LogSink = guest_log) -> None:
        self._ticker = engine.ticker
        self._ticks = engine.ticks(limits.time_s)
        self._limits = limits
        self._log = log
        self._lines = _LogLines()
        self._store = wasmtime.Store(engine.wasmtime)
        self._store.set_limits(
            memory_size=limits.memory_bytes, table_elements=TABLE_LIMIT_ELEMENTS, instances=1, tables=4, memories=1
        )
        self._memory: wasmtime.Memory | None = None
        self.view: Any = None
        exports = self._instantiate(module)
        self._memory = exports["memory"]
        self._functions = {name: value for name, value in exports.items() if isinstance(value, wasmtime.Func)}
        self._transform = bind(self._store, self._functions["qd_transform"])
        self._rebind()
        if "_initialize" in self._functions:  # the constructors of C++, Rust, TinyGo …
            self.call("_initialize")

    def _instantiate(self, module: wasmtime.Module) -> dict[str, Any]:
        imports: list[Any] = []
        if module.imports:
            log_type = wasmtime.FuncType([wasmtime.ValType.i32()] * 3, [])
            imports = [wasmtime.Func(self._store, log_type, self._lines.append, access_caller=True)]
        instance = self._run(wasmtime.Instance, self._store, module, imports)
        return dict(instance.exports(self._store).items())

    def call(self, name: str, *arguments: float) -> Any:
        """Call an export with wasmtime's own checks (45 µs). Raise `TransformFailed`."""
        result = self._run(self._functions[name], self._store, *arguments)
        self._rebind()
        return result

    def transform(self, layout: int, address: int, size: int) -> int:
        """Call `qd_transform` and return the address of the result. Raise `TransformFailed`."""
        result: int = self._run(self._transform, layout, address, size)
        assert self._memory is not None
        if self._memory.data_len(self._store) != self.size:
            self._rebind()
        return result

    def read(self, address: int, size: int) -> bytes:
        """Return a copy of guest memory. Raise `InvalidOutput` when it is outside."""
        if not 0 <= address <= address + size <= self.size:
            raise InvalidOutput(
                f"the guest points at {size} bytes at {address:#x}, but its memory has {self.size} bytes"
            )
        return ctypes.string_at(self.address + address, size)

    def _rebind(self) -> None:
        """Renew `view` and `address` after the memory has grown, and possibly moved."""
        assert self._memory is not None
        self.size = self._memory.data_len(self._store)
        self.address = ctypes.addressof(self._memory.data_ptr(self._store).contents)
        view: Any = (ctypes.c_char * self.size).from_address(self.address)
        view.owner = self._store  # keeps the memory mapped while an array refers to it
        self.view = view

    def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Run guest code under the time limit and deliver its log lines. A trap becomes a `TransformFailed`."""
        self._store.set_epoch_deadline(self._ticks)
        try:
            with self._ticker:
                return function(*arguments)
        except wasmtime.Trap as trap:
            raise self._failure(trap) from None
        except wasmtime.WasmtimeError as error:
            raise self._refusal(error) from None
        finally:
            if self._lines.count:
                self._lines.deliver(self._log)

    def _refusal(self, error: wasmtime.WasmtimeError) -> WasmError:
        if self._memory is not None:
            return Trapped(f"the call into the guest failed: {error}")
        if "memory" in str(error) and "limit" in str(error):
            return OutOfMemory(
                f"the guest starts with more memory than its limit of {self._limits.memory_bytes} bytes: {error}; "
                "lower QD_ROWS or QD_ITEMS, or raise the limit"
            )
        return InvalidGuest(f"the guest cannot be instantiated: {error}")

    def _failure(self, trap: wasmtime.Trap) -> TransformFailed:
        where = next((f" in {frame.func_name}" for frame in trap.frames if frame.func_name), "")
        if trap.trap_code is wasmtime.TrapCode.INTERRUPT:
            return TimedOut(f"the guest did not return within {self._limits.time_s:g} s{where}")
        reason = trap.message.strip().splitlines()[-1].strip().removeprefix("wasm trap: ")
        size = self._memory.data_len(self._store) if self._memory else 0
        if size > self._limits.memory_bytes // 2:  # an allocator that doubles its memory would now be refused
            return OutOfMemory(
                f"the guest trapped{where} ({reason}) with {size} bytes of memory, its limit being "
                f"{self._limits.memory_bytes}: it could most likely not get more"
            )
        return Trapped(f"the guest trapped{where}: {reason}")


class _LogLines:
    """The log lines of one call. They are kept until the call has returned, and limited in number.

    It refers to neither store nor instance, because wasmtime keeps the callback as long as the store exists.
    """

    def __init__(self) -> None:
        self.count = 0
        self._lines: list[tuple[int, str]] = []

    def append(self, caller: wasmtime.Caller, level: int, address: int, size: int) -> None:
        self.count += 1
        if self.count > LOG_LINES_PER_CALL:
            return
        memory = caller.get("memory")
        assert isinstance(memory, wasmtime.Memory)
        start, size = address & 0xFFFFFFFF, min(size & 0xFFFFFFFF, LOG_LINE_LIMIT_BYTES)
        text = bytes(memory.read(caller, start, start + size)).decode(errors="replace")
        self._lines.append((min(max(level, logging.DEBUG), logging.ERROR), text))

    def deliver(self, log: LogSink) -> None:
        lines, self._lines = self._lines, []
        omitted, self.count = self.count - len(lines), 0
        for level, text in lines:
            log(level, text)
        if omitted:
            log(logging.WARNING, f"{omitted} more lines of the same call were left out")
