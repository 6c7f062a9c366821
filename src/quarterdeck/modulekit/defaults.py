"""What a manifest leaves open and the program answers: a loader's habits, written into the manifest of the build.

Programs written for a loader of their own count on it to leave out what a kernel cannot load, to use one of several
variants of a program, and to open the events that samples are taken on. Owns those three habits; whatever the author
says in module.toml stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace as changed

from quarterdeck.model.manifests import Manifest, ProbeKind, ProbeSpec
from quarterdeck.modulekit.check import ALL
from quarterdeck.modulekit.programs import ProgramDeclaration

SAMPLES_HZ = 99  # not in step with what happens a hundred times a second

#: Kinds of sections that can watch the same place, the cheapest first: (by function, by event).
_FAMILIES = (
    (("fentry", "fexit"), ("kprobe", "kretprobe")),
    (("tp_btf",), ("raw_tp", "raw_tracepoint"), ("tracepoint", "tp")),
)


def completed(manifest: Manifest, programs: Sequence[ProgramDeclaration]) -> tuple[Manifest, list[str]]:
    """The manifest with what it leaves open, and what the author should know about it."""
    probed = {probe.program for probe in manifest.probe}
    samplers = [each for each in programs if each.section == "perf_event" and each.name not in probed]
    probes = tuple(ProbeSpec(program=each.name, kind=ProbeKind.PERF_EVENT, frequency=SAMPLES_HZ) for each in samplers)
    manifest = changed(manifest, probe=(*manifest.probe, *probes))
    warnings: list[str] = []
    if not manifest.alternatives and not manifest.disabled:
        places = _places(manifest, programs)
        groups = tuple(group for kinds in _FAMILIES for group in _variants(kinds, places))
        manifest = changed(manifest, alternatives=groups)
        if groups:
            warnings.append(
                "some programs watch the same thing in different ways, of which the first that works is used: "
                + "; ".join(", or ".join(" with ".join(choice) for choice in group if choice) for group in groups)
            )
    if not manifest.optional and len(programs) > 1:
        manifest = changed(manifest, optional=(ALL,))
    return manifest, warnings


def _places(manifest: Manifest, programs: Iterable[ProgramDeclaration]) -> dict[str, tuple[str, str]]:
    """Where each program hangs, (kind, function or event), as its probe or else its section says."""
    probes: dict[str, list[tuple[str, str]]] = {}
    for probe in manifest.probe:
        probes.setdefault(probe.program, []).append((str(probe.kind), probe.target.rpartition(":")[2]))
    hanging = {each.name: probes.get(each.name) or [_place(each)] for each in programs}
    return {name: places[0] for name, places in hanging.items() if len(places) == 1}


def _variants(
    kinds: Sequence[Sequence[str]], places: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """For each function or event that programs of different kinds hang on, the choices among them.

    Each place is a choice of its own, because kernels lack one function and have another. The last choice is none of
    the programs: whether a module can do without is for its tables to say.
    """
    family = {kind for group in kinds for kind in group}
    for place in dict.fromkeys(place for kind, place in places.values() if kind in family and place):
        by_kind = [tuple(name for name, at in places.items() if at[0] in kind and at[1] == place) for kind in kinds]
        choices = [choice for choice in by_kind if choice]
        if len(choices) > 1:
            yield (*choices, ())


def _place(program: ProgramDeclaration) -> tuple[str, str]:
    """(kind, function or event) of a section: `tp/sched/sched_switch` is ("tp", "sched_switch")."""
    kind, _, place = program.section.removeprefix("?").partition("/")
    return kind.removesuffix(".s"), place.rpartition("/")[2]
