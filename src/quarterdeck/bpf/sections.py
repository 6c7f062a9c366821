"""Program types of section names such as `tcx/ingress` that an older libbpf does not know.

libbpf sets type and attach type for the section names that it knows. This table has the names that are newer than
libbpf 1.1, so that an object with one of them can be opened and loaded there too.
"""

from __future__ import annotations

from quarterdeck.bpf.uapi import AttachType, ProgramType

#: section name up to its first slash, or whole → the program type and expected attach type. A multi-uprobe is loaded as
#: a plain uprobe: attach/uprobe.py attaches it to each symbol in turn if libbpf does not support it
_YOUNGER = {
    "tcx/ingress": (ProgramType.SCHED_CLS, AttachType.TCX_INGRESS),
    "tcx/egress": (ProgramType.SCHED_CLS, AttachType.TCX_EGRESS),
    "netkit/primary": (ProgramType.SCHED_CLS, AttachType.NETKIT_PRIMARY),
    "netkit/peer": (ProgramType.SCHED_CLS, AttachType.NETKIT_PEER),
    "tc/ingress": (ProgramType.SCHED_CLS, 0),
    "tc/egress": (ProgramType.SCHED_CLS, 0),
    "netfilter": (ProgramType.NETFILTER, AttachType.NETFILTER),
    "uprobe.multi": (ProgramType.KPROBE, 0),
    "uprobe.multi.s": (ProgramType.KPROBE, 0),
    "uretprobe.multi": (ProgramType.KPROBE, 0),
    "uretprobe.multi.s": (ProgramType.KPROBE, 0),
    "uprobe.session": (ProgramType.KPROBE, AttachType.TRACE_UPROBE_SESSION),
    "kprobe.session": (ProgramType.KPROBE, AttachType.TRACE_KPROBE_SESSION),
}


def younger_type(section: str) -> tuple[int, int] | None:
    """Return program type and attach type of a section name that libbpf 1.1 does not know; None for all others."""
    found = _YOUNGER.get(section) or _YOUNGER.get(section.partition("/")[0])
    return (int(found[0]), int(found[1])) if found else None
