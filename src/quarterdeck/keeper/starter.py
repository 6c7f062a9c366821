"""The start of programs as processes: by vfork (`posix_spawn`) where that is enough, else by fork.

A fork copies the keeper's page tables and runs Python in the copy, which takes 0.6 ms more of CPU time. A process made
by vfork enters no cgroup and no folder, but the keeper can: it enters them, starts the program, and goes back. A limit
would apply to the keeper too, and the keeper cannot enter another user's folder; therefore a program with a limit or a
user is forked. All programs are forked while a file system is mounted that may hang, because a keeper that waits for a
dead file server serves no child.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper and its children need a POSIX system.")

from quarterdeck.keeper.tree import MARK, Tree, contents

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from typing import NoReturn

    from quarterdeck.keeper.protocol import Header

#: a program starts with default signal handling and no blocked signals, whatever the keeper and the agent's parent do
_DEFAULT_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
#: file systems that wait for no other machine and for no other process
_LOCAL = frozenset(
    b"ext2 ext3 ext4 xfs btrfs bcachefs f2fs zfs jfs reiserfs vfat exfat iso9660 squashfs erofs overlay aufs tmpfs "
    b"ramfs rootfs nsfs rpc_pipefs tracefs debugfs bpf cgroup cgroup2 hugetlbfs devtmpfs devpts proc sysfs".split()
)
_NO_PROGRAMS = (b"/proc", b"/sys", b"/dev")


class Refused(Exception):
    """The program could not be started. `stage`: the step that failed."""

    def __init__(self, stage: str, error: BaseException) -> None:
        super().__init__(stage)
        self.stage = stage
        self.errno: int = getattr(error, "errno", None) or 0
        self.why: str = getattr(error, "strerror", None) or repr(error)

    def told(self) -> Header:
        """Return it as a frame."""
        return {"stage": self.stage, "errno": self.errno, "why": self.why}


class Starter:
    """Starts programs for the keeper. `mounts`: a descriptor that has EPOLLPRI when `look` is to be called."""

    def __init__(self) -> None:
        self.mounts = os.open("/proc/self/mountinfo", os.O_RDONLY)
        self.null = os.open(os.devnull, os.O_RDONLY)
        self._homes: dict[str, int] = {}  # folder of cgroups → its hierarchy's file by which the keeper goes back
        self._local = False
        self._away: set[str] = set()  # cgroups of programs that the keeper could not leave
        with suppress(OSError):  # without it, vfork is not used
            self.look()

    def look(self, _: int = 0) -> None:
        """Read the mounted file systems again. Raise `OSError` when they cannot be read now."""
        self._local = False
        mounts = [line.split() for line in contents("/proc/self/mountinfo").splitlines()]
        kinds = {mount[mount.index(b"-") + 1] for mount in mounts if not mount[4].startswith(_NO_PROGRAMS)}
        self._local = kinds <= _LOCAL

    def may_vfork(self, header: Header, tree: Tree) -> bool:
        """Return whether vfork is sufficient: nothing needs a copy of the keeper."""
        if not self._local or header.get("user"):
            return False
        return all(not group.files and self._home(group.path) >= 0 for group in tree.groups)

    def be_home(self) -> None:
        """Leave the cgroups of programs before another is started: it would begin in one of them, and end with it."""
        if not self.go_home():
            raise Refused("cgroup", OSError(errno.EBUSY, "the keeper cannot leave the cgroup of another program"))

    def vfork(self, header: Header, tree: Tree, streams: tuple[int, int, int]) -> int:
        """Start the program and return its process id."""
        stage = "cgroup"
        try:
            for group in tree.groups:
                group.enter()
            stage = "folder"
            os.chdir(header.get("cwd") or "/")
            stage = "program"
            env = _environment(header, tree)
            return os.posix_spawn(
                _found(header["argv"][0], env),
                header["argv"],
                env,
                file_actions=[(os.POSIX_SPAWN_DUP2, descriptor, target) for target, descriptor in enumerate(streams)],
                setsid=True,
                setsigdef=_DEFAULT_SIGNALS,
                setsigmask=(),
            )
        except (OSError, ValueError, TypeError) as error:
            raise Refused(stage, error) from error
        finally:
            with suppress(OSError):  # else the working directory is the program's until the next start
                os.chdir("/")
            self._away.update(group.path for group in tree.groups)
            self.go_home()

    def fork(self, header: Header, tree: Tree, streams: tuple[int, int, int], failing: int) -> int:
        """Fork and return the process id; the child becomes the program, or writes the error to `failing`."""
        try:
            pid = os.fork()
        except OSError as error:
            raise Refused("process", error) from error
        if pid == 0:
            _become(header, tree, streams, failing)
        return pid

    def expose(self, pid: int) -> None:
        """Reset the program's OOM score, which may be lowered for the agent and the keeper."""
        with suppress(OSError):  # it has ended, or this is not possible
            if contents("/proc/self/oom_score_adj").startswith(b"-"):
                descriptor = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
                try:
                    os.write(descriptor, b"0")
                finally:
                    os.close(descriptor)

    def go_home(self) -> bool:
        """Leave the cgroups of programs, where the keeper would be killed with them. Return whether it is in none."""
        for path in list(self._away):
            with suppress(OSError):
                self._go_home(path)
                self._away.discard(path)
        return not self._away

    def _home(self, path: str) -> int:
        """By which the keeper goes back after it has been in the cgroup `path`; -1: it cannot."""
        folder = os.path.dirname(path)  # noqa: PTH120 (pathlib costs memory)
        if folder not in self._homes:
            self._homes[folder] = -1
            with suppress(OSError, ValueError, KeyError):
                descriptor = os.open(f"{_own_cgroup(folder)}/cgroup.procs", os.O_WRONLY)
                os.write(descriptor, b"0")
                self._homes[folder] = descriptor
        return self._homes[folder]

    def _go_home(self, path: str) -> None:
        try:
            os.write(self._home(path), b"0")
        except OSError:  # its cgroup takes no processes any more: it must not stay in one that is to be killed
            shelter = f"{os.path.dirname(path)}/-keeper"  # noqa: PTH120
            os.makedirs(shelter, exist_ok=True)  # noqa: PTH103
            self._homes[os.path.dirname(path)] = descriptor = os.open(f"{shelter}/cgroup.procs", os.O_WRONLY)  # noqa: PTH120
            os.write(descriptor, b"0")


def _own_cgroup(folder: str) -> str:
    """Return this process's cgroup in the hierarchy of `folder`; raise ValueError or KeyError if it is not visible."""
    own: dict[str, str] = {}
    for line in contents("/proc/self/cgroup").decode().splitlines():
        _, controllers, path = line.split(":", 2)
        own |= dict.fromkeys(controllers.split(","), path)
    found: list[tuple[str, str]] = []
    for line in contents("/proc/self/mountinfo").decode().splitlines():
        before, _, after = line.partition(" - ")
        (root, mount), (kind, _, options) = before.split()[3:5], after.split()[:3]
        if kind in ("cgroup", "cgroup2") and f"{folder}/".startswith(f"{mount}/"):
            names = ("",) if kind == "cgroup2" else (name for name in options.split(",") if name in own)
            path = own[next(iter(names), "?")]
            root = root.rstrip("/")
            if not f"{path}/".startswith(f"{root}/"):
                raise ValueError(path)
            found.append((mount, path.removeprefix(root)))
    mount, path = max(found)  # the innermost
    return f"{mount}{path}"


def _become(header: Header, tree: Tree, streams: tuple[int, int, int], failing: int) -> NoReturn:
    """In a copy of the keeper: be the program, or say why not."""
    stage = "session"
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in _DEFAULT_SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        stage = "cgroup"
        for group in tree.groups:
            group.enter()
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        stage = "user"
        if user := header.get("user"):
            os.setgroups(user["groups"])
            os.setgid(user["gid"])
            os.setuid(user["uid"])
        stage = "folder"
        os.chdir(header.get("cwd") or "/")
        stage = "program"
        env = _environment(header, tree)
        os.execve(_found(header["argv"][0], env), header["argv"], env)  # noqa: S606
    except BaseException as error:  # noqa: BLE001 (whatever it is: this process must end here)
        os.write(failing, json.dumps(Refused(stage, error).told()).encode())
    finally:
        os._exit(127)


def _environment(header: Header, tree: Tree) -> dict[str, str]:
    return {**(header.get("env") or {}), MARK: tree.mark}


def _found(program: str, env: dict[str, str]) -> str:
    """Return the path of the program, searched in its PATH. Python's `execvpe` takes 2 ms in a copy."""
    if "/" in program:
        return program
    denied = False
    for folder in env.get("PATH", os.defpath).split(":"):
        path = f"{folder or '.'}/{program}"
        if os.path.isfile(path):  # noqa: PTH113 (pathlib costs memory)
            if os.access(path, os.X_OK):
                return path
            denied = True
    number = errno.EACCES if denied else errno.ENOENT
    raise OSError(number, os.strerror(number))
