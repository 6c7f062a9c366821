"""The clang in the PyPI package `ziglang`, run without access to other files and with limited resources.

It owns how the compiler is started (`confine`), which files it sees (its own, the given headers, the sources), how long
a build may take, and the error when it is stopped. `compile` and `wasm.build` decide what is compiled with which flags.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from quarterdeck.model.errors import NotInstalled, TimedOut
from quarterdeck.modulekit.confine import CANNOT_CONFINE, Request

TIME_LIMIT_S = 30.0  #: for all compilations of a build together; each takes half a second
MEMORY_LIMIT_BYTES = 4 << 30  # of address space; the compiler itself maps 0.5 GB
OUTPUT_LIMIT_BYTES = 64 << 20  # for each file that it writes
_SHOWN_BYTES = 256 << 10  # of its output
_CONFINE = Path(__file__).with_name("confine.py")


@dataclass(frozen=True, slots=True)
class Workplace:
    """The folders of one compilation, all below `folder`."""

    folder: Path

    @property
    def sources(self) -> Path:
        """Return the folder of the files to compile."""
        return self.folder / "src"

    @property
    def out(self) -> Path:
        """Return the only folder that the compiler can write to."""
        return self.folder / "out"

    @property
    def view(self) -> Path:
        """Return the mount point of the compiler's file tree."""
        return self.folder / "view"


@contextmanager
def workplace(files: Mapping[str, bytes]) -> Generator[Workplace]:
    """Create a private folder with these sources, and remove it when the context ends."""
    with TemporaryDirectory(prefix="qd-build-") as name:
        place = Workplace(Path(name).resolve())
        for folder in (place.sources, place.out, place.view):
            folder.mkdir()
        for source, content in files.items():
            path = place.sources / source
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        yield place


class Compiler:
    """The runs of the compiler for one build, within one time limit."""

    def __init__(self, *, confined: bool = False, seconds: float = TIME_LIMIT_S, without: Sequence[str] = ()) -> None:
        """Prepare the runs.

        With `confined`, for sources that others send, refuse to run on a machine without confinement. `without` names
        the mechanisms not to use ("namespaces", "landlock").
        """
        self.confined = confined
        self._without = list(without)
        self._seconds = seconds
        self._until: float | None = None

    def run(self, arguments: Sequence[str], place: Workplace, headers: Sequence[Path]) -> tuple[bool, str]:
        """Run the compiler, and return whether it succeeded and its output.

        It sees only `place` and the folders `headers`.

        Raise `TimedOut` when the build's time is used up, and `NotInstalled` without a compiler or without confinement.
        """
        if self._until is None:
            self._until = time.monotonic() + self._seconds
        log = place.folder / "output"
        with log.open("wb") as output:
            code = self._run(self._command(arguments, place, headers), place, output.fileno())
        with log.open("rb") as output:
            text = output.read(_SHOWN_BYTES).decode("utf-8", "replace")
        if code == CANNOT_CONFINE:
            raise _cannot_confine(text)
        return code == 0, text

    def _command(self, arguments: Sequence[str], place: Workplace, headers: Sequence[Path]) -> list[str]:
        package = ziglang()
        zig = package / ("zig.exe" if sys.platform == "win32" else "zig")
        command = [str(zig), "cc", *arguments]
        if sys.platform != "linux":
            if self.confined:
                raise _cannot_confine("it needs Linux")
            return command
        reads = [zig, package / "lib", *(header.resolve() for header in headers)]
        request = Request(
            command=command,
            environment=_environment(place),
            folder=str(place.folder),
            reads=[str(path) for path in reads if not any(path.is_relative_to(o) for o in reads if o != path)],
            writes=[str(place.out)],
            view=str(place.view),
            cpu_s=round(self._seconds) + 1,
            memory_bytes=MEMORY_LIMIT_BYTES,
            file_bytes=OUTPUT_LIMIT_BYTES,
            required=self.confined,
            without=self._without,
        )
        return [sys.executable, "-I", "-S", str(_CONFINE), json.dumps(request)]

    def _run(self, command: list[str], place: Workplace, output: int) -> int:
        assert self._until is not None
        running = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=place.folder,
            env=_environment(place),
            start_new_session=True,
        )
        try:
            return running.wait(max(self._until - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            raise TimedOut(
                f"The compiler did not finish within {self._seconds:g} s.",
                hint="Half a second is usual: look for a header that includes itself, or for a huge macro or array.",
            ) from None
        finally:
            if running.poll() is None:
                _end(running)


def ziglang() -> Path:
    """Return the folder of the compiler's package. Raise `NotInstalled` when it is missing."""
    spec = importlib.util.find_spec("ziglang")
    if spec is None or not spec.submodule_search_locations:
        raise NotInstalled(
            "C cannot be compiled here: the Python package ziglang is not installed.",
            hint="Install it with `pip install 'quarterdeck[build]'`, or give a compiled .bpf.o instead of the .bpf.c.",
        )
    return Path(spec.submodule_search_locations[0]).resolve()


def _environment(place: Workplace) -> dict[str, str]:
    """Return the compiler's whole environment. Its caches are deleted after the compilation."""
    folders = dict.fromkeys(("HOME", "TMPDIR", "ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR"), str(place.out))
    return {**folders, "PATH": "", "LC_ALL": "C.UTF-8"}


def _end(running: subprocess.Popen[bytes]) -> None:
    """End the compiler and all processes that it started."""
    if sys.platform == "win32":
        running.kill()
    else:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def _cannot_confine(reason: str) -> NotInstalled:
    return NotInstalled(
        f"This server does not compile C, because it cannot confine the compiler ({reason}).",
        hint="The server needs Landlock (Linux 5.13, `landlock` among lsm=) or user namespaces. Or send the finished "
        ".bpf.o and .wasm, which need no compiler.",
    )
