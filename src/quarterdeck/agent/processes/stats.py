"""The resource usage of processes: of the whole tree of each, and the sum of several.

A measurement reads each process of the host once at most, whatever number of trees there are: first the kernel's
counters of a tree's cgroups (which include ended processes), then `/proc` by psutil for the rest and where there are no
cgroups. CPU is in per cent of one CPU since the previous measurement. This module returns the values and sends nothing.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import psutil

from quarterdeck.agent.processes.cgroups import TreeUsage
from quarterdeck.model.processes import STATS_INTERVAL_S, ProcessStats
from quarterdeck.model.struct import Struct


class Measured(Struct, frozen=True, kw_only=True):
    """A process to measure. `also`: processes that it asked to be measured with it (a `101::PID` line)."""

    id: str
    pid: int
    domain: str = ""
    name: str = ""
    stats_interval: float = STATS_INTERVAL_S
    also: tuple[int, ...] = ()


class Counters(Protocol):
    """The kernel's counters of trees (`Cgroups`)."""

    def usage(self, process_id: str) -> TreeUsage: ...

    def pids(self, process_id: str) -> tuple[int, ...] | None: ...


@dataclass(frozen=True, slots=True)
class _Look:
    """The time of a measurement of one process, and the CPU time that its tree had used then."""

    when: float
    cpu_s: float


class Stats:
    """Measures processes. It keeps the time of the last measurement of each, and the CPU time at that time."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._looks: dict[str, _Look] = {}

    def due(self, processes: Iterable[Measured], *, now: float) -> list[Measured]:
        """Return the processes to measure: never measured, or not within their interval. `now`: monotonic seconds."""
        looks = self._looks
        return [each for each in processes if each.id not in looks or now - looks[each.id].when >= each.stats_interval]

    def look(self, processes: Iterable[Measured], *, now: float) -> list[ProcessStats]:
        """Return the current use of each process."""
        measured = list(processes)
        trees = {each.id: self._counters.pids(each.id) for each in measured}
        below = _descendants() if None in trees.values() else {}
        return [self._one(each, trees[each.id], below, now) for each in measured]

    def forget(self, process_id: str) -> None:
        """Forget a process that has ended."""
        self._looks.pop(process_id, None)

    def _one(
        self, each: Measured, tree: tuple[int, ...] | None, below: Mapping[int, list[int]], now: float
    ) -> ProcessStats:
        pids = set(tree) if tree is not None else _tree(each.pid, below)
        usage = self._counters.usage(each.id)
        found = [sample for pid in pids | set(each.also) if (sample := _sample(pid)) is not None]
        cpu_s = usage.cpu_s if usage.cpu_s is not None else sum(sample.cpu_s for sample in found)
        before = self._looks.get(each.id)
        self._looks[each.id] = _Look(now, cpu_s)
        passed = now - before.when if before is not None else 0.0
        used = max(0.0, cpu_s - before.cpu_s) if before is not None else 0.0
        return ProcessStats(
            id=each.id,
            domain=each.domain,
            name=each.name,
            processes=len(found),
            threads=sum(sample.threads for sample in found),
            descriptors=sum(sample.descriptors for sample in found),
            cpu=100.0 * used / passed if passed > 0 else 0.0,
            cpu_s=cpu_s,
            rss=sum(sample.rss for sample in found),
            vms=sum(sample.vms for sample in found),
            swap=sum(sample.swap for sample in found),
            memory=usage.memory_bytes,
            read_bytes=max(usage.read_bytes or 0, sum(sample.read_bytes for sample in found)),
            written_bytes=max(usage.written_bytes or 0, sum(sample.written_bytes for sample in found)),
        )


def together(stats: Iterable[ProcessStats]) -> ProcessStats:
    """Return the sum of one or more; other fields are those of the first."""
    return functools.reduce(_add, stats)


def _add(one: ProcessStats, other: ProcessStats) -> ProcessStats:
    memory = None if one.memory is None and other.memory is None else (one.memory or 0) + (other.memory or 0)
    return ProcessStats(
        id=one.id,
        domain=one.domain,
        name=one.name,
        processes=one.processes + other.processes,
        threads=one.threads + other.threads,
        descriptors=one.descriptors + other.descriptors,
        cpu=one.cpu + other.cpu,
        cpu_s=one.cpu_s + other.cpu_s,
        rss=one.rss + other.rss,
        vms=one.vms + other.vms,
        swap=one.swap + other.swap,
        memory=memory,
        read_bytes=one.read_bytes + other.read_bytes,
        written_bytes=one.written_bytes + other.written_bytes,
    )


@dataclass(frozen=True, slots=True)
class _Sample:
    """The values of one process, or the sum of several."""

    cpu_s: float
    rss: int
    vms: int
    swap: int
    threads: int
    descriptors: int
    read_bytes: int
    written_bytes: int


def _sample(pid: int) -> _Sample | None:
    """Return a sample of one process; None when it is gone. Values that may not be read count as zero."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times, memory, threads = process.cpu_times(), process.memory_info(), process.num_threads()
            swap = _optional(lambda: _swap(process))
            descriptors = _optional(lambda: _descriptors(process))
            read = _optional(lambda: int(process.io_counters().read_bytes))
            written = _optional(lambda: int(process.io_counters().write_bytes))
    except psutil.Error:
        return None
    cpu_s = float(times.user + times.system)
    return _Sample(cpu_s, int(memory.rss), int(memory.vms), swap, threads, descriptors, read, written)


def _swap(process: psutil.Process) -> int:
    if sys.platform == "win32":
        return 0  # it does not tell
    return int(process.memory_full_info().swap)


def _descriptors(process: psutil.Process) -> int:
    if sys.platform == "win32":
        return int(process.num_handles())
    return int(process.num_fds())


def _optional(read: Callable[[], int]) -> int:
    """Return a value that not every system has or every user may read, or a default."""
    try:
        return read()
    except (psutil.Error, AttributeError, NotImplementedError, OSError):
        return 0


def _descendants() -> dict[int, list[int]]:
    """Children of each process of the host, read once."""
    below: dict[int, list[int]] = {}
    for process in psutil.process_iter(["ppid"]):
        below.setdefault(process.info["ppid"], []).append(process.pid)  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]
    return below


def _tree(pid: int, below: Mapping[int, list[int]]) -> set[int]:
    found: set[int] = set()
    todo = [pid]
    while todo:
        each = todo.pop()
        if each not in found:
            found.add(each)
            todo += below.get(each, [])
    return found
