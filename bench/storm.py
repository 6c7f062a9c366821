"""A storm of system calls to measure with: the process that makes them, and the modules that see them.

Owns the process (`storm.c`, compiled with the compiler that modules are built with) and its protocol.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from bench.measure import PRODUCER_CPU, pin
from quarterdeck.modulekit import cache
from quarterdeck.modulekit.folder import read_folder

HERE = Path(__file__).parent


class Made(NamedTuple):
    """What a storm made in one go."""

    calls: int
    seconds: float


class Storm:
    """A process that calls getppid() on one CPU; a context manager that ends it."""

    def __init__(self, cpu: int = PRODUCER_CPU) -> None:
        self._process = subprocess.Popen([_program()], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        pin(cpu, self._process.pid)
        self.pid, self.syscall = map(int, self._answer().split())

    def begin(self, seconds: float, *, rate: float = 0) -> None:
        """Start calling, `rate` times a second; 0 is as often as it can."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds} {rate}\n")
        self._process.stdin.flush()

    def end(self) -> Made:
        """Wait until it is over."""
        calls, nanoseconds = map(int, self._answer().split())
        return Made(calls, nanoseconds / 1e9)

    def blow(self, seconds: float, *, rate: float = 0) -> Made:
        """Both."""
        self.begin(seconds, rate=rate)
        return self.end()

    @property
    def settings(self) -> dict[str, int]:
        """Of the modules that see it."""
        return {"only_pid": self.pid, "only_syscall": self.syscall}

    def _answer(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the storm's process ended with {self._process.wait()}")
        return line

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._process.kill()
        self._process.communicate()


def storm_module(*, through_wasm: bool = False) -> dict[str, bytes]:
    """The files of the module that sees a storm as it is, or of the one with a transform."""
    files = read_folder(HERE / "modules" / "storm")
    return files | read_folder(HERE / "modules" / "storm_slow") if through_wasm else files


def _program() -> Path:
    """The compiled process, from the cache of compiled modules."""
    source = HERE / "storm.c"
    program = cache.folder() / f"storm-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}"
    if not program.is_file():
        made = program.with_suffix(".new")
        subprocess.run([sys.executable, "-m", "ziglang", "cc", "-O2", "-o", made, source], check=True)
        made.replace(program)
    return program
