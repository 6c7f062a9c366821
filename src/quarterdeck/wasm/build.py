"""Guests from C source to wasm, with the clang that comes as `ziglang` from PyPI.

It owns the compiler's flags and the built-in guests' place; `python -m quarterdeck.wasm.build` compiles those (the
wheel's build and `make setup` do). It needs neither wasmtime nor numpy, and never runs what it made.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from quarterdeck.wasm.errors import CompileFailed

PACKAGE = Path(__file__).parent
INCLUDE = PACKAGE / "include"
GUESTS = PACKAGE / "guests"
STACK_BYTES = 65_536  # below the data, so that an overflow traps
COMPILE_LIMIT_S = 120.0

FLAGS = (
    *("-target", "wasm32-freestanding", "-std=gnu23", "-O3", "-g0", "-fno-sanitize=all", "-nostdlib"),
    *("-Wall", "-Wextra", "-Wno-unused-parameter", "-fno-color-diagnostics"),
    *("-Wl,--no-entry", f"-Wl,-z,stack-size={STACK_BYTES}"),
)


def compile_guest(source: bytes | Path, out: Path, *, include: Sequence[Path] = ()) -> str:
    """Compile a guest to `out` (replaced whole) and return the compiler's warnings, "" when there are none.

    Headers are looked for beside the source, in `include`, and then here (`quarterdeck.h`). CompileFailed has the
    compiler's own lines.
    """
    if importlib.util.find_spec("ziglang") is None:
        raise CompileFailed(
            "no compiler: guests are compiled with ziglang, install it with `pip install 'quarterdeck[build]'`"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".compile-") as folder:
        if isinstance(source, bytes):
            path = Path(folder) / "guest.wasm.c"
            path.write_bytes(source)
        else:
            path = source
        result = Path(folder) / "guest.wasm"
        folders = [f"-I{folder}" for folder in (*include, INCLUDE)]
        done = _compile([*FLAGS, *folders, "-o", str(result), "-x", "c", str(path)])
        words = done.stderr.strip().replace(f"{folder}/", "")
        if done.returncode:
            raise CompileFailed(words or f"the compiler ended with {done.returncode} and said nothing")
        result.chmod(0o644)
        result.replace(out)
    return words


def build_guests(folder: Path = GUESTS) -> list[Path]:
    """Compile every built-in guest into `folder`; returns what was made."""
    made: list[Path] = []
    for source in sorted(GUESTS.glob("*.wasm.c")):
        out = folder / source.name.removesuffix(".c")
        compile_guest(source, out)
        made.append(out)
    return made


def _compile(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [sys.executable, "-m", "ziglang", "cc", *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            env=_environment(os.environ),
            timeout=COMPILE_LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CompileFailed(f"the compiler did not finish within {COMPILE_LIMIT_S:g} s") from None


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """zig wants two cache folders; both are the user's cache unless the environment names others."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = str(Path(base) / "quarterdeck" / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, **environment}


if __name__ == "__main__":
    for guest in build_guests():
        sys.stdout.write(f"{guest}\n")
