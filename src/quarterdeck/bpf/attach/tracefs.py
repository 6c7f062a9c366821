"""tracefs: the file system in which the kernel lists its tracepoints with their numbers.

It owns the search for tracefs. It mounts nothing unasked: for a caller that wants it, `private()` opens an instance
that appears in no directory and is released when the block ends.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from quarterdeck.bpf.errors import SyscallError

_PLACES = (Path("/sys/kernel/tracing"), Path("/sys/kernel/debug/tracing"))
# The new mount API has the same numbers on every architecture (Linux 5.2).
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6

_libc = ctypes.CDLL(None, use_errno=True)


def mounted() -> Path | None:
    """Return where tracefs is mounted and readable, or None."""
    for place in _PLACES:
        if os.access(place / "events", os.R_OK | os.X_OK):
            return place
    return None


@contextmanager
def private() -> Generator[Path]:
    """Open a private tracefs without a mount point. It needs CAP_SYS_ADMIN. Raise `SyscallError`.

    The path is valid inside the block, for this process only.
    """
    context = _call("fsopen", _FSOPEN, ctypes.c_char_p(b"tracefs"), _CLOEXEC)
    try:
        _call("fsconfig", _FSCONFIG, context, _FSCONFIG_CMD_CREATE, None, None, 0)
        mount = _call("fsmount", _FSMOUNT, context, _CLOEXEC, 0)
    finally:
        os.close(context)
    try:
        yield Path(f"/proc/self/fd/{mount}")
    finally:
        os.close(mount)


def _call(name: str, number: int, *arguments: object) -> int:
    result: int = _libc.syscall(number, *arguments)
    if result < 0:
        raise SyscallError(name, ctypes.get_errno())
    return result
