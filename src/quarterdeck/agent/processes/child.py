"""One child of the keeper: how it is started, its pipes, what it printed, how it ended.

It owns the descriptors of its pipes, its backlog, its tree and its file (by which a later keeper finds what this
one leaves). It never waits: the keeper calls it when something can be read, written or reaped. Standard
library only.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper and its children need a POSIX system.")

from quarterdeck.agent.boot import boot_id
from quarterdeck.agent.processes.backlog import LOST, Backlog, Record
from quarterdeck.agent.processes.starting import Refused, Starter
from quarterdeck.agent.processes.trees import Tree, contents

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from quarterdeck.agent.processes.frames import Header

READ_BYTES = 64 * 1024
#: what waits in files for an agent, unless the start says otherwise
SPOOL_BYTES = 8 * 1024 * 1024


class Child:
    """A process that the keeper started, or that an earlier keeper left."""

    def __init__(self, header: Header, file: str) -> None:
        self.id: str = header["id"]
        self.file = file
        self.tree = Tree.of(self.id, header.get("groups") or [])
        self.backlog = Backlog(f"{file}.output", int(header.get("spool_bytes") or SPOOL_BYTES))
        self.pid = 0
        self.began = 0.0  #: seconds since the epoch
        self.since = 0.0  #: the same by the clock that nobody sets
        self.restarts = int(header.get("restarts") or 0)  #: for the agent, which says so at the start
        self.stdin = -1
        self.input = memoryview(b"")  #: what is still to be written to its standard input
        self.outputs: dict[int, int] = {}  #: descriptor → stream
        self.failing = -1  #: where it says that it could not be started; closed by a start that succeeded
        self.failure: Header | None = None
        self.killed = False  #: somebody asked for its end
        self.exit: Header | None = None  #: once it was reaped
        self.exit_sent = False
        self.grace_until = 0.0  #: until then its tree is not killed, monotonic
        self.swept = False  #: nobody of its tree is left

    def spawn(self, header: Header, body: bytes, starter: Starter) -> None:
        """Start it. `Refused`, or that is said through `failing`, which is -1 once it is known that it runs."""
        self.began, self.since = time.time(), time.monotonic()
        try:
            self.tree.make()
        except OSError as error:
            raise Refused("cgroup", error) from error
        pipes: list[int] = []
        told: Header = {"id": self.id, "began": self.began, "since": self.since, "restarts": self.restarts}
        told["groups"] = [group.path for group in self.tree.groups]
        self.save(told | {"boot": boot_id()})  # before it runs: a later keeper must find it whenever this one dies
        try:
            pid = self._begin(header, starter, pipes, with_input=bool(body))
        except OSError as error:
            self._give_up(pipes)
            raise Refused("process", error) from error
        except Refused:
            self._give_up(pipes)
            raise
        self.pid = self.tree.pid = pid
        starter.expose(pid)
        self.input = memoryview(body)
        self.save({"pid": pid, "start": _start_ticks(pid)})

    def _begin(self, header: Header, starter: Starter, pipes: list[int], *, with_input: bool) -> int:
        out, out_write = _pipe(pipes)
        err, err_write = _pipe(pipes)
        stdin, self.stdin = _pipe(pipes) if with_input else (starter.null, -1)
        streams = (stdin, out_write, err_write)
        if starter.may_vfork(header, self.tree):
            pid = starter.vfork(header, self.tree, streams)
        else:
            self.failing, failing = _pipe(pipes)
            pid = starter.fork(header, self.tree, streams, failing)
        ours = tuple(descriptor for descriptor in (self.stdin, out, err, self.failing) if descriptor >= 0)
        for descriptor in ours:
            os.set_blocking(descriptor, False)
        for descriptor in pipes:
            if descriptor not in ours:
                os.close(descriptor)
        self.outputs = {out: 1, err: 2}
        return pid

    def _give_up(self, pipes: list[int]) -> None:
        for descriptor in pipes:
            os.close(descriptor)
        self.remove()

    def read(self, descriptor: int) -> bool:
        """Take what a stream has; False at its end."""
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return True
        if data:
            self.backlog.put(self.outputs[descriptor], data)
        return bool(data)

    def write(self) -> bool:
        """Give its standard input what it takes; False when that is all, or it wants no more."""
        try:
            self.input = self.input[os.write(self.stdin, self.input) :]
        except BlockingIOError:
            return True
        except OSError:
            return False
        return bool(self.input)

    def read_failure(self) -> bool:
        """Whether it is known how the start went; nothing to read at the end means well."""
        try:
            text = os.read(self.failing, 4096)
        except BlockingIOError:
            return False
        if text:
            self.failure = json.loads(text)
        return True

    def reaped(self, status: int, usage: Any) -> None:
        """It ended. `usage`: of it and of those of its own that it waited for."""
        self.exit = {
            "code": os.waitstatus_to_exitcode(status),
            "ended": time.time(),
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "max_rss": usage.ru_maxrss * 1024,
        }

    def lost(self) -> None:
        """An earlier keeper's: its end was not seen. Nothing of it may go on."""
        self.tree.kill()
        self.swept = True
        if self.exit is None:
            self.exit = {"code": None, "ended": time.time(), "lost": True}

    def survived(self, count: int) -> None:
        """So many of its tree could not be killed."""
        self.exit = (self.exit or {}) | {"survivors": count}

    @property
    def finished(self) -> bool:
        """Whether nothing more will come of it but what is in the backlog."""
        return self.swept and not self.outputs

    def describe(self) -> Header:
        """As `hello` and `started` say it."""
        return {
            "id": self.id,
            "pid": self.pid,
            "began": self.began,
            "since": self.since,
            "restarts": self.restarts,
            "killed": self.killed,
            "exit": self.exit,
            "groups": [group.path for group in self.tree.groups],
        }

    def told(self, record: Record) -> tuple[Header, bytes]:
        """A record of its backlog, as it is said."""
        header: Header = {"id": self.id, "seq": record.seq}
        if record.stream == LOST:
            return header | {"t": "lost", "bytes": list(record.counts)}, b""
        return header | {"t": "output", "stream": record.stream, "offset": record.offset}, record.data

    def exit_frame(self) -> Header:
        """The last thing that is said of it."""
        exit_ = self.exit or {}
        told = {"seq": self.backlog.last_seq + 1, "printed": self.backlog.offsets, "killed": self.killed}
        return {"t": "exit", "id": self.id, **told, **exit_}

    def save(self, told: Header) -> None:
        """Write what a later keeper must know. A full disk must not keep a program from running."""
        with suppress(OSError):
            descriptor = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                os.write(descriptor, json.dumps(told).encode() + b"\n")
            finally:
                os.close(descriptor)

    def remove(self) -> None:
        """Everything of it is acknowledged: remove its files and cgroups."""
        self.backlog.remove()
        self.tree.remove()
        with suppress(FileNotFoundError):
            os.unlink(self.file)  # noqa: PTH108


def left_in(folder: str) -> Iterator[tuple[int, Child | None]]:
    """The numbers of all children that an earlier keeper left in its folder, with those that can be read."""
    os.makedirs(folder, 0o700, exist_ok=True)  # noqa: PTH103 (pathlib costs memory)
    for name in os.listdir(folder):  # noqa: PTH208
        if name.isdecimal():
            child = left_behind(f"{folder}/{name}")
            if child is None:
                print(f"{folder}/{name} cannot be read", file=sys.stderr, flush=True)  # noqa: T201 (the log)
            yield int(name), child


def left_behind(file: str) -> Child | None:
    """The child that an earlier keeper left, by its file; None when that cannot be read."""
    try:
        told: Header = {}
        ended: Header | None = None
        for line in map(json.loads, contents(file).splitlines()):
            if "code" in line:
                ended = line
            else:
                told |= line
        child = Child({"id": told["id"], "groups": [[path, []] for path in told["groups"]]}, file)
        child.began, child.since = float(told["began"]), float(told.get("since", 0))
        child.restarts = int(told.get("restarts", 0))
        child.exit = ended
        if "pid" in told:  # else its keeper died while it was started
            child.pid = int(told["pid"])
            if told["boot"] == boot_id() and told["start"] == _start_ticks(child.pid):
                child.tree.pid = child.pid
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    child.backlog.adopt()
    return child


def _start_ticks(pid: int) -> int:
    """When a process began, as the kernel counts: with the id it names one process for good."""
    try:
        return int(contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _pipe(pipes: list[int]) -> tuple[int, int]:
    """Its reading and its writing end, which are in `pipes` too."""
    ends = os.pipe()
    pipes += ends
    return ends
