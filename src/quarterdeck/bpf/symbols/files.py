"""The files with symbols: safe opening, and a cache of their content.

It owns the choice of the file of a mapping, and the cache by device, inode and time of change, so that a library shared
by all processes is read once, and its names stay after they ended. The files belong to the users of the processes, so
it opens only regular files, never waits for one, and limits the memory for each.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, replace
from pathlib import Path

from quarterdeck.bpf.elf import Elf, ElfError
from quarterdeck.bpf.symbols.cache import Cache
from quarterdeck.bpf.symbols.elf_file import ElfFile, read_functions
from quarterdeck.bpf.symbols.functions import Functions
from quarterdeck.bpf.symbols.jit import MAX_PERF_MAP_BYTES, parse_perf_map
from quarterdeck.bpf.symbols.process import Mapping, Maps

DEBUG_FILES = Path("/usr/lib/debug/.build-id")

#: time of the last change and size of a file: the same stamp means the same content
_Stamp = tuple[int, int]
_START_TIME = 19  # index among the fields of /proc/PID/stat after the name


@dataclass(frozen=True, slots=True)
class _Jit:
    """The symbols of the JIT compiler of one process: the state of its file, and the start time of the process."""

    stamp: _Stamp
    started: bytes
    functions: Functions


class SymbolFiles:
    """The symbols of files and of JIT compilers, each in a cache of about `max_bytes`.

    `debug_files` is the folder in which distributions install the separate debug files of stripped files.
    """

    def __init__(
        self, proc: Path, *, debug_files: Path = DEBUG_FILES, max_files: int = 1024, max_bytes: int = 8 << 20
    ) -> None:
        self._proc = proc
        self._debug_files = debug_files
        self._files = Cache[tuple[str, int], tuple[_Stamp, ElfFile]](max_entries=max_files, max_bytes=max_bytes)
        self._jits = Cache[int, _Jit](max_entries=max_files, max_bytes=max_bytes)
        self._vdso: ElfFile | None = None

    def mapped(self, pid: int, mapping: Mapping) -> ElfFile:
        """Return the file of a mapping; if the process has ended, as last seen; unreadable if it was never seen."""
        if mapping.path == "[vdso]":
            self._vdso = self._vdso or _read_vdso()
            return self._vdso
        key = (mapping.device, mapping.inode)
        known = self._files.get(key)
        fd = self._open_mapped(pid, mapping)
        if fd is None:
            return known[1] if known else ElfFile.unreadable()
        try:
            stamp = _stamp(fd)
            if known and known[0] == stamp:
                return known[1]
            file = _read_elf(fd, self._debug_files)
        finally:
            os.close(fd)
        self._files.put(key, (stamp, file), nbytes=file.functions.nbytes)
        return file

    def jit(self, pid: int) -> Functions:
        """Return the functions that the JIT compiler of a process wrote, as last seen if the process has ended."""
        started, known = self._started(pid), self._jits.get(pid)
        if known and started and known.started != started:
            known = None  # symbols of an earlier process with this id
        last = known.functions if known else Functions.none()
        fd = self._open_perf_map(pid)
        if fd is None:
            return last
        try:
            stamp = _stamp(fd)
            if known and known.stamp == stamp:
                return last
            functions = parse_perf_map(os.pread(fd, MAX_PERF_MAP_BYTES, 0))
        except OSError:
            return last
        finally:
            os.close(fd)
        self._jits.put(pid, _Jit(stamp, started, functions), nbytes=functions.nbytes)
        return functions

    def _started(self, pid: int) -> bytes:
        """Return when the process began, in the kernel's units; empty if it does not exist."""
        try:
            return (self._proc / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()[_START_TIME]
        except (OSError, IndexError):
            return b""

    def _open_mapped(self, pid: int, mapping: Mapping) -> int | None:
        """Open the mapped file, or the file of its path in the process's root, or in ours if it has the same inode."""
        process = self._proc / str(pid)
        fd = _open_regular(process / "map_files" / f"{mapping.start:x}-{mapping.end:x}")
        if fd is None and not mapping.path.endswith(" (deleted)"):
            fd = _open_regular(Path(f"{process}/root{mapping.path}"))
            if fd is None:
                fd = _open_regular(Path(mapping.path), inode=mapping.inode)
        return fd

    def _open_perf_map(self, pid: int) -> int | None:
        """Open the perf map that the process itself or root wrote, under the process's id in its own namespace."""
        process = self._proc / str(pid)
        try:
            owner = process.stat().st_uid
            status = (process / "status").read_bytes()
        except OSError:
            return None
        own_pid = next((line.split()[-1].decode() for line in status.splitlines() if line.startswith(b"NSpid:")), pid)
        fd = _open_regular(process / "root/tmp" / f"perf-{own_pid}.map")
        if fd is not None and os.fstat(fd).st_uid not in {0, owner}:
            os.close(fd)
            return None
        return fd


def _open_regular(path: Path, *, inode: int | None = None) -> int | None:
    """Open a regular file (with this inode) if it exists and is readable."""
    try:
        # It is checked before it is opened, because opening a device can have effects.
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except (OSError, ValueError):
        return None
    status = os.fstat(fd)
    if stat.S_ISREG(status.st_mode) and inode in {None, status.st_ino}:
        return fd
    os.close(fd)
    return None


def _stamp(fd: int) -> _Stamp:
    status = os.fstat(fd)
    return status.st_mtime_ns, status.st_size


def _read_elf(fd: int, debug_files: Path) -> ElfFile:
    """Return the content of the file at `fd`, with that of its separate debug file (Debian's -dbgsym) if it is
    stripped.
    """
    try:
        file = ElfFile.read(Elf.from_fd(fd))
    except (ElfError, OSError):
        return ElfFile.unreadable()
    if not file.stripped or not file.build_id:
        return file
    debug_fd = _open_regular(debug_files / file.build_id[:2] / f"{file.build_id[2:]}.debug")
    if debug_fd is None:
        return file
    try:
        return replace(file, functions=read_functions(Elf.from_fd(debug_fd)) or file.functions)
    except (ElfError, OSError):
        return file
    finally:
        os.close(debug_fd)


def _read_vdso() -> ElfFile:
    """Return the kernel's own shared object, which is the same in every process, read from our memory."""
    try:
        maps = Maps.parse(Path("/proc/self/maps").read_bytes())
        mapping = next(mapping for mapping in maps.mappings if mapping.path == "[vdso]")
        fd = os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)
    except (OSError, StopIteration):
        return ElfFile.unreadable()
    try:
        return ElfFile.read(Elf(os.pread(fd, mapping.end - mapping.start, mapping.start)))
    except (ElfError, OSError):
        return ElfFile.unreadable()
    finally:
        os.close(fd)
