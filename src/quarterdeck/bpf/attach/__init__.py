"""Hanging loaded programs where they belong: probes.py says where, one file a family does it, dispatch.py picks it."""

from quarterdeck.bpf.attach.dispatch import attach, prepare
from quarterdeck.bpf.attach.iterator import IteratorLink
from quarterdeck.bpf.attach.section import probe_of
from quarterdeck.bpf.link import Link

__all__ = ["IteratorLink", "Link", "attach", "prepare", "probe_of"]
