"""The engine: it compiles guests, caches the result on disk, and ends guests that do not return.

A process has one engine; its transforms share the compiler's settings, the cache and one ticker thread. The thread
advances the epoch only while a call is in flight and otherwise sleeps without a timeout, so that an idle agent is not
woken. The engine never runs a guest itself.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import time
from pathlib import Path

import wasmtime

from quarterdeck.wasm.errors import InvalidGuest

GUEST_LIMIT_BYTES = 16 * 1024 * 1024
TICK_S = 0.05  #: precision of a time limit
MAGIC = b"\0asm"
_DIGEST_BYTES = 32

_log = logging.getLogger(__name__)


class Engine:
    """The compiler of guests for this machine. Threads may share it; `close` ends its ticker thread.

    `cache` is a folder for compiled guests, created with mode 0700. Its files are run as native code, so only this user
    may have access; a guest whose file is damaged is compiled again.
    """

    def __init__(self, *, cache: Path | None = None) -> None:
        config = wasmtime.Config()
        config.epoch_interruption = True
        # The embedded store handles SIGSEGV and SIGILL of the whole process: it would treat a trap as a crash.
        config.signals_based_traps = False
        # a transform is small, and the compiler's threads would continue to exist after their use
        config.parallel_compilation = False
        config.wasm_threads = False
        config.wasm_memory64 = False
        config.wasm_multi_memory = False
        self._engine = wasmtime.Engine(config)
        self._cache = cache
        self._ticker = Ticker(self._engine)

    @property
    def wasmtime(self) -> wasmtime.Engine:
        return self._engine

    def compile(self, wasm: bytes) -> wasmtime.Module:
        """Return the guest as native code, from the cache if possible.

        Raise `InvalidGuest` with the compiler's message.
        """
        _check_binary(wasm)
        entry = self._entry(wasm)
        if entry is not None and (module := self._cached(entry)) is not None:
            return module
        try:
            module = wasmtime.Module(self._engine, wasm)
        except wasmtime.WasmtimeError as error:
            raise InvalidGuest(f"this is not valid WebAssembly: {error}") from None
        if entry is not None:
            try:
                _write(entry, bytes(module.serialize()))
            except OSError as error:  # with a full disk, the next start takes 5 ms longer
                _log.warning("a compiled guest could not be kept in %s: %s", entry.parent, error)
        return module

    def ticks(self, seconds: float) -> int:
        """Return the number of epochs in `seconds`, at least two, because the first may be about to end."""
        return max(2, round(seconds / TICK_S) + 1)

    @property
    def ticker(self) -> Ticker:
        """Advance the epoch every TICK_S while the context is entered, so that a deadline can pass."""
        return self._ticker

    def close(self) -> None:
        """End the ticker thread. Calls in flight lose their time limit, so call this when there are none."""
        self._ticker.close()

    def _entry(self, wasm: bytes) -> Path | None:
        if self._cache is None:
            return None
        name = f"{hashlib.sha256(wasm).hexdigest()}.{_release()}-{os.uname().machine}"
        return self._cache / name

    def _cached(self, entry: Path) -> wasmtime.Module | None:
        """Return the module in `entry`, or None if it is missing, of another user, damaged or for another CPU."""
        try:
            status = entry.stat()
            content = entry.read_bytes()
        except OSError:  # usually because it does not exist yet
            return None
        digest, code = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        private = status.st_uid == os.geteuid() and not status.st_mode & 0o022
        if not private or hashlib.sha256(code).digest() != digest:
            return None
        try:
            return wasmtime.Module.deserialize(self._engine, code)
        except wasmtime.WasmtimeError:  # compiled on a CPU with other features: compile for this one
            return None


def _release() -> str:
    """Return the release of wasmtime, "wasmtime-49.0.0", from the name of the folder that its installer created.

    importlib.metadata would read the same folder, and hold 1.6 MB until the process ends. The library itself refuses
    modules that another major release compiled.
    """
    found = sorted(path.stem for path in Path(wasmtime.__file__).parents[1].glob("wasmtime-*.dist-info"))
    return found[-1] if found else "wasmtime"


class Ticker:
    """A thread that advances an engine's epoch while calls are in flight. It costs a call two short locks."""

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._changed = threading.Condition()
        self._calls = 0
        self._awake = False
        self._closed = False
        self._thread: threading.Thread | None = None

    def __enter__(self) -> None:
        with self._changed:
            self._calls += 1
            if self._awake:
                return
            self._awake = True
            if self._thread is None:
                self._closed = False
                self._thread = threading.Thread(target=self._run, name="wasm-epoch", daemon=True)
                self._thread.start()
            self._changed.notify()

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._calls -= 1

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._calls:
                    self._awake = False
                while not self._awake and not self._closed:
                    self._changed.wait()
                if self._closed:
                    self._awake = False
                    return
            time.sleep(TICK_S)
            self._engine.increment_epoch()


def _check_binary(wasm: bytes) -> None:
    if len(wasm) > GUEST_LIMIT_BYTES:
        raise InvalidGuest(
            f"the guest has {len(wasm)} bytes, the limit is {GUEST_LIMIT_BYTES}: strip its debug information"
        )
    if wasm[:4] != MAGIC:
        found = "an ELF object" if wasm[:4] == b"\x7fELF" else f"bytes that start with {wasm[:8].hex(' ') or 'nothing'}"
        raise InvalidGuest(f"expected a WebAssembly module (it starts with 00 61 73 6d), found {found}")
    if wasm[4:8] == b"\x0d\0\1\0":
        raise InvalidGuest(
            "this is a WebAssembly component, a transform is a core module: build for wasm32-freestanding "
            "(C, Zig) or wasm32-unknown-unknown (Rust), and do not run `wasm-tools component new`"
        )


def _write(entry: Path, code: bytes) -> None:
    """Write a compiled guest to the cache atomically."""
    entry.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=entry.parent, delete=False) as file:
        file.write(hashlib.sha256(code).digest() + code)
    Path(file.name).replace(entry)
