"""One child of the keeper: its start, its pipes, its output and its end.

It owns the descriptors of its pipes, its backlog, its tree and its file, by which a later keeper finds what this one
leaves. It never waits: the keeper calls it when a descriptor can be read or written, or a process can be reaped.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
import termios
import time
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper and its children need a POSIX system.")

from quarterdeck.keeper import child_file
from quarterdeck.keeper.backlog import LOST, Backlog, Record
from quarterdeck.keeper.boot import boot_id
from quarterdeck.keeper.log import note
from quarterdeck.keeper.starter import Refused, Starter
from quarterdeck.keeper.tree import Tree, contents

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from quarterdeck.keeper.protocol import Header

#: what waits in files for an agent, unless the start says otherwise
SPOOL_BYTES = 8 * 1024 * 1024
#: what the pipe of a stream holds: the program waits when it is full, and what is in it is shown late
PIPE_BYTES = 16 * 1024
_INT = struct.Struct("i")


class Child:
    """A process that the keeper started, or that an earlier keeper left."""

    def __init__(self, header: Header, file: str) -> None:
        self.id: str = header["id"]
        self.file = file
        mark: str = header.get("mark") or f"{self.id}-{os.urandom(8).hex()}"
        self.tree = Tree.of(mark, header.get("groups") or [])
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
        self.leaves = 0  #: processes of its tree that were still running when it ended
        self.swept = False  #: nobody of its tree is left
        self.closed = False  #: its record is final
        self._unsaved: list[Header] = []  # lines that its file does not contain yet

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
        self._unsaved.append(told | {"mark": self.tree.mark, "boot": boot_id()})
        self.save()  # before it runs: a later keeper must find it whenever this one dies
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
        self._unsaved.append({"pid": pid, "start": _start_ticks(pid)})

    def _begin(self, header: Header, starter: Starter, pipes: list[int], *, with_input: bool) -> int:
        """Whatever may be refused comes before it runs."""
        starter.be_home()
        vfork = starter.may_vfork(header, self.tree)
        out, out_write = _pipe(pipes)
        err, err_write = _pipe(pipes)
        if path := header.get("stdin_file"):
            stdin = _open(path, pipes)
        else:
            stdin, self.stdin = _pipe(pipes) if with_input else (starter.null, -1)
        self.failing, failing = (-1, -1) if vfork else _pipe(pipes)
        streams = (stdin, out_write, err_write)
        for descriptor in (self.stdin, out, err, self.failing):
            if descriptor >= 0:
                os.set_blocking(descriptor, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            for descriptor in (out, err):
                with suppress(OSError):  # then it has the usual size
                    fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        if user := header.get("user"):  # only the owner of the pipe may open /dev/stdout
            for descriptor in streams[0 if with_input else 1 :]:
                os.fchown(descriptor, user["uid"], user["gid"])
        self.outputs = {out: 1, err: 2}
        pid = starter.vfork(header, self.tree, streams) if vfork else starter.fork(header, self.tree, streams, failing)
        _close(*(set(pipes) - {self.stdin, out, err, self.failing}))
        return pid

    def _give_up(self, pipes: list[int]) -> None:
        _close(*pipes)
        self.remove()
        with suppress(OSError):  # a later keeper removes it
            self.unlink()

    def read(self, descriptor: int) -> int:
        """Read what a stream has: return the number of bytes, 0 at its end, -1 when there is nothing now."""
        try:
            data = os.read(descriptor, self.backlog.wanted_bytes)
        except BlockingIOError:
            return -1
        if data:
            self.backlog.put(self.outputs[descriptor], data)
        return len(data)

    def waiting(self, descriptor: int) -> int:
        """Return the number of bytes that are in the pipe of a stream now."""
        return _INT.unpack(fcntl.ioctl(descriptor, termios.FIONREAD, _INT.pack(0)))[0]

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
        """Return whether the outcome of the start is known; an empty pipe at its end means success."""
        try:
            text = os.read(self.failing, 4096)
        except BlockingIOError:
            return False
        if text:
            self.failure = json.loads(text)
        return True

    def reaped(self, status: int, usage: Any) -> None:
        """Note that the process ended. `usage`: of it and of its children that it waited for."""
        self.exit = {
            "code": os.waitstatus_to_exitcode(status),
            "ended": time.time(),
            "at": time.monotonic(),
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "max_rss": usage.ru_maxrss * 1024,
        }

    def lost(self) -> None:
        """Mark a child of an earlier keeper, whose end was not seen, as lost; end what is left of it."""
        self.tree.kill()
        self.swept = True
        if self.exit is None:
            self.exit = {"code": None, "ended": time.time(), "lost": True}

    def survived(self, count: int) -> None:
        """So many of its tree could not be killed."""
        self.exit = (self.exit or {}) | {"survivors": count}

    def close(self) -> None:
        """Mark the child as finished, so that its file records how it ended."""
        self.closed = True
        self._unsaved.append(self.exit or {})

    @property
    def finished(self) -> bool:
        """Return whether nothing more will come of it but what is in the backlog."""
        return self.swept and not self.outputs

    def describe(self) -> Header:
        """Return the description in `hello` and `started` frames."""
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
        """Return a record of its backlog as a frame."""
        header: Header = {"id": self.id, "seq": record.seq}
        if record.stream == LOST:
            return header | {"t": "lost", "bytes": list(record.counts), "why": record.why}, b""
        return header | {"t": "output", "stream": record.stream, "offset": record.offset}, record.data

    def exit_frame(self) -> Header:
        """Return the last frame of the child."""
        exit_ = self.exit or {}
        told: Header = {"seq": self.backlog.last_seq + 1, "printed": self.backlog.offsets}
        told |= {"killed": self.killed, "leaves": self.leaves}
        return {"t": "exit", "id": self.id, **told, **exit_}

    def save(self) -> bool:
        """Write what a later keeper must know. Return False if that fails now: a full disk must not stop a program."""
        if self._unsaved:
            try:
                child_file.append(self.file, self._unsaved)
            except OSError as error:
                note(f"{self.file} cannot be written: {error}")
                return False
            self._unsaved = []
        return True

    def hand_over(self) -> bool:
        """Write all that was not reported, for the next keeper; return whether the disk took it."""
        return all((self.save(), self.backlog.spill()))

    def remove(self) -> None:
        """Remove its output and cgroups, once everything of it is acknowledged."""
        self.backlog.remove()
        self.tree.remove()

    def unlink(self) -> None:
        """Remove its file, by which a later keeper would find it. May raise `OSError`."""
        _unlink(self.file)


def left_in(folder: str) -> Iterator[tuple[int, Child | None]]:
    """Return the numbers of all children that an earlier keeper left in its folder, and those that can be read."""
    os.makedirs(folder, 0o700, exist_ok=True)  # noqa: PTH103 (pathlib costs memory)
    for name in os.listdir(folder):  # noqa: PTH208
        if name.isdecimal():
            file = f"{folder}/{name}"
            try:
                child = left_behind(file)
                if child is None:
                    note(f"{file} cannot be parsed, and is removed")
                    _unlink(file)
            except OSError as error:
                child = None
                note(f"{file} cannot be read: {error}")
            yield int(name), child


def left_behind(file: str) -> Child | None:
    """Return the child that an earlier keeper left; None when its file says too little. May raise `OSError`."""
    told, ended = child_file.parse(contents(file))
    try:
        header: Header = {"id": told["id"], "groups": [[path, []] for path in told["groups"]]}
        header["mark"] = told.get("mark") or told["id"]  # an older keeper marked with the id alone
        child = Child(header, file)
        child.began, child.since = float(told["began"]), float(told.get("since", 0))
        child.restarts = int(told.get("restarts", 0))
        child.exit = ended
        if "pid" in told:  # else its keeper died while it was started
            child.pid = int(told["pid"])
            if told["boot"] == boot_id() and told["start"] == _start_ticks(child.pid):
                child.tree.pid = child.pid
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    child.backlog.adopt()
    return child


def _start_ticks(pid: int) -> int:
    """Return the start time of a process in the kernel's ticks: with the id, it identifies one process."""
    try:
        return int(contents(f"/proc/{pid}/stat").rpartition(b")")[2].split()[19])
    except (OSError, IndexError):
        return 0


def _pipe(pipes: list[int]) -> tuple[int, int]:
    """Its reading and its writing end, which are in `pipes` too."""
    ends = os.pipe()
    pipes += ends
    return ends


def _open(path: str, pipes: list[int]) -> int:
    """Open the file that is a standard input; it is in `pipes` too."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise Refused("input", error) from error
    pipes.append(descriptor)
    return descriptor


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with suppress(OSError):  # the descriptor is closed even after an error
            os.close(descriptor)


def _unlink(file: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(file)  # noqa: PTH108
