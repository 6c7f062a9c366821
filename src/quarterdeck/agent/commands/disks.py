"""The host's disks and mounted file systems, for `get_disk_info`.

A mount may never answer a query for its size, as NFS does when its server is unreachable, and the query cannot be
interrupted. So it runs in its own thread, which neither the agent's work nor its end waits for; a mount that hangs is
reported as such, and not queried again until its thread has returned.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence

import msgspec
import psutil

from quarterdeck.model.hosts import Disk, DiskInfo, Partition

#: seconds within which a mount must answer
ANSWER_S = 2.0


class Disks:
    """Reads disks and mounts, and remembers mounts that hang. `measure` adds the sizes of a partition."""

    def __init__(self, *, answer_s: float = ANSWER_S, measure: Callable[[Partition], Partition] | None = None) -> None:
        self._answer_s = answer_s
        self._measure = measure or measured
        self._lock = threading.Lock()
        self._hanging: dict[str, threading.Thread] = {}  # by mount point

    def info(self) -> DiskInfo:
        """Return the disks and file systems. Waits `answer_s` for each mount that newly hangs."""
        return DiskInfo(disks=_disks(), partitions=self.partitions(_mounts()))

    def partitions(self, mounts: Sequence[Partition]) -> tuple[Partition, ...]:
        """Return those of `mounts` that have a size, or do not answer."""
        with self._lock:
            answered: list[Partition] = []
            asked = [mount for mount in mounts if not self._still_hangs(mount)]
            answered += [self._silent(mount) for mount in mounts if mount not in asked]
            while asked:
                done = self._ask(asked)
                answered += done
                asked = asked[len(done) :]
                if asked:
                    answered.append(self._silent(asked.pop(0)))
        return tuple(sorted((p for p in answered if p.size or p.problem), key=lambda p: p.mount_point))

    def _ask(self, mounts: Sequence[Partition]) -> list[Partition]:
        """Return the mounts' answers, in order, up to the first that hangs."""
        answers: queue.SimpleQueue[Partition] = queue.SimpleQueue()

        def work() -> None:
            for mount in mounts:
                answers.put(self._measure(mount))

        thread = threading.Thread(target=work, name="disks", daemon=True)
        thread.start()
        done: list[Partition] = []
        while len(done) < len(mounts):
            try:
                done.append(answers.get(timeout=self._answer_s))
            except queue.Empty:
                self._hanging[mounts[len(done)].mount_point] = thread
                break
        return done

    def _still_hangs(self, mount: Partition) -> bool:
        thread = self._hanging.get(mount.mount_point)
        if thread is not None and not thread.is_alive():
            del self._hanging[mount.mount_point]
            thread = None
        return thread is not None

    def _silent(self, mount: Partition) -> Partition:
        return msgspec.structs.replace(mount, problem=f"it did not answer within {self._answer_s:g} s")


def measured(mount: Partition) -> Partition:
    """Return the mount with its sizes, or with a message when this user may not read them."""
    try:
        usage = psutil.disk_usage(mount.mount_point)
    except OSError as error:
        if isinstance(error, PermissionError) and "/" not in mount.device:
            return mount  # debugfs and the like, which have no size
        return msgspec.structs.replace(mount, problem=error.strerror or str(error))
    inodes = free = 0
    if sys.platform != "win32":
        try:
            status = os.statvfs(mount.mount_point)
        except OSError as error:
            return msgspec.structs.replace(mount, problem=error.strerror or str(error))
        inodes, free = status.f_files, status.f_ffree
    return msgspec.structs.replace(
        mount,
        size=usage.total,
        used=usage.used,
        free=usage.free,
        inodes=inodes,
        inodes_used=inodes - free,
        inodes_free=free,
    )


def _mounts() -> list[Partition]:
    """Return the mounts without querying them; of several on one mount point, only the visible one."""
    # a query of an autofs mount would mount its file system
    mounts = {mount.mountpoint: mount for mount in psutil.disk_partitions(all=True) if mount.fstype != "autofs"}
    return [
        Partition(device=mount.device, mount_point=mount.mountpoint, type=mount.fstype, options=mount.opts)
        for mount in mounts.values()
    ]


def _disks() -> tuple[Disk, ...]:
    counters = psutil.disk_io_counters(perdisk=True) or {}  # empty in some containers
    return tuple(
        Disk(
            name=name,
            reads=disk.read_count,
            writes=disk.write_count,
            read_bytes=disk.read_bytes,
            written_bytes=disk.write_bytes,
            read_ms=disk.read_time,
            write_ms=disk.write_time,
        )
        for name, disk in sorted(counters.items())
    )
