"""The defaults that a build derives from the program for a manifest, as a program's own loader would.

Programs written for their own loader rely on it to leave out programs that a kernel cannot load, to use one of several
variants of a program, and to open the events on which samples are taken. This module owns these three defaults.
Settings of the author in module.toml are unchanged, and programs that the source disables (`SEC("?…")`) stay disabled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from msgspec.structs import replace as changed

from quarterdeck.model.manifests import ALL_PROGRAMS, Manifest, ProbeKind, ProbeSpec
from quarterdeck.modulekit.programs import ProgramDeclaration

SAMPLES_HZ = 99  # not in step with events that happen a hundred times a second

#: kinds of sections that can attach to the same place, the cheapest first: (by function, by event)
_FAMILIES = (
    (("fentry", "fexit"), ("kprobe", "kretprobe")),
    (("tp_btf",), ("raw_tp", "raw_tracepoint"), ("tracepoint", "tp")),
)


def completed(manifest: Manifest, programs: Sequence[ProgramDeclaration]) -> tuple[Manifest, list[str]]:
    """Return the manifest with these defaults, and notes for the author."""
    probed = {probe.program for probe in manifest.probe}
    samplers = [each for each in programs if each.section == "perf_event" and each.name not in probed]
    probes = tuple(ProbeSpec(program=each.name, kind=ProbeKind.PERF_EVENT, frequency=SAMPLES_HZ) for each in samplers)
    manifest = changed(manifest, probe=(*manifest.probe, *probes))
    warnings: list[str] = []
    if not manifest.alternatives and not manifest.disabled:
        places = _places(manifest, [each for each in programs if not each.section.startswith("?")])
        groups = tuple(group for kinds in _FAMILIES for group in _variants(kinds, places))
        manifest = changed(manifest, alternatives=groups)
        if groups:
            warnings.append(
                "some programs watch the same thing in different ways, of which the first that works is used: "
                + "; ".join(", or ".join(" with ".join(choice) for choice in group if choice) for group in groups)
            )
    if not manifest.optional and len(programs) > 1:
        manifest = changed(manifest, optional=(ALL_PROGRAMS,))
    return manifest, warnings


def _places(manifest: Manifest, programs: Iterable[ProgramDeclaration]) -> dict[str, tuple[str, str]]:
    """Return the place where each program attaches, (kind, function or event), from its probe or else its section."""
    probes: dict[str, list[tuple[str, str]]] = {}
    for probe in manifest.probe:
        probes.setdefault(probe.program, []).append((str(probe.kind), probe.target.rpartition(":")[2]))
    hanging = {each.name: probes.get(each.name) or [_place(each)] for each in programs}
    return {name: places[0] for name, places in hanging.items() if len(places) == 1}


def _variants(
    kinds: Sequence[Sequence[str]], places: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[tuple[str, ...], ...]]:
    """Return, for each function or event to which programs of different kinds attach, the choices among them.

    The places are independent, because a kernel may lack one function and have another. The last choice is none of the
    programs: its tables decide whether a module can run without them.
    """
    family = {kind for group in kinds for kind in group}
    for place in dict.fromkeys(place for kind, place in places.values() if kind in family and place):
        by_kind = [tuple(name for name, at in places.items() if at[0] in kind and at[1] == place) for kind in kinds]
        choices = [choice for choice in by_kind if choice]
        if len(choices) > 1:
            yield (*choices, ())


def _place(program: ProgramDeclaration) -> tuple[str, str]:
    """Return (kind, function or event) of a section: `tp/sched/sched_switch` gives ("tp", "sched_switch")."""
    kind, _, place = program.section.removeprefix("?").partition("/")
    return kind.removesuffix(".s"), place.rpartition("/")[2]
