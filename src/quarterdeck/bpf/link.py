"""The attachment of a program, and how it is undone.

It owns the undoing. It does not depend on the families: each creates a Link from what it opened.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Protocol, Self

from quarterdeck.bpf import libbpf
from quarterdeck.bpf.libbpf import Pointer


class Hanging(Protocol):
    """A program that is attached by links."""

    links: list[Link]


class Link:
    """One attachment of one program; it may hold several fds (one a CPU, one an interface)."""

    def __init__(self, program: Hanging, where: str, undo: ExitStack) -> None:
        #: the place for users: `tracepoint sched:sched_process_exec`, `cpu-clock at 99 Hz on 2 CPUs`
        self.where = where
        self._program = program
        self._undo = undo
        program.links.append(self)

    @classmethod
    def of_fds(cls, program: Hanging, where: str, *fds: int) -> Self:
        """Return a link that ends when these fds are closed, the last first."""
        undo = ExitStack()
        for fd in fds:
            undo.callback(os.close, fd)
        return cls(program, where, undo)

    @classmethod
    def of_libbpf(cls, program: Hanging, where: str, *pointers: Pointer) -> Self:
        """Return a link that libbpf holds."""
        undo = ExitStack()
        for pointer in pointers:
            undo.callback(libbpf.call, "bpf_link__destroy", pointer)
        return cls(program, where, undo)

    def detach(self) -> None:
        """Detach the program from here. A second call has no effect."""
        if self in self._program.links:
            self._program.links.remove(self)
        self._undo.close()
