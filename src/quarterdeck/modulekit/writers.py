"""The programs that run, and those that fill each table.

A table that no program fills stays empty although its instance seems to work, so the build warns about it and the agent
refuses it. It owns the rules for which programs run (one whose section begins with `?` only if the manifest names it,
an iterator only if a table reads it) and for the iterators that can fill a table. It never loads a program.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace as changed

from quarterdeck.bpf.declarations import MapDeclaration
from quarterdeck.bpf.uapi import MapType
from quarterdeck.model.errors import BadManifest
from quarterdeck.model.manifests import Manifest, enabled_programs
from quarterdeck.model.modules import SourceKind, TableSource
from quarterdeck.modulekit.programs import ProgramDeclaration

#: map types that evict nothing
KEEPING = frozenset({MapType.HASH, MapType.PERCPU_HASH, MapType.LPM_TRIE, MapType.ARRAY, MapType.PERCPU_ARRAY})
_ITERATOR = "iter"
_SEQ_WRITE = 127  # number of the helper


def running(manifest: Manifest, programs: Iterable[ProgramDeclaration]) -> tuple[Manifest, list[ProgramDeclaration]]:
    """Return the programs that a node runs, and the manifest with the iterators disabled that no table reads."""
    read = {
        name for table in manifest.table for name in ([table.from_] if isinstance(table.from_, str) else table.from_)
    }
    every = list(programs)
    unread = tuple(each.name for each in every if each.kind == _ITERATOR and each.name not in read)
    manifest = changed(manifest, disabled=(*manifest.disabled, *(set(unread) - set(manifest.disabled))))
    off = {each.name for each in every if each.section.startswith("?")} - enabled_programs(manifest)
    return manifest, [each for each in every if each.name not in off and each.name not in manifest.disabled]


def iterators(programs: Iterable[ProgramDeclaration]) -> list[str]:
    """Return the programs that walk a list of the kernel when they are read."""
    return [each.name for each in programs if each.kind == _ITERATOR]


def iterator_of(sources: Sequence[str], programs: Iterable[ProgramDeclaration], *, table: str) -> str:
    """Return the iterator that a table is read from, or "". Raise `BadManifest` if it cannot be a source."""
    found = [each for each in programs if each.name in sources and each.kind == _ITERATOR]
    if not found:
        return ""
    if len(sources) > 1:
        raise BadManifest(
            f"module.toml: table '{table}' is filled from {' and '.join(sources)}; an iterator fills a table alone.",
            hint="Write a [[table]] for each.",
        )
    if _SEQ_WRITE not in found[0].helpers:
        raise BadManifest(
            f"module.toml: table '{table}': the iterator '{found[0].name}' writes no records, so there are no rows.",
            hint="Have it call bpf_seq_write(seq, &record, sizeof(record)); what bpf_seq_printf writes is not read.",
        )
    return found[0].name


def writers_of(source: TableSource, sources: Iterable[str], programs: Iterable[ProgramDeclaration]) -> tuple[str, ...]:
    """Return the programs, among those that run, that may write rows into a table."""
    if source.iterator:
        return (source.iterator,)
    names = set(sources)
    # A reference into a section without a known variable may be to any of its variables.
    anywhere = {*source.maps} if source.kind is SourceKind.GLOBAL else set[str]()
    return tuple(
        each.name for each in programs if each.refers & names or ("" in each.refers and each.refers & anywhere)
    )


def keeps(declared: MapDeclaration, programs: Iterable[ProgramDeclaration]) -> bool:
    """Return whether a map keeps its entries: it evicts nothing, and no program deletes from it."""
    if declared.type not in KEEPING:
        return False
    return not any(
        declared.name in each.deletes or ("" in each.deletes and declared.name in each.refers) for each in programs
    )
