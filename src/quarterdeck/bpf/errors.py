"""All errors of this package, as one tree.

    BpfError
    ├── LibbpfMissing    the system has no libbpf
    ├── SyscallError     the kernel refused a system call; has `errno`
    ├── LibbpfError      libbpf refused; has `errno` and its log
    │   ├── OpenError    the bytes are not a BPF object that libbpf can read
    │   └── LoadError    the kernel refuses the object; the log contains the verifier's messages
    ├── AttachError      the program is loaded but cannot be attached
    │   └── NotAttachable  no place is given, or it cannot be attached there on this host
    └── MapError         a map cannot be read or written that way

This package imports no other package of Quarterdeck, so its errors have a root of their own; callers translate them.
"""

from __future__ import annotations

import errno as errno_names
import os


class BpfError(Exception):
    """A BPF operation failed."""


class LibbpfMissing(BpfError):
    """libbpf is not installed on this host."""


#: the kernel lacks a resource or is busy: another attempt may succeed
PASSING = frozenset(
    {errno_names.ENOMEM, errno_names.EAGAIN, errno_names.EINTR, errno_names.EBUSY, errno_names.ENOSPC}
    | {errno_names.EMFILE, errno_names.ENFILE}
)


def errno_text(errno: int) -> str:
    """Return the error number in its usual form: `EPERM, Operation not permitted`."""
    return f"{errno_names.errorcode.get(errno, errno)}, {os.strerror(errno)}"


class SyscallError(BpfError):
    """The kernel refused a system call."""

    def __init__(self, call: str, errno: int) -> None:
        super().__init__(f"{call}: {errno_text(errno)}")
        self.call = call
        self.errno = errno


class LibbpfError(BpfError):
    """libbpf refused a call. `log` is the unchanged output of libbpf and the verifier during the call."""

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
    """The program could not be attached. `log` is libbpf's unchanged output.

    `lasting` means that only another kernel or other kernel modules would change this.
    """

    def __init__(self, message: str, log: str = "", *, lasting: bool = False) -> None:
        super().__init__(message + (f"\n{log}" if log else ""))
        self.log = log
        self.lasting = lasting


class NotAttachable(AttachError):
    """The program cannot be attached as it is described."""


class MapError(BpfError):
    """The map cannot be read or written this way."""
