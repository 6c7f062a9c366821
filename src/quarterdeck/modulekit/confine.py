"""The confinement of a program to the given parts of this machine: a script that confines itself and executes it.

A compiler runs on the source of a module's author, and C has many ways to name a file. So only the given paths exist
for it: it runs in namespaces of its own (a file tree, no network, no other process), under a Landlock ruleset, or both,
whichever this machine has; as a user that owns nothing, if root started it; with limits of time, memory and output;
without sockets. It owns these system calls and their order. It imports only the standard library, and runs with
`python -I -S`, because it is started for every compilation.

The one argument is a `Request` in JSON. Exit code CANNOT_CONFINE, with the reasons on stderr, means that the program
was not started; every other exit code is the program's own.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TypedDict

CANNOT_CONFINE = 119

#: user id that belongs to no account, is outside the ranges of distributions and systemd, and is mapped in most
#: containers
_UNPRIVILEGED = 61_100
_PROCESSES = 1024  # number of processes of that user; a compiler starts a thread for each CPU
_MOST_LIKELY_OOM_VICTIM = "1000"

_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 1, 2, 4, 8
_MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 32, 4096, 16384, 1 << 18
_MNT_DETACH = 2
_KEPT_FLAGS = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC  # flags that a remount in a user namespace cannot remove
_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = 1 << 17, 1 << 26, 1 << 27, 1 << 28, 1 << 29, 1 << 30

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 1, 8, 22, 38, 47
_PR_CAP_AMBIENT_RAISE, _SECCOMP_MODE_FILTER = 2, 2
_CAP_DAC_READ_SEARCH, _CAPABILITIES_VERSION = 2, 0x20080522

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # landlock_…, the same numbers on every architecture
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14
#: rights, by the first ABI that has them
_FS_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
_TCP_RIGHTS, _TCP_ABI = 0b11, 4
_SCOPES, _SCOPE_ABI = 0b11, 6  # scopes of abstract sockets and of signals to processes outside

#: machine → (AUDIT_ARCH_…, pivot_root, capset, refused calls: sockets, files by handle, keyrings)
_SYSTEM_CALLS = {
    "x86_64": (0xC000003E, 155, 126, (41, 304, 248, 249, 250)),
    "aarch64": (0xC00000B7, 41, 91, (198, 265, 217, 218, 219)),
    "riscv64": (0xC00000F3, 41, 91, (198, 265, 217, 218, 219)),
    "s390x": (0x80000016, 217, 185, (102, 359, 336, 278, 279, 280)),
    "ppc64le": (0xC0000015, 203, 184, (102, 326, 346, 269, 270, 271)),
}
_IO_URING_SETUP = 425  # io_uring can open sockets too
_X32 = 0x40000000  # the first number of x86's second table of system calls
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050000 | 1, 0x80000000  # 1: EPERM

_MACHINE = os.uname().machine
_libc = ctypes.CDLL(None, use_errno=True)


class Request(TypedDict):
    """The program to start, and what it can see and use. Paths are absolute and resolved."""

    command: list[str]
    environment: dict[str, str]
    folder: str  #: its working directory; it can read everything in it
    reads: list[str]  #: other files and folders that it can read; the program itself is one of them
    writes: list[str]  #: folders that it can write to
    view: str  #: an empty folder on which the file tree of its namespace may be mounted
    cpu_s: int
    memory_bytes: int
    file_bytes: int
    required: bool  #: do not start the program without confinement
    without: list[str]  #: mechanisms not to use, "namespaces" or "landlock", for tests of the other


def main(request: Request) -> NoReturn:
    """Confine this process and execute the program. One of the mechanisms is enough."""
    _limit(request)
    if _MACHINE not in _SYSTEM_CALLS:
        _go_on_open(request, f"the numbers of system calls of {_MACHINE} are not known")
    refused = "switched off" if "namespaces" in request["without"] else _run_in_namespaces(request)
    try:
        _fence(request)
    except OSError as error:
        _go_on_open(request, f"namespaces: {refused}; Landlock: {error.strerror}")
    _become(request)


def _go_on_open(request: Request, reason: str) -> None:
    """Continue without confinement, or exit if it is required."""
    if request["required"]:
        sys.stderr.write(reason)
        sys.exit(CANNOT_CONFINE)


def _limit(request: Request) -> None:
    for what, most in (
        (resource.RLIMIT_CPU, request["cpu_s"]),
        (resource.RLIMIT_AS, request["memory_bytes"]),
        (resource.RLIMIT_FSIZE, request["file_bytes"]),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        limit = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (limit, limit))
    with suppress(OSError):  # in case /proc is read-only
        Path("/proc/self/oom_score_adj").write_text(_MOST_LIKELY_OOM_VICTIM)


# ── namespaces ───────────────────────────────────────────────────────────────────────────────────────────────────────
def _run_in_namespaces(request: Request) -> str:
    """Run the program in namespaces of its own and exit with its exit code; return the reason if that is impossible."""
    read_end, write_end = os.pipe()
    helper = os.fork()
    if helper == 0:
        _die_with_parent()
        os.close(read_end)
        try:
            _enter(request, write_end)
        except OSError as error:
            os.write(write_end, (error.strerror or str(error)).encode())
        os._exit(CANNOT_CONFINE)
    os.close(write_end)
    with os.fdopen(read_end) as reasons:
        reason = reasons.read()  # empty when the program has started, because that closes the other end
    _, status = os.waitpid(helper, 0)
    if not reason:
        _exit_like(status)
    return reason


def _enter(request: Request, write_end: int) -> None:
    """Create the namespaces, then start the first process of the new namespaces, which becomes the program."""
    _unshare()
    first = os.fork()
    if first == 0:
        _die_with_parent()
        try:
            _narrow(request)
            with suppress(OSError):  # a second barrier, on kernels that have it
                _fence(request)
            _become(request)
        except OSError as error:
            os.write(write_end, (error.strerror or str(error)).encode())
        os._exit(CANNOT_CONFINE)
    os.close(write_end)
    _, status = os.waitpid(first, 0)
    _exit_like(status)


def _unshare() -> None:
    """Create new namespaces, with a user namespace if this user cannot create the others without one."""
    wanted = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    user, group = os.geteuid(), os.getegid()
    if _libc.unshare(wanted) == 0:
        return
    _check(_libc.unshare(wanted | _NEWUSER))
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")


def _narrow(request: Request) -> None:
    """Mount the visible paths on an empty tree, and make this tree the only one."""
    root = Path(request["view"])
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", str(root), "tmpfs", _MS_NOSUID | _MS_NODEV, "mode=0755,size=1m")
    for path in (request["folder"], *request["reads"]):
        _show(root, path, writable=False)
    for path in request["writes"]:
        _show(root, path, writable=True)
    (root / "proc").mkdir(exist_ok=True)
    _mount("proc", str(root / "proc"), "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    os.chdir(root)
    _check(_libc.syscall(_SYSTEM_CALLS[_MACHINE][1], b".", b"."))
    _check(_libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def _show(root: Path, path: str, *, writable: bool) -> None:
    target = root / path.lstrip("/")
    if not target.exists():
        target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        target.mkdir() if Path(path).is_dir() else target.touch()
    _mount(path, str(target), None, _MS_BIND)
    if not writable:
        kept = os.statvfs(target).f_flag & _KEPT_FLAGS
        _mount(None, str(target), None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | kept)


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str = "") -> None:
    encoded = [None if each is None else os.fsencode(each) for each in (source, target, kind)]
    _check(_libc.mount(*encoded, ctypes.c_ulong(flags), options.encode() or None))


# ── Landlock ─────────────────────────────────────────────────────────────────────────────────────────────────────────
def _fence(request: Request) -> None:
    """Allow this process to open only the paths of the request. Raise `OSError` when Landlock is not available."""
    if "landlock" in request["without"]:
        raise OSError(0, "switched off")
    abi = _check(_libc.syscall(_CREATE_RULESET, None, 0, 1))
    handled = max(rights for first, rights in _FS_RIGHTS.items() if first <= abi)
    attributes = struct.pack(
        "=QQQ", handled, _TCP_RIGHTS if abi >= _TCP_ABI else 0, _SCOPES if abi >= _SCOPE_ABI else 0
    )
    used = attributes[: 8 if abi < _TCP_ABI else 16 if abi < _SCOPE_ABI else 24]
    ruleset = _check(_libc.syscall(_CREATE_RULESET, used, len(used), 0))
    for path in (request["folder"], *request["reads"]):
        _permit(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
    for path in request["writes"]:
        _permit(ruleset, path, handled)
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    _check(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    os.close(ruleset)


def _permit(ruleset: int, path: str, rights: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not os.path.isdir(path):  # noqa: PTH112  (only these rights apply to files)
            rights &= _EXECUTE | _READ_FILE | _WRITE_FILE | _TRUNCATE
        _check(_libc.syscall(_ADD_RULE, ruleset, 1, struct.pack("=Qi", rights, opened), 0))
    finally:
        os.close(opened)


# ── the program ──────────────────────────────────────────────────────────────────────────────────────────────────────
def _become(request: Request) -> NoReturn:
    _die_with_parent()
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    if _MACHINE in _SYSTEM_CALLS:
        if os.geteuid() == 0:
            _drop_root(request)
        _refuse_calls()
    os.chdir(request["folder"])
    os.execve(request["command"][0], request["command"], request["environment"])  # noqa: S606


def _drop_root(request: Request) -> None:
    """Change to a user that owns only the writable folders, and drop all capabilities but one.

    The remaining one allows reading files of other users, because the compiler may be installed in a home folder; the
    namespace or the ruleset limits what can be opened. A root user without this capability, in a container, stays root
    without capabilities.
    """
    reading = 1 << _CAP_DAC_READ_SEARCH
    kept = _permitted() & reading
    if kept:
        try:
            _change_user(request)
        except OSError:  # in a container that maps only one user
            kept = 0
    header = struct.pack("=Ii", _CAPABILITIES_VERSION, 0)
    capabilities = struct.pack("=6I", kept, kept, kept, 0, 0, 0)
    _check(_libc.syscall(_SYSTEM_CALLS[_MACHINE][2], header, capabilities))
    if kept:
        _check(_libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0))


def _permitted() -> int:
    """Return the permitted capabilities of this process, of the first 32."""
    header, capabilities = struct.pack("=Ii", _CAPABILITIES_VERSION, 0), ctypes.create_string_buffer(24)
    capget = _SYSTEM_CALLS[_MACHINE][2] - 1
    _check(_libc.syscall(capget, header, capabilities))
    return struct.unpack_from("=6I", capabilities)[1]


def _change_user(request: Request) -> None:
    for path in request["writes"]:
        os.chown(path, _UNPRIVILEGED, _UNPRIVILEGED)
    _check(_libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0))
    os.setgroups([])
    os.setresgid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
    os.setresuid(_UNPRIVILEGED, _UNPRIVILEGED, _UNPRIVILEGED)
    resource.setrlimit(resource.RLIMIT_NPROC, (_PROCESSES, _PROCESSES))
    _die_with_parent()  # a change of user clears this setting


def _refuse_calls() -> None:
    """Install a filter of system calls: no sockets of any family, no files by handle, no keyrings."""
    architecture, _, _, refused = _SYSTEM_CALLS[_MACHINE]
    numbers = [*refused, _IO_URING_SETUP]
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    count = len(numbers)
    program = [
        (load, 0, 0, 4),
        (equal, 1, 0, architecture),
        (answer, 0, 0, _KILL),
        (load, 0, 0, 0),
        (at_least, count + 1, 0, _X32),
        *((equal, count - index, 0, number) for index, number in enumerate(numbers)),
        (answer, 0, 0, _ALLOW),
        (answer, 0, 0, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in program))
    filled = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", len(program), ctypes.addressof(code)))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filled, 0, 0))


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def _exit_like(status: int) -> NoReturn:
    """Exit with the exit code of this wait status; for a signal, with 128 plus its number."""
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if __name__ == "__main__":
    try:
        main(json.loads(sys.argv[1]))
    except OSError as error:
        sys.stderr.write(str(error))
        sys.exit(CANNOT_CONFINE)
