"""Attachment to a cgroup: its packets, connects, sockets and socket operations (cgroup v2, Linux 5.7)."""

from __future__ import annotations

import os
from pathlib import Path

from quarterdeck.bpf import syscall
from quarterdeck.bpf.attach.probes import Cgroup
from quarterdeck.bpf.errors import AttachError, NotAttachable, SyscallError
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program


def attach_cgroup(program: Program, probe: Cgroup) -> Link:
    """Attach to a cgroup and all below it, in addition to the programs already attached there."""
    root = hierarchy()
    if root is None:
        raise NotAttachable(f"program {program.name!r} needs a cgroup v2 hierarchy, and none is mounted here")
    path = root if probe.path is None else root / probe.path.as_posix().removeprefix(f"{root}").lstrip("/")
    where = f"cgroup {path}"
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise NotAttachable(f"program {program.name!r} cannot be attached to {where}: {error.strerror}") from error
    try:
        return Link.of_fds(program, where, syscall.create_link(program.fd, folder, program.attach_type))
    except SyscallError as error:
        raise AttachError(f"program {program.name!r} cannot be attached to {where}: {error}") from error
    finally:
        os.close(folder)


def hierarchy() -> Path | None:
    """Return where cgroup v2 is mounted, or None."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.startswith("cgroup2 "):
            return Path(before.split()[4].encode().decode("unicode_escape"))
    return None
