"""Each kind of [[probe]] becomes the bpf floor's probe, or an error that names the missing field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from quarterdeck.agent.modules.probes import probe_from
from quarterdeck.bpf.attach import probes
from quarterdeck.bpf.uapi import AttachType
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import ProbeKind, ProbeSpec

GOOD: list[tuple[str, dict[str, Any], probes.Probe]] = [
    ("tracepoint", {"target": "sched:sched_switch"}, probes.Tracepoint("sched", "sched_switch")),
    ("raw_tp", {"target": "sys_enter"}, probes.RawTracepoint("sys_enter")),
    ("tp_btf", {"target": "sys_enter"}, probes.Traced("sys_enter", AttachType.TRACE_RAW_TP)),
    ("fexit", {"target": "do_exit"}, probes.Traced("do_exit", AttachType.TRACE_FEXIT)),
    ("kprobe", {"target": "do_exit", "offset": 4}, probes.Kprobe("do_exit", offset=4)),
    ("kretprobe", {"target": "do_exit"}, probes.Kprobe("do_exit", returns=True)),
    ("uprobe", {"target": "malloc", "binary": "libc", "pid": 7}, probes.Uprobe("libc", "malloc", pid=7)),
    ("uretprobe", {"target": "0x1f", "binary": "/x"}, probes.Uprobe("/x", offset=0x1F, returns=True)),
    ("usdt", {"target": "python:gc__start", "binary": "/x"}, probes.Usdt("/x", "python", "gc__start")),
    ("perf_event", {"frequency": 99}, probes.PerfEvent("cpu-clock", frequency=99)),
    ("perf_event", {"period": 1000, "event": "page-faults"}, probes.PerfEvent("page-faults", period=1000)),
    ("tc", {"interface": "eth0", "direction": "egress"}, probes.Tc("eth0", "egress")),
    ("xdp", {"interface": "lo"}, probes.Xdp("lo")),
    ("cgroup", {"cgroup": "a/b"}, probes.Cgroup(Path("a/b"))),
    ("cgroup", {}, probes.Cgroup()),
    ("socket_filter", {}, probes.SocketFilter()),
    ("netfilter", {"target": "ipv6:local_out"}, probes.Netfilter("ipv6", "local_out")),
]


@pytest.mark.parametrize(("kind", "fields", "expected"), GOOD)
def test_what_a_probe_becomes(kind: str, fields: dict[str, Any], expected: probes.Probe) -> None:
    assert probe_from(ProbeSpec(program="p", kind=ProbeKind(kind), **fields)) == expected


@pytest.mark.parametrize(
    ("kind", "fields", "words"),
    [
        ("tracepoint", {"target": "sched_switch"}, "CATEGORY:NAME"),
        ("raw_tp", {}, "NAME"),
        ("fentry", {}, "FUNCTION"),
        ("kprobe", {}, "FUNCTION"),
        ("uprobe", {"target": "x"}, "binary"),
        ("uprobe", {"binary": "x"}, "SYMBOL"),
        ("usdt", {"target": "x", "binary": "y"}, "PROVIDER:NAME"),
        ("perf_event", {}, "frequency"),
        ("perf_event", {"frequency": 9, "period": 9}, "either"),
        ("tc", {"direction": "sideways"}, "ingress"),
        ("netfilter", {"target": "ipv4:nowhere"}, "local_in"),
    ],
)
def test_a_field_that_is_missing_or_wrong_is_named(kind: str, fields: dict[str, Any], words: str) -> None:
    with pytest.raises(BadManifest, match="program p") as caught:
        probe_from(ProbeSpec(program="p", kind=ProbeKind(kind), **fields))
    assert words in str(caught.value)


def test_every_kind_is_known() -> None:
    for kind in ProbeKind:
        try:
            probe_from(ProbeSpec(program="p", kind=kind))
        except BadManifest:
            continue
