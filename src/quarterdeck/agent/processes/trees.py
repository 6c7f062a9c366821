"""A child and everything it started, as one thing: made in its cgroups, ended whole, whatever its parts did to hide.

With cgroups a tree is who is in them. `cgroup.kill` (v2) ends all at once; without it the freezer (v1) holds them still
while they are killed, and without that killing is repeated until none is left. Where no cgroup can be made, a tree is
the child's process group and session, what descends from those, and whoever carries its mark in the environment: a
process that leaves the session, loses its parents and clears its environment gets away then. Standard library only.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time
from collections.abc import Container, Sequence
from contextlib import suppress

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from typing import Any

if sys.platform == "win32":
    raise ImportError("The keeper and its trees need a POSIX system.")

#: environment variable that marks the tree of a child
MARK = "QD_PROCESS"
#: rounds of killing, each with all that are there; a fork bomb that is not held still needs some
ROUNDS = 1000
_READ_BYTES = 16 * 1024
#: v1's freezer is slow to hold many
FREEZE_TRIES = 100


class Group:
    """One cgroup folder of a tree: `files` are its limits, written when it is made."""

    __slots__ = ("files", "path")

    def __init__(self, path: str, files: Sequence[tuple[str, str]] = ()) -> None:
        self.path = path
        self.files = files

    def make(self) -> None:
        """Make it, and set its limits. `OSError` when that cannot be."""
        try:
            os.mkdir(self.path)  # noqa: PTH102 (pathlib costs memory)
        except FileExistsError:
            pass
        except FileNotFoundError:
            os.makedirs(self.path, exist_ok=True)  # noqa: PTH103
        for name, value in self.files:
            _write(f"{self.path}/{name}", value)

    def enter(self) -> None:
        """The calling process enters it."""
        _write(f"{self.path}/cgroup.procs", "0")

    def remove(self) -> bool:
        """Whether it is gone; not while somebody is in it."""
        with suppress(OSError):
            os.rmdir(self.path)  # noqa: PTH106
            return True
        try:
            for child in os.scandir(self.path):
                if child.is_dir(follow_symlinks=False):
                    Group(child.path).remove()
            os.rmdir(self.path)  # noqa: PTH106
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def empty(self) -> bool:
        """Whether nobody is in it, or in those below it."""
        try:
            return b"populated 0" in contents(f"{self.path}/cgroup.events")
        except OSError:  # version 1 has no such file
            return not self.pids()

    def pids(self) -> list[int]:
        """Who is in it, and in those below it."""
        found: list[int] = []
        try:
            found += map(int, contents(f"{self.path}/cgroup.procs").split())
            for child in os.scandir(self.path):
                if child.is_dir(follow_symlinks=False):
                    found += Group(child.path).pids()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
        return found

    def kill(self) -> None:
        """SIGKILL for all that are in it, those who are forking too."""
        if os.path.exists(f"{self.path}/cgroup.kill"):  # noqa: PTH110
            _write(f"{self.path}/cgroup.kill", "1")
            return
        if not self.pids():
            return
        frozen = self._freeze("FROZEN")
        try:
            for _ in range(ROUNDS):
                pids = self.pids()
                for pid in pids:
                    _kill(pid, signal.SIGKILL)
                if frozen or not pids:
                    return
        finally:
            if frozen:
                self._freeze("THAWED")

    def _freeze(self, state: str) -> bool:
        path = f"{self.path}/freezer.state"
        if not os.path.exists(path):  # noqa: PTH110
            return False
        _write(path, state)
        for _ in range(FREEZE_TRIES if state == "FROZEN" else 0):
            if contents(path).strip() == b"FROZEN":
                return True
            time.sleep(0.001)
        return True


class Tree:
    """A child's tree. `groups`: the best to kill with comes first."""

    __slots__ = ("_mark", "groups", "id", "pid")

    def __init__(self, child_id: str, groups: Sequence[Group]) -> None:
        self.id = child_id
        self.groups = groups
        self.pid = 0  #: the child's own, also its process group's and session's; 0 before it runs
        self._mark = f"{MARK}={child_id}".encode()

    @classmethod
    def of(cls, child_id: str, groups: Any) -> Tree:
        """From what the agent wrote: a list of [path, [[file, value], …]]."""
        return cls(child_id, [Group(str(path), [(str(n), str(v)) for n, v in files]) for path, files in groups])

    def make(self) -> None:
        """Make its cgroups; all or none. `OSError`."""
        try:
            for group in self.groups:
                group.make()
        except OSError:
            self.remove()
            raise

    def left(self, known: Container[int]) -> list[int]:
        """Who of it still runs now that its first process is gone. `known`: the first ones of all trees."""
        gone = self.groups[0].empty() if self.groups else not orphans(known)
        return [] if gone else self.pids()

    def pids(self) -> list[int]:
        """Everyone in the tree who still runs."""
        return self.groups[0].pids() if self.groups else self._marked()

    def send(self, number: int) -> None:
        """A signal to everyone in the tree."""
        for pid in self.pids():
            _kill(pid, number)

    def kill(self) -> None:
        """End everyone in the tree, now."""
        if self.groups:
            self.groups[0].kill()
            return
        for _ in range(ROUNDS):
            pids = self._marked()
            if not pids:
                return
            for number in (signal.SIGSTOP, signal.SIGKILL):  # who stands still cannot fork while the others are killed
                for pid in pids:
                    _kill(pid, number)

    def remove(self) -> bool:
        """Whether its cgroups are gone; not while somebody is in them."""
        return all([group.remove() for group in self.groups])  # noqa: C419 (each is to be tried)

    def _marked(self) -> list[int]:
        parents: dict[int, int] = {}
        found: set[int] = set()
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdecimal() and (stat := _stat(name)) is not None:
                pid = int(name)
                parents[pid] = stat[0]
                if (self.pid and self.pid in stat) or self._mark in _environment(name):
                    found.add(pid)
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
            found |= more
            grown = bool(more)
        return sorted(found - {os.getpid()})


def orphans(known: Container[int]) -> bool:
    """Whether a process became the caller's that is none of these; without cgroups, all leftovers of trees do."""
    try:
        return any(int(pid) not in known for pid in contents(f"/proc/self/task/{os.getpid()}/children").split())
    except OSError:
        return True


def _stat(pid: str) -> tuple[int, int, int] | None:
    """Parent, process group and session of a process that is no zombie."""
    try:
        fields = contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()
    except OSError:
        return None
    return None if len(fields) < 4 or fields[0] in b"ZX" else (int(fields[1]), int(fields[2]), int(fields[3]))


def _environment(pid: str) -> list[bytes]:
    try:
        return contents(f"/proc/{pid}/environ").split(b"\0")
    except OSError:
        return []


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def contents(path: str) -> bytes:
    """A small file's, with as few system calls as there can be: `open` asks the kernel four things more."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(descriptor, _READ_BYTES)]
        while parts[-1]:
            parts.append(os.read(descriptor, _READ_BYTES))
    finally:
        os.close(descriptor)
    return b"".join(parts)
