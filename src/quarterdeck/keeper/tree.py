"""The process tree of a child: created in its cgroups, and ended as a whole, even if its processes hide.

With cgroups, a tree is the processes in them. `cgroup.kill` (v2) ends all of them at once. Without it, the freezer (v1)
stops them while they are killed; without that, killing is repeated until none is left. Where no cgroup can be created,
a tree is the child's process group and session, the descendants of both, and every process that has the tree's mark in
its environment. The mark is unique to this run among all agents of the host. A process that leaves the session, loses
its parents and clears its environment then escapes.
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
            self.kill()  # its processes were started by a keeper that could not record them
        except FileNotFoundError:
            os.makedirs(self.path, exist_ok=True)  # noqa: PTH103
        for name, value in self.files:
            _write(f"{self.path}/{name}", value)

    def enter(self) -> None:
        """Move the calling process into the cgroup."""
        _write(f"{self.path}/cgroup.procs", "0")

    def remove(self) -> bool:
        """Remove the cgroup; return whether it is gone. It stays while a process is in it."""
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
        """Return whether no process is in it or below it."""
        try:
            return b"populated 0" in contents(f"{self.path}/cgroup.events")
        except OSError:  # version 1 has no such file
            return not self.pids()

    def pids(self) -> list[int]:
        """Return the processes in it and in the cgroups below; never the caller, who may be about to leave it."""
        return [pid for pid in self._members() if pid != os.getpid()]

    def _members(self) -> list[int]:
        found: list[int] = []
        try:
            found += map(int, contents(f"{self.path}/cgroup.procs").split())
            for child in os.scandir(self.path):
                if child.is_dir(follow_symlinks=False):
                    found += Group(child.path)._members()
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):
                raise
        return found

    def kill(self) -> None:
        """Send SIGKILL to all processes in it except the caller, including those that are forking."""
        members = self._members()
        if not members:
            return
        among = os.getpid() in members
        if not among and os.path.exists(f"{self.path}/cgroup.kill"):  # noqa: PTH110
            _write(f"{self.path}/cgroup.kill", "1")
            return
        frozen = not among and self._freeze("FROZEN")
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
    """A child's tree. `groups`: the one that is best to kill with comes first."""

    __slots__ = ("groups", "mark", "pid")

    def __init__(self, mark: str, groups: Sequence[Group]) -> None:
        self.mark = mark
        self.groups = groups
        self.pid = 0  #: the child's own, also its process group's and session's; 0 before it runs

    @classmethod
    def of(cls, mark: str, groups: Any) -> Tree:
        """Return the cgroups of a request of the agent: a list of [path, [[file, value], …]]."""
        return cls(mark, [Group(str(path), [(str(n), str(v)) for n, v in files]) for path, files in groups])

    def make(self) -> None:
        """Make its cgroups; all or none. `OSError`."""
        try:
            for group in self.groups:
                group.make()
        except OSError:
            self.remove()
            raise

    def left(self, known: Container[int]) -> list[int]:
        """Return the processes that still run after the first one ended. `known`: the first processes of all trees."""
        gone = self.groups[0].empty() if self.groups else not orphans(known)
        return [] if gone else self.pids()

    def pids(self) -> list[int]:
        """Everyone in the tree who still runs."""
        return self.groups[0].pids() if self.groups else self._marked()

    def send(self, number: int) -> None:
        """Send a signal to every process of the tree."""
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
        """Remove its cgroups; return whether they are gone. They stay while a process is in them."""
        return all([group.remove() for group in self.groups])  # noqa: C419 (each is to be tried)

    def _marked(self) -> list[int]:
        mark = f"{MARK}={self.mark}".encode()
        parents: dict[int, int] = {}
        found: set[int] = set()
        for name in os.listdir("/proc"):  # noqa: PTH208
            if name.isdecimal() and (stat := _stat(name)) is not None:
                pid = int(name)
                parents[pid] = stat[0]
                if (self.pid and self.pid in stat) or mark in _environment(name):
                    found.add(pid)
        grown = True
        while grown:
            more = {pid for pid, parent in parents.items() if parent in found and pid not in found}
            found |= more
            grown = bool(more)
        return sorted(found - {os.getpid()})


def orphans(known: Container[int]) -> bool:
    """Return whether the caller has a child that is none of these; without cgroups, leftovers of trees become such."""
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
    """Return the content of a small file with few system calls; `open` needs four more."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        parts = [os.read(descriptor, _READ_BYTES)]
        while parts[-1]:
            parts.append(os.read(descriptor, _READ_BYTES))
    finally:
        os.close(descriptor)
    return b"".join(parts)
