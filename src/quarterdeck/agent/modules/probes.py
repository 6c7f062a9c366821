"""Translates a manifest's `[[probe]]` into the place where the bpf floor attaches a program.

Owns the reading of `ProbeSpec` fields by kind, and the errors about them. It opens nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from quarterdeck.bpf.attach.probes import (
    Cgroup,
    Kprobe,
    Netfilter,
    PerfEvent,
    Probe,
    RawTracepoint,
    SocketFilter,
    Tc,
    Traced,
    Tracepoint,
    Uprobe,
    Usdt,
    Xdp,
)
from quarterdeck.bpf.uapi import AttachType
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import ProbeKind, ProbeSpec


def probe_from(spec: ProbeSpec) -> Probe:
    """Return the probe that `spec` describes; raise BadManifest when a field of its kind is missing or wrong."""
    return _READERS[spec.kind](spec)


def _tracepoint(spec: ProbeSpec) -> Probe:
    category, _, name = spec.target.replace("/", ":").partition(":")
    if not category or not name:
        raise _wrong(spec, 'target = "CATEGORY:NAME"')
    return Tracepoint(category, name)


def _raw_tracepoint(spec: ProbeSpec) -> Probe:
    return RawTracepoint(_target(spec, "NAME"))


def _traced(attach_type: AttachType) -> Callable[[ProbeSpec], Probe]:
    return lambda spec: Traced(_target(spec, "FUNCTION"), int(attach_type))


def _kprobe(spec: ProbeSpec) -> Probe:
    return Kprobe(_target(spec, "FUNCTION"), offset=spec.offset, returns=spec.kind is ProbeKind.KRETPROBE)


def _uprobe(spec: ProbeSpec) -> Probe:
    returns = spec.kind is ProbeKind.URETPROBE
    target, pid = _target(spec, "SYMBOL"), _pid(spec)
    if target[0].isdigit():
        return Uprobe(_binary(spec), offset=int(target, 0) + spec.offset, returns=returns, pid=pid)
    return Uprobe(_binary(spec), target, offset=spec.offset, returns=returns, pid=pid)


def _usdt(spec: ProbeSpec) -> Probe:
    provider, _, name = spec.target.partition(":")
    if not provider or not name:
        raise _wrong(spec, 'target = "PROVIDER:NAME"')
    return Usdt(_binary(spec), provider, name, pid=_pid(spec))


def _perf_event(spec: ProbeSpec) -> Probe:
    if bool(spec.frequency) == bool(spec.period):
        raise _wrong(spec, "either frequency (in Hz) or period")
    return PerfEvent(spec.event, frequency=spec.frequency, period=spec.period, pid=_pid(spec))


def _tc(spec: ProbeSpec) -> Probe:
    if spec.direction not in ("ingress", "egress"):
        raise _wrong(spec, 'direction = "ingress" or "egress"')
    return Tc(spec.interface, spec.direction)


def _cgroup(spec: ProbeSpec) -> Probe:
    return Cgroup(Path(spec.cgroup) if spec.cgroup else None)


def _netfilter(spec: ProbeSpec) -> Probe:
    family, _, hook = spec.target.partition(":")
    if family not in ("ipv4", "ipv6") or hook not in (
        "pre_routing",
        "local_in",
        "forward",
        "local_out",
        "post_routing",
    ):
        hooks = "pre_routing, local_in, forward, local_out or post_routing"
        raise _wrong(spec, f'target = "FAMILY:HOOK", of ipv4 or ipv6 and {hooks}')
    return Netfilter(family, hook)


_READERS: dict[ProbeKind, Callable[[ProbeSpec], Probe]] = {
    ProbeKind.TRACEPOINT: _tracepoint,
    ProbeKind.RAW_TRACEPOINT: _raw_tracepoint,
    ProbeKind.TP_BTF: _traced(AttachType.TRACE_RAW_TP),
    ProbeKind.FENTRY: _traced(AttachType.TRACE_FENTRY),
    ProbeKind.FEXIT: _traced(AttachType.TRACE_FEXIT),
    ProbeKind.FMOD_RET: _traced(AttachType.MODIFY_RETURN),
    ProbeKind.LSM: _traced(AttachType.LSM_MAC),
    ProbeKind.KPROBE: _kprobe,
    ProbeKind.KRETPROBE: _kprobe,
    ProbeKind.UPROBE: _uprobe,
    ProbeKind.URETPROBE: _uprobe,
    ProbeKind.USDT: _usdt,
    ProbeKind.PERF_EVENT: _perf_event,
    ProbeKind.TC: _tc,
    ProbeKind.XDP: lambda spec: Xdp(spec.interface),
    ProbeKind.CGROUP: _cgroup,
    ProbeKind.SOCKET_FILTER: lambda spec: SocketFilter(spec.interface),
    ProbeKind.NETFILTER: _netfilter,
}


def _target(spec: ProbeSpec, form: str) -> str:
    if not spec.target:
        raise _wrong(spec, f'target = "{form}"')
    return spec.target


def _binary(spec: ProbeSpec) -> str:
    if not spec.binary:
        raise _wrong(spec, 'binary = "PATH"')
    return spec.binary


def _pid(spec: ProbeSpec) -> int | None:
    return spec.pid if spec.pid >= 0 else None


def _wrong(spec: ProbeSpec, expected: str) -> BadManifest:
    return BadManifest(f"The [[probe]] of kind {spec.kind} for program {spec.program} needs {expected}.")
