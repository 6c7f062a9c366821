"""Attachment of loaded programs: the places (probes.py), the choice (dispatch.py), and one file for each family."""

from quarterdeck.bpf.attach.dispatch import attach, prepare
from quarterdeck.bpf.attach.iterator import IteratorLink
from quarterdeck.bpf.attach.section import probe_of
from quarterdeck.bpf.link import Link

__all__ = ["IteratorLink", "Link", "attach", "prepare", "probe_of"]
