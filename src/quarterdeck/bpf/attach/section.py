"""The probe of a program's section name, as libbpf's documentation of SEC() defines it.

A section without a place (`SEC("uprobe")`, `SEC("tc")`) raises `NotAttachable`, whose message contains the `[[probe]]`
entry to write.
"""

from __future__ import annotations

from collections.abc import Callable

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
from quarterdeck.bpf.errors import NotAttachable
from quarterdeck.bpf.object import Program
from quarterdeck.bpf.uapi import ProgramType

#: the entry to write for a section without a place, by the section's first word
_MISSING = {
    "tracepoint": 'kind = "tracepoint", target = "CATEGORY:NAME"',
    "tp": 'kind = "tracepoint", target = "CATEGORY:NAME"',
    "raw_tracepoint": 'kind = "raw_tp", target = "NAME"',
    "raw_tp": 'kind = "raw_tp", target = "NAME"',
    "tp_btf": 'kind = "tp_btf", target = "NAME"',
    "fentry": 'kind = "fentry", target = "FUNCTION"',
    "fexit": 'kind = "fexit", target = "FUNCTION"',
    "fmod_ret": 'kind = "fmod_ret", target = "FUNCTION"',
    "lsm": 'kind = "lsm", target = "HOOK"',
    "kprobe": 'kind = "kprobe", target = "FUNCTION"',
    "kretprobe": 'kind = "kretprobe", target = "FUNCTION"',
    "kprobe.multi": 'kind = "kprobe", target = "FUNCTION"',
    "kretprobe.multi": 'kind = "kretprobe", target = "FUNCTION"',
    "ksyscall": 'kind = "kprobe", target = "FUNCTION"',
    "kretsyscall": 'kind = "kretprobe", target = "FUNCTION"',
    "uprobe": 'kind = "uprobe", binary = "PATH", target = "SYMBOL"',
    "uretprobe": 'kind = "uretprobe", binary = "PATH", target = "SYMBOL"',
    "uprobe.multi": 'kind = "uprobe", binary = "PATH", target = "SYMBOL"',
    "uretprobe.multi": 'kind = "uretprobe", binary = "PATH", target = "SYMBOL"',
    "usdt": 'kind = "usdt", binary = "PATH", target = "PROVIDER:NAME"',
    "perf_event": 'kind = "perf_event", event = "cpu-clock", frequency = 99',
    "tc": 'kind = "tc", interface = "NAME", direction = "ingress"',
    "tcx": 'kind = "tc", interface = "NAME", direction = "ingress"',
    "classifier": 'kind = "tc", interface = "NAME", direction = "ingress"',
    "action": 'kind = "tc", interface = "NAME", direction = "ingress"',
    "xdp": 'kind = "xdp", interface = "NAME"',
    "netfilter": 'kind = "netfilter", target = "ipv4:local_in"',
}

ON_CGROUPS = {
    ProgramType.CGROUP_SKB,
    ProgramType.CGROUP_SOCK,
    ProgramType.CGROUP_SOCK_ADDR,
    ProgramType.CGROUP_SOCKOPT,
    ProgramType.CGROUP_SYSCTL,
    ProgramType.CGROUP_DEVICE,
    ProgramType.SOCK_OPS,
}


def probe_of(program: Program) -> Probe:
    """Return the probe that the section defines. Raise `NotAttachable` when it is incomplete or unknown."""
    word, _, rest = program.section.partition("/")
    word = word.removesuffix(".s").removesuffix(".w").removesuffix(".frags")
    if program.type in ON_CGROUPS:
        return Cgroup()
    if program.type is ProgramType.SOCKET_FILTER:
        return SocketFilter()
    if word == "iter" and rest:
        return Iterator()
    read = _READERS.get(word)
    probe = read(rest, word.startswith(("kret", "uret"))) if read and (rest or program.target) else None
    if probe is not None:
        return probe
    if word in _MISSING:
        raise NotAttachable(
            f'program {program.name!r} has SEC("{program.section}"), which names no place to attach to: write a '
            f'[[probe]] with program = "{program.name}", {_MISSING[word]}',
            lasting=True,
        )
    raise NotAttachable(
        f'program {program.name!r} has SEC("{program.section}") (type {program.type.name.lower()}), which cannot be '
        f"attached here",
        lasting=True,
    )


def _tracepoint(rest: str, _returns: bool) -> Probe | None:
    category, slash, name = rest.partition("/")
    return Tracepoint(category, name) if slash and name else None


def _kprobe(rest: str, returns: bool) -> Probe | None:
    function, _, offset = rest.partition("+")
    return Kprobe(function, offset=_number(offset), returns=returns)


def _uprobe(rest: str, returns: bool) -> Probe | None:
    binary, colon, place = rest.rpartition(":")
    symbol, _, offset = place.partition("+")
    if not colon or not symbol:
        return None
    if symbol[0].isdigit():
        return Uprobe(binary, offset=_number(symbol), returns=returns)
    return Uprobe(binary, symbol, offset=_number(offset), returns=returns)


def _uprobe_multi(rest: str, returns: bool) -> Probe | None:
    binary, colon, pattern = rest.rpartition(":")
    return UprobeMulti(binary, pattern, returns=returns) if colon and pattern else None


def _usdt(rest: str, _returns: bool) -> Probe | None:
    place, _, name = rest.rpartition(":")
    binary, _, provider = place.rpartition(":")
    return Usdt(binary, provider, name) if binary and provider and name else None


def _number(text: str) -> int:
    return int(text, 0) if text else 0


_READERS: dict[str, Callable[[str, bool], Probe | None]] = {
    **dict.fromkeys(("tracepoint", "tp"), _tracepoint),
    **dict.fromkeys(("raw_tracepoint", "raw_tp"), lambda rest, _: RawTracepoint(rest)),
    **dict.fromkeys(("tp_btf", "fentry", "fexit", "fmod_ret", "lsm"), lambda _, __: Traced()),
    **dict.fromkeys(("kprobe", "kretprobe"), _kprobe),
    **dict.fromkeys(("kprobe.multi", "kretprobe.multi"), lambda rest, returns: KprobeMulti(rest, returns=returns)),
    **dict.fromkeys(("ksyscall", "kretsyscall"), lambda rest, returns: Ksyscall(rest, returns=returns)),
    **dict.fromkeys(("uprobe", "uretprobe"), _uprobe),
    **dict.fromkeys(("uprobe.multi", "uretprobe.multi"), _uprobe_multi),
    "usdt": _usdt,
}
