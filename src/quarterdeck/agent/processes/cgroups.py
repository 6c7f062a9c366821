"""The cgroups of this host: those that may be created, their limits for a process, and the usage of its tree.

Version 2 is used where it is mounted and writable, version 1 with the controllers that it has, or both side by side;
where neither can be written, process groups. `Cgroups.detect` tries this and reports the result. The keeper creates,
enters, kills and removes cgroups (`keeper/tree.py`); this module chooses them and their limits, and reads the kernel's
counters.

A version 2 cgroup with processes of its own cannot pass controllers on to those below it. Under systemd, the agent's
unit therefore needs `Delegate=yes` and `DelegateSubgroup=agent`; the children's cgroups are created beside that one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from quarterdeck.agent.keeper.start import Plan
from quarterdeck.model.errors import Unavailable
from quarterdeck.model.processes import Limits
from quarterdeck.model.struct import Struct

log = logging.getLogger(__name__)

#: the cgroup of the agent's own unit, beside which those of the children are made
AGENT_CGROUP = "agent"
#: the folder of ours in each hierarchy; behind it stands which agent's, for there may be more on one host
OURS = "quarterdeck"
PERIOD_US = 100_000
_OOM_KILLS = re.compile(r"^oom_kill (\d+)$", re.MULTILINE)
_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "freezer", "io", "blkio")
_SAFE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,80}")
_HOW = (
    "Run the agent as root or in a unit with `Delegate=yes`; `qd doctor` says what is missing. Or leave the limit out."
)


class CgroupVersion(StrEnum):
    """The kind of cgroups that hold a tree together."""

    V2 = "v2"
    V1 = "v1"
    HYBRID = "hybrid"  #: version 2 to kill and count, version 1 for the limits
    NONE = "none"  #: process groups, sessions and marks


class TreeUsage(Struct, frozen=True, kw_only=True):
    """The kernel's counters of a whole tree, including its ended processes. None: not counted on this host."""

    cpu_s: float | None = None
    memory_bytes: int | None = None  #: page cache included; of version 1 only where memory is limited
    memory_peak_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    pids: int | None = None


class Cgroups:
    """The cgroups of this agent's children. `folders`: controller → our folder in its hierarchy; "" is that of version
    2.
    """

    def __init__(self, folders: dict[str, Path], *, reason: str = "") -> None:
        self._folders = folders
        self._unified = _listed(folders[""] / "cgroup.subtree_control") if "" in folders else frozenset[str]()
        self.reason = reason  #: why not more, in words

    @classmethod
    def detect(
        cls, home: Path, *, mounts: Path = Path("/proc/self/mountinfo"), own: Path = Path("/proc/self/cgroup")
    ) -> Cgroups:
        """Find what this process may make, by making it. `home`: the agent's own folder."""
        if sys.platform != "linux":
            return cls({}, reason="there are no cgroups on this system")
        ours = f"{OURS}-{hashlib.sha256(bytes(home.resolve())).hexdigest()[:12]}"
        folders: dict[str, Path] = {}
        refused: list[str] = []
        try:
            bases = dict(_bases(mounts.read_text(), own.read_text()))
        except OSError as error:
            return cls({}, reason=f"what cgroups there are cannot be read ({error})")
        for controller, base in bases.items():
            try:
                folders[controller] = _ours(base / ours, unified=not controller)
            except OSError as error:
                refused.append(f"{base} ({error.strerror})")
        if "" in folders and "freezer" in folders:
            with suppress(OSError):  # what an agent without version 2 left may be in it still
                folders.pop("freezer").rmdir()  # version 2 kills without it
        reason = f"not writable: {', '.join(refused)}" if refused else "" if folders else "no cgroups are mounted"
        found = cls(folders, reason=reason)
        log.info("processes are held together by %s", found)
        return found

    def leave(self) -> None:
        """Remove our folders where no process is left in them; the keeper makes again what it needs."""
        for folder in self._folders.values():
            with suppress(OSError):
                folder.rmdir()

    @property
    def version(self) -> CgroupVersion:
        """Return the kind of cgroups that hold a tree together."""
        if not self._folders:
            return CgroupVersion.NONE
        if "" not in self._folders:
            return CgroupVersion.V1
        return CgroupVersion.HYBRID if len(self._folders) > 1 else CgroupVersion.V2

    @property
    def controllers(self) -> tuple[str, ...]:
        """Return the controllers that can limit or count."""
        return tuple(sorted((self._folders.keys() | self._unified) - {""}))

    def __str__(self) -> str:
        if self.version is CgroupVersion.NONE:
            return f"process groups: {self.reason}"
        why = f"; {self.reason}" if self.reason else ""
        return f"cgroups {self.version} ({', '.join(self.controllers) or 'no controllers'}){why}"

    def plan(self, process_id: str, limits: Limits) -> Plan:
        """Plan the cgroups of a process: the one it is killed by, and those that limit it. Each one takes 0.2 ms.

        Raise `Unavailable` when a limit cannot be enforced here: a program with a limit does not run without it.
        """
        name = _name(process_id)
        files: dict[str, list[tuple[str, str]]] = {controller: [] for controller in self._folders}
        missing: list[str] = []
        if limits.memory_bytes is not None and not self._limit(
            files, "memory", ("memory.max", "memory.limit_in_bytes"), str(limits.memory_bytes)
        ):
            missing.append("memory")
        if limits.cpus is not None:
            quota = max(1000, int(limits.cpus * PERIOD_US))
            if not self._limit(files, "cpu", ("cpu.max", "cpu.cfs_quota_us"), str(quota)):
                missing.append("cpu")
        if limits.pids is not None and not self._limit(files, "pids", ("pids.max", "pids.max"), str(limits.pids)):
            missing.append("pids")
        if missing:
            raise Unavailable(self._refusal(missing), hint=_HOW)
        order = self._order()
        counting = "" if "" in self._folders else "cpuacct"  # version 2 counts CPU time without a controller
        order = [at for at in order if at in (order[0], counting) or files[at]]
        groups = {str(self._folders[at] / name): tuple[tuple[str, str], ...]() for at in order}
        for at in order:  # controllers that are mounted together share a folder
            groups[str(self._folders[at] / name)] += tuple(files[at])
        return Plan(groups=tuple(groups.items()))

    def check(self, controller: str) -> str:
        """Return how this controller's limits are enforced, in words; raise `Unavailable` when they cannot be."""
        if controller not in self.controllers:
            raise Unavailable(self._refusal([controller]), hint=_HOW)
        return f"enforced by cgroups {self.version}"

    def usage(self, process_id: str) -> TreeUsage:
        """Return the resources that the tree of a process has used."""
        paths = [self._folders[at] / _name(process_id) for at in self._order()]
        stat = dict(line.split()[:2] for line in _read(paths, "cpu.stat").splitlines())
        cpu = float(stat["usage_usec"]) / 1e6 if "usage_usec" in stat else None
        if cpu is None:
            nanoseconds = _number(paths, "cpuacct.usage")
            cpu = nanoseconds / 1e9 if nanoseconds is not None else None
        read, written = _io(paths)
        return TreeUsage(
            cpu_s=cpu,
            memory_bytes=_number(paths, "memory.current", "memory.usage_in_bytes"),
            memory_peak_bytes=_number(paths, "memory.peak", "memory.max_usage_in_bytes"),
            read_bytes=read,
            written_bytes=written,
            pids=_number(paths, "pids.current"),
        )

    def oom_kills(self, process_id: str) -> int:
        """Return how many processes of the tree the kernel killed for lack of memory; 0 where it has no count."""
        paths = [self._folders[at] / _name(process_id) for at in self._order()]
        found = _OOM_KILLS.search(_read(paths, "memory.events", "memory.oom_control"))
        return int(found[1]) if found else 0

    def pids(self, process_id: str) -> tuple[int, ...] | None:
        """Return the processes of the tree; None without a cgroup."""
        groups = self.plan(process_id, Limits()).groups
        if not groups:
            return None
        found: list[int] = []
        with suppress(OSError):
            for folder, _, _ in os.walk(groups[0][0]):
                found += map(int, Path(folder, "cgroup.procs").read_text().split())
        return tuple(found)

    def _refusal(self, controllers: list[str]) -> str:
        names = " and ".join(controllers)
        return f"No cgroup controller for {names} can be used here, so that limit cannot be enforced: {self}."

    def _order(self) -> list[str]:
        """Our hierarchies, the best to kill with first."""
        first = ("", "freezer", "pids")
        return sorted(self._folders, key=lambda at: first.index(at) if at in first else len(first))

    def _limit(
        self, files: dict[str, list[tuple[str, str]]], controller: str, names: tuple[str, str], value: str
    ) -> bool:
        if controller in self._unified:
            files[""].append((names[0], f"{value} {PERIOD_US}" if names[0] == "cpu.max" else value))
        elif controller in files:
            files[controller].append((names[1], value))
        else:
            return False
        return True


def _name(process_id: str) -> str:
    """Return the name of a process' folders: it cannot escape the parent, is unique, and is no control file's name.

    None of the kernel's own file names contains a dash.
    """
    if _SAFE.fullmatch(process_id):
        return f"process-{process_id}"
    return f"hashed-{hashlib.sha256(process_id.encode()).hexdigest()[:32]}"


def _bases(mounts: str, own: str) -> Iterator[tuple[str, Path]]:
    """Return the folder of this process in each mounted hierarchy, by controller; "" for version 2."""
    paths: dict[str, str] = {}
    for line in own.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = path
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, _, options) = before.split(), after.split()[:3]
        if kind not in ("cgroup", "cgroup2"):
            continue
        mounted = {""} if kind == "cgroup2" else {each for each in options.split(",") if each in _CONTROLLERS}
        for controller in mounted & paths.keys():
            path = paths[controller]
            relative = os.path.relpath(path, fields[3]) if Path(path).is_relative_to(fields[3]) else "."
            base = Path(fields[4]) / relative
            yield controller, base.parent if base.name == AGENT_CGROUP else base


def _ours(folder: Path, *, unified: bool) -> Path:
    """Our folder, with the controllers that version 2 gives us. `OSError`: not ours to make."""
    folder.mkdir(exist_ok=True)
    probe = folder / f"probe-{os.getpid()}"
    probe.mkdir(exist_ok=True)
    probe.rmdir()
    if unified:
        for parent in (folder.parent, folder):
            for controller in _listed(parent / "cgroup.controllers"):
                with suppress(OSError):
                    (parent / "cgroup.subtree_control").write_text(f"+{controller}")
    return folder


def _listed(file: Path) -> frozenset[str]:
    """Version 2's controllers, of those we know: what a folder has, or what it gives to the cgroups below it."""
    try:
        return frozenset(file.read_text().split()) & set(_CONTROLLERS)
    except OSError:
        return frozenset()


def _read(folders: list[Path], *names: str) -> str:
    for folder in folders:
        for name in names:
            with suppress(OSError):
                if text := (folder / name).read_text():
                    return text
    return ""


def _number(folders: list[Path], *names: str) -> int | None:
    text = _read(folders, *names).strip()
    return int(text) if text.isdecimal() else None


def _io(folders: list[Path]) -> tuple[int | None, int | None]:
    """Bytes that reached the disks."""
    if text := _read(folders, "io.stat"):
        pairs = re.findall(r"\b([rw])bytes=(\d+)", text)
    else:
        text = _read(folders, "blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes")
        pairs = [(way[0].lower(), amount) for way, amount in re.findall(r" (Read|Write) (\d+)", text)]
    if not text:
        return None, None
    return tuple(sum(int(amount) for way, amount in pairs if way == which) for which in "rw")  # pyright: ignore[reportReturnType]
