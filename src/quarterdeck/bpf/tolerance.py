"""The analysis of a failed load: the program or map that this kernel refused, and the reason in one sentence.

It reads libbpf's messages (`prog 'x': …`, `map 'x': failed to create …`) and the verifier log inside them; the log
itself is always passed on unchanged. object.py decides what to leave out.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from quarterdeck.bpf.capabilities import missing_for_loading
from quarterdeck.bpf.errors import LibbpfError, errno_text

_PROGRAM = re.compile(r"^prog '([^']+)': ", re.MULTILINE)
_MAP = re.compile(r"^map '([^']+)': failed to create", re.MULTILINE)
_VERIFIER_LOG = re.compile(r"-- BEGIN PROG LOAD LOG --\n(.*?)-- END PROG LOAD LOG --", re.DOTALL)

_ENOTSUPP = 524  # the kernel's internal "not supported", which errno lacks
#: the kernel does not know the feature
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOENT, errno.ESRCH, errno.ENOSYS, errno.EOPNOTSUPP, _ENOTSUPP})

#: patterns of messages of libbpf or the verifier → their meaning in plain words, tried in order
_MEANINGS = (
    (re.compile(r"failed to find kernel BTF type ID of '([^']+)'"), "this kernel has no function or event {0!r}"),
    (re.compile(r"no BTF-based attach target is specified"), "no kernel function is named to attach it to"),
    (re.compile(r"missing BPF prog type, check ELF section name '([^']+)'"), "the section name {0!r} is not known"),
    (re.compile(r"failed to resolve CO-RE relocation <\w+> \[\d+\] (.+?)(?: \(|$)"), "this kernel has no {0}"),
    (re.compile(r"BPF map '([^']+)' is referenced but wasn't created"), "it needs the map {0!r}, which was left out"),
    (re.compile(r"(?:invalid|unknown) func (\S+)"), "this kernel has no helper {0} for this type of program"),
    (
        re.compile(r"program of this type cannot use helper (\S+)"),
        "this type of program cannot use the helper {0} here",
    ),
)


_MAP_ERRORS = {
    errno.E2BIG: "its entries are too large or too many",
    errno.EPERM: "this process lacks the rights, or may lock too little memory (`ulimit -l`; kernels before 5.11)",
    errno.ENOMEM: "there is not enough memory for its entries",
    errno.EINVAL: "its type or its sizes are not known to this kernel",
}


@dataclass(frozen=True, slots=True)
class Dropped:
    """A program or map that was left out so that the rest could be loaded."""

    name: str
    #: one sentence
    reason: str
    #: unchanged output of libbpf and the verifier
    log: str
    #: this kernel will refuse it again
    lasting: bool = False


@dataclass(frozen=True, slots=True)
class Refusal:
    """The cause of one failed load."""

    name: str
    reason: str
    log: str
    is_map: bool = False
    #: the kernel refused before it read the instructions: it will refuse every program of the same type
    of_kind: bool = False
    #: caused by a feature that this kernel lacks
    lasting: bool = False


def program_refusal(name: str, kind: str, error: LibbpfError) -> Refusal:
    """Return the refusal of program `name`, of a kind such as `fentry`, that `error` reports."""
    verifier = _VERIFIER_LOG.search(error.log)
    of_kind = error.errno == errno.EPERM and verifier is None
    reason, lasting = _reason(error, kind, verifier.group(1) if verifier else "")
    return Refusal(name, reason, error.log, of_kind=of_kind, lasting=lasting)


def find_refusal(error: LibbpfError, *, programs: Mapping[str, str], maps: Collection[str]) -> Refusal | None:
    """Return the cause of a failed load according to its log; None if the log names none of `programs` and `maps`.

    `programs` has the kind of each, such as `fentry`.
    """
    for name in reversed(_MAP.findall(error.log)):
        if name in maps:
            why = _MAP_ERRORS.get(error.errno, "")
            reason = f"the kernel cannot create the map{why and f': {why}'} ({errno_text(error.errno)})"
            return Refusal(name, reason, error.log, is_map=True, lasting=error.errno in _UNKNOWN)
    for name in reversed(_PROGRAM.findall(error.log)):
        if name in programs:
            return program_refusal(name, programs[name], error)
    return None


def _reason(error: LibbpfError, kind: str, verifier_log: str) -> tuple[str, bool]:
    """Return the reason, and whether it is a feature that this kernel lacks, so that a retry is useless."""
    for pattern, meaning in _MEANINGS:
        if found := pattern.search(error.log):
            return meaning.format(*found.groups()), True
    lines = [line for line in verifier_log.splitlines() if line and not line.startswith("processed ")]
    if lines:
        return f"the verifier refused it: {lines[-1].strip()}", False
    if error.errno == errno.EPERM:
        lacking = missing_for_loading()
        which = f", which lacks {lacking}" if lacking else ""
        return f"the kernel refuses {kind} programs to this process{which} ({errno_text(error.errno)})", not lacking
    if error.errno == errno.E2BIG:
        return f"the program is too long, or takes too many paths, for this kernel ({errno_text(error.errno)})", True
    return f"the kernel refused it ({errno_text(error.errno)})", error.errno in _UNKNOWN
