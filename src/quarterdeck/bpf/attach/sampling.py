"""Attachment to perf events: programs that run when a counter overflows, on every CPU.

It opens the events that a bare SEC("perf_event") expects its loader to open.
"""

from __future__ import annotations

import errno
import os

from quarterdeck.bpf import syscall
from quarterdeck.bpf.attach.probes import PerfEvent
from quarterdeck.bpf.attach.tracing import perf_link
from quarterdeck.bpf.errors import AttachError, NotAttachable, SyscallError
from quarterdeck.bpf.link import Link
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.syscall import PERF_TYPE_HARDWARE, PERF_TYPE_SOFTWARE

DEFAULT_FREQUENCY_HZ = 99  # not in step with timers, which run at round rates

#: names as in perf(1) → type and config of perf_event_attr
EVENTS = {
    "cpu-clock": (PERF_TYPE_SOFTWARE, 0),
    "task-clock": (PERF_TYPE_SOFTWARE, 1),
    "page-faults": (PERF_TYPE_SOFTWARE, 2),
    "context-switches": (PERF_TYPE_SOFTWARE, 3),
    "cpu-migrations": (PERF_TYPE_SOFTWARE, 4),
    "minor-faults": (PERF_TYPE_SOFTWARE, 5),
    "major-faults": (PERF_TYPE_SOFTWARE, 6),
    "alignment-faults": (PERF_TYPE_SOFTWARE, 7),
    "emulation-faults": (PERF_TYPE_SOFTWARE, 8),
    "cpu-cycles": (PERF_TYPE_HARDWARE, 0),
    "instructions": (PERF_TYPE_HARDWARE, 1),
    "cache-references": (PERF_TYPE_HARDWARE, 2),
    "cache-misses": (PERF_TYPE_HARDWARE, 3),
    "branch-instructions": (PERF_TYPE_HARDWARE, 4),
    "branch-misses": (PERF_TYPE_HARDWARE, 5),
    "bus-cycles": (PERF_TYPE_HARDWARE, 6),
    "ref-cycles": (PERF_TYPE_HARDWARE, 9),
}
_FALLBACK = {"cpu-cycles": "cpu-clock"}  # virtual machines rarely have hardware counters
_NO_COUNTER = {errno.ENOENT, errno.EOPNOTSUPP, errno.ENODEV}


def attach_perf_event(program: Program, probe: PerfEvent) -> Link:
    """Attach to samples of `probe.event` on every online CPU. CPUs that come online later are not sampled."""
    if probe.event not in EVENTS:
        raise NotAttachable(f"unknown perf event {probe.event!r}; known: {', '.join(EVENTS)}", lasting=True)
    if probe.frequency and probe.period:
        raise NotAttachable("a perf event has a frequency or a period, not both", lasting=True)
    name, events = _open_events(probe)
    rate = f"every {probe.period}" if probe.period else f"at {probe.frequency or DEFAULT_FREQUENCY_HZ} Hz"
    where = f"{name} {rate} on {len(events)} CPUs"
    fds: list[int] = []
    try:
        while events:
            fds += perf_link(program, events.pop(), where)
    except AttachError:
        for fd in (*events, *fds):
            os.close(fd)
        raise
    return Link.of_fds(program, where, *fds)


def _open_events(probe: PerfEvent) -> tuple[str, list[int]]:
    """Return the name of the event that could be opened, and its fd on each CPU."""
    name = probe.event
    try:
        return name, _open_on_each_cpu(name, probe)
    except SyscallError as error:
        if error.errno not in _NO_COUNTER:
            raise AttachError(f"perf event {name} cannot be opened: {error}") from error
    if name not in _FALLBACK:
        raise AttachError(
            f"this machine has no counter {name}; software events such as cpu-clock work everywhere", lasting=True
        )
    return _FALLBACK[name], _open_on_each_cpu(_FALLBACK[name], probe)


def _open_on_each_cpu(name: str, probe: PerfEvent) -> list[int]:
    frequency = 0 if probe.period else probe.frequency or DEFAULT_FREQUENCY_HZ
    attr = syscall.perf_attr(*EVENTS[name], period=probe.period, frequency=frequency)
    opened: list[int] = []
    try:
        for cpu in syscall.online_cpus():
            opened.append(syscall.perf_event_open(attr, pid=-1 if probe.pid is None else probe.pid, cpu=cpu))  # noqa: PERF401
    except SyscallError:
        for fd in opened:
            os.close(fd)
        raise
    return opened
