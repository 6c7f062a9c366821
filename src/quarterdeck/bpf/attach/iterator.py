"""Iterators, programs that walk a kernel list when they are read: SEC("iter/task") and its siblings (Linux 5.8)."""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from quarterdeck.bpf import syscall
from quarterdeck.bpf.attach.probes import Iterator
from quarterdeck.bpf.errors import PASSING, AttachError, SyscallError
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.uapi import AttachType, Command


class IteratorLink(Link):
    """An attached iterator. Each read() walks the list again."""

    fd: int

    def open(self) -> BinaryIO:
        """Begin one walk and return a file that yields the program's output (bpf_seq_printf, bpf_seq_write)."""
        try:
            walk = syscall.bpf(Command.ITER_CREATE, struct.pack("<II", self.fd, 0))
        except SyscallError as error:
            raise AttachError(f"{self.where} cannot be read: {error}") from error
        return os.fdopen(walk, "rb")

    def read(self) -> bytes:
        """Return the whole output of the program in one walk."""
        with self.open() as walk:
            return walk.read()


def attach_iterator(program: Program, probe: Iterator) -> IteratorLink:  # noqa: ARG001 - it has no settings
    """Make the list readable. Nothing runs before IteratorLink.read."""
    target = program.section.partition("/")[2]
    try:
        fd = syscall.create_link(program.fd, 0, AttachType.TRACE_ITER)
    except SyscallError as error:
        raise AttachError(
            f"program {program.name!r} cannot walk {target}: {error}", lasting=error.errno not in PASSING
        ) from error
    link = IteratorLink.of_fds(program, f"iter {target}", fd)
    link.fd = fd
    return link
