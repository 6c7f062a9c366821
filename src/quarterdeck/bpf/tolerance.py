"""Reading a failed load: which program or map did this kernel refuse, and why, in one sentence.

Works on libbpf's messages (`prog 'x': …`, `map 'x': failed to create …`) and the verifier log inside them; the log
itself always travels along word for word. Decides nothing: object.py does the leaving out.
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

#: A message of libbpf's or the verifier's → what it means to someone who never read either. Tried in order.
_MEANINGS = (
    (re.compile(r"failed to find kernel BTF type ID of '([^']+)'"), "this kernel has no function or event {0!r}"),
    (re.compile(r"no BTF-based attach target is specified"), "nothing names the kernel function it should hang on"),
    (re.compile(r"missing BPF prog type, check ELF section name '([^']+)'"), "the section name {0!r} is not known"),
    (re.compile(r"failed to resolve CO-RE relocation <\w+> \[\d+\] (.+?)(?: \(|$)"), "this kernel has no {0}"),
    (re.compile(r"BPF map '([^']+)' is referenced but wasn't created"), "it needs the map {0!r}, which was left out"),
    (re.compile(r"(?:invalid|unknown) func (\S+)"), "this kernel has no helper {0} for this type of program"),
    (
        re.compile(r"program of this type cannot use helper (\S+)"),
        "this type of program cannot use the helper {0} here",
    ),
)


@dataclass(frozen=True, slots=True)
class Dropped:
    """A program or map that was left out so that the rest could load."""

    name: str
    #: One sentence.
    reason: str
    #: What libbpf and the verifier said, word for word.
    log: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """What one failed load was about."""

    name: str
    reason: str
    log: str
    is_map: bool = False
    #: The kernel said no before it looked at the instructions: it will say no to every program of the same type.
    of_kind: bool = False


def program_refusal(name: str, kind: str, error: LibbpfError) -> Refusal:
    """The refusal of program `name`, of a kind such as `fentry`, that `error` reports."""
    verifier = _VERIFIER_LOG.search(error.log)
    of_kind = error.errno == errno.EPERM and verifier is None
    return Refusal(name, _reason(error, kind, verifier.group(1) if verifier else ""), error.log, of_kind=of_kind)


def find_refusal(error: LibbpfError, *, programs: Mapping[str, str], maps: Collection[str]) -> Refusal | None:
    """Whose fault a failed load was, as far as its log tells; None when it names none of `programs` and `maps`.

    `programs` has the kind of each, such as `fentry`.
    """
    for name in reversed(_MAP.findall(error.log)):
        if name in maps:
            return Refusal(
                name, f"the kernel cannot create the map ({errno_text(error.errno)})", error.log, is_map=True
            )
    for name in reversed(_PROGRAM.findall(error.log)):
        if name in programs:
            return program_refusal(name, programs[name], error)
    return None


def _reason(error: LibbpfError, kind: str, verifier_log: str) -> str:
    for pattern, meaning in _MEANINGS:
        if found := pattern.search(error.log):
            return meaning.format(*found.groups())
    lines = [line for line in verifier_log.splitlines() if line and not line.startswith("processed ")]
    if lines:
        return f"the verifier refused it: {lines[-1].strip()}"
    if error.errno == errno.EPERM:
        lacking = missing_for_loading()
        which = f", which lacks {lacking}" if lacking else ""
        return f"the kernel refuses {kind} programs to this process{which} ({errno_text(error.errno)})"
    return f"the kernel refused it ({errno_text(error.errno)})"
