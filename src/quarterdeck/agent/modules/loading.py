"""Loads a module's programs into the kernel: chooses those that this kernel accepts, and attaches them.

Owns the choice among alternatives (the first whose programs all load and attach), the rules about what may be left
out, and the texts about what was. The object is opened again for each attempt, so that nothing of a failed choice
remains. It never reads data of programs: between load and attach the caller opens the buffers.
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
from quarterdeck.model.manifests import Manifest, MapSpec, enabled_programs
from quarterdeck.model.modules import DroppedProgram

STACK_DEPTH = 127  #: frames of a stack map whose size the loader is to choose; the kernel's default limit
_ADDRESS_BYTES = 8
_LOG_LINES = 200
_SHOWN_NAMES = 6  # of programs that share a reason
_NAME_CHARACTERS = 15  # of an object, as the kernel keeps it
_ALONG = "it goes with"  # the reason of a program that is dropped because of another begins with this
_ALONG_WITH = re.compile(rf"{_ALONG} (\w+):")
_PREFIX = re.compile(r"^program '[^']+' (cannot be attached to [^:]+: )?")  # repeats what the reason states


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One program that did not load or attach, and the message of the kernel or libbpf."""

    program: str
    reason: str
    log: str
    lasting: bool

    @property
    def dropped(self) -> DroppedProgram:
        """Return the refusal in the form of the instance's status."""
        return DroppedProgram(program=self.program, reason=self.reason, lasting=self.lasting)


class Unsupported(BadProgram):
    """This kernel cannot run the module; another attempt would not help."""


class _Refused(Exception):
    """Programs that did not load or attach, though the current choices need them. `log` is that of the first."""

    def __init__(self, programs: Sequence[DroppedProgram], log: str = "") -> None:
        super().__init__(reasons_text(programs))
        self.programs = programs
        self.log = log


@dataclass(slots=True)
class Loaded:
    """A loaded and attached object."""

    object: BpfObject
    attached: list[str] = field(default_factory=list[str])
    dropped: list[DroppedProgram] = field(default_factory=list[DroppedProgram])


class Loader:
    """Loads one module's object. `configure` writes the instance's settings before each load."""

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
        Raise BadProgram with the verifier's or libbpf's lines when a required program does not load or attach.
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
            raise Unsupported(str(error), lines=_lines(error.log)) from error
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
        left_out, enabled = self._left_out(), enabled_programs(self._manifest)
        for program in opened.programs.values():
            program.autoload |= program.name in enabled  # sections that begin with `?` begin switched off
            if program.name in left_out:
                program.autoload = False
            for probe in self._probes.get(program.name, ()) if program.autoload else ():
                prepare(program, probe)

    def _attempt(self, opened: BpfObject, between: Callable[[BpfObject], None]) -> Loaded:
        chosen = self._chosen()  # which may share programs with a choice that was passed over
        loaded = Loaded(opened, dropped=[each for each in self._passed_over.values() if each.program not in chosen])
        wanted = [program.name for program in opened.programs.values() if program.autoload]
        if not wanted:
            reasons = reasons_text(self._passed_over.values()) or "every one is disabled"
            raise refusal(f"No program is left to load: {reasons}.", self._passed_over.values())
        try:
            dropped = opened.load_tolerant()
        except LoadError as error:
            raise self._failed(wanted, opened, error) from error
        self._leave_out(loaded, [_Refusal(each.name, each.reason, each.log, each.lasting) for each in dropped])
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
            return _Refusal(name, _PREFIX.sub("", str(error).partition("\n")[0]), error.log, error.lasting)
        return None

    def _leave_out(self, loaded: Loaded, refusals: Iterable[_Refusal]) -> None:
        """Note which optional programs are missing; raise for all that are required, together."""
        optional, chosen = self._manifest.optional, self._chosen()
        needed: list[_Refusal] = []
        for each in refusals:
            if each.program not in loaded.object.programs:
                continue  # a map
            if each.program in chosen or not ("*" in optional or each.program in optional):
                needed.append(each)
            else:
                loaded.dropped.append(each.dropped)
        if needed:
            raise _Refused([each.dropped for each in needed], needed[0].log)

    def _next_choice(self, refused: _Refused) -> None:
        """Turn to the next choice of all alternatives that a refused program belongs to; BadProgram if there is none.

        All are changed at once, because each attempt loads the object again.
        """
        reasons = {each.program: each for each in refused.programs}
        chosen = self._chosen()
        for each in refused.programs:
            if each.program not in chosen:
                raise refusal(f"Program {each.program}: {each.reason}.", [each], log=refused.log)
        for index, group in enumerate(self._manifest.alternatives):
            choice = group[self._choices[index]]
            culprit = next((name for name in choice if name in reasons), None)
            if culprit is None:
                continue
            for name in choice:
                why = reasons[culprit]
                along = DroppedProgram(program=name, reason=f"{_ALONG} {culprit}: {why.reason}", lasting=why.lasting)
                self._passed_over[name] = reasons.get(name, along)
            self._choices[index] += 1
            if self._choices[index] == len(group):
                tried = list(self._passed_over.values())
                text = f"None of the alternatives works on this kernel: {reasons_text(tried)}."
                raise refusal(text, tried, log=refused.log)

    def _chosen(self) -> set[str]:
        """Return the programs of the choices being tried."""
        groups = zip(self._manifest.alternatives, self._choices, strict=True)
        return {name for group, index in groups for name in group[index]}

    def _left_out(self) -> set[str]:
        """Return the programs that are not loaded in this attempt."""
        every = {name for group in self._manifest.alternatives for choice in group for name in choice}
        return set(self._manifest.disabled) | (every - self._chosen())

    def _failed(self, wanted: list[str], opened: BpfObject, error: LoadError) -> Exception:
        """Return the error for a load that left no program: for the current choice, or for the module."""
        kinds = {name: opened.programs[name].kind for name in wanted}
        found = find_refusal(error, programs=kinds, maps=opened.maps)
        if found is None or found.is_map:
            found = program_refusal(wanted[0], kinds[wanted[0]], error)
        chosen = self._chosen()
        for name in (found.name, *wanted):
            if name in chosen:
                return _Refused([DroppedProgram(program=name, reason=found.reason, lasting=found.lasting)], error.log)
        one = DroppedProgram(program=found.name, reason=found.reason, lasting=found.lasting)
        return refusal(f"{error.what[:1].upper()}{error.what[1:]}: {found.reason}.", [one], log=error.log)


def refusal(text: str, dropped: Iterable[DroppedProgram], *, log: str = "") -> BadProgram:
    """Return the error for a module that these refusals stop: Unsupported where all of them are permanent."""
    kind = Unsupported if all(each.lasting for each in dropped) else BadProgram
    return kind(text, lines=_lines(log))


def reasons_text(dropped: Iterable[DroppedProgram]) -> str:
    """Return why programs were dropped, each reason once: `a, b and 9 more: this kernel has no …; c: …`."""
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
    """Return the tracefs directory; where it is not mounted, a private mount that `stack` removes."""
    found = mounted()
    if found is not None:
        return found
    try:
        return stack.enter_context(private())
    except BpfError:
        return None  # attaching reports what is missing


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
    """Return the last lines of a log, where a verifier's verdict is."""
    return tuple(log.rstrip().splitlines()[-_LOG_LINES:])
