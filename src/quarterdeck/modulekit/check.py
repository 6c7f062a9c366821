"""The check that the names in a manifest exist in the program: maps, programs, and attachments.

It owns the references from `[[probe]]`, `[maps]`, `alternatives`, `optional` and `disabled`; those of tables and
settings are checked where they are used. It returns warnings about programs that will not be attached or counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from quarterdeck.bpf.declarations import ObjectFile
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.errors import BadManifest, BadProgram
from quarterdeck.model.losses import KERNEL_LOSSES_MAP
from quarterdeck.model.manifests import ALL_PROGRAMS, Manifest, ProbeSpec
from quarterdeck.modulekit.names import nearest
from quarterdeck.modulekit.plan import STREAMS, sources_of
from quarterdeck.modulekit.programs import ProgramDeclaration

#: kinds of probes that attach the same program types; the section of such a program is named after one of them
_FAMILIES = (
    frozenset({"kprobe", "kretprobe", "uprobe", "uretprobe", "usdt"}),
    frozenset({"tp_btf", "fentry", "fexit", "fmod_ret", "lsm"}),
    *(frozenset({kind}) for kind in ("tracepoint", "raw_tp", "perf_event", "tc", "xdp", "netfilter")),
)


def check_references(manifest: Manifest, opened: ObjectFile, programs: Iterable[ProgramDeclaration]) -> list[str]:
    """Return warnings. Raise `BadManifest` for a name that the program lacks, `BadProgram` if no program can run."""
    by_name = {program.name: program for program in programs}
    _refuse_legacy_maps(opened)
    if not by_name:
        raise BadProgram("The object holds no program.", hint='Mark a function with SEC("…"), such as SEC("tp_btf/…").')
    for place, name in _program_names(manifest):
        if name not in by_name and not (place == "optional" and name == ALL_PROGRAMS):
            raise BadManifest(
                f"module.toml: {place} names program '{name}', which the object lacks.", hint=nearest(name, by_name)
            )
    for probe in manifest.probe:
        _check_kind(probe, by_name[probe.program])
    _check_maps(manifest, opened)
    return [*_without_probe(manifest, by_name.values()), *_uncounted(manifest, opened)]


def _refuse_legacy_maps(opened: ObjectFile) -> None:
    legacy = opened.elf.section("maps")
    if legacy is not None and legacy.size:
        raise BadProgram(
            'The program declares maps the old way, by SEC("maps") and struct bpf_map_def, which libbpf 1.0 dropped.',
            hint="Declare each as struct { __uint(type, BPF_MAP_TYPE_HASH); __uint(max_entries, 1024); "
            '__type(key, u32); __type(value, u64); } NAME SEC(".maps");',
        )


def _check_kind(probe: ProbeSpec, program: ProgramDeclaration) -> None:
    """Raise `BadManifest` if a probe of this kind cannot attach a program with this section."""
    takes = next((family for family in _FAMILIES if program.probe_kind in family), None)
    if takes is not None and probe.kind not in takes:
        raise BadManifest(
            f"module.toml: a {probe.kind} probe cannot attach '{probe.program}', which is SEC(\"{program.section}\").",
            hint=f"Probes of these kinds can: {', '.join(sorted(takes))}; or give the program another SEC.",
        )


def _program_names(manifest: Manifest) -> Iterator[tuple[str, str]]:
    for probe in manifest.probe:
        yield "[[probe]]", probe.program
    for choices in manifest.alternatives:
        for choice in choices:
            yield from (("alternatives", name) for name in choice)
    yield from (("optional", name) for name in manifest.optional)
    yield from (("disabled", name) for name in manifest.disabled)


def _check_maps(manifest: Manifest, opened: ObjectFile) -> None:
    for name, spec in manifest.maps.items():
        declared = opened.maps.get(name)
        if declared is None:
            raise BadManifest(f"module.toml: [maps.{name}]: there is no such map.", hint=nearest(name, opened.maps))
        if spec.depth is not None and declared.type != MapType.STACK_TRACE:
            raise BadManifest(
                f"module.toml: [maps.{name}]: depth is for stack-trace maps, and this is {MapType(declared.type).name}."
            )


def _without_probe(manifest: Manifest, programs: Iterable[ProgramDeclaration]) -> list[str]:
    probed = {probe.program for probe in manifest.probe}
    used = [program for program in programs if program.name not in manifest.disabled]
    aimless = [program for program in used if program.needs_probe and program.name not in probed]
    if aimless and len(aimless) == len(used):
        first = aimless[0]
        raise BadManifest(
            f"module.toml: no place to attach: SEC(\"{first.section}\") of '{first.name}' names no place.",
            hint=f'Add a [[probe]] with program = "{first.name}", kind = "{first.probe_kind}" and where that is.',
        )
    by_section: dict[str, list[str]] = {}
    for each in aimless:
        by_section.setdefault(each.section, []).append(each.name)
    return [
        f'not attached, because SEC("{section}") names no place, and no [[probe]] does: {", ".join(names)}'
        for section, names in by_section.items()
    ]


def _uncounted(manifest: Manifest, opened: ObjectFile) -> list[str]:
    names = {name for table in manifest.table for name in sources_of(table)}
    streams = any(opened.maps[name].type in STREAMS for name in names if name in opened.maps)
    if KERNEL_LOSSES_MAP in opened.maps or not streams:
        return []
    return ["the object was not compiled by Quarterdeck: what its ring buffers have no room for is not counted as lost"]
