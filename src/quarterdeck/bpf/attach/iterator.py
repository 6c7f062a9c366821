"""Programs that walk a kernel list when read: SEC("iter/task") and its siblings (Linux 5.8)."""

from __future__ import annotations

import os
import struct

from quarterdeck.bpf import syscall
from quarterdeck.bpf.attach.probes import Iterator
from quarterdeck.bpf.errors import AttachError, SyscallError
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.uapi import AttachType, Command


class IteratorLink(Link):
    """An attached iterator: each read() walks the list anew."""

    fd: int

    def read(self) -> bytes:
        """All that the program writes (bpf_seq_printf, bpf_seq_write) in one walk."""
        try:
            walk = syscall.bpf(Command.ITER_CREATE, struct.pack("<II", self.fd, 0))
        except SyscallError as error:
            raise AttachError(f"{self.where} cannot be read: {error}") from error
        with os.fdopen(walk, "rb") as lines:
            return lines.read()


def attach_iterator(program: Program, probe: Iterator) -> IteratorLink:  # noqa: ARG001 - it has no settings
    """Make the list readable; nothing runs before IteratorLink.read."""
    target = program.section.partition("/")[2]
    try:
        fd = syscall.create_link(program.fd, 0, AttachType.TRACE_ITER)
    except SyscallError as error:
        raise AttachError(f"program {program.name!r} cannot walk {target}: {error}") from error
    link = IteratorLink.of_fds(program, f"iter {target}", fd)
    link.fd = fd
    return link
