"""Section names to probes, as libbpf documents them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from quarterdeck.bpf.attach.probes import (
    Cgroup,
    Iterator,
    Kprobe,
    KprobeMulti,
    Ksyscall,
    Probe,
    RawTracepoint,
    SocketFilter,
    Traced,
    Tracepoint,
    Uprobe,
    UprobeMulti,
    Usdt,
)
from quarterdeck.bpf.attach.section import probe_of
from quarterdeck.bpf.errors import NotAttachable
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.sections import younger_type
from quarterdeck.bpf.uapi import AttachType, ProgramType


def program(section: str, kind: ProgramType = ProgramType.KPROBE) -> Program:
    return cast("Program", SimpleNamespace(name="prog", section=section, type=kind, target=None))


@pytest.mark.parametrize(
    ("section", "probe"),
    [
        ("tracepoint/sched/sched_switch", Tracepoint("sched", "sched_switch")),
        ("tp/syscalls/sys_enter_openat", Tracepoint("syscalls", "sys_enter_openat")),
        ("raw_tp/sys_enter", RawTracepoint("sys_enter")),
        ("raw_tracepoint.w/sys_exit", RawTracepoint("sys_exit")),
        ("tp_btf/sched_switch", Traced()),
        ("fentry/vfs_read", Traced()),
        ("fexit.s/vfs_read", Traced()),
        ("lsm.s/file_open", Traced()),
        ("kprobe/vfs_read", Kprobe("vfs_read")),
        ("kprobe/vfs_read+0x10", Kprobe("vfs_read", offset=16)),
        ("kretprobe/vfs_read", Kprobe("vfs_read", returns=True)),
        ("kprobe.multi/tcp_*", KprobeMulti("tcp_*")),
        ("kretprobe.multi/tcp_*", KprobeMulti("tcp_*", returns=True)),
        ("ksyscall/openat", Ksyscall("openat")),
        ("kretsyscall/openat", Ksyscall("openat", returns=True)),
        ("uprobe//usr/bin/bash:readline", Uprobe("/usr/bin/bash", "readline")),
        ("uprobe/libc:malloc+0x4", Uprobe("libc", "malloc", offset=4)),
        ("uprobe.s//bin/x:0x1234", Uprobe("/bin/x", offset=0x1234)),
        ("uretprobe/libc.so.6:getaddrinfo", Uprobe("libc.so.6", "getaddrinfo", returns=True)),
        ("uprobe.multi/libc:mem*", UprobeMulti("libc", "mem*")),
        ("uretprobe.multi/libc:mem*", UprobeMulti("libc", "mem*", returns=True)),
        ("usdt//usr/bin/node:node:gc__start", Usdt("/usr/bin/node", "node", "gc__start")),
        ("iter/task", Iterator()),
        ("iter.s/task", Iterator()),
    ],
)
def test_a_section_that_says_where(section: str, probe: Probe) -> None:
    assert probe_of(program(section)) == probe


@pytest.mark.parametrize(
    ("section", "kind", "probe"),
    [
        ("cgroup_skb/egress", ProgramType.CGROUP_SKB, Cgroup()),
        ("cgroup/connect4", ProgramType.CGROUP_SOCK_ADDR, Cgroup()),
        ("sockops", ProgramType.SOCK_OPS, Cgroup()),
        ("socket", ProgramType.SOCKET_FILTER, SocketFilter()),
        ("socket1", ProgramType.SOCKET_FILTER, SocketFilter()),
    ],
)
def test_a_type_that_says_where(section: str, kind: ProgramType, probe: Probe) -> None:
    assert probe_of(program(section, kind)) == probe


@pytest.mark.parametrize(
    "section",
    [
        "kprobe",
        "kretprobe",
        "uprobe",
        "uprobe.s",
        "uprobe/libc",
        "usdt",
        "usdt/a:b",
        "tp_btf",
        "fentry",
        "raw_tp",
        "tp",
        "tp/sched",
        "perf_event",
        "tc",
        "tc/ingress",
        "tcx/egress",
        "classifier",
        "xdp",
        "xdp.frags",
        "netfilter",
    ],
)
def test_a_section_that_says_too_little(section: str) -> None:
    with pytest.raises(NotAttachable, match=r'write a \[\[probe\]\] with program = "prog", kind = '):
        probe_of(program(section))


@pytest.mark.parametrize("section", ["sk_msg", "sk_lookup", "struct_ops/x", "freplace/f", "lwt_in", "my_own", "iter"])
def test_a_section_that_cannot_be_attached(section: str) -> None:
    with pytest.raises(NotAttachable, match="cannot be attached here"):
        probe_of(program(section, ProgramType.SK_MSG))


def test_a_bare_tracing_section_with_a_target_set_by_hand() -> None:
    chosen = program("fentry", ProgramType.TRACING)
    chosen.target = "vfs_read"
    assert probe_of(chosen) == Traced()


def test_sections_younger_than_libbpf() -> None:
    assert younger_type("tcx/ingress") == (ProgramType.SCHED_CLS, AttachType.TCX_INGRESS)
    assert younger_type("netfilter") == (ProgramType.NETFILTER, AttachType.NETFILTER)
    assert younger_type("uprobe.multi/libc:x") == (ProgramType.KPROBE, 0)
    assert younger_type("my_own") is None
