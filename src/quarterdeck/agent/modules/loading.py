"""Programs into the kernel: which of a module's programs this kernel takes, and where they hang.

It owns the choice among alternatives (the first whose programs all load and attach), what may be left out, and the
words for what was. The object is opened anew for each attempt, so that nothing of a failed choice stays behind. It
reads nothing that programs send: between load and attach the caller opens the buffers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from quarterdeck.agent.modules.probes import probe_from
from quarterdeck.bpf.attach import attach, prepare
from quarterdeck.bpf.attach.probes import Probe
from quarterdeck.bpf.attach.tracefs import mounted, private
from quarterdeck.bpf.errors import AttachError, BpfError, LoadError, OpenError
from quarterdeck.bpf.object import BpfObject, Map, Program
from quarterdeck.bpf.tolerance import find_refusal, program_refusal
from quarterdeck.bpf.uapi import MapType, ProgramType
from quarterdeck.model.errors import BadManifest, BadProgram
from quarterdeck.model.manifests import Manifest, MapSpec
from quarterdeck.model.modules import DroppedProgram

STACK_DEPTH = 127  #: frames of a stack map whose size the loader is to choose; the kernel's default limit
_ADDRESS_BYTES = 8
_LOG_LINES = 200
_SHOWN_NAMES = 6  # of programs that share a reason
_NAME_CHARACTERS = 15  # of an object, as the kernel keeps it
_ALONG = "it goes with"  # so begins the reason of a program that is dropped for the sake of another
_ALONG_WITH = re.compile(rf"{_ALONG} (\w+):")
_WHOSE = re.compile(r"^program '[^']+' (cannot hang on [^:]+: )?")  # said already where a reason stands


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One program that did not load or attach, and what the kernel or libbpf said."""

    program: str
    reason: str
    log: str


class _Refused(Exception):
    """Programs that did not load or attach, though the choices being tried need them. `log` is of the first."""

    def __init__(self, programs: Sequence[DroppedProgram], log: str = "") -> None:
        super().__init__(told(programs))
        self.programs = programs
        self.log = log


@dataclass(slots=True)
class Loaded:
    """A loaded and attached object."""

    object: BpfObject
    attached: list[str] = field(default_factory=list[str])
    dropped: list[DroppedProgram] = field(default_factory=list[DroppedProgram])


class Loader:
    """Loads one module's object. `configure` sets what belongs to the instance (settings) before each load."""

    def __init__(self, manifest: Manifest, image: bytes, configure: Callable[[BpfObject], None]) -> None:
        self._manifest = manifest
        self._image = image
        self._configure = configure
        self._probes: dict[str, list[Probe]] = {}
        for spec in manifest.probe:
            self._probes.setdefault(spec.program, []).append(probe_from(spec))
        self._choices = [0] * len(manifest.alternatives)  # the choice being tried, of each group
        self._passed_over: dict[str, DroppedProgram] = {}

    def load(self, between: Callable[[BpfObject], None], abandoned: Callable[[], None] = lambda: None) -> Loaded:
        """Load and attach; `between` is called when the maps exist and nothing runs yet.

        `abandoned` is called before the maps of an attempt that failed are closed: what `between` opened must go first.
        Raises BadProgram with the verifier's or libbpf's lines when a program that must work does not.
        """
        while True:
            opened = self._open()
            try:
                return self._attempt(opened, between)
            except _Refused as refused:
                abandoned()
                opened.close()
                self._next_choice(refused)
            except BaseException:
                abandoned()
                opened.close()
                raise

    def _open(self) -> BpfObject:
        try:
            opened = BpfObject.open(self._image, name=self._manifest.name[:_NAME_CHARACTERS])
        except OpenError as error:
            raise BadProgram(str(error), lines=_lines(error.log)) from error
        try:
            self._set_up(opened)
        except BaseException:
            opened.close()
            raise
        return opened

    def _set_up(self, opened: BpfObject) -> None:
        for name, spec in self._manifest.maps.items():
            _size(_map(opened, name), spec)
        for each in opened.maps.values():
            if each.type is MapType.STACK_TRACE and not each.value_size:
                each.value_size = STACK_DEPTH * _ADDRESS_BYTES
        self._configure(opened)
        left_out = self._left_out()
        for program in opened.programs.values():
            if program.name in left_out:
                program.autoload = False
            for probe in self._probes.get(program.name, ()) if program.autoload else ():
                prepare(program, probe)

    def _attempt(self, opened: BpfObject, between: Callable[[BpfObject], None]) -> Loaded:
        chosen = self._chosen()  # which may share programs with a choice that was passed over
        loaded = Loaded(opened, dropped=[each for each in self._passed_over.values() if each.program not in chosen])
        wanted = [program.name for program in opened.programs.values() if program.autoload]
        if not wanted:
            reasons = told(self._passed_over.values()) or "every one is disabled"
            raise BadProgram(f"No program is left to load: {reasons}.")
        try:
            dropped = opened.load_tolerant()
        except LoadError as error:
            raise self._failed(wanted, opened, error) from error
        self._leave_out(loaded, [_Refusal(each.name, each.reason, each.log) for each in dropped])
        between(opened)
        with ExitStack() as stack:
            tracefs = _tracefs(stack) if any(map(_wants_tracefs, opened.programs.values())) else None
            runnable = [each for each in opened.programs.values() if each.loaded and each.type != ProgramType.SYSCALL]
            attached = [self._attach(loaded, program.name, tracefs) for program in runnable]
        self._leave_out(loaded, [refusal for refusal in attached if refusal is not None])
        return loaded

    def _attach(self, loaded: Loaded, name: str, tracefs: Path | None) -> _Refusal | None:
        program = loaded.object.programs[name]
        try:
            for probe in self._probes.get(name) or [None]:
                link = attach(program, probe, tracefs=tracefs)
                loaded.attached.append(f"{name}: {link.where}")
        except AttachError as error:
            return _Refusal(name, _WHOSE.sub("", str(error).partition("\n")[0]), error.log)
        return None

    def _leave_out(self, loaded: Loaded, refusals: Iterable[_Refusal]) -> None:
        """Note which optional programs are missing; raise for all that are not optional, together."""
        optional, chosen = self._manifest.optional, self._chosen()
        needed: list[_Refusal] = []
        for each in refusals:
            if each.program not in loaded.object.programs:
                continue  # a map
            if each.program in chosen or not ("*" in optional or each.program in optional):
                needed.append(each)
            else:
                loaded.dropped.append(DroppedProgram(program=each.program, reason=each.reason))
        if needed:
            raise _Refused([DroppedProgram(program=each.program, reason=each.reason) for each in needed], needed[0].log)

    def _next_choice(self, refused: _Refused) -> None:
        """Turn to the next choice of all alternatives that a refused program belongs to; BadProgram if there is none.

        All at once, because each attempt loads the object anew.
        """
        reasons = {each.program: each for each in refused.programs}
        chosen = self._chosen()
        for each in refused.programs:
            if each.program not in chosen:
                raise BadProgram(f"Program {each.program}: {each.reason}.", lines=_lines(refused.log))
        for index, group in enumerate(self._manifest.alternatives):
            choice = group[self._choices[index]]
            culprit = next((name for name in choice if name in reasons), None)
            if culprit is None:
                continue
            for name in choice:
                along = DroppedProgram(program=name, reason=f"{_ALONG} {culprit}: {reasons[culprit].reason}")
                self._passed_over[name] = reasons.get(name, along)
            self._choices[index] += 1
            if self._choices[index] == len(group):
                tried = told(self._passed_over.values())
                raise BadProgram(f"None of the alternatives works on this kernel: {tried}.", lines=_lines(refused.log))

    def _chosen(self) -> set[str]:
        """The programs of the choices being tried."""
        groups = zip(self._manifest.alternatives, self._choices, strict=True)
        return {name for group, index in groups for name in group[index]}

    def _left_out(self) -> set[str]:
        """The programs that are not to be loaded in this attempt."""
        every = {name for group in self._manifest.alternatives for choice in group for name in choice}
        return set(self._manifest.disabled) | (every - self._chosen())

    def _failed(self, wanted: list[str], opened: BpfObject, error: LoadError) -> Exception:
        """What a load means that left nothing over: the choice being tried cannot be used, or the module cannot."""
        kinds = {name: opened.programs[name].kind for name in wanted}
        found = find_refusal(error, programs=kinds, maps=opened.maps)
        if found is None or found.is_map:
            found = program_refusal(wanted[0], kinds[wanted[0]], error)
        chosen = self._chosen()
        for name in (found.name, *wanted):
            if name in chosen:
                return _Refused([DroppedProgram(program=name, reason=found.reason)], error.log)
        return BadProgram(f"{error.what[:1].upper()}{error.what[1:]}: {found.reason}.", lines=_lines(error.log))


def told(dropped: Iterable[DroppedProgram]) -> str:
    """Why programs were dropped, each reason once: `a, b and 9 more: this kernel has no …; c: …`."""
    reasons = {each.program: each.reason for each in dropped}
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        found = _ALONG_WITH.match(reason)
        if found is None or found[1] not in reasons:
            by_reason.setdefault(reason, []).append(name)
    return "; ".join(f"{_listed(names)}: {reason}" for reason, names in by_reason.items())


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN_NAMES
    return ", ".join(names) if more <= 1 else f"{', '.join(names[:_SHOWN_NAMES])} and {more} more"


def _wants_tracefs(program: Program) -> bool:
    return program.loaded and program.type is ProgramType.TRACEPOINT


def _tracefs(stack: ExitStack) -> Path | None:
    """Where tracepoints are listed: where it is mounted, else a private one for as long as `stack` is open."""
    found = mounted()
    if found is not None:
        return found
    try:
        return stack.enter_context(private())
    except BpfError:
        return None  # attaching says in words what is missing


def _map(opened: BpfObject, name: str) -> Map:
    if name not in opened.maps:
        raise BadManifest(f"[maps.{name}]: the program has no map '{name}'; it has: {', '.join(opened.maps)}.")
    return opened.maps[name]


def _size(target: Map, spec: MapSpec) -> None:
    if spec.max_entries is not None:
        target.max_entries = spec.max_entries
    if spec.value_size is not None:
        target.value_size = spec.value_size
    if spec.depth is not None:
        target.value_size = spec.depth * _ADDRESS_BYTES
    if spec.key_size is not None and spec.key_size != target.key_size:
        raise BadManifest(f"[maps.{target.name}]: its key has {target.key_size} bytes, not {spec.key_size}.")


def _lines(log: str) -> tuple[str, ...]:
    """The last lines of a log: a verifier's verdict is at the end."""
    return tuple(log.rstrip().splitlines()[-_LOG_LINES:])
