"""The build of guests from C source, with the clang that PyPI distributes as `ziglang`.

It owns the compiler's flags and the folder of the built-in guests. `python -m quarterdeck.wasm.build` compiles these
guests; the build of the wheel and `make setup` run it. It needs neither wasmtime nor numpy, and never runs a guest.
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
STACK_BYTES = 65_536  # placed below the data, so that an overflow traps
COMPILE_LIMIT_S = 120.0

FLAGS = (
    *("-target", "wasm32-freestanding", "-std=gnu23", "-O3", "-g0", "-fno-sanitize=all", "-nostdlib"),
    *("-Wall", "-Wextra", "-Wno-unused-parameter", "-fno-color-diagnostics"),
    *("-Wl,--no-entry", f"-Wl,-z,stack-size={STACK_BYTES}"),
)


def compile_guest(source: bytes | Path, out: Path, *, include: Sequence[Path] = ()) -> str:
    """Compile a guest to `out` (replaced atomically) and return the compiler's warnings, "" when there are none.

    Headers are searched for in the folder of the source, in `include`, and then here (`quarterdeck.h`). Raise
    `CompileFailed` with the compiler's output.
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
        done = _compile(arguments(path, result, include=include))
        words = done.stderr.strip().replace(f"{folder}/", "")
        if done.returncode:
            raise CompileFailed(words or f"the compiler ended with {done.returncode} and without output")
        result.chmod(0o644)
        result.replace(out)
    return words


def arguments(source: Path, out: Path, *, include: Sequence[Path] = ()) -> list[str]:
    """Return the arguments of `zig cc` that compile a guest."""
    folders = [f"-I{folder}" for folder in (*include, INCLUDE)]
    return [*FLAGS, *folders, "-o", str(out), "-x", "c", str(source)]


def build_guests(folder: Path = GUESTS) -> list[Path]:
    """Compile every built-in guest into `folder` and return the files."""
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
    """Return the environment of zig, with the user's cache for its cache folders unless the environment sets them."""
    base = environment.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    cache = str(Path(base) / "quarterdeck" / "zig")
    return {"ZIG_GLOBAL_CACHE_DIR": cache, "ZIG_LOCAL_CACHE_DIR": cache, **environment}


if __name__ == "__main__":
    for guest in build_guests():
        sys.stdout.write(f"{guest}\n")
