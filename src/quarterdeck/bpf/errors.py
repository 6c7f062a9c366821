"""What can go wrong between Python and the kernel's BPF.

    BpfError
    ├── LibbpfMissing    the system has no libbpf
    ├── SyscallError     the kernel refused a system call; has `errno`
    ├── LibbpfError      libbpf refused; has `errno` and its log
    │   ├── OpenError    the bytes are no BPF object that libbpf understands
    │   └── LoadError    the kernel does not take the object; the log holds the verifier's words
    ├── AttachError      the program is loaded but cannot hang where it should
    │   └── NotAttachable  nothing says where it should hang, or nothing here can hang it there
    └── MapError         a map cannot be read or written that way

This package imports nothing of ours, so its errors have a root of their own; callers translate them at their edge.
"""

from __future__ import annotations

import errno as errno_names
import os


class BpfError(Exception):
    """Something about BPF went wrong."""


class LibbpfMissing(BpfError):
    """libbpf is not installed on this host."""


def errno_text(errno: int) -> str:
    """The error number as people look for it: `EPERM, Operation not permitted`."""
    return f"{errno_names.errorcode.get(errno, errno)}, {os.strerror(errno)}"


class SyscallError(BpfError):
    """The kernel refused a system call."""

    def __init__(self, call: str, errno: int) -> None:
        super().__init__(f"{call}: {errno_text(errno)}")
        self.call = call
        self.errno = errno


class LibbpfError(BpfError):
    """libbpf refused a call. `log` is what libbpf and the verifier said during it, word for word."""

    def __init__(self, what: str, errno: int, log: str = "") -> None:
        super().__init__(f"{what}: {errno_text(errno)}" + (f"\n{log}" if log else ""))
        self.what = what
        self.errno = errno
        self.log = log


class OpenError(LibbpfError):
    """The bytes are not an eBPF object that can be opened."""


class LoadError(LibbpfError):
    """The kernel did not accept the object."""


class AttachError(BpfError):
    """The program could not be attached. `log` is what libbpf said about it, word for word."""

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message + (f"\n{log}" if log else ""))
        self.log = log


class NotAttachable(AttachError):
    """The program cannot be attached as it is described."""


class MapError(BpfError):
    """The map cannot be read or written this way."""
