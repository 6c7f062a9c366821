"""A keeper whose system calls can be refused: started by its tests as a program, in the place of the real one.

    python faulty_keeper.py HOME

Reads HOME/fault before each call it wraps: "CALL ERRNO TIMES" refuses a call of that name where it was never refused
so often (TIMES) before, and all of that name behind it, TIMES in all. A place is a chain of lines of the keeper, so
each is met once, however often it is called and whatever the machine's speed; HOME/places has those that were.
HOME/refused has a byte for each call that was refused since the test emptied it.
"""

from __future__ import annotations

import builtins
import ctypes
import fcntl
import os
import select
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from quarterdeck.keeper import __main__ as keeper

_open, _read, _write, _close, _fstat = os.open, os.read, os.write, os.close, os.fstat
HOME = sys.argv[1]
#: lines of the keeper that make a place: a function may be called from many
DEPTH = 3


class Faults:
    """What is refused now; files, for what is forked from the keeper shares it."""

    def __init__(self) -> None:
        self.call, self.errno, self.times = "", 0, 0
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND  # held open: a child of another user's writes too
        self.refused = _open(f"{HOME}/refused", flags)
        self.places = _open(f"{HOME}/places", flags)

    def look(self) -> None:
        try:
            descriptor = _open(f"{HOME}/fault", os.O_RDONLY)
        except FileNotFoundError:
            self.call = ""
            return
        except PermissionError:  # of a child that is another user by now: what holds for its keeper
            return
        call, number, times = _read(descriptor, 200).decode().split()
        self.call, self.errno, self.times = call, int(number), int(times)
        _close(descriptor)

    def check(self, call: str) -> None:
        self.look()
        if call != self.call:
            return
        refused = _fstat(self.refused).st_size
        if refused == 0:
            place = f"{call} {self.times} {_place()}\n".encode()
            if place in os.pread(self.places, 1 << 20, 0).splitlines(keepends=True):
                return
            _write(self.places, place)
        if refused < self.times:
            _write(self.refused, b".")
            raise OSError(self.errno, os.strerror(self.errno))


def _place() -> str:
    """Where the keeper is: its own lines, from the call outwards."""
    lines: list[str] = []
    frame = sys._getframe(2)  # pyright: ignore[reportPrivateUsage]
    while frame is not None and len(lines) < DEPTH:
        if "quarterdeck" in frame.f_code.co_filename:
            lines.append(f"{Path(frame.f_code.co_filename).stem}:{frame.f_lineno}")
        frame = frame.f_back
    return "<".join(lines)


Path(HOME).mkdir(0o700, parents=True, exist_ok=True)
faults = Faults()


def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
    def refusing(*args: Any, **more: Any) -> Any:
        faults.check(name)
        return call(*args, **more)

    return refusing


def close(descriptor: int) -> None:
    """As Linux does: whatever it says, the descriptor is gone."""
    _close(descriptor)
    faults.check("close")


def adopt_orphans() -> None:
    """As the keeper's launcher does; without cgroups what is left of a tree is found by it."""
    if ctypes.CDLL(None, use_errno=True).prctl(36, 1, 0, 0, 0) != 0:  # PR_SET_CHILD_SUBREAPER
        raise OSError(ctypes.get_errno(), "orphans cannot be adopted")


class Epoll:
    """An epoll whose calls can be refused."""

    def __init__(self) -> None:
        epoll = select_epoll()
        self.register = wrapped("epoll.register", epoll.register)
        self.modify = wrapped("epoll.modify", epoll.modify)
        self.unregister = wrapped("epoll.unregister", epoll.unregister)
        self.poll = wrapped("epoll.poll", epoll.poll)


FILES = (
    "open",
    "read",
    "write",
    "unlink",
    "mkdir",
    "rmdir",
    "stat",
    "fstat",
    "scandir",
    "listdir",
    "ftruncate",
)
PROCESSES = ("pipe", "fork", "posix_spawn", "kill", "set_blocking", "fchown", "chdir", "setsid", "dup2", "execve")
for each in (*FILES, *PROCESSES):
    setattr(os, each, wrapped(each, getattr(os, each)))
os.close = close
builtins.open = wrapped("builtin.open", builtins.open)
fcntl.ioctl = wrapped("ioctl", fcntl.ioctl)
select_epoll = select.epoll
select.epoll = Epoll
for each in ("accept", "getsockopt", "recv", "send"):
    setattr(socket.socket, each, wrapped(f"socket.{each}", getattr(socket.socket, each)))

if __name__ == "__main__":
    adopt_orphans()
    listener = keeper._prepare(HOME)  # pyright: ignore[reportPrivateUsage]
    assert listener is not None
    keeper.main([HOME, "--linger", "60", "--retry", "0.01", "--socket", str(listener.detach())])
