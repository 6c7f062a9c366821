"""How a program becomes a process: by vfork (`posix_spawn`) where that is enough, else by fork.

A fork copies the keeper's page tables and runs Python in the copy: 0.6 ms of CPU time more. vfork enters no cgroup and
no folder, but the keeper can: it goes in, starts the program, and goes back. A limit would hold for the keeper too,
and another user's folder is not its own: what has a limit or a user is forked. So is everything while a file system
is mounted that may hang, for a keeper that waits for a dead file server keeps nobody. Standard library only.
"""

from __future__ import annotations

import errno
import json
import os
import resource
import signal
import sys
from contextlib import suppress

if sys.platform == "win32":
    raise ImportError("The keeper and its children need a POSIX system.")

from quarterdeck.agent.processes.trees import MARK, Tree, contents

TYPE_CHECKING = False  # typing itself costs memory
if TYPE_CHECKING:
    from typing import NoReturn

    from quarterdeck.agent.processes.frames import Header

#: Python's own, which a program does not expect to inherit
_DEFAULT_SIGNALS = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: file systems that wait for no other machine and for no other process
_LOCAL = frozenset(
    b"ext2 ext3 ext4 xfs btrfs bcachefs f2fs zfs jfs reiserfs vfat exfat iso9660 squashfs erofs overlay aufs tmpfs "
    b"ramfs rootfs nsfs rpc_pipefs tracefs debugfs bpf cgroup cgroup2 hugetlbfs devtmpfs devpts proc sysfs".split()
)
_NO_PROGRAMS = (b"/proc", b"/sys", b"/dev")


class Refused(Exception):
    """The program could not be started. `stage`: what failed."""

    def __init__(self, stage: str, error: BaseException) -> None:
        super().__init__(stage)
        self.stage = stage
        self.errno: int = getattr(error, "errno", None) or 0
        self.why: str = getattr(error, "strerror", None) or repr(error)

    def told(self) -> Header:
        """As it is said."""
        return {"stage": self.stage, "errno": self.errno, "why": self.why}


class Starter:
    """Starts programs for the keeper. `mounts`: a descriptor that has EPOLLPRI when `look` is to be called."""

    def __init__(self) -> None:
        self.mounts = os.open("/proc/self/mountinfo", os.O_RDONLY)
        self.null = os.open(os.devnull, os.O_RDONLY)
        self._homes: dict[str, int] = {}  # folder of cgroups → its hierarchy's file by which the keeper goes back
        self._local = False
        self.look()

    def look(self, _: int = 0) -> None:
        """What is mounted has changed."""
        mounts = [line.split() for line in contents("/proc/self/mountinfo").splitlines()]
        kinds = {mount[mount.index(b"-") + 1] for mount in mounts if not mount[4].startswith(_NO_PROGRAMS)}
        self._local = kinds <= _LOCAL

    def may_vfork(self, header: Header, tree: Tree) -> bool:
        """Whether nothing is to be done for this one that only a copy of the keeper can do."""
        if not self._local or header.get("user") or header.get("rlimits"):
            return False
        return all(not group.files and self._home(group.path) >= 0 for group in tree.groups)

    def vfork(self, header: Header, tree: Tree, streams: tuple[int, int, int]) -> int:
        """The process id of the program, which runs when this returns."""
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
            )
        except (OSError, ValueError, TypeError) as error:
            raise Refused(stage, error) from error
        finally:
            os.chdir("/")
            for group in tree.groups:
                self._go_home(group.path)

    def fork(self, header: Header, tree: Tree, streams: tuple[int, int, int], failing: int) -> int:
        """The process id of what becomes the program, or writes to `failing` why not."""
        try:
            pid = os.fork()
        except OSError as error:
            raise Refused("process", error) from error
        if pid == 0:
            _become(header, tree, streams, failing)
        return pid

    def expose(self, pid: int) -> None:
        """A program is no more spared than others where memory runs out, however much the agent and the keeper are."""
        if contents("/proc/self/oom_score_adj").startswith(b"-"):
            with suppress(OSError):  # it has ended
                descriptor = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY)
                try:
                    os.write(descriptor, b"0")
                finally:
                    os.close(descriptor)

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
    """The folder of this process' cgroup in the hierarchy where `folder` is. ValueError, KeyError: not to be seen."""
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
        stage = "cgroup"
        for group in tree.groups:
            group.enter()
        for target, descriptor in enumerate(streams):
            os.dup2(descriptor, target)
        stage = "limits"
        limits: list[tuple[int, int]] = header.get("rlimits") or []
        for number, value in limits:
            resource.setrlimit(number, (value, value))
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
    os._exit(127)


def _environment(header: Header, tree: Tree) -> dict[str, str]:
    return {**(header.get("env") or {}), MARK: tree.id}


def _found(program: str, env: dict[str, str]) -> str:
    """The program's path, looked for in the PATH it will have. Python's own way (`execvpe`) takes 2 ms in a copy."""
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
