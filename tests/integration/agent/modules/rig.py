"""Modules written in a few lines, deployed through Instances on the real kernel, and the rows that they produced."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import zstandard

from quarterdeck.agent.modules.instances import Instances
from quarterdeck.columns.outlet import Outlet
from quarterdeck.model.config import AgentConfig
from quarterdeck.model.losses import Loss, LossReason
from quarterdeck.model.manifests import SettingValue
from quarterdeck.model.modules import Artefact, DesiredInstance, InstanceState, InstanceStatus
from quarterdeck.model.tables import Table
from quarterdeck.modulekit.build import Built, build_module

#: getppid: a call that nothing else in this process makes
GETPPID = {"x86_64": 110, "aarch64": 173}[platform.machine()]

#: what every program here begins with: it sees one process's calls of one system call
HEADER = f"""
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
char LICENSE[] SEC("license") = "GPL";
const volatile __u32 only_pid = 0;
#define MINE(id) ((id) == {GETPPID} && (bpf_get_current_pid_tgid() >> 32) == only_pid)
"""

#: sends one record a call through `ring`, numbered
RING = (
    HEADER
    + """
struct event { __u64 ts; __u64 seq; __u32 pid; char comm[16]; };
struct { __uint(type, BPF_MAP_TYPE_RINGBUF); __uint(max_entries, RING_BYTES); } ring SEC(".maps");
__u64 seq;
SEC("raw_tp/sys_enter") int BPF_PROG(on_call, void *regs, long id)
{
    if (!MINE(id)) return 0;
    __u64 number = __sync_fetch_and_add(&seq, 1);
    struct event *e = bpf_ringbuf_reserve(&ring, sizeof(*e), 0);
    if (!e) return 0;
    e->ts = bpf_ktime_get_ns(); e->seq = number; e->pid = only_pid; bpf_get_current_comm(e->comm, 16);
    bpf_ringbuf_submit(e, FLAGS);
    return 0;
}
"""
)


def ring_source(*, ring_bytes: int = 1 << 20, flags: int = 0) -> str:
    return RING.replace("RING_BYTES", str(ring_bytes)).replace("FLAGS", str(flags))


def ring_manifest(name: str, more: str = "") -> str:
    return f'name = "{name}"\n[[table]]\nname = "{name}"\nfrom = "ring"\nrow = "event"\n{more}'


def build(name: str, source: str, manifest: str, **files: str) -> Built:
    content = {
        "module.toml": manifest,
        f"{name}.bpf.c": source,
        **{key.replace("__", "."): each for key, each in files.items()},
    }
    return build_module({key: each.encode() for key, each in content.items()})


def calls(count: int) -> None:
    """Make `count` system calls that the programs see."""
    for _ in range(count):
        os.getppid()


@dataclass
class Rig:
    """An `Instances` whose surroundings are replaced by lists."""

    home: str = ""
    batches: list[tuple[Table, int, bytes, str]] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    artefacts: dict[str, bytes] = field(default_factory=dict)
    revision: int = 0

    def __post_init__(self) -> None:
        self._changed = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.instances = Instances(
            outlet=Outlet(emit=self._emit, lose=self.losses.append),
            artefacts=self._get,
            changed=lambda: loop.call_soon_threadsafe(self._changed.set) and None,
            config=AgentConfig(home=self.home, flush_interval_s=0.05),
            jitter=lambda: 0.0,
        )

    def _emit(self, table: Table, rows: int, body: bytes, module: str, losses: Sequence[Loss]) -> None:
        self.batches.append((table, rows, body, module))
        self.losses.extend(losses)

    async def _get(self, artefact: Artefact) -> bytes:
        return self.artefacts[artefact.sha256]

    async def apply(self, *built: Built, **settings: SettingValue) -> None:
        """Place exactly these modules, with `settings` for those that have them; each sees only this process."""
        self.revision += 1
        for each in built:
            self.artefacts |= each.artefacts
        wanted = tuple(
            DesiredInstance.of(
                id=each.build.manifest.name,
                build=each.build,
                settings=({"only_pid": os.getpid()} if each.build.settings else {}) | settings,
            )
            for each in built
        )
        await self.instances.apply(wanted, revision=self.revision)

    async def until(self, name: str, done: Callable[[InstanceStatus], bool]) -> InstanceStatus:
        """Wait for a status of the instance `name`."""
        async with asyncio.timeout(30):
            while True:
                self._changed.clear()
                for status in self.instances.statuses():
                    if status.instance_id == name and done(status):
                        return status
                await self._changed.wait()

    async def running(self, *built: Built, **settings: SettingValue) -> None:
        """Place these modules, and wait until they run."""
        await self.apply(*built, **settings)
        for each in built:
            status = await self.until(
                each.build.manifest.name, lambda s: s.state in {InstanceState.SUCCEEDED, InstanceState.FAILED}
            )
            assert status.state is InstanceState.SUCCEEDED, (status.reason, status.log)

    async def rows(self, table: str, *, at_least: int = 0) -> list[dict[str, Any]]:
        """Return the rows of a table so far, once there are `at_least` this many."""
        async with asyncio.timeout(30):
            while self.count(table) < at_least:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return self.rows_now(table)

    def count(self, table: str) -> int:
        return sum(rows for each, rows, _, _ in list(self.batches) if each.name == table)

    def rows_now(self, table: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        for each, rows, body, _ in list(self.batches):
            if each.name == table:
                content = pa.ipc.open_stream(zstandard.decompress(body)).read_all()
                content.validate(full=True)
                assert content.num_rows == rows
                found += content.to_pylist()
        return found

    def lost(self, table: str, reason: LossReason | None = None) -> int:
        return sum(loss.rows for loss in self.losses if loss.table == table and reason in {None, loss.reason})
